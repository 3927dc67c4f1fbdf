"""Stage 11: Evaluated -> tables of errors and distances, by number of exemplars."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from symtune.regression import metrics
from symtune.regression.evaluate import MODEL, Evaluated, Linearized
from symtune.regression.metrics import Curve, Number
from symtune.report.tables import Column, Table

LEAST_SQUARES = "least squares"
_EXACT = 1e-9  # errors below are those of float32 inputs: a ratio to them says nothing


def shown_places(dim: int, points: int) -> list[int]:
  """The numbers of exemplars that tables show: 1, d/2, d, 1.5 d, 2 d and the most."""
  wanted = {1, dim // 2, dim, dim + dim // 2, 2 * dim, points - 1}
  return sorted(n for n in wanted if 0 < n < points)


def twice_dim(dim: int, points: int) -> int:
  """The number of exemplars of the headline: 2 d, or the most that there are."""
  return min(2 * dim, points - 1)


def show(mean: float, low: float, high: float) -> str:
  """A number with its interval, such as "0.0153 [0.0139, 0.0170]"."""
  return f"{_digits(mean)} [{_digits(low)}, {_digits(high)}]"


def show_number(number: Number) -> str:
  """A number with its interval; a dash where there is none."""
  if not np.isfinite([number.value, number.low, number.high]).all():
    return "–"
  return show(number.value, number.low, number.high)


def _digits(value: float) -> str:
  return f"{value:.1e}" if 0.0 < abs(value) < 1e-3 else f"{value:.3g}"


def error_table(
  evaluated: Evaluated, counts: Float64[np.ndarray, "resamples episodes"]
) -> Table:
  """The squared error of each predictor at some numbers of exemplars."""
  places = shown_places(evaluated.dim, evaluated.answers.shape[1])
  rows = []
  for name, errors in metrics.squared_errors(evaluated).items():
    rows.append((name, *_cells(metrics.mean_curve(errors, counts), places)))
  return Table(
    title="Squared error / d, by number of exemplars [95% interval]",
    columns=_columns("predictor", [str(n) for n in places]),
    rows=tuple(rows),
  )


def distance_table(
  evaluated: Evaluated, counts: Float64[np.ndarray, "resamples episodes"]
) -> Table:
  """The distance of each predictor's predictions to the model's (SPD)."""
  points = evaluated.answers.shape[1]
  distances = metrics.prediction_distances(evaluated, MODEL)
  few = metrics.few_exemplars(evaluated.dim, points)
  twice = twice_dim(evaluated.dim, points)
  base = distances[LEAST_SQUARES][:, 1:].mean(axis=1)
  rows = []
  for name, values in distances.items():
    over_all = values[:, 1:].mean(axis=1)
    rows.append(
      (
        name,
        show_number(metrics.mean_number(values[:, few].mean(axis=1), counts)),
        show_number(metrics.mean_number(values[:, twice], counts)),
        show_number(metrics.mean_number(over_all, counts)),
        show_number(metrics.ratio(over_all, base, counts)),
      )
    )
  titles = [
    "fewer than d",
    f"{twice} exemplars",
    "all",
    "all, times least squares",
  ]
  return Table(
    title="SPD to the model: squared difference of predictions / d [95% interval]",
    columns=_columns("predictor", titles),
    rows=tuple(rows),
  )


def weight_table(
  linear: Linearized, counts: Float64[np.ndarray, "resamples episodes"]
) -> Table:
  """The distance of each predictor's linear fit to the model's (ILWD), and R^2."""
  points = linear.explained[MODEL].shape[1]
  few = metrics.few_exemplars(linear.dim, points)
  twice = twice_dim(linear.dim, points)
  distances = metrics.weight_distances(linear, MODEL)
  rows = []
  for name, explained in linear.explained.items():
    fit = metrics.mean_number(explained[:, 1:].mean(axis=1), counts)
    cells = ["–", "–", "–"]
    if name != MODEL:
      values = distances[name]
      cells = [
        show_number(metrics.mean_number(part, counts))
        for part in (
          values[:, few].mean(axis=1),
          values[:, twice],
          values[:, 1:].mean(axis=1),
        )
      ]
    rows.append((name, *cells, show_number(fit)))
  return Table(
    title="ILWD to the model: squared difference of linear fits / d [95% interval]",
    columns=_columns(
      "predictor", ["fewer than d", f"{twice} exemplars", "all", "R² of the fit"]
    ),
    rows=tuple(rows),
  )


def closest_table(
  evaluated: Evaluated,
  linear: Linearized,
  counts: Float64[np.ndarray, "resamples episodes"],
  linear_counts: Float64[np.ndarray, "resamples linear_episodes"],
) -> Table:
  """The predictor closest to the model by number of exemplars, in both distances."""
  by_prediction = metrics.prediction_distances(evaluated, MODEL)
  by_weights = metrics.weight_distances(linear, MODEL)
  rows = []
  for place in range(1, evaluated.answers.shape[1]):
    cells = []
    for distances, shares in ((by_prediction, counts), (by_weights, linear_counts)):
      here = {name: values[:, place] for name, values in distances.items()}
      best = metrics.closest(here, shares)
      cells.append(f"{best.name} ({best.share:.0%})")
    rows.append((str(place), *cells))
  return Table(
    title="Closest predictor (share of resamples in which it is the closest)",
    columns=(
      Column(title="exemplars"),
      Column(title="by SPD", is_number=False),
      Column(title="by ILWD", is_number=False),
    ),
    rows=tuple(rows),
  )


def shift_table(
  evaluations: Sequence[Evaluated],
  counts: Float64[np.ndarray, "resamples episodes"],
) -> Table:
  """Errors on shifted evaluations, at the most exemplars at which they are asked."""
  rows = []
  for evaluated in evaluations:
    place = asked_place(evaluated)
    errors = metrics.squared_errors(evaluated)
    distances = metrics.prediction_distances(evaluated, MODEL)
    here = {name: values[:, place] for name, values in distances.items()}
    best = metrics.closest(here, counts)
    rows.append(
      (
        evaluated.evaluation.name,
        str(place),
        show_number(metrics.mean_number(errors[MODEL][:, place], counts)),
        show_number(metrics.mean_number(errors[LEAST_SQUARES][:, place], counts)),
        f"{best.name} ({best.share:.0%})",
      )
    )
  return Table(
    title="Shifted evaluations: squared error / d [95% interval]",
    columns=(
      Column(title="evaluation", is_number=False),
      Column(title="exemplars"),
      Column(title=MODEL),
      Column(title=LEAST_SQUARES),
      Column(title="closest by SPD", is_number=False),
    ),
    rows=tuple(rows),
  )


def asked_place(evaluated: Evaluated) -> int:
  """The number of exemplars of an evaluation's row: 2 d, or fewer where it ends."""
  dim, points = evaluated.dim, evaluated.answers.shape[1]
  if evaluated.evaluation.shift == "orthogonal":
    return max(1, min(dim, points) - 1)
  return twice_dim(dim, points)


def matrix_table(evaluated: Evaluated) -> Table:
  """SPD of all predictors to each other, fewer than d exemplars; a check."""
  few = metrics.few_exemplars(evaluated.dim, evaluated.answers.shape[1])
  matrix = metrics.distance_matrix(evaluated, lambda d: d[:, few].mean(axis=1))
  names = list(matrix)
  rows = tuple(
    (name, *("–" if name == n else _digits(matrix[name][n]) for n in names))
    for name in names
  )
  return Table(
    title="MSPD between predictors, fewer than d exemplars",
    columns=_columns("", names),
    rows=rows,
  )


def headline(
  evaluated: Evaluated, counts: Float64[np.ndarray, "resamples episodes"]
) -> str:
  """One line: the model's error at 2 d exemplars, beside that of least squares."""
  place = twice_dim(evaluated.dim, evaluated.answers.shape[1])
  errors = metrics.squared_errors(evaluated)
  own, best = errors[MODEL][:, place], errors[LEAST_SQUARES][:, place]
  shown = show_number(metrics.mean_number(own, counts))
  line = f"Squared error / d with {place} exemplars: {shown}"
  if best.mean() < _EXACT:
    return f"{line}; least squares makes none."
  times = show_number(metrics.ratio(own, best, counts))
  return f"{line}, {times} times that of least squares."


def _columns(first: str, others: Sequence[str]) -> tuple[Column, ...]:
  numbers = (Column(title=title) for title in others)
  return (Column(title=first, is_number=False), *numbers)


def _cells(curve: Curve, places: Sequence[int]) -> list[str]:
  return [show(curve.mean[n], curve.low[n], curve.high[n]) for n in places]


def curve_values(curves: Mapping[str, Curve]) -> dict[str, dict[str, list[float]]]:
  """Curves as JSON values."""
  return {
    name: {
      part: [float(v) for v in getattr(curve, part)] for part in ("mean", "low", "high")
    }
    for name, curve in curves.items()
  }
