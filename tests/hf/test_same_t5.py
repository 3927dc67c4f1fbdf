"""One T5 by its native and by its Transformers reader: the same prompts and scores."""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest

from symtune.convert.convert import Destination, Format, convert
from symtune.convert.load import load_params
from symtune.convert.source import open_checkpoint
from symtune.data.text.vocab import SentencePieceVocab
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.errors import SymtuneError
from symtune.model.network import Transformer
from symtune.probe.answer.model_scorer import ModelScorer
from symtune.probe.answer.native_model import NativeModel
from symtune.probe.probe import AnswerKind

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore")]

MICROWORLD = pathlib.Path(__file__).parents[2] / "tasks" / "microworld"
LIMITS = (20, 35, 61, 400)


@pytest.fixture(scope="module")
def vocab():
  return SentencePieceVocab(MICROWORLD / "vocab.model")


@pytest.fixture(scope="module")
def source():
  return open_checkpoint(MICROWORLD / "base.safetensors")


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
  """The shipped T5, as a Transformers model."""
  pytest.importorskip("torch", reason="needs the extra [hf]")
  return convert(
    dataclasses.replace(source, vocab=MICROWORLD / "vocab.model"),
    Destination(path=tmp_path_factory.mktemp("t5") / "t5", format=Format.HUGGINGFACE),
  )


@pytest.fixture(scope="module")
def readers(source, vocab, folder, load):
  """(longest prompt) -> native scorer, Transformers scorer."""
  native = NativeModel(Transformer(source.config), load_params(source))

  def make(max_inputs):
    tokenizer = PromptTokenizer(vocab, max_inputs=max_inputs, max_targets=8)
    return (
      ModelScorer(native, tokenizer, tokens_per_batch=2048),
      load(folder, max_inputs=max_inputs, max_targets=8, vocab=vocab),
    )

  return make


@pytest.fixture
def items(make_item):
  words = ["apple", "a hammer and a dog", "the fox", "a pear", "saw", "dog", "a cat"]
  return [
    make_item([*words, f"the {word}"], choices, cue)
    for word in ("plum", "old hammer", "owl")
    for choices in (("fruit", "tool", "animal"), ("4921", "81422"))
    for cue in (("Input: ", "\nOutput:"), ("", " ->"), ("Q: ", "\nA:"))
  ]


@pytest.mark.parametrize("limit", LIMITS)
def test_both_ask_the_same_and_answer_the_same(limit, readers, items):
  native, theirs = readers(limit)
  ours, found = native(items), theirs(items)
  assert [s.exemplars for s in found] == [s.exemplars for s in ours]
  assert [s.tokens for s in found] == [s.tokens for s in ours]
  largest = np.abs(
    np.concatenate([s.log_likelihoods for s in found])
    - np.concatenate([s.log_likelihoods for s in ours])
  ).max()
  print(f"\nat most {limit} tokens: {largest:.1e} nats")
  assert largest <= 1e-4


def test_prompts_that_lose_exemplars_are_among_them(readers, items):
  lost = [7 - score.exemplars for score in readers(34)[1](items)]
  assert min(lost) < max(lost)
  assert max(lost) < 7


def test_both_write_the_same(readers, items):
  asked = [dataclasses.replace(item, kind=AnswerKind.GENERATE) for item in items[:6]]
  native, theirs = readers(61)
  assert theirs(asked) == native(asked)


def test_another_vocabulary_of_the_same_size_is_refused(folder, vocab, load, tmp_path):
  other = shutil.copytree(folder, tmp_path / "other")
  pieces = vocab.pieces(range(3, vocab.num_ids))
  piece = next(p for p in pieces if len(p) > 4 and p[1:].isascii() and p[1:].isalpha())
  path = other / "spiece.model"
  changed = path.read_bytes().replace(piece[1:].encode(), b"q" * (len(piece) - 1), 1)
  path.write_bytes(changed)
  with pytest.raises(SymtuneError, match=r"pieces like the vocabulary .* --vocab"):
    load(other, vocab=vocab)
  assert load(other)  # nothing to compare with
