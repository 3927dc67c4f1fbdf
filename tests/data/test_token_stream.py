"""Prompts from ids are those of the text, id for id; the cache changes nothing."""

import dataclasses
import pickle

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from symtune.cards.card import Example
from symtune.data.draws import Shots
from symtune.data.mixture import Ingredient, LabelStyle, Mixture
from symtune.data.skills import Skill, SkillKind
from symtune.data.symbols import PoolSplit, make_pool
from symtune.data.token_cache import tokenize_task
from symtune.data.token_stream import TokenStream
from symtune.data.tokens import PromptTokenizer, PromptTooLongError
from symtune.data.vocab import SentencePieceVocab, ToyVocab
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


def _tokenizer(vocab, max_inputs=400):
  return PromptTokenizer(
    vocab, max_inputs=max_inputs, max_targets=64, min_demos_per_class=1
  )


def _mixture(task, pool, seed):
  shots = Shots(minimum=1, maximum=3)
  kinds = [
    Ingredient(tasks=(task,), labels=style, instruction=told, shots=shots)
    for style in LabelStyle
    if style is not LabelStyle.BORROWED
    for told in (False, True)
  ]
  card = dataclasses.replace(task.card, name="other", labels=("moss", "fern"))
  tasks = (task, dataclasses.replace(task, card=card))
  kinds.append(Ingredient(tasks=tasks, labels=LabelStyle.BORROWED, shots=shots))
  skill = Skill(kind=SkillKind.COPY, tasks=(task,), min_items=1, max_items=3)
  return Mixture([*kinds, skill], pool, seed=seed)


def _outcome(prompt_at, position):
  try:
    prompt = prompt_at(position)
  except PromptTooLongError:
    return "too long"
  return {
    "inputs": prompt.inputs.tolist(),
    "choices": [c.tolist() for c in prompt.choices],
    "rest": (prompt.answer, prompt.demos_kept, prompt.demos_dropped),
  }


@hypothesis.given(
  st.lists(_TEXT, min_size=16, max_size=24, unique_by=lambda t: t.casefold().strip()),
  st.integers(0, 2**32),
)
@hypothesis.settings(
  max_examples=30, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
def test_ids_are_those_of_the_rendered_text(make_task, small_vocab, texts, seed):
  task = _task(make_task, texts)
  pool = make_pool(PoolSplit.TUNING, size_per_category=50)
  mixture, tokenizer = _mixture(task, pool, seed), _tokenizer(small_vocab)
  stream = TokenStream(mixture, tokenizer)
  for position in range(12):
    expected = _outcome(lambda i: tokenizer.tokenize(mixture.prompt(i)), position)
    assert _outcome(stream, position) == expected
    if expected != "too long" and expected["rest"][2] == 0:
      whole = small_vocab.encode(mixture.prompt(position).inputs)
      assert expected["inputs"][:-1] == whole.tolist()


def test_vocabularies_of_more_than_two_bytes(make_task):
  vocab = ToyVocab([str(n) for n in range(70_000)])
  task = _task(make_task, [f"{69_000 + i} 7 <b>" for i in range(20)])
  mixture = _mixture(task, make_pool(PoolSplit.TUNING, size_per_category=50), seed=1)
  tokenizer = _tokenizer(vocab, max_inputs=40)
  stream = TokenStream(mixture, tokenizer)
  outcomes = [_outcome(stream, position) for position in range(40)]
  assert max(max(found["inputs"]) for found in outcomes) > 2**16
  assert any(found["rest"][2] for found in outcomes)  # some lost exemplars
  for position, found in enumerate(outcomes):
    expected = _outcome(lambda i: tokenizer.tokenize(mixture.prompt(i)), position)
    assert found == expected


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
    np.testing.assert_array_equal(other.index.groups, first.index.groups)
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


def test_a_damaged_cache_is_an_error_that_says_what_to_do(
  make_task, small_vocab, tmp_path
):
  task = _task(make_task, [f"text {i}" for i in range(20)])
  folder = tokenize_task(task, small_vocab, tmp_path).folder
  tokens = np.load(folder / "tokens.npy")
  np.save(folder / "tokens.npy", tokens[:-1])
  with pytest.raises(SymtuneError, match=r"not belong together.*Delete that folder"):
    tokenize_task(task, small_vocab, tmp_path)
  (folder / "meta.json").unlink()
  with pytest.raises(SymtuneError, match="is not whole"):
    tokenize_task(task, small_vocab, tmp_path)


@pytest.mark.shared
def test_real_prompts_from_ids_are_those_of_the_text(shared_data, tmp_path):
  from symtune.cards.load import load_suite

  vocab = SentencePieceVocab(shared_data / "t5_tokenizer" / "spiece.model")
  tasks = load_suite("symbol_tuning_train", shared_data / "tasks")
  kinds = [Ingredient(tasks=tasks), Ingredient(tasks=tasks, instruction=True)]
  mixture = Mixture(kinds, make_pool(PoolSplit.TUNING), seed=3)
  tokenizer = _tokenizer(vocab, max_inputs=1024)
  stream = TokenStream(mixture, tokenizer, tmp_path)
  for position in range(300):
    expected = _outcome(lambda i: tokenizer.tokenize(mixture.prompt(i)), position)
    assert _outcome(stream, position) == expected
