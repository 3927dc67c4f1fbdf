"""Files of a run -> curves: reward and KL of every policy on the held-out prompts."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.special
from jaxtyping import Float

from symtune.align.learn.best_of import best_of_file
from symtune.align.learn.dpo import FOLDER as DPO
from symtune.align.learn.evaluate import HELD_OUT, MEASURES
from symtune.align.learn.rloo import policy_folder
from symtune.align.settings import AlignRecipe
from symtune.bounded import read_json
from symtune.errors import SymtuneError
from symtune.stats.means import CONFIDENCE
from symtune.train.metrics import read_rows

BEST_OF_N = "best-of-n"  # how the names of its curves begin
_MAX_BYTES = 1_000_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
  """A policy on the held-out prompts.

  Attributes:
    place: its step, or n of best-of-n.
    values: by name, a number for each prompt; gold, proxy and kl always.
  """

  place: int
  values: Mapping[str, Float[np.ndarray, " prompts"]]

  def mean(self, name: str) -> float:
    """The mean over prompts."""
    return float(self.values[name].mean())


Curve = tuple[Point, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Number:
  """A mean over seeds with its interval."""

  value: float
  low: float
  high: float


def read_curves(recipe: AlignRecipe, run_dir: pathlib.Path) -> dict[str, Curve]:
  """What a run's folder holds, by the name of the method; parts not run are absent.

  Raises:
    SymtuneError: a file is damaged.
  """
  curves: dict[str, Curve] = {}
  if recipe.best_of is not None:
    for ensemble in recipe.best_of.ensembles:
      path = best_of_file(run_dir, ensemble)
      if path.exists():
        curves[f"{BEST_OF_N}{_models(ensemble)}"] = _read_best_of(path)
  if recipe.rloo is not None:
    for ensemble in recipe.rloo.ensembles:
      path = policy_folder(run_dir, ensemble) / HELD_OUT
      curves[f"RLOO{_models(ensemble)}"] = _read_held_out(path)
  curves["DPO"] = _read_held_out(run_dir / DPO / HELD_OUT)
  # A policy that was killed early may have a file without rows.
  return {name: curve for name, curve in curves.items() if curve}


def _models(ensemble: int) -> str:
  if ensemble == 0:
    return ""
  return f", {ensemble} reward model{'s' if ensemble > 1 else ''}"


def _read_held_out(path: pathlib.Path) -> Curve:
  return tuple(_point(row, "step", MEASURES, path) for row in read_rows(path))


def _read_best_of(path: pathlib.Path) -> Curve:
  rows = read_json(path, _MAX_BYTES)
  if not isinstance(rows, list):
    raise SymtuneError(f"{path} is damaged. Remove it and run the command again.")
  return tuple(_point(row, "n", ("gold", "proxy", "kl"), path) for row in rows)


def _point(
  row: Mapping[str, Any], place: str, names: Sequence[str], path: pathlib.Path
) -> Point:
  try:
    values = {name: np.asarray(row[name], np.float64) for name in names}
    found = Point(place=row[place], values=values)
  except (KeyError, TypeError, ValueError) as error:
    raise SymtuneError(
      f"{path}: a row lacks {error}, expected numbers for {', '.join(names)}. Remove "
      "the file's folder and run the command again."
    ) from error
  if len({value.shape for value in values.values()}) > 1:
    raise SymtuneError(f"{path}: a row has numbers for different prompts. Remove it.")
  return found


def over_seeds(values: Sequence[float]) -> Number:
  """The mean over seeds with Student's 95% interval; NaN ends with one seed."""
  numbers = np.asarray(values, np.float64)
  mean = float(numbers.mean())
  if len(numbers) < 2:
    return Number(value=mean, low=math.nan, high=math.nan)
  error = numbers.std(ddof=1) / math.sqrt(len(numbers))
  half = float(scipy.special.stdtrit(len(numbers) - 1, (1 + CONFIDENCE) / 2) * error)
  return Number(value=mean, low=mean - half, high=mean + half)


def common_points(curves: Sequence[Curve]) -> list[tuple[Point, ...]]:
  """The places that all curves have, in order: one point of each curve."""
  by_place = [{point.place: point for point in curve} for curve in curves]
  places = [p.place for p in curves[0] if all(p.place in found for found in by_place)]
  return [tuple(found[place] for found in by_place) for place in places]
