"""A recipe as canonical JSON, and the hash that identifies its run folder."""

import dataclasses
import enum
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from symtune.data.draw.words import DRAWS_VERSION
from symtune.data.text.instructions import InstructionForm
from symtune.data.tokens.causal import LossOn
from symtune.experiment.recipe import Recipe
from symtune.probe.probe import ExemplarSets
from symtune.train.optim import EVERYTHING


def recipe_to_json(recipe: Recipe) -> str:
  """Canonical JSON of every setting: sorted keys, enums by name."""
  return to_plain_json(dataclasses.asdict(recipe))


def to_plain_json(settings: Any) -> str:
  """The same for any settings: enums by name, dataclasses as objects."""
  return json.dumps(settings, sort_keys=True, default=_plain, indent=2)


# Settings that came later, with the value that older runs had without having them.
_LATER = {
  ("probe", "exemplars"): ExemplarSets.PER_QUERY,
  ("probe", "balanced"): True,
  ("mixture", "loss_on"): LossOn.LAST,
  ("optimizer", "trainable"): EVERYTHING,
}
# The same of instruction data.
_LATER_OF_INSTRUCTIONS = {"tasks": "", "instances": None, "encodings": ()}
# Later settings of an ingredient, which are without effect unless it retrieves.
_OF_RETRIEVED = ("retrieved", "likeness", "balanced")


def config_hash(recipe: Recipe, fingerprints: Sequence[str], vocab: str) -> str:
  """16 hexadecimal digits that identify settings, data, draws, vocabulary and start.

  Args:
    recipe: all settings.
    fingerprints: of every task, tuning first, the groups of the tasks that are asked
      about, and of the checkpoint if there is one.
    vocab: fingerprint of the vocabulary.

  Returns:
    The start of a SHA-256 digest.
  """
  plan = dataclasses.replace(recipe.probe, probes=())
  # The path of a checkpoint says nothing about its content; its fingerprint does.
  plain = dataclasses.asdict(dataclasses.replace(recipe, probe=plan, checkpoint=None))
  for (part, name), default in _LATER.items():
    if plain[part][name] == default:
      del plain[part][name]
  for ingredient in plain["mixture"]["ingredients"]:
    if ingredient.get("retrieved") == 0.0:  # then the others mean nothing
      for name in _OF_RETRIEVED:
        del ingredient[name]
    for name, default in _LATER_OF_INSTRUCTIONS.items():
      if name in ingredient and ingredient[name] == default:
        del ingredient[name]
    if ingredient.get("form") is InstructionForm.SUPER_NI:
      ingredient["prompts"] = 2  # earlier ones were skipped where examples did not fit
  text = json.dumps([DRAWS_VERSION, to_plain_json(plain), list(fingerprints), vocab])
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: object) -> object:
  if isinstance(value, enum.Enum):
    return value.name
  if isinstance(value, np.dtype):
    return value.name
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return dataclasses.asdict(value)
  raise TypeError(f"no JSON form for {value!r}")
