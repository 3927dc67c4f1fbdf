"""Prompts from ids are those of the text, id for id; the cache changes nothing."""

import concurrent.futures
import dataclasses
import itertools
import pickle
import resource
import shutil

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from symtune.cards.card import Example
from symtune.data.ingredients import Ingredient, LabelStyle, Skill, SkillKind
from symtune.data.mixture import Mixture
from symtune.data.prompts import ALL_FORMATS
from symtune.data.text.symbols import (
  PoolSplit,
  SymbolCategory,
  SymbolPool,
  SymbolRules,
  make_pool,
)
from symtune.data.text.vocab import SentencePieceVocab, ToyVocab
from symtune.data.tokens.cache import tokenize_task
from symtune.data.tokens.stream import TokenStream, tokenize_tasks
from symtune.data.tokens.tokenizer import PromptTokenizer, PromptTooLongError
from symtune.errors import SymtuneError

# What T5's normaliser treats in its own ways: wide forms, ligatures, combining marks,
# odd white space, characters it does not know, and text that looks like a prompt.
_TEXT = st.one_of(
  st.text(
    alphabet=st.one_of(
      st.characters(codec="utf-8"), st.sampled_from("\t\n éñü漢ﬁ①Ａ…—“”😀<{~")
    ),
    min_size=1,
    max_size=40,
  ),
  st.sampled_from(["Input: x\nOutput: y", "{text}", "a  b", "\u2028end", "-> 12"]),
).filter(lambda text: text.split())


def _task(make_task, texts):
  """Two classes whose rows hold the texts in turn."""
  task = make_task()
  examples = tuple(
    Example(row=row, fields={"text": text}, label=row % 2, split="train")
    for row, text in enumerate(texts)
  )
  return dataclasses.replace(task, examples=examples)


def _known_pool(vocab, size=None, rules=None):
  """Tuning symbols, without those that have unknown pieces in the vocabulary."""
  pool = make_pool(PoolSplit.TUNING, size_per_category=size, rules=rules, vocab=vocab)
  symbols = {
    category: tuple(s for s in group if vocab.unk_id not in vocab.encode(s))
    for category, group in pool.symbols.items()
  }
  known = {category: group for category, group in symbols.items() if group}
  return dataclasses.replace(pool, symbols=known)


def _tokenizer(vocab, max_inputs=400):
  return PromptTokenizer(
    vocab, max_inputs=max_inputs, max_targets=64, min_exemplars_per_class=1
  )


def _mixture(task, pool, seed):
  kinds = [
    (Ingredient(labels=style, instruction=told, min_shots=1, max_shots=3), (task,))
    for style in LabelStyle
    if style not in (LabelStyle.BORROWED, LabelStyle.TEXT_WORDS)
    for told in (False, True)
  ]
  card = dataclasses.replace(task.card, name="other", labels=("moss", "fern"))
  tasks = (task, dataclasses.replace(task, card=card))
  borrowed = Ingredient(labels=LabelStyle.BORROWED, min_shots=1, max_shots=3)
  kinds.append((borrowed, tasks))
  skill = (Skill(kind=SkillKind.COPY, min_items=1, max_items=3), (task,))
  return Mixture([*kinds, skill], pool, seed=seed)


def _from_text(mixture, tokenizer, positions):
  """Ids, targets and exemplars dropped of the rendered prompts; None if too long."""
  found = []
  for text in mixture.prompts(positions):
    try:
      prompt = tokenizer.tokenize(text)
    except PromptTooLongError:
      found.append(None)
    else:
      targets = prompt.pair.targets.tolist()
      found.append((prompt.inputs.tolist(), targets, prompt.exemplars_dropped))
  return found


def _from_ids(stream, positions):
  """The same of a block of positions, from ids."""
  block = stream(positions)
  assert (block.error is None) == all(pair is not None for pair in block.pairs)
  skipped = [pair is None for pair in block.pairs]
  assert not block.dropped[skipped].any()
  return [
    pair and (pair.inputs.tolist(), pair.targets.tolist(), dropped)
    for pair, dropped in zip(block.pairs, block.dropped.tolist(), strict=True)
  ]


@hypothesis.given(
  st.lists(_TEXT, min_size=16, max_size=24, unique_by=lambda t: t.casefold().strip()),
  st.integers(0, 2**32),
)
@hypothesis.settings(
  max_examples=30, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
def test_ids_are_those_of_the_rendered_text(make_task, small_vocab, texts, seed):
  task = _task(make_task, texts)
  pool = _known_pool(small_vocab, 50)
  mixture, tokenizer = _mixture(task, pool, seed), _tokenizer(small_vocab)
  expected = _from_text(mixture, tokenizer, range(24))
  assert _from_ids(TokenStream(mixture, tokenizer), range(24)) == expected
  for position, found in enumerate(expected):
    if found and not found[2]:
      whole = small_vocab.encode(mixture.prompt(position).inputs)
      assert found[0][:-1] == whole.tolist()


def test_vocabularies_of_more_than_two_bytes(make_task):
  labels = ("animal", "fruit", "moss", "fern")
  vocab = ToyVocab([*labels, *(str(n) for n in range(70_000))])
  task = _task(make_task, [f"{69_000 + i} 7 <b>" for i in range(20)])
  mixture = _mixture(task, _known_pool(vocab, 50), seed=1)
  tokenizer = _tokenizer(vocab, max_inputs=40)
  found = _from_ids(TokenStream(mixture, tokenizer), range(40))
  assert max(max(ids) for ids, _, _ in found) > 2**16
  assert any(dropped for _, _, dropped in found)
  assert found == _from_text(mixture, tokenizer, range(40))


def test_prompts_of_a_position_are_the_same_in_any_block(make_task, small_vocab):
  task = _task(make_task, [f"text {i} of {i % 3}" for i in range(24)])
  pool = _known_pool(small_vocab, 50)
  stream = TokenStream(_mixture(task, pool, seed=4), _tokenizer(small_vocab))
  whole = _from_ids(stream, range(60))
  assert _from_ids(stream, range(7, 60)) == whole[7:]
  assert [_from_ids(stream, range(i, i + 1))[0] for i in range(20)] == whole[:20]
  again = pickle.loads(pickle.dumps(stream))  # as it reaches other processes
  assert _from_ids(again, range(60)) == whole


def _uneven_task(make_task, name, rows, copies, labels, exemplar_splits=("train",)):
  """Classes of unlike sizes, texts that repeat, row numbers that are no positions."""
  task = make_task()
  card = dataclasses.replace(
    task.card,
    name=name,
    labels=labels,
    label_names=labels,
    exemplar_splits=exemplar_splits,
    query_splits=("validation",),
  )
  examples = tuple(
    Example(
      row=7 * row + 3,
      fields={"text": f"text {row // copies} {name}"},
      label=row % len(labels) if row % 4 else 0,
      split="train" if row % 3 else "validation",
    )
    for row in range(rows)
  )
  return dataclasses.replace(
    task, card=card, examples=examples, fingerprint=name[0] * 64
  )


def test_every_way_to_draw_gives_the_prompts_of_the_text(make_task, small_vocab):
  # Draws that use no bits up (a single query, format, category or symbol, as many
  # exemplars as there are) and draws that are repeated (hardly more symbols than
  # classes, and some of them refused).
  tasks = (
    _uneven_task(make_task, "all", 60, 1, ("animal", "fruit"), ("train", "validation")),
    _uneven_task(make_task, "pairs", 90, 2, ("animal", "fruit", "tool")),
    _uneven_task(make_task, "threes", 60, 3, ("animal", "fruit")),
  )
  one = dataclasses.replace(
    _task(make_task, [f"text {i}" for i in range(7)]), fingerprint="1" * 64
  )
  alone = (dataclasses.replace(one.examples[0], split="validation"), *one.examples[1:])
  card = dataclasses.replace(one.card, query_splits=("validation",))
  one = dataclasses.replace(one, card=card, examples=alone)
  words = {
    SymbolCategory.WORDS: ("moss", "Moss", "fern", "fruit", "Animal", "reed", "ivy")
  }
  few = SymbolPool(split=PoolSplit.TUNING, symbols=words, synonyms={"fruit": ("reed",)})
  pools = (
    few,
    dataclasses.replace(few, symbols={**words, SymbolCategory.INTEGERS: ("7",)}),
    _known_pool(small_vocab, rules=SymbolRules(same_length=True)),
  )
  for kind in (
    (Ingredient(min_shots=3, max_shots=3), (one,)),
    (Ingredient(min_shots=0, max_shots=2), tasks),
    (Ingredient(min_shots=1, max_shots=4), tasks),
    (Ingredient(min_shots=0, max_shots=0), (*tasks, one)),
    (Ingredient(min_shots=2, max_shots=3, labels=LabelStyle.NATURAL), tasks),
  ):
    for formats, pool in itertools.product((ALL_FORMATS, ALL_FORMATS[3:4]), pools):
      mixture = Mixture([kind], pool, seed=2**70, formats=formats)
      tokenizer = _tokenizer(small_vocab)
      found = _from_ids(TokenStream(mixture, tokenizer), range(60))
      assert found == _from_text(mixture, tokenizer, range(60))


def test_positions_may_be_large(make_task, small_vocab):
  task = _uneven_task(make_task, "large", 60, 2, ("animal", "fruit"))
  kind = (Ingredient(min_shots=1, max_shots=2), (task,))
  mixture = Mixture([kind], _known_pool(small_vocab), seed=-5)
  tokenizer, start = _tokenizer(small_vocab), 2**40
  positions = range(start, start + 20)
  found = _from_ids(TokenStream(mixture, tokenizer), positions)
  assert found == _from_text(mixture, tokenizer, positions)
  assert _from_ids(TokenStream(mixture, tokenizer), range(0)) == []


def test_threads_may_share_a_stream(make_task, small_vocab):
  task = _task(make_task, [f"text {i}" for i in range(40)])
  kind = (Ingredient(min_shots=1, max_shots=3), (task,))
  mixture = Mixture([kind], _known_pool(small_vocab), seed=1)
  blocks = [range(start, start + 50) for start in range(0, 800, 50)]
  whole = TokenStream(mixture, _tokenizer(small_vocab))
  expected = [_from_ids(whole, block) for block in blocks]
  shared = TokenStream(mixture, _tokenizer(small_vocab))
  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert list(pool.map(lambda block: _from_ids(shared, block), blocks)) == expected


@pytest.mark.parametrize(
  "lookup", [{}, {"retrieved": 0.5}, {"retrieved": 0.5, "likeness": "dissimilar"}]
)
def test_any_limit_drops_the_same_exemplars(make_task, small_vocab, lookup):
  task = _task(make_task, [f"text {i} " * (1 + i % 3) for i in range(24)])
  pool = _known_pool(small_vocab, 50)
  kind = (Ingredient(min_shots=1, max_shots=4, **lookup), (task,))
  mixture, seen = Mixture([kind], pool, seed=6), set()
  for max_inputs in range(20, 140, 3):
    tokenizer = _tokenizer(small_vocab, max_inputs)
    found = _from_ids(TokenStream(mixture, tokenizer), range(25))
    assert found == _from_text(mixture, tokenizer, range(25))
    seen |= {prompt and prompt[2] for prompt in found}
  assert seen >= {None, 0, 1, 2, 3}


def test_a_share_is_looked_up_and_keeps_what_is_most_similar(make_task, small_vocab):
  task = _task(make_task, [f"text {i} of {i % 5}" for i in range(24)])
  pool, tokenizer = _known_pool(small_vocab, 50), _tokenizer(small_vocab, 110)
  drawn, mixed = (
    Mixture([(Ingredient(min_shots=3, retrieved=share), (task,))], pool, seed=6)
    for share in (0.0, 0.5)
  )
  looked_up = 0
  for i in range(40):
    prompt = mixed.prompt(i)
    if not prompt.nearest_last:
      assert prompt == drawn.prompt(i)
      continue
    looked_up += 1
    found, turns = tokenizer.tokenize(prompt), tokenizer.encode(prompt).turns
    assert found.exemplars_dropped
    np.testing.assert_array_equal(
      found.inputs[: -len(turns[-1]) - 1][-len(turns[-2]) :], turns[-2]
    )
  assert 8 < looked_up < 32


def test_a_mixture_without_tasks_of_its_own(make_task, small_vocab):
  task = _task(make_task, [f"text {i}" for i in range(20)])
  skill = (Skill(kind=SkillKind.COPY, min_items=1, max_items=3), (task,))
  pool = _known_pool(small_vocab, 50)
  mixture, tokenizer = Mixture([skill], pool, seed=2), _tokenizer(small_vocab)
  found = _from_ids(TokenStream(mixture, tokenizer), range(9))
  assert found == _from_text(mixture, tokenizer, range(9))


def test_a_label_longer_than_a_target_is_an_error(make_task, small_vocab):
  task = _task(make_task, [f"text {i}" for i in range(20)])
  pool = _known_pool(small_vocab, 50)
  tokenizer = PromptTokenizer(
    small_vocab, max_inputs=400, max_targets=1, min_exemplars_per_class=1
  )
  for fewest, most in ((1, 2), (0, 0)):
    kind = (Ingredient(min_shots=fewest, max_shots=most), (task,))
    stream = TokenStream(Mixture([kind], pool, seed=2), tokenizer)
    with pytest.raises(SymtuneError, match=r"label .*: got \d+ tokens with EOS"):
      stream(range(4))


def test_a_long_label_is_an_error_where_it_is_not_shown(make_task, small_vocab):
  task = _task(make_task, [f"text {i}" for i in range(20)])
  card = dataclasses.replace(task.card, labels=("moss", "a b c d e f g h"))
  tokenizer = PromptTokenizer(
    small_vocab, max_inputs=400, max_targets=6, min_exemplars_per_class=1
  )
  kind = (
    Ingredient(labels=LabelStyle.NATURAL, min_shots=0, max_shots=0),
    (dataclasses.replace(task, card=card),),
  )
  mixture = Mixture([kind], _known_pool(small_vocab), seed=2)
  answers = [mixture.prompt(i).answer for i in range(10)]
  stream = TokenStream(mixture, tokenizer)
  position = answers.index(0)
  with pytest.raises(SymtuneError, match="label 'a b c d e f g h': got"):
    stream(range(position, position + 1))


def test_the_cache_is_used_and_changes_nothing(make_task, small_vocab, tmp_path):
  task = _task(make_task, [f"text {i}" for i in range(20)])
  calls = []

  class Counting(SentencePieceVocab):
    def __init__(self):
      self.__dict__.update(small_vocab.__dict__)

    def encode(self, text):
      calls.append(text)
      return super().encode(text)

  first = tokenize_task(task, Counting(), tmp_path)
  assert len(calls) == 20
  second = tokenize_task(task, Counting(), tmp_path)
  assert len(calls) == 20
  in_memory = tokenize_task(task, small_vocab)
  for other in (second, in_memory, pickle.loads(pickle.dumps(first))):
    np.testing.assert_array_equal(other.tokens, first.tokens)
    np.testing.assert_array_equal(other.ends, first.ends)
  assert len(pickle.dumps(first)) < len(pickle.dumps(in_memory))


def test_writers_of_one_cache_do_not_meet(
  make_task, small_vocab, tmp_path, monkeypatch
):
  # Two hosts that share the folder may have the same process id, as here.
  task, save, calls = make_task(), np.save, []

  def slow(*args):
    calls.append(args)
    if len(calls) == 2:
      tokenize_task(task, small_vocab, tmp_path)
    save(*args)

  monkeypatch.setattr(np, "save", slow)
  found = tokenize_task(task, small_vocab, tmp_path)
  np.testing.assert_array_equal(found.ends, tokenize_task(task, small_vocab).ends)
  (folder,) = tmp_path.iterdir()
  assert folder.stat().st_mode == tmp_path.stat().st_mode


def test_other_rows_or_words_are_another_cache(make_task, small_vocab, tmp_path):
  task = _task(make_task, [f"text {i}" for i in range(20)])
  tokenize_task(task, small_vocab, tmp_path)
  fewer = dataclasses.replace(task, examples=task.examples[:10])  # leaks dropped
  assert len(tokenize_task(fewer, small_vocab, tmp_path).ends) == 10
  other = dataclasses.replace(task, fingerprint="e" * 64)
  tokenize_task(other, small_vocab, tmp_path)
  assert len(list(tmp_path.iterdir())) == 3


def _flip(file):
  content = bytearray(file.read_bytes())
  content[len(content) * 3 // 4] ^= 4
  file.write_bytes(content)


@pytest.mark.parametrize(
  "damage",
  [
    _flip,
    lambda file: file.write_bytes(file.read_bytes()[:-1]),
    lambda file: file.write_bytes(b""),
    lambda file: file.unlink(),
  ],
  ids=["flipped", "cut", "empty", "lost"],
)
@pytest.mark.parametrize(
  "name", ["tokens.npy", "ends.npy", "meta.json", "checksums.txt"]
)
def test_a_damaged_cache_is_made_again_and_says_so(
  make_task, small_vocab, tmp_path, capsys, name, damage
):
  task = _task(make_task, [f"text {i}" for i in range(20)])
  folder = tokenize_task(task, small_vocab, tmp_path).folder
  damage(folder / name)
  for lines in (1, 0):
    found = tokenize_task(task, small_vocab, tmp_path)
    wanted = tokenize_task(task, small_vocab)
    np.testing.assert_array_equal(found.tokens, wanted.tokens)
    np.testing.assert_array_equal(found.ends, wanted.ends)
    said = capsys.readouterr().err
    assert said.count("\n") == lines
    assert lines == 0 or (str(folder) in said and "It is made again" in said)
  assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_of_another_task_is_made_again(
  make_task, small_vocab, tmp_path, capsys
):
  task = _task(make_task, [f"text {i}" for i in range(20)])
  other = dataclasses.replace(task, fingerprint="e" * 64)
  folder = tokenize_task(task, small_vocab, tmp_path).folder
  shutil.rmtree(folder)
  tokenize_task(other, small_vocab, tmp_path).folder.rename(folder)
  tokenize_task(task, small_vocab, tmp_path)
  assert f"{folder} is of another task" in capsys.readouterr().err


def test_a_cache_on_a_full_disk_says_what_it_needs(make_task, small_vocab, tmp_path):
  task = _task(make_task, [f"text {i}" for i in range(500)])
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
  try:
    with pytest.raises(SymtuneError, match=r"cannot be written: .* it needs .* kB"):
      tokenize_task(task, small_vocab, tmp_path)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert list(tmp_path.iterdir()) == []
  assert len(tokenize_task(task, small_vocab, tmp_path).ends) == 500


@pytest.mark.shared
def test_real_prompts_from_ids_are_those_of_the_text(shared_data, tmp_path):
  from symtune.cards.load import load_suite

  vocab = SentencePieceVocab(shared_data / "t5_tokenizer" / "spiece.model")
  tasks = load_suite("symbol_tuning_train", shared_data / "tasks")
  kinds = [(Ingredient(), tasks), (Ingredient(instruction=True), tasks)]
  mixture = Mixture(kinds, _known_pool(vocab), seed=3)
  tokenizer = _tokenizer(vocab, max_inputs=1024)
  expected = _from_text(mixture, tokenizer, range(300))
  assert _from_ids(TokenStream(mixture, tokenizer, tmp_path), range(300)) == expected


def test_tokenizing_says_where_it_is(make_task, toy_vocab, capsys):
  tasks = make_task(), make_task(("animal", "fruit", "tool"))
  clock = itertools.count(0.0, 20.0)  # at every look, 20 seconds have passed
  found = tokenize_tasks(tasks, toy_vocab, clock=lambda: next(clock))
  assert [len(task.ends) for task in found] == [24, 36]
  out, err = capsys.readouterr()
  assert out == ""
  assert err.splitlines()[0].startswith("tokenizing toy_animal_fruit: 24/60 texts")
  assert err.splitlines()[-1].startswith("tokenizing toy_animal_fruit_tool: 60/60")
