"""What the commands on preferences do: read settings, claim folders, run, report."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import rich.console

from symtune.align.label import held_out_pairs, training_pairs
from symtune.align.learn.best_of import run_best_of
from symtune.align.learn.devices import Devices
from symtune.align.learn.dpo import train_dpo
from symtune.align.learn.reward import reward_settings, train_member
from symtune.align.learn.rewards import measure_members
from symtune.align.learn.rloo import rloo_settings, train_rloo
from symtune.align.report import REPORT, write_report, write_study_report
from symtune.align.settings import AlignRecipe, Study, recipe_to_json
from symtune.align.setup import Setup, build_setup
from symtune.cli.gin_config import load_settings, split_overrides
from symtune.cli.printed import print_report
from symtune.errors import SymtuneError
from symtune.experiment.folder import check_settings, claim_folder
from symtune.files import RUN_FILE
from symtune.report.tables import Table
from symtune.train.loop import FitResult

_FOLDER = "align"
Run = tuple[AlignRecipe, str, pathlib.Path]  # recipe, gin text, folder


def run_part(
  part: str,
  name: str,
  overrides: Sequence[str],
  out: pathlib.Path,
  data_dir: str | None,
  vocab: pathlib.Path | None,
) -> None:
  """Runs one part of a recipe, or of all runs of a study; what is done is not redone.

  Args:
    part: one of `PARTS`.
    name: a recipe or a study.
    overrides: arguments of the form --gin.NAME=VALUE.
    out: the run's folder; that of a study holds a folder for each run.
    data_dir: folder of task rows.
    vocab: the vocabulary, where the recipe names none.

  Raises:
    SymtuneError: bad settings or data, the folder belongs to another run, or the recipe
      lacks the part's settings.
    KeyboardInterrupt: a signal stopped training; the same call continues it.
  """
  for run in _read(name, overrides, out)[1]:
    _run(run, [part], data_dir, vocab)


def run_all(
  name: str,
  overrides: Sequence[str],
  out: pathlib.Path,
  data_dir: str | None,
  vocab: pathlib.Path | None,
  only: Sequence[str] = (),
) -> None:
  """Runs every part that a recipe, or each run of a study, has; then the report.

  Args:
    name: as for `run_part`.
    overrides: as for `run_part`.
    out: as for `run_part`.
    data_dir: as for `run_part`.
    vocab: as for `run_part`.
    only: the variants of a study that are run, without a report; all if empty.

  Raises:
    SymtuneError: an unknown variant, or as for `run_part`.
  """
  study, runs = _read(name, overrides, out)
  _check_only(name, study, only)
  for run in runs:
    recipe, _, folder = run
    if only and folder.parent.name not in only:
      continue
    has = {
      "reward": recipe.reward,
      "best-of-n": recipe.best_of,
      "rloo": recipe.rloo,
      "dpo": recipe.dpo,
    }
    _run(run, [part for part, settings in has.items() if settings], data_dir, vocab)
  if only:
    rich.console.Console(stderr=True).print(
      f"Once all variants are done: symtune align report {name} --out {out}",
      highlight=False,
      soft_wrap=True,
    )
    return
  report(name, overrides, out, data_dir, vocab)


def _check_only(name: str, study: Study | None, only: Sequence[str]) -> None:
  names = [] if study is None else [variant.name for variant in study.variants]
  for variant in only:
    if variant not in names:
      expected = f"one of {', '.join(names)}" if names else "none: it is no study"
      raise SymtuneError(f"--only {variant}: {name} expects {expected}.")


def report(
  name: str,
  overrides: Sequence[str],
  out: pathlib.Path,
  data_dir: str | None,
  vocab: pathlib.Path | None,
) -> None:
  """Writes and prints the report of a run or of a study.

  The arguments are those of `run_part`.

  Raises:
    SymtuneError: there is no such run, it has other settings, or no results yet.
  """
  study, runs = _read(name, overrides, out)
  for _, _, folder in runs:
    if not (folder / RUN_FILE).exists():
      raise SymtuneError(
        f"--out {folder}: there is no run, expected the folder of one. Correct it, or "
        "run a part of the recipe first, such as symtune align rloo."
      )
  if study is None:
    setup = _build(runs[0], data_dir, vocab)
    with _claim(runs[0], setup):
      first, found = write_report(setup, out)
    _print(setup.recipe.name, first, found, out / REPORT)
    return
  for recipe, _, folder in runs:
    check_settings(folder, recipe_to_json(recipe))
  by_variant = {
    variant.name: [
      (recipe, folder)
      for recipe, _, folder in runs
      if folder.parent == out / variant.name
    ]
    for variant in study.variants
  }
  first, found = write_study_report(study, by_variant, out)
  _print(study.name, first, found, out / REPORT)


def _run_reward(
  setup: Setup, folder: pathlib.Path, devices: Devices, console: rich.console.Console
) -> None:
  settings = reward_settings(setup)
  pairs, path = training_pairs(setup, folder, devices)
  console.print(f"{len(pairs.lengths)} pairs: {path}", highlight=False)
  # Before training, as the start's answers may give too few pairs.
  tested = held_out_pairs(setup, folder, devices)
  for member in range(settings.members):
    console.print(f"reward model {member}", highlight=False)
    _check_stopped(train_member(setup, folder, devices, pairs, member, console))
  measure_members(setup, folder, devices, pairs, tested)


def _run_rloo(
  setup: Setup, folder: pathlib.Path, devices: Devices, console: rich.console.Console
) -> None:
  for ensemble in rloo_settings(setup).ensembles:
    console.print(f"RLOO with {ensemble} reward models", highlight=False)
    _check_stopped(train_rloo(setup, folder, devices, ensemble, console))


def _run_dpo(
  setup: Setup, folder: pathlib.Path, devices: Devices, console: rich.console.Console
) -> None:
  pairs, path = training_pairs(setup, folder, devices)
  console.print(f"DPO on {len(pairs.lengths)} pairs: {path}", highlight=False)
  _check_stopped(train_dpo(setup, folder, devices, pairs, console))


def _run_best_of(
  setup: Setup, folder: pathlib.Path, devices: Devices, console: rich.console.Console
) -> None:
  console.print("best-of-n", highlight=False)
  run_best_of(setup, folder, devices)


PARTS: Mapping[
  str, Callable[[Setup, pathlib.Path, Devices, rich.console.Console], None]
] = {
  "reward": _run_reward,
  "best-of-n": _run_best_of,
  "rloo": _run_rloo,
  "dpo": _run_dpo,
}


def _run(
  run: Run, parts: Sequence[str], data_dir: str | None, vocab: pathlib.Path | None
) -> None:
  console = rich.console.Console(stderr=True)
  console.print(f"{run[2]}: {run[0].name}", highlight=False)
  setup = _build(run, data_dir, vocab)
  with _claim(run, setup):
    devices = Devices()
    for part in parts:
      PARTS[part](setup, run[2], devices, console)


def _build(run: Run, data_dir: str | None, vocab: pathlib.Path | None) -> Setup:
  return build_setup(run[0], data_dir=data_dir, vocab_path=vocab)


def _check_stopped(result: FitResult) -> None:
  if result.stopped_by is not None:
    raise KeyboardInterrupt(result.stopped_by)


def _print(name: str, first: str, found: Sequence[Table], path: pathlib.Path) -> None:
  rich.console.Console().print(f"{name}: {first}", highlight=False)
  print_report(found, path)


def _read(
  name: str, overrides: Sequence[str], out: pathlib.Path
) -> tuple[Study | None, list[Run]]:
  """The study, if it is one, and its runs, or the one run.

  Settings of the command line hold for every run of a study.
  """
  bindings = split_overrides(overrides)
  kinds = (AlignRecipe, Study)
  loaded, text = load_settings(name, kinds, folder=_FOLDER)
  if isinstance(loaded, AlignRecipe):
    loaded, text = load_settings(name, (AlignRecipe,), bindings, folder=_FOLDER)
    return None, [(loaded, text, out)]
  _check_overrides(name, loaded, bindings)
  if (out / RUN_FILE).exists():
    raise SymtuneError(
      f"--out {out}: got the folder of a run, expected one for the runs of the study "
      f"{name}, whose report would replace that of the run. Choose another folder."
    )
  runs = []
  for variant in loaded.variants:
    for seed in loaded.seeds:
      settings = [*variant.settings, f"AlignRecipe.seed = {seed}", *bindings]
      recipe, text = load_settings(
        loaded.recipe, (AlignRecipe,), settings, folder=_FOLDER
      )
      runs.append((recipe, text, out / variant.name / f"seed{seed}"))
  return loaded, runs


def _check_overrides(name: str, study: Study, bindings: Sequence[str]) -> None:
  """Refuses settings that would make runs of a study the same that are to differ."""
  own = {_setting("AlignRecipe.seed=")}
  own.update(_setting(text) for variant in study.variants for text in variant.settings)
  for binding in bindings:
    if _setting(binding) in own:
      raise SymtuneError(
        f"--gin.{binding}: {name} is a study, which sets this for each of its runs. "
        f"Remove it, or run the recipe {study.recipe} alone."
      )


def _setting(binding: str) -> tuple[str, ...]:
  """Scope, and name without its module, of what a binding sets."""
  scope, _, name = binding.partition("=")[0].strip().rpartition("/")
  return scope, *name.split(".")[-2:]


@contextlib.contextmanager
def _claim(run: Run, setup: Setup) -> Iterator[None]:
  recipe, gin_text, folder = run
  with claim_folder(
    folder,
    recipe=recipe.name,
    config_hash=setup.config_hash,
    config=recipe_to_json(recipe),
    gin=gin_text,
  ):
    yield
