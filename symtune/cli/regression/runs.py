"""What the regression commands do: read settings, claim folders, train, report."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence

import rich.console

from symtune.cli.gin_config import load_settings, split_overrides
from symtune.cli.printed import print_report
from symtune.errors import SymtuneError
from symtune.experiment.folder import claim_folder
from symtune.files import RUN_FILE
from symtune.regression.probe_report import write_probes
from symtune.regression.report import REPORT, write_grid_report, write_report
from symtune.regression.settings import (
  Grid,
  RegressionRecipe,
  config_hash,
  recipe_to_json,
)
from symtune.regression.train import train_model
from symtune.report.tables import Table

_FOLDER = "regression"
Run = tuple[RegressionRecipe, str, pathlib.Path]  # recipe, gin text, folder


def train(name: str, overrides: Sequence[str], out: pathlib.Path) -> None:
  """Trains a network, or all networks of a grid; a finished one is not trained again.

  Args:
    name: a recipe or a grid.
    overrides: arguments of the form --gin.NAME=VALUE.
    out: the run's folder; that of a grid holds a run folder for each member.

  Raises:
    SymtuneError: bad settings, or the folder belongs to another run.
    KeyboardInterrupt: a signal stopped training; the same call continues it.
  """
  console = rich.console.Console(stderr=True)
  for recipe, gin_text, folder in _read(name, overrides, out)[1]:
    with _claim(recipe, gin_text, folder):
      console.print(f"{folder}: {recipe.name}", highlight=False)
      result = train_model(recipe, folder, console)
      if result.stopped_by is not None:
        raise KeyboardInterrupt(result.stopped_by)


def report(
  name: str, overrides: Sequence[str], out: pathlib.Path, step: int | None
) -> None:
  """Writes and prints the report of a run, or of a grid.

  Args:
    name: the recipe or grid that was trained.
    overrides: arguments of the form --gin.NAME=VALUE.
    out: its folder.
    step: which checkpoint; None: the newest.

  Raises:
    SymtuneError: there is no such run or checkpoint, or it has other settings.
  """
  grid, runs = _read(name, overrides, out)
  for _, _, folder in runs:
    _check_run(folder)
  with contextlib.ExitStack() as stack:
    for run in runs:
      stack.enter_context(_claim(*run))
    if grid is None:
      recipe, _, folder = runs[0]
      first, found = write_report(recipe, folder, step)
    elif step is not None:
      raise SymtuneError("--step: a grid is compared at its newest checkpoints.")
    else:
      pairs = [(recipe, folder) for recipe, _, folder in runs]
      first, found = write_grid_report(grid, pairs, out)
  _print((grid or runs[0][0]).name, first, found, out / REPORT)


def probe(
  name: str, overrides: Sequence[str], out: pathlib.Path, step: int | None
) -> None:
  """Probes the layers of a run's network, and prints the tables.

  Args:
    name: the recipe that was trained.
    overrides: arguments of the form --gin.NAME=VALUE.
    out: its folder.
    step: which checkpoint; 0 is before training; None: the newest.

  Raises:
    SymtuneError: there is no such run or checkpoint, or it has other settings.
  """
  grid, runs = _read(name, overrides, out)
  if grid is not None:
    raise SymtuneError(f"{name} is a grid, expected a recipe. Probe {grid.recipe}.")
  recipe, _, folder = runs[0]
  _check_run(folder)
  with _claim(*runs[0]):
    first, found, path = write_probes(recipe, folder, step)
  _print(recipe.name, first, found, path)


def _print(name: str, first: str, found: Sequence[Table], path: pathlib.Path) -> None:
  rich.console.Console().print(f"{name}: {first}", highlight=False)
  print_report(found, path)


def _read(
  name: str, overrides: Sequence[str], out: pathlib.Path
) -> tuple[Grid | None, list[Run]]:
  """The grid, if it is one, and its runs, or the one run.

  Settings of the command line hold for every member of a grid.
  """
  bindings = split_overrides(overrides)
  loaded, _ = load_settings(name, (RegressionRecipe, Grid), folder=_FOLDER)
  if isinstance(loaded, RegressionRecipe):
    return None, [_read_run(name, bindings, out)]
  return loaded, [
    _read_run(loaded.recipe, [*member.settings, *bindings], out / member.name)
    for member in loaded.members
  ]


def _read_run(name: str, bindings: Sequence[str], folder: pathlib.Path) -> Run:
  recipe, text = load_settings(name, (RegressionRecipe,), bindings, folder=_FOLDER)
  return recipe, text, folder


@contextlib.contextmanager
def _claim(
  recipe: RegressionRecipe, gin_text: str, folder: pathlib.Path
) -> Iterator[None]:
  with claim_folder(
    folder,
    recipe=recipe.name,
    config_hash=config_hash(recipe),
    config=recipe_to_json(recipe),
    gin=gin_text,
  ):
    yield


def _check_run(folder: pathlib.Path) -> None:
  """Refuses a folder without a run, before one is claimed by mistake."""
  if not (folder / RUN_FILE).exists():
    raise SymtuneError(
      f"--out {folder}: there is no run, expected the folder of one. Correct it, or "
      "train first: symtune regression train."
    )
