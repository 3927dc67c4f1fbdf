"""Label words that a model cannot tell apart are refused wherever they are used."""

import dataclasses

import numpy as np
import pytest

from symtune.data.ingredients import Ingredient, LabelStyle
from symtune.data.mixture import Mixture
from symtune.data.prompts import Prompt
from symtune.data.text.symbols import PoolSplit, SymbolCategory, SymbolPool
from symtune.data.text.vocab import SentencePieceVocab
from symtune.data.tokens.label_ids import check_label_ids, label_problem
from symtune.data.tokens.stream import TokenStream
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.errors import SymtuneError


@pytest.fixture(scope="module")
def t5_vocab(shared_data):
  return SentencePieceVocab(shared_data / "t5_tokenizer" / "spiece.model")


@pytest.mark.shared
@pytest.mark.parametrize(
  ("words", "named"),
  [
    (("№ 1", "No 1"), "'№ 1' and 'No 1' have the same"),  # equal after NFKC
    (("good 👍", "good 👎"), "'good 👍' and 'good 👎' have the same"),
    (("👍", "great"), "nothing of label word '👍' is known"),
    (("a{b", "a}b"), "'a{b' and 'a}b' have the same"),  # T5 has no braces
    (("yes", "\u200b"), "nothing of label word '\\u200b' is known"),  # no ids at all
  ],
)
def test_words_that_are_the_same_to_t5_are_refused(t5_vocab, words, named):
  with pytest.raises(SymtuneError) as caught:
    check_label_ids("task mine", words, t5_vocab)
  assert "task mine" in str(caught.value)
  assert named in str(caught.value)
  assert t5_vocab.fingerprint[:12] in str(caught.value)


@pytest.mark.shared
def test_words_that_t5_can_tell_apart_are_accepted(t5_vocab):
  check_label_ids("task mine", ("No 1", "No 2", "good", "good 👍"), t5_vocab)


def test_ids_of_any_tokenizer_are_compared():
  one, two = np.asarray([5, 6, 1]), np.asarray([5, 1])
  assert label_problem(("a", "b"), (one, two)) is None
  problem = label_problem(("a", "b"), (one, one))
  assert problem == "label words 'a' and 'b' have the same token ids, [5, 6, 1]"
  assert "nothing of label word 'b'" in str(label_problem(("a", "b"), (one, two[:0])))


def _relabelled(task, labels):
  card = dataclasses.replace(task.card, labels=labels, label_names=labels)
  return dataclasses.replace(task, card=card)


@pytest.mark.parametrize("style", [LabelStyle.NATURAL, LabelStyle.FLIPPED])
def test_tuning_refuses_label_words_with_the_same_ids(
  toy_task, toy_pools, small_vocab, style
):
  task = _relabelled(toy_task, ("№ 1", "No 1"))
  mixture = Mixture([(Ingredient(labels=style), (task,))], toy_pools[0], seed=0)
  with pytest.raises(SymtuneError, match=r"task toy_animal_fruit: label words.*'№ 1'"):
    TokenStream(mixture, PromptTokenizer(small_vocab))


def test_tuning_refuses_borrowed_words_with_the_same_ids(
  make_task, toy_pools, small_vocab
):
  tasks = [
    _relabelled(make_task(("animal", "tool")), ("№ 1", "two")),
    _relabelled(make_task(("fruit", "tool")), ("No 1", "one")),
    make_task(("animal", "fruit")),
  ]
  mixture = Mixture(
    [(Ingredient(labels=LabelStyle.BORROWED), tasks)], toy_pools[0], seed=0
  )
  with pytest.raises(SymtuneError, match=r"symbol pool.* '№ 1' and 'No 1'"):
    TokenStream(mixture, PromptTokenizer(small_vocab))


def test_tuning_refuses_symbols_with_the_same_ids(toy_task, small_vocab):
  pool = SymbolPool(
    split=PoolSplit.TUNING,
    symbols={SymbolCategory.WORDS: ("saw", "fig", "👍", "👎")},
  )
  mixture = Mixture([(Ingredient(), (toy_task,))], pool, seed=0)
  with pytest.raises(SymtuneError, match=r"tuning symbol pool, words: .*'👍'"):
    TokenStream(mixture, PromptTokenizer(small_vocab))


def test_a_prompt_refuses_choices_with_the_same_ids(small_vocab):
  prompt = Prompt(
    turns=(("Input: cat",),), exemplar_labels=(), choices=("№ 1", "No 1"), answer=0
  )
  with pytest.raises(SymtuneError, match="'№ 1' and 'No 1' have the same token ids"):
    PromptTokenizer(small_vocab).tokenize(prompt)
