"""Best-of-n on held-out prompts, computed once and kept in best_of_n/ENSEMBLE.json."""

import functools
import json
import pathlib
from typing import Any

import jax
import numpy as np

from symtune.align.answers import sample
from symtune.align.best_of_n import best_of, kl_bound
from symtune.align.learn.devices import Devices
from symtune.align.learn.observe import Judge, judge_answers
from symtune.align.learn.rewards import load_members
from symtune.align.settings import BestOfSettings
from symtune.align.setup import Setup
from symtune.errors import SymtuneError
from symtune.files import write_whole
from symtune.progress import Progress
from symtune.train.metrics import seven_digits

FOLDER = "best_of_n"
_STREAM = 17  # of random keys
_ROWS = 1024  # answers at once


def run_best_of(
  setup: Setup, run_dir: pathlib.Path, devices: Devices, ensemble: int
) -> None:
  """Samples answers of the start and writes what the best of n would be.

  Args:
    setup: the recipe and its data.
    run_dir: the run's folder; reward models lie in it.
    devices: where to compute.
    ensemble: number of reward models.

  Raises:
    SymtuneError: the recipe has no settings of best-of-n, a reward model is missing, or
      a reward is NaN.
  """
  settings, policy, seed = setup.recipe.best_of, setup.policy, setup.recipe.seed
  if settings is None:
    raise SymtuneError(
      f"recipe {setup.recipe.name}: AlignRecipe.best_of is None, expected "
      "BestOfSettings."
    )
  path = best_of_file(run_dir, ensemble)
  if path.exists():
    return
  members = load_members(setup, run_dir, devices, ensemble)
  params = devices.load(setup.start, policy.network, seed)
  judge = Judge(gold=setup.recipe.gold, ensemble=settings.ensemble)
  ask = devices.jit(functools.partial(_ask, setup, judge, settings.samples))
  key = jax.random.fold_in(jax.random.key(seed), _STREAM)
  count = setup.recipe.evaluation.prompts
  size = max(2, _ROWS // settings.samples)
  prompts, found = setup.held_out_prompts(size), []
  with Progress("best of n", count, unit="prompts") as progress:
    for number in range(-(-count // size)):
      batch = devices.put(next(prompts))
      found.append(
        jax.device_get(ask(params, members, batch, jax.random.fold_in(key, number)))
      )
      progress.advance(min(size, count - number * size))
  gold, proxy = (
    np.concatenate(parts).astype(np.float64)[:count]
    for parts in zip(*found, strict=True)
  )
  path.parent.mkdir(exist_ok=True)
  write_whole(path, json.dumps(_rows(settings, gold, proxy)) + "\n")


def best_of_file(run_dir: pathlib.Path, ensemble: int) -> pathlib.Path:
  """Where the results with so many reward models lie."""
  return run_dir / FOLDER / f"{ensemble}.json"


def _rows(
  settings: BestOfSettings, gold: np.ndarray, proxy: np.ndarray
) -> list[dict[str, Any]]:
  rows = []
  for n in settings.counts:
    best = best_of(proxy, gold, n)
    row: dict[str, Any] = {"n": n, "kl_bound": seven_digits(kl_bound(n))}
    for name in ("gold", "proxy", "kl"):
      row[name] = [seven_digits(value) for value in getattr(best, name).tolist()]
    rows.append(row)
  return rows


def _ask(
  setup: Setup,
  judge: Judge,
  samples: int,
  params: Any,
  members: Any,
  batch: Any,
  key: Any,
) -> tuple[jax.Array, jax.Array]:
  """Gold and proxy reward of each answer, [prompts, samples]."""
  policy = setup.policy
  answers = sample(policy, params, batch["prompts"], batch["lengths"], key, samples)
  found = judge_answers(policy, judge, members, batch, answers)
  return found.gold.reshape(-1, samples), found.proxy.reshape(-1, samples)
