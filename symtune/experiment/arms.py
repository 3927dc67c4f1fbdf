"""The content of a sweep file with arms: treatment and controls, with several seeds."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from symtune.errors import SymtuneError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
  """One arm of an experiment: a recipe, with settings of its own.

  Attributes:
    name: names the arm in tables, and its folder.
    recipe: a .gin file, or the name of one in `gin_configs/recipes`.
    settings: gin bindings on top of the recipe, such as "TrainSettings.steps = 10".
  """

  name: str
  recipe: str
  settings: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arms:
  """An experiment: every arm is run with every seed.

  Attributes:
    name: name of the experiment.
    arms: the arms; the others are compared with the first.
    seeds: a run with seed n has Recipe.seed = TrainSettings.seed = n.
    probe_seeds: how many probe seeds each run asks. With k of them, a run with seed n
      asks those from n k to n k + k - 1, so that no two runs of an arm share one.
  """

  name: str
  arms: Sequence[Arm]
  seeds: Sequence[int]
  probe_seeds: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArmRun:
  """One run: an arm with a seed.

  Attributes:
    arm: the arm.
    seed: the seed.
    probe_seeds: the seeds of the questions.
    folder: the run's folder.
  """

  arm: Arm
  seed: int
  probe_seeds: tuple[int, ...]
  folder: pathlib.Path

  @property
  def bindings(self) -> tuple[str, ...]:
    """The gin bindings on top of the recipe: the arm's settings, then the seeds."""
    return (
      *self.arm.settings,
      f"Recipe.seed = {self.seed}",
      f"TrainSettings.seed = {self.seed}",
      f"probe.seeds = {self.probe_seeds}",
    )


def check_arms(arms: Arms) -> None:
  """Refuses arms and seeds that cannot be told apart or have no folder.

  Raises:
    SymtuneError: there are no arms or no seeds, one of them occurs twice, an arm's name
      cannot name a folder, a seed is negative, or a setting has no value.
  """
  for field in ("arms", "seeds"):
    if not getattr(arms, field):
      raise SymtuneError(f"Arms.{field}: got none, expected at least one. Add one.")
  names = [arm.name for arm in arms.arms]
  for name in names:
    if not re.fullmatch(r"\w[\w-]{0,99}", name, re.ASCII):
      raise SymtuneError(
        f"Arm.name: got {name!r}, expected letters, digits, '_' and '-', as it names a "
        f"folder. Change it."
      )
  for field, values in (("Arm.name", names), ("Arms.seeds", arms.seeds)):
    for place, value in enumerate(values):
      if value in values[:place]:
        raise SymtuneError(
          f"{field}: got {value!r} twice, expected each once. Change one of them."
        )
  if min(arms.seeds) < 0:
    raise SymtuneError(
      f"Arms.seeds: got {min(arms.seeds)}, expected 0 or more. Change it."
    )
  if arms.probe_seeds < 1:
    raise SymtuneError(
      f"Arms.probe_seeds: got {arms.probe_seeds}, expected 1 or more. Change it."
    )
  for arm in arms.arms:
    for setting in arm.settings:
      if not setting.partition("=")[2].strip():
        raise SymtuneError(
          f"arm {arm.name!r}: got the setting {setting!r}, expected one of the form "
          f'"NAME = VALUE", such as "TrainSettings.steps = 10". Correct it.'
        )


def with_overrides(arms: Arms, overrides: Sequence[str]) -> Arms:
  """The same experiment with more settings for every arm, after the arm's own.

  Args:
    arms: an experiment.
    overrides: gin bindings, such as "TrainSettings.steps=10".
  """
  changed = tuple(
    dataclasses.replace(arm, settings=(*arm.settings, *overrides)) for arm in arms.arms
  )
  return dataclasses.replace(arms, arms=changed)


def plan_arms(arms: Arms, out: pathlib.Path) -> tuple[ArmRun, ...]:
  """One run per arm and seed: all arms with the first seed, then with the second, ...

  An interrupted sweep can thus compare the arms with the seeds that are complete.

  Args:
    arms: what to run.
    out: gets a folder per arm, with a run folder per seed.
  """
  count = arms.probe_seeds
  return tuple(
    ArmRun(
      arm=arm,
      seed=seed,
      probe_seeds=tuple(range(seed * count, seed * count + count)),
      folder=out / arm.name / f"seed_{seed}",
    )
    for seed in arms.seeds
    for arm in arms.arms
  )
