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


def run_best_of(setup: Setup, run_dir: pathlib.Path, devices: Devices) -> None:
  """Samples answers of the start and writes what the best of n would be.

  The ensembles of the recipe compare the same answers.

  Args:
    setup: the recipe and its data.
    run_dir: the run's folder; reward models lie in it.
    devices: where to compute.

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
  paths = {number: best_of_file(run_dir, number) for number in settings.ensembles}
  if all(path.exists() for path in paths.values()):
    return
  members = load_members(setup, run_dir, devices, max(paths))
  params = devices.load(setup.start, policy.network, seed)
  judge = Judge(gold=setup.recipe.gold, ensemble=settings.ensemble)
  ask = devices.jit(functools.partial(_ask, setup, judge, settings))
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
  gold, proxies = (np.concatenate(parts)[:count] for parts in zip(*found, strict=True))
  for number, path in enumerate(paths.values()):
    rows = _rows(
      settings, gold.astype(np.float64), proxies[:, number].astype(np.float64)
    )
    path.parent.mkdir(exist_ok=True)
    write_whole(path, json.dumps(rows) + "\n")


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
  settings: BestOfSettings,
  params: Any,
  members: Any,
  batch: Any,
  key: Any,
) -> tuple[jax.Array, jax.Array]:
  """Gold rewards, [prompts, samples], and proxies, [prompts, ensembles, samples]."""
  policy, samples = setup.policy, settings.samples
  answers = sample(policy, params, batch["prompts"], batch["lengths"], key, samples)
  found = []
  for number in settings.ensembles:
    some = jax.tree.map(lambda leaf, number=number: leaf[:number], members)
    found.append(judge_answers(policy, judge, some, batch, answers))
  gold = found[0].gold.reshape(-1, samples)
  proxies = [one.proxy.reshape(-1, samples) for one in found]
  return gold, jax.numpy.stack(proxies, axis=1)
