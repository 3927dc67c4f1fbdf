"""The shipped base model is the one its card describes."""

import hashlib
import importlib.util

import pytest
import yaml

from symtune.cards.resources import resource_dir
from symtune.data.text.vocab import SentencePieceVocab

FOLDER = resource_dir("tasks") / "microworld"
MAX_BYTES = 8_000_000


@pytest.fixture(scope="module")
def card():
  return yaml.safe_load((FOLDER / "base.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measured():
  spec = importlib.util.spec_from_file_location("make_base", FOLDER / "make_base.py")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.measure()


def test_file_and_vocabulary_are_the_card_s(card):
  weights = (FOLDER / "base.safetensors").read_bytes()
  assert hashlib.sha256(weights).hexdigest() == card["sha256"]
  assert len(weights) < MAX_BYTES
  vocab = SentencePieceVocab(FOLDER / "vocab.model")
  assert vocab.fingerprint == card["vocabulary"]


def test_accuracies_are_the_card_s(card, measured):
  assert measured.keys() == card["settings"].keys()
  for setting, said in card["settings"].items():
    found = measured[setting]
    assert (found["n"], found["chance"]) == (said["n"], said["chance"])
    # Another CPU may round a near tie the other way: two answers in a setting.
    assert abs(found["accuracy"] - said["accuracy"]) <= 2 / said["n"] + 1e-4


def test_it_has_priors_and_does_not_read_labels_off_its_exemplars(measured):
  assert measured["instruction+labels"]["accuracy"] >= 0.9
  assert measured["labels"]["accuracy"] >= 0.9
  assert measured["flipped"]["accuracy"] <= 0.2
  assert measured["neither"]["accuracy"] <= 0.6
