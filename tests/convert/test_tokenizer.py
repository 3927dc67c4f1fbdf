"""A tokenizer's files: added tokens are read, used, written, or refused by name."""

import base64
import json
import shutil

import jax
import numpy as np
import pytest

from symtune.convert.convert import Destination, Format, convert
from symtune.convert.source import open_checkpoint
from symtune.convert.tensors import SourceCheckpoint
from symtune.convert.tokenizer.read import checkpoint_vocab, read_vocab
from symtune.data.text.vocab import SentencePieceVocab, have_same_ids
from symtune.errors import SymtuneError
from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params

FLAGS = {"lstrip": False, "rstrip": False, "special": False}


def _token(text, number, **flags):
  plain = {"content": text, "normalized": True, "single_word": False, **FLAGS}
  return {"id": number, **plain, **flags}


def _tokenizer_json(path, added=()):
  """The tokenizer.json that Transformers makes from a SentencePiece model."""
  from sentencepiece import sentencepiece_model_pb2

  model = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
  pieces = [[piece.piece, piece.score] for piece in model.pieces]
  table = base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()
  return {
    "added_tokens": list(added),
    "normalizer": {"type": "Precompiled", "precompiled_charsmap": table},
    "model": {
      "type": "Unigram",
      "unk_id": 2,
      "vocab": pieces + [[f"<extra_id_{i}>", 0.0] for i in reversed(range(100))],
      "byte_fallback": False,
    },
  }


def _write(folder, **files):
  folder.mkdir(exist_ok=True)
  for name, content in files.items():
    (folder / f"{name}.json").write_text(json.dumps(content))
  return folder


@pytest.fixture
def base(small_vocab_path):
  return SentencePieceVocab(small_vocab_path)


@pytest.fixture
def folder(tmp_path, small_vocab_path):
  """A folder with a SentencePiece model."""
  (tmp_path / "model").mkdir()
  shutil.copyfile(small_vocab_path, tmp_path / "model" / "spiece.model")
  return tmp_path / "model"


def test_a_tokenizer_json_alone_is_the_model_it_was_made_from(
  tmp_path, small_vocab_path, base
):
  added = [_token("[TAG]", base.num_ids), _token("{", base.num_ids + 1)]
  whole = _tokenizer_json(small_vocab_path, added)
  vocab = read_vocab(_write(tmp_path / "model", tokenizer=whole))
  for text in ("a cat\nand  12 dogs", "Ａ №1 ﬁ", "<extra_id_3> cow", "", "ÿ?"):
    assert vocab.encode(text).tolist() == base.encode(text).tolist()
  assert vocab.encode("[TAG]{").tolist() == [base.num_ids, base.num_ids + 1]
  # Its bytes are a SentencePiece model, which T5X and Transformers 4 read.
  (tmp_path / "spiece.model").write_bytes(vocab.model)
  assert have_same_ids(read_vocab(tmp_path / "spiece.model"), base)


@pytest.mark.parametrize("file", ["tokenizer", "tokenizer_config", "added_tokens"])
def test_every_file_that_lists_added_tokens_is_read(
  file, folder, base, small_vocab_path
):
  number = base.num_ids
  content = {
    "tokenizer": _tokenizer_json(small_vocab_path, [_token("[TAG]", number)]),
    "tokenizer_config": {"added_tokens_decoder": {str(number): _token("[TAG]", 0)}},
    "added_tokens": {"[TAG]": number},
  }
  content["tokenizer_config"]["added_tokens_decoder"][str(number)].pop("id")
  _write(folder, **{file: content[file]})
  for path in (folder, folder / "spiece.model"):
    vocab = read_vocab(path)
    assert vocab.encode("[TAG]").tolist() == [number]
    assert vocab.num_ids == number + 1


def test_special_tokens_of_added_tokens_json_are_not_normalized(folder, base):
  _write(
    folder,
    added_tokens={"Ａ": base.num_ids, "Ｂ": base.num_ids + 1},
    special_tokens_map={"additional_special_tokens": ["Ａ"]},
  )
  vocab = read_vocab(folder)
  special, other = vocab.added
  assert (special.is_special, special.is_normalized) == (True, False)
  assert (other.is_special, other.is_normalized) == (False, True)
  assert vocab.encode("B").tolist() == vocab.encode("Ｂ").tolist() == [other.id]
  assert special.id not in vocab.encode("A Ａ")  # a text holds no control tokens


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"tokenizer_config": {"added_tokens_decoder": {"N": _token("{", 0)}}},
      r"tokenizer_config.json and added_tokens.json list different .*'\[TAG\]', '\{'",
    ),
    ({"tokenizer_config": {"pad_token": "[PAD]"}}, r"pad_token is '\[PAD\]', expected"),
    ({"tokenizer_config": {"extra_ids": "many"}}, "extra_ids is 'many'"),
    (
      {"special_tokens_map": {"additional_special_tokens": [{"content": "<new>"}]}},
      "the special token '<new>' has no id",
    ),
    ({"tokenizer_config": "text"}, "holds str, expected an object"),
    ({"tokenizer": {"model": {"type": "BPE"}}}, "got model.type 'BPE'"),
    ({"tokenizer": {"model": 3}}, "got model.type None"),
  ],
)
def test_files_that_disagree_or_are_no_t5_are_refused(changes, message, folder, base):
  _write(folder, added_tokens={"[TAG]": base.num_ids})
  text = json.dumps(changes).replace('"N"', f'"{base.num_ids}"')
  _write(folder, **json.loads(text))
  with pytest.raises(SymtuneError, match=message):
    read_vocab(folder)


@pytest.mark.parametrize(
  ("edit", "message"),
  [
    (lambda t: t["model"].update(unk_id=0), "unk_id"),
    (lambda t: t["model"]["vocab"].insert(0, ["<s>", 0]), "the first pieces"),
    (lambda t: t["model"]["vocab"].append(["x", True]), "no list of pieces"),
    (lambda t: t["normalizer"].update(type="NFC"), r"normalizers \['NFC'\]"),
    (lambda t: t["normalizer"].update(precompiled_charsmap="*"), "is damaged"),
  ],
)
def test_tokenizers_of_other_models_are_named(
  edit, message, tmp_path, small_vocab_path
):
  content = _tokenizer_json(small_vocab_path)
  edit(content)
  with pytest.raises(SymtuneError, match=f"{message}.*expected a T5's"):
    read_vocab(_write(tmp_path / "model", tokenizer=content))


def test_two_vocabularies_in_one_folder_have_to_be_one(folder, small_vocab_path):
  content = _tokenizer_json(small_vocab_path)
  _write(folder, tokenizer=content)
  read_vocab(folder)
  content["model"]["vocab"][7][0] = "other"
  _write(folder, tokenizer=content)
  with pytest.raises(SymtuneError, match="different pieces from id 7 on"):
    read_vocab(folder)


def test_a_folder_without_a_vocabulary_is_named(tmp_path):
  with pytest.raises(
    SymtuneError, match=r"has no spiece\.model and no tokenizer\.json"
  ):
    read_vocab(tmp_path)


@pytest.fixture(scope="module")
def tiny(held_tensors):
  """A network whose table has as many rows as are asked for."""

  def make(rows, vocab) -> SourceCheckpoint:
    config = T5Config(
      vocab_size=rows,
      emb_dim=4,
      num_heads=2,
      num_encoder_layers=1,
      num_decoder_layers=1,
      head_dim=2,
      mlp_dim=4,
    )
    params = init_params(Transformer(config), jax.random.key(0))
    return SourceCheckpoint(
      where="tiny", config=config, tensors=held_tensors(params), vocab=vocab
    )

  return make


def test_a_table_with_one_row_per_id_is_enough_and_survives_every_format(
  tiny, folder, base, tmp_path
):
  """Resized to len(tokenizer): no more rows than ids, and no multiple of 128."""
  _write(folder, added_tokens={"[TAG]": base.num_ids, "{": base.num_ids + 1})
  wanted = read_vocab(folder)
  assert wanted.num_ids % 128
  source = tiny(wanted.num_ids, folder / "spiece.model")
  for step, format_ in enumerate((Format.HUGGINGFACE, Format.T5X) * 2):
    place = Destination(path=tmp_path / str(step), format=format_)
    source = open_checkpoint(convert(source, place))
    assert have_same_ids(checkpoint_vocab(source), wanted)
    assert source.config.vocab_size == wanted.num_ids
  place = Destination(path=tmp_path / "w.safetensors", format=Format.SYMTUNE)
  weights = open_checkpoint(convert(source, place))
  np.testing.assert_array_equal(
    weights.tensors["token_embedder/embedding"].read(),
    source.tensors["token_embedder/embedding"].read(),
  )


def test_fewer_rows_than_ids_are_refused_with_what_can_be_done(
  tiny, folder, base, tmp_path
):
  _write(folder, added_tokens={"[TAG]": base.num_ids})
  source = tiny(base.num_ids, folder / "spiece.model")
  message = r"ids .*\('\[TAG\]' = \d+ added\), expected at most .*resize_token_embed"
  with pytest.raises(SymtuneError, match=message):
    convert(source, Destination(path=tmp_path / "out", format=Format.HUGGINGFACE))
  assert not (tmp_path / "out").exists()


def test_only_a_sentencepiece_model_is_copied_into_an_export(tiny, base, tmp_path):
  secret = tmp_path / "spiece.model"
  secret.write_text("-----BEGIN PRIVATE KEY-----")
  source = tiny(base.num_ids, secret)
  for format_ in (Format.HUGGINGFACE, Format.T5X):
    with pytest.raises(SymtuneError, match="is not a SentencePiece model"):
      convert(source, Destination(path=tmp_path / "out", format=format_))
  assert not (tmp_path / "out").exists()
