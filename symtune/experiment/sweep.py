"""The content of a sweep file: a sequence of recipes, run for several networks."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
  """A sequence of recipes for each of several networks.

  Attributes:
    name: name of the sweep.
    models: files of `gin_configs/models`, which replace the recipes' own network.
    stages: recipes in order; the first starts from its own checkpoint, each other from
      the previous one's, and the last runs are compared.
  """

  name: str
  models: tuple[str, ...]
  stages: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepRun:
  """One training run of a sweep.

  Attributes:
    model: the network's gin file.
    recipe: the recipe that trains it.
    folder: the run's folder.
    start: folder of the run that it continues; None for the recipe's own start.
  """

  model: str
  recipe: str
  folder: pathlib.Path
  start: pathlib.Path | None


def plan_runs(sweep: Sweep, out: pathlib.Path) -> tuple[tuple[SweepRun, ...], ...]:
  """The runs of each network, in order.

  Args:
    sweep: what to run.
    out: gets a folder per network, with a run folder per recipe.

  Returns:
    One tuple per network, one run per stage.
  """
  chains = []
  for model in sweep.models:
    home = out / pathlib.PurePath(model).stem
    folders = [home / stage for stage in sweep.stages]
    chains.append(
      tuple(
        SweepRun(model=model, recipe=stage, folder=folder, start=start)
        for stage, folder, start in zip(
          sweep.stages, folders, [None, *folders[:-1]], strict=True
        )
      )
    )
  return tuple(chains)
