"""Runs of arms and seeds, as a sweep file says, and how the arms compare."""

import dataclasses
import pathlib
from collections.abc import Sequence

import rich.console

from symtune.cli.experiments import claim
from symtune.cli.gin_config import OVERRIDE_PREFIX, load_recipe, split_overrides
from symtune.errors import SymtuneError
from symtune.experiment.arms import ArmRun, Arms, plan_arms, with_overrides
from symtune.experiment.build import Experiment, build_experiment
from symtune.experiment.folder import check_free
from symtune.experiment.recipe import Recipe
from symtune.experiment.recipe_json import recipe_to_json
from symtune.experiment.run import AFTER, BEFORE, check_trainable, run_experiment
from symtune.files import CACHE_FILE, RESULTS_FILE, RUN_FILE, write_whole
from symtune.probe.results import Results, read_results
from symtune.report.arms.compare import ArmResults, Comparison, compare_arms
from symtune.report.arms.figure import draw_arms
from symtune.report.arms.tables import arm_tables, describe_intervals
from symtune.report.report import REPORT_FILE, write_report
from symtune.report.results import pair_rows
from symtune.report.tables import to_markdown, to_terminal

TABLE_FILE = "arms.md"
FIGURE_FILE = "arms.png"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
  """The settings and the data that all runs share.

  Attributes:
    overrides: arguments of the form `--gin.NAME=VALUE`.
    data: folder of rows, local or gs://, or None.
    vocab: SentencePiece model, or None for the recipes' own.
  """

  overrides: Sequence[str] = ()
  data: str | None = None
  vocab: pathlib.Path | None = None


def run_arms(
  arms: Arms, out: pathlib.Path, only: Sequence[str], inputs: Inputs
) -> None:
  """Runs what is not done yet, then compares the arms with the seeds that are complete.

  Args:
    arms: what to run.
    out: gets a folder per arm, arms.md and arms.png.
    only: names of the arms that are run; all if empty.
    inputs: the settings and the data of the runs.

  Raises:
    SymtuneError: an unknown arm, settings that do not fit, a damaged folder, or arms
      that were asked different questions.
  """
  console = rich.console.Console(stderr=True)
  _check_only(arms, only)
  arms = with_overrides(arms, split_overrides(inputs.overrides))
  runs = plan_arms(arms, out)
  _check_settings(runs[: len(arms.arms)])
  chosen = [run for run in runs if not only or run.arm.name in only]
  # What cannot run, or has other settings than before, fails now and not in hours.
  for run in runs:
    is_started = (run.folder / RUN_FILE).exists()
    if is_started or (run in chosen and run.seed == arms.seeds[0]):
      experiment, _ = _build(run, inputs)
      settings = recipe_to_json(experiment.recipe)
      check_free(run.folder, experiment.recipe.name, experiment.config_hash, settings)
  for run in chosen:
    console.print(f"{run.folder}: arm {run.arm.name}, seed {run.seed}", soft_wrap=True)
    _run(run, inputs, console)
  compare_runs(arms, out)


def _check_only(arms: Arms, only: Sequence[str]) -> None:
  names = [arm.name for arm in arms.arms]
  for name in only:
    if name not in names:
      raise SymtuneError(
        f"--only: got {name!r}, expected one of the arms {', '.join(names)}."
      )


def _check_settings(runs: Sequence[ArmRun]) -> None:
  """Refuses settings without an effect, and arms that do not differ.

  A recipe may have a setting's value already, or a later setting, such as one of the
  command line, or the seed may replace it. The arm would then be something else than
  what its name says.

  Args:
    runs: one run of each arm, all with the same seed.
  """
  recipes = [_load(run)[0] for run in runs]
  for run, recipe in zip(runs, recipes, strict=True):
    for i, setting in enumerate(run.arm.settings):
      others = (*run.arm.settings[:i], *run.arm.settings[i + 1 :])
      arm = dataclasses.replace(run.arm, settings=others)
      try:
        without, _ = _load(dataclasses.replace(run, arm=arm))
      except SymtuneError:
        continue  # it is needed
      if without == recipe:
        raise SymtuneError(
          f"arm {run.arm.name!r}: the setting {setting!r} changes nothing: the recipe "
          f"{run.arm.recipe} has that value already, or another setting or the seed "
          f"replaces it. Correct or remove it."
        )
    same = recipes.index(recipe)
    if recipes[same] is not recipe:
      raise SymtuneError(
        f"arms {runs[same].arm.name!r} and {run.arm.name!r} have the same settings, so "
        f"they would give the same results. Change or remove one."
      )


def _load(run: ArmRun) -> tuple[Recipe, str]:
  try:
    return load_recipe(run.arm.recipe, run.bindings)
  except SymtuneError as error:
    message = str(error).replace(OVERRIDE_PREFIX, "")  # here it is not an option
    raise SymtuneError(f"arm {run.arm.name!r}: {message}") from error


def _build(run: ArmRun, inputs: Inputs) -> tuple[Experiment, str]:
  recipe, gin_text = _load(run)
  experiment = build_experiment(recipe, data_dir=inputs.data, vocab_path=inputs.vocab)
  check_trainable(experiment)
  return experiment, gin_text


def _run(run: ArmRun, inputs: Inputs, console: rich.console.Console) -> None:
  """Probes, tunes and probes again, unless the folder has all answers already."""
  experiment, gin_text = _build(run, inputs)
  with claim(experiment, gin_text, run.folder):
    if not _is_finished(run.folder):
      _copy_scores(run.folder)
      run_experiment(experiment, run.folder, console)
      write_report(run.folder)


def _copy_scores(folder: pathlib.Path) -> None:
  """Takes over the scores of another arm with the same seed, if one has ended.

  Arms with one base and one seed ask the same questions before tuning. A score's key
  holds all that it depends on, so those of another base are never used.
  """
  if (folder / CACHE_FILE).exists():
    return
  for other in sorted(folder.parents[1].glob(f"*/{folder.name}")):
    if (other / REPORT_FILE).exists() and (other / CACHE_FILE).is_file():
      write_whole(folder / CACHE_FILE, (other / CACHE_FILE).read_bytes())
      return


def _is_finished(folder: pathlib.Path) -> bool:
  try:
    return _read_finished(folder) is not None
  except SymtuneError:
    return False  # probing removes a torn line, and names any other damage


def _read_finished(folder: pathlib.Path) -> Results | None:
  """The answers before and after tuning; None if the run is not complete.

  A complete run has a report; without it, another process may be writing answers.
  """
  if not (folder / REPORT_FILE).exists():
    return None
  rows = read_results(folder / RESULTS_FILE)
  before, after = (
    rows.words("checkpoint").mapped(lambda found, name=name: found == name)
    for name in (BEFORE, AFTER)
  )
  return rows.take(before | after) if before.sum() == after.sum() > 0 else None


def compare_runs(arms: Arms, out: pathlib.Path) -> None:
  """Writes and prints the tables of the seeds that all arms have completed.

  An arm without any complete run is left out, and named.

  Args:
    arms: what was run.
    out: holds the run folders; gets arms.md and arms.png if there is a seed to compare.

  Raises:
    SymtuneError: results are damaged, or arms were asked different questions.
  """
  runs = plan_arms(arms, out)
  found = {(run.arm.name, run.seed): _read_finished(run.folder) for run in runs}
  done = {key: rows for key, rows in found.items() if rows is not None}
  names = [arm.name for arm in arms.arms if any(name == arm.name for name, _ in done)]
  seeds = [n for n in arms.seeds if all((name, n) in done for name in names)]
  missing = [run for run in runs if (run.arm.name, run.seed) not in done]
  notes = _describe_missing(missing, [key for key in done if key[1] not in seeds])
  if not seeds:
    rich.console.Console().print(
      f"There is nothing to compare yet. {notes}", soft_wrap=True
    )
    return
  comparison = compare_arms(
    [_join(out / name, [done[name, n] for n in seeds]) for name in names]
  )
  _write(out, arms.name, comparison, notes)


def _join(folder: pathlib.Path, by_seed: Sequence[Results]) -> ArmResults:
  """The answers of an arm under all seeds."""
  try:
    results = pair_rows([row for rows in by_seed for row in rows])
  except SymtuneError as error:
    raise SymtuneError(f"{folder}: {error}") from error
  return ArmResults(name=folder.name, results=results)


def _write(out: pathlib.Path, title: str, arms: Comparison, notes: str) -> None:
  """Writes the tables and the figure, and prints the tables."""
  tables, about = arm_tables(arms), describe_intervals(arms)
  parts = [
    f"# {title}\n",
    *([f"{notes}\n"] if notes else []),
    *(part for t in tables for part in (f"## {t.title}\n", to_markdown(t))),
    f"{about}\n",
    f"![Accuracy of each arm by setting, with chance levels]({FIGURE_FILE})\n",
  ]
  write_whole(out / FIGURE_FILE, draw_arms(arms))
  write_whole(out / TABLE_FILE, "\n".join(parts))
  console = rich.console.Console()
  for table in tables:
    console.print(to_terminal(table), "")
  console.print(about, soft_wrap=True)
  if notes:
    console.print(notes, soft_wrap=True)


def _describe_missing(
  missing: Sequence[ArmRun], unused: Sequence[tuple[str, int]]
) -> str:
  """Which runs are not complete, and which complete ones wait for them; or ""."""
  parts = []
  if missing:
    listed = ", ".join(f"{run.arm.name} with seed {run.seed}" for run in missing)
    parts.append(f"Not complete: {listed}.")
  if unused:
    listed = ", ".join(f"{name} with seed {seed}" for name, seed in unused)
    parts.append(f"Left out, as other arms have not completed the seed: {listed}.")
  return " ".join(parts)
