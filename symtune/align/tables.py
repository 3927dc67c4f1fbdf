"""Stage 11: curves and measured reward models -> tables."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from symtune.align.best_of_n import kl_bound
from symtune.align.curves import (
  BEST_OF_N,
  Curve,
  Number,
  Point,
  common_points,
  over_seeds,
)
from symtune.report.tables import Column, Table
from symtune.stats.means import wilson_interval
from symtune.stats.ratios import Ratio, ratio

NO_CHANGE = "-"  # of the start, with which the others are compared
_BINS = 5
Bins = list[tuple[float, float, int]]


def policy_table(curves: Mapping[str, Curve], tasks: Sequence[Hashable]) -> Table:
  """Every method at its start, where its gold reward is highest, and where it is now.

  Args:
    curves: by name of the method; the first point of each is the start.
    tasks: of each held-out prompt.
  """
  rows = []
  for name, curve in curves.items():
    best = max(curve, key=lambda point: point.mean("gold"))
    shown = {curve[0].place: curve[0], best.place: best, curve[-1].place: curve[-1]}
    for place in sorted(shown):
      rows.append((name, *_policy_cells(curve[0], shown[place], tasks)))
  titles = ("step or n", "gold", "change of gold", "proxy", "KL", "sqrt KL", "length")
  columns = [Column(title="method", is_number=False)]
  columns += [Column(title=title) for title in (*titles, "ended", "entropy")]
  return Table(
    title="Held-out prompts: start, highest gold, last measurement [95% interval]",
    columns=tuple(columns),
    rows=tuple(rows),
  )


def _policy_cells(start: Point, point: Point, tasks: Sequence[Hashable]) -> list[str]:
  change = by_task(point.values["gold"] - start.values["gold"], tasks)
  kl = point.mean("kl")
  others = [
    f"{point.mean(name):.2f}" if name in point.values else "-"
    for name in ("length", "ended", "entropy")
  ]
  return [
    str(point.place),
    show(by_task(point.values["gold"], tasks)),
    show(change) if point is not start else NO_CHANGE,
    f"{point.mean('proxy'):.2f}",
    f"{kl:.2f}",
    f"{math.sqrt(max(kl, 0.0)):.2f}",
    *others,
  ]


def by_task(values: Float[np.ndarray, " prompts"], tasks: Sequence[Hashable]) -> Ratio:
  """The mean over prompts; its interval resamples tasks, as their prompts are alike."""
  names = list(dict.fromkeys(tasks))
  place = np.asarray([names.index(task) for task in tasks])
  sums = np.bincount(place, weights=values)
  return ratio(sums, np.bincount(place).astype(np.float64))


def reward_table(measured: Mapping[str, Any]) -> Table:
  """Accuracy of each reward model on test pairs, and what its rewards go along with."""
  lengths = np.asarray(measured["lengths"], np.float64)
  rows = []
  for number, member in enumerate(measured["members"]):
    rewards = np.asarray(member["rewards"], np.float64)
    rows.append((str(number), *_reward_cells(rewards, lengths)))
  if len(measured["members"]) > 1:
    scaled = [
      (np.asarray(m["rewards"], np.float64) - m["mean"]) / m["std"]
      for m in measured["members"]
    ]
    rows.append(("mean of all", *_reward_cells(np.mean(scaled, axis=0), lengths)))
  return Table(
    title="Reward models on test pairs, whose labels have no noise [95% interval]",
    columns=(
      Column(title="member", is_number=False),
      Column(title="pairs"),
      Column(title="accuracy in %"),
      Column(title="correlation of reward and length"),
    ),
    rows=tuple(rows),
  )


def _reward_cells(
  rewards: Float[np.ndarray, "pairs 2"], lengths: Float[np.ndarray, "pairs 2"]
) -> list[str]:
  right = rewards[:, 0] > rewards[:, 1]
  found = wilson_interval(float(right.mean()), len(right))
  low, high = 100 * found.low, 100 * found.high
  varies = lengths.std() > 0.0 and rewards.std() > 0.0
  both = np.corrcoef(rewards.ravel(), lengths.ravel())[0, 1] if varies else math.nan
  return [
    str(len(right)),
    f"{100 * found.mean:.1f} [{low:.1f}, {high:.1f}]",
    f"{both:.2f}" if varies else "-",
  ]


def calibration(rewards: Float[np.ndarray, "pairs 2"]) -> Bins:
  """How often a reward model is right, by how sure it is: pairs in bins of equal size.

  Args:
    rewards: of the chosen and of the rejected answer, as the model gives them.

  Returns:
    Mean probability of the answer that it prefers, share of pairs in which that is the
    chosen one, and their number; the least sure first.
  """
  margins = rewards[:, 0] - rewards[:, 1]
  sure = 1.0 / (1.0 + np.exp(-np.abs(margins)))
  order = np.argsort(sure, kind="stable")
  parts = [part for part in np.array_split(order, _BINS) if len(part)]
  return [
    (float(sure[part].mean()), float((margins[part] > 0).mean()), len(part))
    for part in parts
  ]


def calibration_table(bins: Bins) -> Table:
  """The bins of `calibration`."""
  return Table(
    title="Calibration of reward model 0 on test pairs",
    columns=tuple(
      Column(title=title) for title in ("predicted, %", "right, %", "pairs")
    ),
    rows=tuple((f"{100 * p:.1f}", f"{100 * r:.1f}", str(n)) for p, r, n in bins),
  )


def best_of_table(curves: Mapping[str, Curve]) -> Table | None:
  """Best-of-n by n, with the bound of its KL; None if it was not run."""
  rows = []
  for name, curve in curves.items():
    if name.startswith(BEST_OF_N):
      for point in curve:
        means = [f"{point.mean(m):.3f}" for m in ("gold", "proxy", "kl")]
        bound = f"{kl_bound(point.place):.3f}"
        rows.append((name, str(point.place), *means, bound))
  if not rows:
    return None
  titles = ("n", "gold", "proxy", "KL", "bound of KL")
  columns = (
    Column(title="method", is_number=False),
    *(Column(title=t) for t in titles),
  )
  return Table(title="Best-of-n", columns=columns, rows=tuple(rows))


def study_table(variants: Mapping[str, Mapping[str, Sequence[Curve]]]) -> Table:
  """Where each method's gold reward is highest, and what follows to the end.

  The end is the last place that all seeds have; a place is a step, or n of best-of-n.

  Args:
    variants: by name of the variant and of the method, one curve per seed.
  """
  rows = []
  for variant, lines in variants.items():
    for method, curves in lines.items():
      rows.append((variant, method, str(len(curves)), *_study_cells(method, curves)))
  titles = (
    "seeds", "gold at start", "highest gold", "its sqrt KL", "gold at end",
    "gold, highest to end", "proxy, highest gold to end", "sqrt KL at end", "end at",
    "alpha", "beta",
  )  # fmt: skip
  columns = [Column(title=title, is_number=False) for title in ("variant", "method")]
  columns += [Column(title=title) for title in titles]
  return Table(
    title="Gold and proxy reward, means over seeds [95% interval]",
    columns=tuple(columns),
    rows=tuple(rows),
  )


def _study_cells(method: str, curves: Sequence[Curve]) -> list[str]:
  points = common_points(curves)
  golds = np.array([[p.mean("gold") for p in seeds] for seeds in points])
  proxies = np.array([[p.mean("proxy") for p in seeds] for seeds in points])
  roots = np.sqrt([[max(p.mean("kl"), 0.0) for p in seeds] for seeds in points])
  top = int(golds.mean(axis=1).argmax())
  alpha, beta = fit_gao(
    roots.mean(axis=1), golds.mean(axis=1), is_best_of=method.startswith(BEST_OF_N)
  )
  return [
    show(over_seeds(golds[0].tolist())),
    show(over_seeds(golds[top].tolist())),
    f"{roots[top].mean():.2f}",
    show(over_seeds(golds[-1].tolist())),
    show(over_seeds((golds[-1] - golds[top]).tolist())),
    show(over_seeds((proxies[-1] - proxies[top]).tolist())),
    f"{roots[-1].mean():.2f}",
    str(points[-1][0].place),
    f"{alpha:.3f}",
    f"{beta:.3f}",
  ]


def fit_gao(
  roots: Float[np.ndarray, " points"],
  golds: Float[np.ndarray, " points"],
  *,
  is_best_of: bool,
) -> tuple[float, float]:
  """Gao et al.'s law of the gold reward's gain (arXiv 2210.10760), by least squares.

    best-of-n: d (alpha - beta d)      policy gradient: d (alpha - beta log d)

  Args:
    roots: d, the square root of the KL.
    golds: gold reward; the first is that of the start.
    is_best_of: which of the two.

  Returns:
    alpha and beta; NaN with fewer than two points that left the start.
  """
  moved = roots > 1e-3
  d, gain = roots[moved], golds[moved] - golds[0]
  if len(d) < 2:
    return math.nan, math.nan
  second = -d * d if is_best_of else -d * np.log(d)
  found = np.linalg.lstsq(np.stack([d, second], axis=1), gain, rcond=None)[0]
  return float(found[0]), float(found[1])


def show(number: Ratio | Number) -> str:
  """A mean with its interval, if it has one."""
  if math.isnan(number.low):
    return f"{number.value:.3f}"
  return f"{number.value:.3f} [{number.low:.3f}, {number.high:.3f}]"
