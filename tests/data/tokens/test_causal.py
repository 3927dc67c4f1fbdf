"""A decoder-only model's prompts have the ids of their whole text."""

import itertools
import json
import pickle

import family_tokenizers
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tokenizers

from symtune.convert.tokenizer.causal import read_causal_vocab
from symtune.data.ingredients import Ingredient, LabelStyle, Skill, SkillKind
from symtune.data.mixture import Mixture
from symtune.data.prompts import ALL_FORMATS, Prompt, PromptFormat, turn_cues
from symtune.data.text.symbols import PoolSplit, make_pool
from symtune.data.tokens.causal import CausalStream, CausalTokenizer, LossOn
from symtune.data.tokens.label_ids import vocab_label_problem
from symtune.data.tokens.tokenizer import PromptTooLongError, dropping_order
from symtune.errors import SymtuneError

# Contractions, digits, punctuation before newlines, odd white space, combining marks,
# control tokens and characters that no vocabulary has.
_TEXT = st.one_of(
  st.text(
    alphabet=st.one_of(
      st.characters(codec="utf-8", exclude_characters="▁"),
      st.sampled_from("\t\n\r  .,'\"()aàI12éñ漢ﬁ…—“😀<|>"),
    ),
    min_size=1,
    max_size=30,
  ),
  st.sampled_from(
    ["</s>", "<|im_end|>", "12\n\n34", "I'm", "\u0301x", "a \n b", "Input: x\n\n"]
  ),
).filter(lambda text: text.strip())
_WORD = st.one_of(_TEXT, st.sampled_from(["4921", "not_it", "No.", "A1", "1", "'s"]))


@pytest.fixture(scope="module")
def vocabs(tmp_path_factory):
  """The vocabulary of each family, and the library's tokenizer of the same file."""
  made = {}
  for family in family_tokenizers.FAMILIES:
    folder = tmp_path_factory.mktemp(family)
    for name, content in family_tokenizers.make_files(family).items():
      (folder / name).write_text(json.dumps(content))
    own = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    own.encode_special_tokens = True
    made[family] = (read_causal_vocab(folder), own)
  return made


def _prompt(form, texts, words, answer=0, instruction=None):
  """As many exemplars as words; the last text is the query's."""
  head, cue = turn_cues(form, instruction)
  shown = zip(texts[:-1], words, strict=True)
  turns = [(*head, text, cue + " ", word) for text, word in shown]
  return Prompt(
    turns=(*turns, (*head, texts[-1], cue)),
    exemplar_labels=tuple(range(len(words))),
    choices=tuple(words),
    answer=answer,
  )


def _whole_text(prompt):
  """The prompt's text, without white space at both ends of turns and labels."""
  *shown, query = prompt.turns
  turns = [f"{''.join(t[:-1]).strip()} {t[-1].strip()}" for t in shown]
  return "\n\n".join([*turns, "".join(query).strip()])


@pytest.mark.parametrize("family", family_tokenizers.FAMILIES)
@hypothesis.settings(max_examples=150)
@hypothesis.given(
  form=st.sampled_from(ALL_FORMATS),
  texts=st.lists(_TEXT, min_size=3, max_size=3),
  words=st.lists(_WORD, min_size=2, max_size=2, unique_by=str.strip),
  dropped=st.booleans(),
)
def test_joined_ids_are_those_of_the_text(vocabs, family, form, texts, words, dropped):
  vocab, own = vocabs[family]
  prompt = _prompt(form, texts, words)
  if dropped:  # what stands first and before each turn is then another
    texts, words = texts[1:], words[1:]
    shorter = _prompt(form, texts, words)
    prompt = Prompt(
      turns=shorter.turns,
      exemplar_labels=(0,),
      choices=prompt.choices,
      answer=prompt.answer,
    )
  # The vocabulary's normalizer may make words equal that differ as texts.
  hypothesis.assume(vocab_label_problem(prompt.choices, vocab) is None)
  tokens = CausalTokenizer(vocab).tokenize(prompt)
  label = prompt.choices[prompt.answer].strip()
  expected = own.encode(f"{_whole_text(prompt)} {label}\n\na").ids
  pair = tokens.pair
  assert pair.inputs.tolist() == expected[: len(pair.inputs)]
  assert vocab.decode(expected[len(pair.inputs) :]).strip() == "a"
  assert pair.targets.tolist() == [*range(len(tokens.inputs), len(pair.inputs))]


@pytest.mark.parametrize("family", family_tokenizers.FAMILIES)
def test_places_are_those_of_the_labels(vocabs, family):
  vocab, _ = vocabs[family]
  words = ("good.", "4921", "bad")
  texts = ("the film", "12 was", "it was dull", "a fox!")
  prompt = _prompt(PromptFormat.ARROW, texts, words, answer=2)
  tokenizer = CausalTokenizer(vocab, loss_on=LossOn.EVERY)
  tokens = tokenizer.tokenize(prompt)
  pair = tokenizer.pair(tokens)
  runs = np.split(pair.targets, np.flatnonzero(np.diff(pair.targets) > 1) + 1)
  found = [vocab.decode(pair.inputs[run]).lstrip(" ") for run in runs]
  assert found == ["good.\n\n", "4921\n\n", "bad\n\n", "bad\n\n"]
  assert vocab.decode(tokens.inputs[tokens.query_start :]).strip() == "a fox! ->"
  assert CausalTokenizer(vocab).pair(tokens).targets.tolist() == runs[-1].tolist()
  assert (pair.inputs[0] == vocab.bos_id) == (vocab.bos_id is not None)


def test_a_blank_line_has_the_same_ids_after_every_label(vocabs):
  vocab, _ = vocabs["pythia"]  # at the end of a text its two newlines are one token
  texts = ("the film", "a film", "the film")
  tokens = CausalTokenizer(vocab).tokenize(
    _prompt(PromptFormat.Q_A, texts, ("good", "bad"))
  )
  [newline] = vocab.encode("\n")
  assert tokens.choices[0][-2:].tolist() == [newline, newline]
  first = tokens.inputs[tokens.exemplar_targets[: len(tokens.choices[0])]]
  assert first.tolist() == tokens.choices[0].tolist()


@pytest.mark.parametrize("loss_on", LossOn)
@pytest.mark.parametrize("family", ["smollm2", "llama2"])
def test_too_long_prompts_lose_whole_exemplars(vocabs, family, loss_on):
  vocab, _ = vocabs[family]
  texts, words = ("the film", "12 was", "a very dull film", "fox"), ("1", "2", "33")
  prompt = _prompt(PromptFormat.ARROW, texts, words)
  whole = CausalTokenizer(vocab, loss_on=loss_on).tokenize(prompt)
  longest = max(len(ids) for ids in whole.choices)
  order = [*dropping_order(prompt.exemplar_labels)]
  assert order == [2, 1, 0]
  kept = []
  for limit in range(len(whole.inputs) + longest, 0, -1):
    tokenizer = CausalTokenizer(vocab, max_inputs=limit, loss_on=loss_on)
    if kept and kept[-1] == 0 and len(found.inputs) + longest > limit:
      with pytest.raises(PromptTooLongError, match=f"expected at most {limit}"):
        tokenizer.tokenize(prompt)
      break
    found = tokenizer.tokenize(prompt)
    kept.append(found.exemplars_kept)
    alone = _prompt(
      PromptFormat.ARROW, (*texts[: kept[-1]], texts[-1]), words[: kept[-1]]
    )
    assert found.exemplars_dropped == 3 - kept[-1]
    assert vocab.decode(found.inputs).split() == _whole_text(alone).split()
    assert len(found.inputs) + longest <= limit
  assert sorted(set(kept)) == [0, 1, 2, 3]


def test_scored_tokens_are_limited_too(vocabs):
  vocab, _ = vocabs["pythia"]
  texts, words = ("the film", "a film", "the fox"), ("good", "bad")
  prompt = _prompt(PromptFormat.Q_A, texts, words)
  scored = {
    loss_on: CausalTokenizer(vocab, max_targets=8, loss_on=loss_on)
    .tokenize(prompt)
    .exemplars_kept
    for loss_on in LossOn
  }
  lengths = [len(vocab.encode_label(word)) + 2 for word in words]
  assert max(lengths) <= 8 < sum(lengths) + max(lengths)
  assert scored == {LossOn.LAST: 2, LossOn.EVERY: 1}
  with pytest.raises(SymtuneError, match=r"label 'good'.*at most 2"):
    CausalTokenizer(vocab, max_targets=2).tokenize(prompt)
  with pytest.raises(PromptTooLongError, match="2 exemplars per class"):
    CausalTokenizer(vocab, max_inputs=12, min_exemplars_per_class=2).tokenize(prompt)


def test_a_prompt_and_its_answer_have_positions(vocabs):
  """The last token of an answer is never read, so it needs none."""
  vocab, _ = vocabs["pythia"]
  texts, words = ("the film", "a film", "the fox"), ("good", "bad")
  prompt = _prompt(PromptFormat.Q_A, texts, words)
  whole = CausalTokenizer(vocab).tokenize(prompt)
  length, longest = len(whole.inputs), max(len(ids) for ids in whole.choices)

  def kept(positions, *, writes):
    tokenizer = CausalTokenizer(vocab, max_targets=20, max_positions=positions)
    return tokenizer.tokenize(prompt, writes=writes).exemplars_kept

  for room, writes in ((longest, False), (20, True)):
    assert kept(length + room - 1, writes=writes) == 2
    assert kept(length + room - 2, writes=writes) == 1
  with pytest.raises(PromptTooLongError, match="the model has 20 positions"):
    kept(20, writes=True)


def test_choices_that_look_alike_and_empty_prompts_are_refused(vocabs):
  vocab, _ = vocabs["pythia"]  # its normalizer composes characters
  alike = _prompt(PromptFormat.Q_A, ("a", "b", "c"), ("caf\u00e9", "cafe\u0301"))
  with pytest.raises(SymtuneError, match="same token ids"):
    CausalTokenizer(vocab).tokenize(alike)
  spaced = _prompt(PromptFormat.Q_A, ("a", "b", "c"), ("good", " good"))
  with pytest.raises(SymtuneError, match="same token ids"):
    CausalTokenizer(vocab).tokenize(spaced)
  empty = Prompt(turns=((" ",),), exemplar_labels=(), choices=("x",), answer=0)
  with pytest.raises(SymtuneError, match="got no text"):
    CausalTokenizer(vocab).tokenize(empty)


def test_a_stream_gives_the_mixtures_prompts(vocabs, make_task):
  vocab, _ = vocabs["gemma"]
  pool = make_pool(PoolSplit.TUNING, size_per_category=50)
  task = make_task()
  mixture = Mixture(
    [
      (Ingredient(min_shots=2, max_shots=2, labels=LabelStyle.SYMBOLS), [task]),
      (Skill(kind=SkillKind.LOOK_UP, min_items=2, max_items=2), [task]),
    ],
    pool,
    seed=3,
  )
  tokenizer = CausalTokenizer(vocab, max_inputs=120, loss_on=LossOn.EVERY)
  stream = pickle.loads(pickle.dumps(CausalStream(mixture, tokenizer)))
  block = stream(range(5, 25))
  assert len(block.pairs) == 20
  for position, pair, dropped in zip(
    itertools.count(5), block.pairs, block.dropped, strict=False
  ):
    try:
      expected = tokenizer.tokenize(mixture.prompt(position))
    except PromptTooLongError:
      assert pair is None
      continue
    assert pair is not None
    np.testing.assert_array_equal(pair.inputs, tokenizer.pair(expected).inputs)
    np.testing.assert_array_equal(pair.targets, tokenizer.pair(expected).targets)
    assert dropped == expected.exemplars_dropped
    assert expected.pair.inputs[0] == vocab.bos_id
  assert any(pair is not None for pair in block.pairs)
