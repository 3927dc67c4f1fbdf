"""The files of a decoder-only model's tokenizer: read together, or refused by name."""

import json

import family_tokenizers
import numpy as np
import pytest

from symtune.convert.tokenizer.causal import read_causal_vocab
from symtune.convert.tokenizer.read import read_t5_vocab, read_vocab
from symtune.data.text.causal_vocab import CausalVocab
from symtune.data.text.vocab import SentencePieceVocab
from symtune.errors import SymtuneError

_CONTENT = family_tokenizers.make_content("smollm2")
_NAMED = ("<|im_start|>", "<|im_end|>")


def _write(folder, files):
  folder.mkdir(exist_ok=True)
  for name, content in files.items():
    (folder / name).write_text(json.dumps(content))
  return folder


@pytest.fixture
def folder(tmp_path):
  """A folder of SmolLM2's shape; tests overwrite some of its files."""
  return _write(tmp_path / "model", family_tokenizers.make_files("smollm2"))


@pytest.mark.parametrize(
  ("family", "bos"),
  [
    ("pythia", None),
    ("smollm2", None),
    ("llama3", "<|begin_of_text|>"),
    ("qwen", None),
    ("llama2", "<s>"),
    ("mistral", "<s>"),
    ("gemma", "<bos>"),
  ],
)
def test_families_put_bos_where_their_tokenizers_do(tmp_path, family, bos):
  files = family_tokenizers.make_files(family)
  vocab = read_causal_vocab(_write(tmp_path, files))
  ids = [] if vocab.bos_id is None else [vocab.bos_id]
  assert vocab.pieces(ids) == ([] if bos is None else [bos])
  eos = files["tokenizer_config.json"]["eos_token"]
  assert vocab.pieces([vocab.eos_id]) == [eos]


@pytest.mark.parametrize(
  ("family", "adds", "puts"), [("llama3", True, False), ("smollm2", False, True)]
)
def test_a_setting_and_a_template_that_disagree_on_bos_are_refused(
  tmp_path, family, adds, puts
):
  files = family_tokenizers.make_files(family)
  files["tokenizer_config.json"]["add_bos_token"] = adds
  assert (read_causal_vocab(_write(tmp_path, files)).bos_id is not None) == adds
  files["tokenizer_config.json"]["add_bos_token"] = puts
  with pytest.raises(SymtuneError, match="Transformers 4 follows the first"):
    read_causal_vocab(_write(tmp_path, files))


@pytest.mark.parametrize(
  ("configs", "ends"),
  [
    ({}, [2]),
    ({"config.json": {"eos_token_id": [2, 0]}}, [2, 0]),
    (
      {
        "config.json": {"eos_token_id": 2},
        "generation_config.json": {"eos_token_id": [0, 2]},
      },
      [2, 0],
    ),
    (
      {
        "config.json": {"eos_token_id": [2, 0]},
        "generation_config.json": {"eos_token_id": 2},
      },
      [2],
    ),
  ],
)
def test_every_token_that_ends_an_answer_is_known(folder, configs, ends):
  alone = read_causal_vocab(folder)
  vocab = read_causal_vocab(_write(folder, configs))
  assert list(vocab.end_ids) == ends
  assert vocab.eos_id == 2
  assert vocab.fingerprint == alone.fingerprint


def test_a_folder_its_file_and_read_vocab_open_the_same(folder):
  vocab = read_causal_vocab(folder)
  for path in (folder / "tokenizer.json", folder, str(folder)):
    other = read_vocab(path)
    assert isinstance(other, CausalVocab)
    assert other.fingerprint == vocab.fingerprint
  with pytest.raises(SymtuneError, match="expected a T5's"):
    read_t5_vocab(folder)


def test_read_vocab_still_opens_a_t5s(small_vocab_path):
  assert isinstance(read_vocab(small_vocab_path), SentencePieceVocab)


@pytest.mark.parametrize(
  ("files", "token"),
  [
    ({"special_tokens_map.json": {"eos_token": {"content": "<|endoftext|>"}}}, 0),
    ({"generation_config.json": {"eos_token_id": [2, 0]}}, 2),
    ({"config.json": {"eos_token_id": 0, "vocab_size": 49152}}, 0),
  ],
)
def test_eos_is_found_in_other_files(folder, files, token):
  vocab = read_causal_vocab(_write(folder, {"tokenizer_config.json": {}, **files}))
  assert vocab.eos_id == token


def test_tokens_that_any_file_calls_special_are_control_tokens(folder):
  content = json.loads((folder / "tokenizer.json").read_text())
  for token in content["added_tokens"]:
    token["special"] = False
  _write(folder, {"tokenizer.json": content, "tokenizer_config.json": {}})
  _write(folder, {"special_tokens_map.json": {"eos_token": "<|im_end|>"}})
  vocab = read_causal_vocab(folder)
  assert vocab.eos_id not in vocab.encode("a <|im_end|> b")
  assert 1 in vocab.encode("a <|im_start|> b")


@pytest.mark.parametrize(
  ("files", "message"),
  [
    ({"tokenizer_config.json": {}}, "no file says which token ends a text"),
    (
      {"tokenizer_config.json": {"eos_token": "<end>"}},
      "eos_token is '<end>', which has no id",
    ),
    (
      {"config.json": {"eos_token_id": 0}},
      "eos_token of its tokenizer is id 2, but eos_token_id in config.json .* is 0",
    ),
    (
      {"generation_config.json": {"bos_token_id": 2}},
      "bos_token of its tokenizer is id 1",
    ),
    ({"config.json": {"vocab_size": 300}}, r"of \d+ ids, expected at most 300"),
    ({"added_tokens.json": {"<new>": 400}}, "'<new>' has id None, but 400 in added_"),
    (
      {"tokenizer_config.json": {"added_tokens_decoder": {"0": {"content": "a"}}}},
      "'a' has id .*, but 0 in tokenizer_config",
    ),
    (
      {
        "tokenizer.json": {
          "model": {"type": "WordPiece", "vocab": dict.fromkeys(_NAMED, 1)}
        }
      },
      "type 'WordPiece'",
    ),
    ({"tokenizer.json": {"added_tokens": 3}}, "added_tokens is not a list"),
    (
      {"tokenizer.json": {**_CONTENT, "post_processor": {"type": "X"}}},
      "its post_processor.*is not understood",
    ),
    ({"tokenizer.json": []}, "holds list, expected an object"),
  ],
)
def test_files_that_disagree_or_are_damaged_are_named(folder, files, message):
  with pytest.raises(SymtuneError, match=message) as caught:
    read_causal_vocab(_write(folder, files))
  assert str(folder) in str(caught.value)


def test_missing_files_are_named(tmp_path):
  with pytest.raises(SymtuneError, match=r"tokenizer\.json: no such file"):
    read_causal_vocab(tmp_path)


def test_two_tokens_before_a_text_are_refused(tmp_path):
  files = family_tokenizers.make_files("llama3")
  single = files["tokenizer.json"]["post_processor"]["single"]
  single.insert(0, single[0])
  with pytest.raises(SymtuneError, match="puts 2 tokens before a text"):
    read_causal_vocab(_write(tmp_path, files))


def test_prompts_that_are_not_those_of_their_parts_are_refused(tmp_path):
  """Without anything that cuts texts into words, pieces may span a cue and a label."""
  files = family_tokenizers.make_files("llama2")
  model = files["tokenizer.json"]["model"]
  model["vocab"][":▁"] = len(model["vocab"])
  model["merges"].insert(0, [":", "▁"])
  with pytest.raises(SymtuneError, match=r"tokenizer\.json: .*not supported"):
    read_causal_vocab(_write(tmp_path, files))


def test_ids_are_those_of_the_tokenizers_library(folder):
  import tokenizers

  own = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
  text = "Input: the film was good.\nOutput: 12\n\n"
  np.testing.assert_array_equal(read_vocab(folder).encode(text), own.encode(text).ids)
