"""The folder of a run or of a study -> report.md, report.html and its figures."""

import functools
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from symtune.align import tables
from symtune.align.curves import Curve, read_curves
from symtune.align.figures import draw_calibration, draw_curves
from symtune.align.learn.reward import FOLDER
from symtune.align.learn.rewards import MEASURED, read_measured
from symtune.align.settings import AlignRecipe, Study
from symtune.align.setup import Setup
from symtune.data.draw.tables import Entry
from symtune.errors import SymtuneError
from symtune.report.lab.content import Content, Drawing, Section, of_table
from symtune.report.lab.page import write_content
from symtune.report.tables import Table

_STEM = "report"
REPORT, FIGURE = f"{_STEM}.md", f"{_STEM}.png"
CALIBRATION = "calibration.png"
_NOTES = (
  "Held-out prompts are of tasks and symbols that training does not show. The gold "
  "reward is from 0 to 1. The proxy reward is that of the reward models, 0 on average "
  "over their training pairs (the first 1,024) with a standard deviation of 1.\n",
  "KL is exact at every sampled token, summed over an answer, in nats; that of "
  "best-of-n is estimated from its samples. The highest gold reward is looked up in "
  "the same data, so it is somewhat too high.\n",
)
_OF_RUNS = (
  "Intervals of policies resample tasks, for one seed; those of reward models are "
  "Wilson's, as if pairs were independent.\n"
)
_OF_STUDIES = (
  "Intervals are Student's over seeds, which share the start and the held-out prompts: "
  "they are not for other tasks. Alpha and beta are fitted to the means over seeds.\n"
)


def write_report(setup: Setup, run_dir: pathlib.Path) -> tuple[str, list[Table]]:
  """Writes the report of a run, of the parts that it has.

  Args:
    setup: the recipe and its data.
    run_dir: the run's folder; gets report.md, report.html and figures.

  Returns:
    A headline and the tables.

  Raises:
    SymtuneError: nothing has been run, or a file is damaged.
  """
  recipe = setup.recipe
  curves = read_curves(recipe, run_dir)
  has_models = (run_dir / FOLDER / MEASURED).exists()
  if not curves and not has_models:
    raise SymtuneError(
      f"{run_dir} has no results, expected some. Run a part of the recipe first, such "
      "as symtune align rloo."
    )
  sections, found = [], []
  if curves:
    tasks = held_out_tasks(setup)
    found.append(tables.policy_table(curves, tasks))
    lines = {name: [curve] for name, curve in curves.items()}
    sections += [_figure({recipe.name: lines}), of_table(found[0])]
  best = tables.best_of_table(curves)
  if best is not None:
    found.append(best)
    sections.append(of_table(best))
  if has_models:
    sections += _of_models(run_dir, found)
  first = _headline(recipe, found)
  _write(run_dir, recipe.name, (f"{first}\n", *_NOTES, _OF_RUNS), sections, found)
  return first, found


def write_study_report(
  study: Study,
  runs: Mapping[str, Sequence[tuple[AlignRecipe, pathlib.Path]]],
  out: pathlib.Path,
) -> tuple[str, list[Table]]:
  """Writes how the variants of a study compare, over their seeds.

  Args:
    study: names the variants.
    runs: recipe and folder of every run, by variant.
    out: gets report.md, report.html and report.png.

  Returns:
    A headline and the table.

  Raises:
    SymtuneError: a run has no results yet, or a damaged file.
  """
  variants = {name: _over_seeds(found) for name, found in runs.items()}
  table = tables.study_table(variants)
  first = (
    f"Seeds: {len(study.seeds)}. A row is over-optimised if gold falls from its "
    "highest point to the end (an interval below 0) and the proxy does not."
  )
  remarks = (f"{first}\n", *_NOTES, _OF_STUDIES)
  _write(out, study.name, remarks, [_figure(variants), of_table(table)], [table])
  return first, [table]


def held_out_tasks(setup: Setup) -> list[str]:
  """The task of every held-out prompt of the evaluation."""
  positions = np.arange(setup.recipe.evaluation.prompts)
  entries = setup.held_out.draws.entries_at(positions)
  return [entry.card.name if isinstance(entry, Entry) else "" for entry in entries]


def _over_seeds(
  runs: Sequence[tuple[AlignRecipe, pathlib.Path]],
) -> dict[str, list[Curve]]:
  """The curves of each method, one per seed."""
  found = [read_curves(recipe, folder) for recipe, folder in runs]
  for curves, (_, folder) in zip(found, runs, strict=True):
    if curves.keys() != found[0].keys() or not curves:
      raise SymtuneError(
        f"{folder} has results of {', '.join(curves) or 'nothing'}, expected those of "
        f"the other seeds: {', '.join(found[0]) or 'at least one method'}. Run the "
        "same commands of `symtune align` on the whole study."
      )
  return {name: [curves[name] for curves in found] for name in found[0]}


def _figure(panels: Mapping[str, Mapping[str, Sequence[Curve]]]) -> Section:
  alt = "Gold and proxy reward against the square root of KL"
  draw = functools.partial(draw_curves, panels)
  return Section(parts=(Drawing(file=FIGURE, alt=alt, draw=draw),))


def _of_models(run_dir: pathlib.Path, found: list[Table]) -> list[Section]:
  measured = read_measured(run_dir)
  rewards = np.asarray(measured["members"][0]["rewards"], np.float64)
  bins = tables.calibration(rewards)
  alt = "How often reward model 0 is right, by how sure it is"
  draw = functools.partial(draw_calibration, bins)
  figure = Drawing(file=CALIBRATION, alt=alt, draw=draw)
  of_models, table = tables.reward_table(measured), tables.calibration_table(bins)
  found += [of_models, table]
  calibrated = Section(title=table.title, parts=(figure, table))
  return [of_table(of_models), calibrated]


def _headline(recipe: AlignRecipe, found: Sequence[Table]) -> str:
  """What the gold reward is, and where each policy ends."""
  ends = {row[0]: row for row in found[0].rows if row[0].startswith(("RLOO", "DPO"))}
  changes = [
    f"{name} changes it by {row[3]} at a KL of {row[5]}"
    for name, row in ends.items()
    if row[3] != tables.NO_CHANGE
  ]
  return f"Gold reward: {recipe.gold}. " + "; ".join(changes)


def _write(
  folder: pathlib.Path,
  title: str,
  remarks: tuple[str, ...],
  sections: Sequence[Section],
  found: Sequence[Table],
) -> None:
  content = Content(
    title=title,
    remarks=remarks,
    sections=tuple(sections),
    results=None,
    headlines=tuple(found),
  )
  write_content(folder / _STEM, content)
