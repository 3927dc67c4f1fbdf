"""The shipped base models are the ones that their cards describe."""

import hashlib
import importlib.util

import pytest
import yaml

from symtune.cards.resources import resource_dir
from symtune.data.text.vocab import SentencePieceVocab

FOLDER = resource_dir("tasks") / "microworld"
BASES = ("base", "base_at_chance")
MAX_BYTES = 4_000_000


def read_card(name):
  return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measured():
  spec = importlib.util.spec_from_file_location("make_base", FOLDER / "make_base.py")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return {name: module.measure(name) for name in BASES}


@pytest.mark.parametrize("name", BASES)
def test_file_and_vocabulary_are_the_card_s(name):
  card = read_card(name)
  weights = (FOLDER / f"{name}.safetensors").read_bytes()
  assert hashlib.sha256(weights).hexdigest() == card["sha256"]
  assert len(weights) < MAX_BYTES
  vocab = SentencePieceVocab(FOLDER / "vocab.model")
  assert vocab.fingerprint == card["vocabulary"]


@pytest.mark.parametrize("name", BASES)
def test_accuracies_are_the_card_s(name, measured):
  card, found = read_card(name), measured[name]
  assert found.keys() == card["settings"].keys()
  for setting, said in card["settings"].items():
    assert (found[setting]["n"], found[setting]["chance"]) == (
      said["n"],
      said["chance"],
    )
    # Another CPU may round a near tie the other way: two answers in a setting.
    off = abs(found[setting]["accuracy"] - said["accuracy"])
    assert off <= 2 / said["n"] + 1e-4


@pytest.mark.parametrize("name", BASES)
def test_both_have_priors(name, measured):
  assert measured[name]["instruction+labels"]["accuracy"] >= 0.9
  assert measured[name]["labels"]["accuracy"] >= 0.9
  assert measured[name]["flipped"]["accuracy"] <= 0.2


def test_one_reads_symbols_in_part_and_the_other_does_not(measured):
  assert 0.6 <= measured["base"]["neither"]["accuracy"] <= 0.8
  assert measured["base_at_chance"]["neither"]["accuracy"] <= 0.6
