"""Tokens that a user added mean the same to the native reader and to Transformers."""

import importlib.util
import pathlib
import random
import shutil
import warnings

import numpy as np
import pytest

from symtune.convert.convert import Destination, Format, convert
from symtune.convert.load import load_params
from symtune.convert.source import open_checkpoint
from symtune.convert.tokenizer.read import checkpoint_vocab, read_vocab
from symtune.convert.tokenizer.write import write_for_transformers
from symtune.data.text.vocab import have_same_ids
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.model.network import Transformer
from symtune.probe.answer.model_scorer import ModelScorer
from symtune.probe.answer.native_model import NativeModel

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore")]

# Parts of texts at which the tokens below meet each other, words and white space.
PARTS = (
  *(
    "{",
    "}",
    "[TAG]",
    "[TAG]2",
    "solo",
    "resolo",
    "№x",
    "Nox",
    "strip",
    "  gap ",
    "gap",
  ),
  *(
    " ",
    "\n",
    "\n\n",
    "\t",
    "cat",
    "concat",
    "word ",
    "<m>",
    "ＦＵＬＬ",
    "FULL",
    "ＦＵＬＬ2",
  ),
  *("2", "_", ".", "<", "é", "日本", "½", "\u00a0", "<extra_id_0>", "<extra_id_7>"),
)


def _tokens():
  from tokenizers import AddedToken

  return [
    *("{", "}", "[TAG]", "[TAG]2", "ＦＵＬＬ", "№x"),
    AddedToken("solo", single_word=True),
    AddedToken("strip", lstrip=True, rstrip=True, normalized=False),
    AddedToken("ＦＵＬＬ2", normalized=False),
    AddedToken("<m>", special=True),
  ]


@pytest.fixture(scope="module")
def folder(small_vocab_path, tmp_path_factory) -> pathlib.Path:
  """A T5 that Transformers saved after a user had added tokens and resized it."""
  if importlib.util.find_spec("torch") is None:
    pytest.skip("needs PyTorch and Transformers: pip install 'symtune[hf]'")
  import torch
  import transformers

  root = tmp_path_factory.mktemp("added")
  shutil.copyfile(small_vocab_path, root / "spiece.model")
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tokenizer = transformers.T5Tokenizer.from_pretrained(root)
    tokenizer.add_tokens(_tokens())
    torch.manual_seed(0)
    model = transformers.T5ForConditionalGeneration(
      transformers.T5Config(
        vocab_size=256,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        initializer_factor=1.0,
        decoder_start_token_id=0,
      )
    )
    model.resize_token_embeddings(len(tokenizer))
  model.save_pretrained(root / "model")
  tokenizer.save_pretrained(root / "model")
  return root / "model"


def test_texts_are_cut_alike_in_both_directions(folder, tmp_path):
  """Their files read by us, and ours, written from them, read by Transformers.

  Transformers alone would match control tokens in texts; `TextTokenizer` keeps it from
  that.
  """
  import transformers

  from symtune.probe.answer.hf.tokens import TextTokenizer

  ours = read_vocab(folder)
  theirs = transformers.AutoTokenizer.from_pretrained(folder)
  assert ours.num_ids == len(theirs)
  shutil.copyfile(folder / "config.json", tmp_path / "config.json")
  write_for_transformers(tmp_path, ours)
  again = transformers.AutoTokenizer.from_pretrained(tmp_path)
  assert have_same_ids(read_vocab(tmp_path), ours)
  first, second = TextTokenizer(theirs), TextTokenizer(again)
  draw = random.Random(0)
  for _ in range(3000):
    text = "".join(draw.choices(PARTS, k=draw.randint(1, 9)))
    ids = ours.encode(text).tolist()
    assert first.ids(text) == ids, text
    assert second.ids(text) == ids, text


@pytest.fixture(scope="module")
def items(make_item):
  return [
    make_item(["{cat}", "dog [TAG] 1", "solo cow"], ("{", "}")),
    make_item(["№x a", "resolo", "strip cat"], ("[TAG]", "[TAG]2", "cat")),
    make_item(["ＦＵＬＬ", "a [TAG]2 b", "{cat [TAG]"], ("solo", "cat solo")),
  ]


def _native_scores(source, items):
  vocab = checkpoint_vocab(source)
  assert vocab is not None
  scorer = ModelScorer(
    NativeModel(Transformer(source.config), load_params(source)),
    PromptTokenizer(vocab, max_inputs=200, max_targets=8),
    tokens_per_batch=512,
  )
  return [value for score in scorer(items) for value in score.log_likelihoods]


def test_both_readers_give_equal_scores(folder, tmp_path, items):
  from symtune.probe.answer.hf.load import find_folder, load_scorer

  scorer = load_scorer(find_folder(str(folder)), max_inputs=200, max_targets=8)
  wanted = [value for score in scorer(items) for value in score.log_likelihoods]
  source = open_checkpoint(folder)
  found = _native_scores(source, items)
  largest = np.abs(np.subtract(found, wanted)).max()
  print(f"\nlargest difference of log-likelihoods {largest:.1e} nats")
  np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=0)
  # And what we write from it is the same model to both.
  written = convert(source, Destination(path=tmp_path / "x", format=Format.HUGGINGFACE))
  np.testing.assert_array_equal(_native_scores(open_checkpoint(written), items), found)
  scorer = load_scorer(find_folder(str(written)), max_inputs=200, max_targets=8)
  again = [value for score in scorer(items) for value in score.log_likelihoods]
  np.testing.assert_allclose(again, wanted, atol=1e-6, rtol=0)
