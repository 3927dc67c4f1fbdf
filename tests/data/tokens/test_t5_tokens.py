"""T5's vocabulary gives the ids that Transformers and SeqIO give (golden)."""

import hashlib
import json
import pathlib

import pytest

from symtune.data.text.vocab import SentencePieceVocab

GOLDEN = pathlib.Path(__file__).parents[2] / "golden" / "t5_tokens.json"


@pytest.fixture(scope="module")
def golden() -> dict:
  return json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.shared
@pytest.mark.parametrize("library", ["transformers", "seqio"])
def test_ids_are_those_of(library, golden, shared_data):
  path = shared_data / "t5_tokenizer" / "spiece.model"
  assert hashlib.sha256(path.read_bytes()).hexdigest() == golden["vocabulary"]
  vocab = SentencePieceVocab(path)
  ids = golden[library]["ids"]
  for text, wanted in ids.items():
    if library == "seqio" and text in golden["touching"]:
      continue  # SeqIO takes such a sentinel for text
    assert vocab.encode(text, sentinels=True).tolist() == wanted, text


def test_the_libraries_agree_but_for_sentinels_that_touch_words(golden):
  theirs, seqio = (golden[name]["ids"] for name in ("transformers", "seqio"))
  differ = {text for text in theirs if theirs[text] != seqio[text]}
  assert differ == set(golden["touching"])
  assert theirs["<extra_id_0>"] == [32099]
