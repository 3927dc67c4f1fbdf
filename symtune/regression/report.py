"""A run folder -> report.md, report.html, report.png and curves.json."""

import functools
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from symtune.files import write_whole
from symtune.regression import metrics, tables
from symtune.regression.evaluate import MODEL, Evaluated, evaluate, linearize
from symtune.regression.figures import draw_curves, draw_grid
from symtune.regression.metrics import Curve, Number
from symtune.regression.predictors import make_predictors
from symtune.regression.settings import Grid, RegressionRecipe
from symtune.regression.tasks import STANDARD
from symtune.regression.train import load_params, make_network
from symtune.report.lab.content import Content, Drawing, Section, of_table
from symtune.report.lab.page import write_content
from symtune.report.tables import Column, Table

_STEM = "report"
REPORT, PAGE, FIGURE = (f"{_STEM}.{ending}" for ending in ("md", "html", "png"))
CURVES = "curves.json"


def write_report(
  recipe: RegressionRecipe, run_dir: pathlib.Path, step: int | None
) -> tuple[str, list[Table]]:
  """Evaluates a checkpoint and writes the report of a run.

  Args:
    recipe: the run's recipe; how it evaluates may differ from when it was trained.
    run_dir: holds the checkpoints; gets report.md, report.html, report.png and
      curves.json.
    step: which checkpoint; 0 is before training; None: the newest.

  Returns:
    A headline and the report's tables, without that of all pairs of predictors.

  Raises:
    SymtuneError: there is no such checkpoint, or it is damaged.
  """
  params, step = load_params(recipe, run_dir, step)
  network = make_network(recipe)
  predictors = make_predictors(recipe.references, recipe.functions)
  evaluations = [
    evaluate(recipe, network, params, predictors, evaluation)
    for evaluation in (STANDARD, *recipe.evaluation.shifts)
  ]
  linear = linearize(recipe, network, params, predictors)
  counts = metrics.resample_counts(recipe.evaluation.episodes)
  linear_counts = metrics.resample_counts(recipe.evaluation.linear_episodes)
  standard = evaluations[0]
  found = [
    tables.error_table(standard, counts),
    tables.distance_table(standard, counts),
    tables.weight_table(linear, linear_counts),
    tables.closest_table(standard, linear, counts, linear_counts),
  ]
  if len(evaluations) > 1:
    found.append(tables.shift_table(evaluations, counts))
  first = f"Step {step}. {tables.headline(standard, counts)}"
  panels = {
    "squared error / d": _curves(metrics.squared_errors(standard), counts),
    "SPD to the model": _curves(metrics.prediction_distances(standard, MODEL), counts),
    "ILWD to the model": _curves(
      metrics.weight_distances(linear, MODEL), linear_counts
    ),
  }
  figure = Drawing(
    file=FIGURE,
    alt="Squared error, and distances to the model, by number of exemplars",
    draw=functools.partial(draw_curves, panels, recipe.functions.dim),
  )
  write_whole(run_dir / CURVES, _to_json(step, panels, evaluations[1:], counts))
  all_tables = [*found, tables.matrix_table(standard)]
  write_content(run_dir / _STEM, to_content(recipe.name, first, figure, all_tables))
  return first, found


def write_grid_report(
  grid: Grid, runs: Sequence[tuple[RegressionRecipe, pathlib.Path]], out: pathlib.Path
) -> tuple[str, list[Table]]:
  """Evaluates the newest checkpoints of a grid and writes how they compare.

  Args:
    grid: names the axis and the members.
    runs: recipe and folder of each member.
    out: gets report.md, report.html and report.png.

  Returns:
    A headline and the report's tables.

  Raises:
    SymtuneError: a member has no checkpoint, or a damaged one.
  """
  few: list[dict[str, Number]] = []
  every: list[dict[str, Number]] = []
  nearest_few: list[str] = []
  nearest: list[str] = []
  for recipe, folder in runs:
    standard = _evaluate_newest(recipe, folder)
    counts = metrics.resample_counts(recipe.evaluation.episodes)
    distances = metrics.prediction_distances(standard, MODEL)
    part = metrics.few_exemplars(standard.dim, standard.answers.shape[1])
    start = {n: d[:, part] for n, d in distances.items()}
    few.append(_means(start, counts))
    nearest_few.append(_closest(start, counts))
    rest = {n: d[:, 1:] for n, d in distances.items()}
    every.append(_means(rest, counts))
    nearest.append(_closest(rest, counts))
  found = [
    _grid_table(grid, "MSPD to the model, fewer than d exemplars", few, nearest_few),
    _grid_table(grid, "SPD to the model, all numbers of exemplars", every, nearest),
  ]
  panels = {
    "MSPD, fewer than d exemplars": _by_name(few),
    "SPD, all numbers of exemplars": _by_name(every),
  }
  values = [member.value for member in grid.members]
  first = f"Distance between the model and each predictor by {grid.axis}."
  figure = Drawing(
    file=FIGURE, alt=first, draw=functools.partial(draw_grid, grid.axis, values, panels)
  )
  write_content(out / _STEM, to_content(grid.name, first, figure, found))
  return first, found


def to_content(
  title: str, first: str, figure: Drawing, found: Sequence[Table]
) -> Content:
  """A report with a headline, a figure and tables.

  Args:
    title: name of the recipe or grid.
    first: the headline.
    figure: the figure.
    found: the tables.
  """
  return Content(
    title=title,
    remarks=(f"{first}\n",),
    sections=(Section(parts=(figure,)), *map(of_table, found)),
    results=None,
    headlines=tuple(found),
  )


def _evaluate_newest(recipe: RegressionRecipe, folder: pathlib.Path) -> Evaluated:
  params, _ = load_params(recipe, folder, None)
  predictors = make_predictors(recipe.references, recipe.functions)
  return evaluate(recipe, make_network(recipe), params, predictors, STANDARD)


def _means(
  distances: Mapping[str, Float64[np.ndarray, "episodes points"]],
  counts: Float64[np.ndarray, "resamples episodes"],
) -> dict[str, Number]:
  return {
    name: metrics.mean_number(values.mean(axis=1), counts)
    for name, values in distances.items()
  }


def _closest(
  distances: Mapping[str, Float64[np.ndarray, "episodes points"]],
  counts: Float64[np.ndarray, "resamples episodes"],
) -> str:
  means = {name: values.mean(axis=1) for name, values in distances.items()}
  best = metrics.closest(means, counts)
  return f"{best.name} ({best.share:.0%})"


def _by_name(numbers: Sequence[Mapping[str, Number]]) -> dict[str, list[Number]]:
  """Predictors that all members have, with a number for each member."""
  names = [n for n in numbers[0] if all(n in member for member in numbers)]
  return {name: [member[name] for member in numbers] for name in names}


def _grid_table(
  grid: Grid,
  title: str,
  numbers: Sequence[Mapping[str, Number]],
  nearest: Sequence[str],
) -> Table:
  lines = _by_name(numbers)
  columns = [Column(title=grid.axis, is_number=False)]
  columns += [Column(title=name) for name in lines]
  rows = [
    [member.name, *(tables.show_number(line[i]) for line in lines.values())]
    for i, member in enumerate(grid.members)
  ]
  columns.append(Column(title="closest", is_number=False))
  rows = [[*row, name] for row, name in zip(rows, nearest, strict=True)]
  return Table(title=title, columns=tuple(columns), rows=tuple(map(tuple, rows)))


def _curves(
  values: Mapping[str, Float64[np.ndarray, "episodes points"]],
  counts: Float64[np.ndarray, "resamples episodes"],
) -> dict[str, Curve]:
  return {name: metrics.mean_curve(v, counts) for name, v in values.items()}


def _to_json(
  step: int,
  panels: Mapping[str, Mapping[str, Curve]],
  shifted: Sequence[Evaluated],
  counts: Float64[np.ndarray, "resamples episodes"],
) -> str:
  of_shifts = {
    evaluated.evaluation.name: tables.curve_values(
      _curves(metrics.squared_errors(evaluated), counts)
    )
    for evaluated in shifted
  }
  content = {
    "step": step,
    "curves": {title: tables.curve_values(curves) for title, curves in panels.items()},
    "squared error / d of shifted evaluations": of_shifts,
  }
  return json.dumps(content, indent=1) + "\n"
