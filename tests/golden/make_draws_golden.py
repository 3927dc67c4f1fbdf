"""Writes draws.json: prompts of the microworld that pin what is drawn.

  python tests/golden/make_draws_golden.py

Make it anew only when a change of the draws is meant, together with DRAWS_VERSION.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from symtune.cards.card import Task
from symtune.cards.load import load_suite
from symtune.data.ingredients import Ingredient, LabelStyle
from symtune.data.mixture import Mixture
from symtune.data.text.symbols import PoolSplit, make_pool

FILE = pathlib.Path(__file__).with_name("draws.json")
POSITIONS = (range(4), range(1000, 1002), range(2**40, 2**40 + 2))


def make_golden(tasks: Sequence[Task]) -> dict[str, list[dict[str, Any]]]:
  """Prompts of three mixtures, by label style."""
  pool = make_pool(PoolSplit.TUNING)
  found = {}
  for style in (LabelStyle.SYMBOLS, LabelStyle.BORROWED, LabelStyle.SCRAMBLED):
    mixture = Mixture([(Ingredient(labels=style), tasks)], pool, seed=0)
    prompts = [p for positions in POSITIONS for p in mixture.prompts(positions)]
    found[str(style)] = [
      {
        "choices": list(prompt.choices),
        "answer": prompt.answer,
        "exemplar_labels": list(prompt.exemplar_labels),
        "inputs": prompt.inputs,
      }
      for prompt in prompts
    ]
  return found


if __name__ == "__main__":
  FILE.write_text(
    json.dumps(make_golden(load_suite("microworld_train", None)), indent=1) + "\n"
  )
