"""Tokens are those of the whole text; too long means fewer exemplars, never a cut."""

import dataclasses

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from symtune.data.episodes import Episode
from symtune.data.ingredients import Ingredient
from symtune.data.mixture import Mixture
from symtune.data.prompts import ALL_FORMATS, Prompt, PromptFormat, render_prompt
from symtune.data.text.symbols import PoolSplit, make_pool
from symtune.data.text.vocab import SentencePieceVocab
from symtune.data.tokens.tokenizer import (
  PromptTokenizer,
  PromptTooLongError,
  dropping_order,
)
from symtune.errors import SymtuneError


def _tokenizer(vocab, max_inputs=1000, max_targets=8, min_exemplars_per_class=0):
  return PromptTokenizer(
    vocab,
    max_inputs=max_inputs,
    max_targets=max_targets,
    min_exemplars_per_class=min_exemplars_per_class,
  )


def _prompt(task, shots, variant=0):
  by_class = [
    [e for e in task.examples[1:] if e.label == label][:11]
    for label in range(len(task.card.labels))
  ]
  episode = Episode(
    card=task.card,
    label_words=task.card.labels,
    exemplars=tuple(
      rows[(variant + i) % 11] for i in range(shots) for rows in by_class
    ),
    query=task.examples[0],
  )
  return render_prompt(episode, PromptFormat.INPUT_OUTPUT, instruction=False)


def test_inputs_and_choices_end_with_eos(toy_task, toy_vocab):
  prompt = _prompt(toy_task, 2)
  tokens = _tokenizer(toy_vocab).tokenize(prompt)
  np.testing.assert_array_equal(
    tokens.inputs, [*toy_vocab.encode(prompt.inputs), toy_vocab.eos_id]
  )
  assert [toy_vocab.decode(c) for c in tokens.choices] == ["animal", "fruit"]
  assert all(c[-1] == toy_vocab.eos_id for c in tokens.choices)
  assert tokens.pair.targets is tokens.choices[tokens.answer]
  assert (tokens.exemplars_kept, tokens.exemplars_dropped) == (4, 0)


def test_long_prompts_lose_whole_exemplars_evenly(make_task, toy_vocab):
  task = make_task(("animal", "fruit", "tool"))
  prompt = _prompt(task, 4)
  # Each exemplar has 4 tokens, the query 3, EOS 1: 52 in all.
  for limit, kept in ((52, 12), (51, 11), (40, 9), (39, 8), (16, 3), (4, 0)):
    tokens = _tokenizer(toy_vocab, max_inputs=limit).tokenize(prompt)
    assert (tokens.exemplars_kept, tokens.exemplars_dropped) == (kept, 12 - kept)
    text = toy_vocab.decode(tokens.inputs)
    assert text.endswith("Input: cat Output:")
    counts = [text.count(f"Output: {label}") for label in task.card.labels]
    assert sum(counts) == kept
    assert max(counts) - min(counts) <= 1


def test_of_the_largest_class_the_last_exemplar_goes_first():
  # Classes 0, 1, 0, 2, 1, 0: class 0 is the largest, then 1 starts later than 0.
  assert list(dropping_order((0, 1, 0, 2, 1, 0))) == [5, 4, 2, 3, 1, 0]
  assert list(dropping_order((0, 1, 0, 2, 1, 0), 1)) == [5, 4, 2]
  assert list(dropping_order(())) == []


def test_looked_up_exemplars_that_are_least_like_the_query_go_first():
  order = list(dropping_order((0, 1, 0, 2, 1, 0), nearest_last=True))
  assert order == [0, 1, 2, 3, 4, 5]
  order = list(dropping_order((1, 1, 0, 1, 0), nearest_last=True))
  assert order == [0, 1, 2, 3, 4]


def test_prompt_that_would_lose_a_class_is_refused(toy_task, toy_vocab):
  tokenizer = _tokenizer(toy_vocab, max_inputs=11, min_exemplars_per_class=1)
  with pytest.raises(PromptTooLongError, match="got 12 tokens with 1 exemplars"):
    tokenizer.tokenize(_prompt(toy_task, 3))


def test_query_alone_too_long_is_refused(toy_task, toy_vocab):
  with pytest.raises(PromptTooLongError, match="expected at most 3"):
    _tokenizer(toy_vocab, max_inputs=3).tokenize(_prompt(toy_task, 0))


def test_label_longer_than_the_target_is_an_error_not_a_skip(toy_task, toy_vocab):
  with pytest.raises(SymtuneError, match="label 'animal': got 2 tokens") as caught:
    _tokenizer(toy_vocab, max_targets=1).tokenize(_prompt(toy_task, 1))
  assert not isinstance(caught.value, PromptTooLongError)


def test_each_part_is_tokenized_once(toy_task, toy_vocab):
  calls = []

  class Counting:
    pad_id, eos_id, unk_id = 0, 1, 2
    num_ids, size, fingerprint = toy_vocab.num_ids, toy_vocab.size, ""

    def encode(self, text, *, sentinels=False):
      calls.append(text)
      return toy_vocab.encode(text, sentinels=sentinels)

    def encode_label(self, word):
      return self.encode(word)

    def decode(self, ids):
      return toy_vocab.decode(ids)

    def pieces(self, ids):
      return toy_vocab.pieces(ids)

  tokenizer = _tokenizer(Counting())
  for variant in range(20):
    tokenizer.tokenize(_prompt(toy_task, 8, variant))
  assert len(calls) == len(set(calls))


# Text that T5's normaliser treats in its own ways: wide forms, ligatures, combining
# marks, odd white space, characters it does not know.
_TEXT = st.text(
  alphabet=st.one_of(
    st.characters(min_codepoint=32, max_codepoint=126),
    st.sampled_from("\t\n éñü漢字ﬁ\u2003\u00a0①Ａ…—“”😀\u200b"),
  ),
  min_size=1,
  max_size=40,
).filter(lambda text: text.split())


@hypothesis.given(st.lists(_TEXT, min_size=1, max_size=4), st.sampled_from(ALL_FORMATS))
def test_parts_give_the_tokens_of_the_whole_text(small_vocab, texts, prompt_format):
  before, after = prompt_format.value
  head = (before,) if before else ()
  turns = [(*head, text, after + " ", text) for text in texts]
  prompt = Prompt(
    turns=(*turns, (*head, texts[0], after)),
    exemplar_labels=(0,) * len(texts),
    choices=("x",),
    answer=0,
  )
  tokens = _tokenizer(small_vocab, max_inputs=10_000).tokenize(prompt)
  whole = small_vocab.encode(prompt.inputs)
  assert tokens.inputs[:-1].tolist() == whole.tolist()


@pytest.mark.shared
def test_real_prompts_give_the_tokens_of_the_whole_text(shared_data):
  from symtune.cards.load import load_suite

  vocab = SentencePieceVocab(shared_data / "t5_tokenizer" / "spiece.model")
  tokenizer = _tokenizer(vocab, max_inputs=100_000, max_targets=64)
  for task in load_suite("symbol_tuning_train", shared_data / "tasks"):
    kinds = [
      (Ingredient(instruction=told, min_shots=2, max_shots=2), (task,))
      for told in (False, True)
    ]
    mixture = Mixture(kinds, make_pool(PoolSplit.TUNING), seed=0)
    for prompt in mixture.prompts(range(20)):
      tokens = tokenizer.tokenize(prompt)
      assert tokens.inputs[:-1].tolist() == vocab.encode(prompt.inputs).tolist()


def test_tokenized_prompt_is_a_value(toy_task, toy_vocab):
  tokens = _tokenizer(toy_vocab).tokenize(_prompt(toy_task, 1))
  with pytest.raises(dataclasses.FrozenInstanceError):
    tokens.answer = 1
