"""The content of a regression recipe, one frozen value for a whole run; its hash."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from symtune.checks import check_types
from symtune.errors import SymtuneError
from symtune.regression.draw import EPISODES_VERSION
from symtune.regression.network import NetworkSettings
from symtune.regression.predictors import References
from symtune.regression.tasks import Evaluation, FunctionClass
from symtune.train.loop import TrainSettings
from symtune.train.optim import OptimSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curriculum:
  """Episodes that grow in dimensions and length (Garg et al. 2022, appendix A.2).

  Attributes:
    dim: coordinates that are not zero at first.
    points: pairs that the loss counts at first.
    every: steps between two growths.
    more_dim: coordinates added by each.
    more_points: pairs added by each.

  Raises:
    SymtuneError: a value is below 1.
  """

  dim: int
  points: int
  every: int = 2000
  more_dim: int = 1
  more_points: int = 2

  def __post_init__(self):
    check_types(self)
    for field in dataclasses.fields(self):
      if getattr(self, field.name) < 1:
        raise SymtuneError(
          f"Curriculum.{field.name} is {getattr(self, field.name)}; expected 1 or more."
        )

  def at(self, step: int, functions: FunctionClass) -> tuple[int, int]:
    """Coordinates and pairs of the batch of a step, 0-based."""
    growths = step // self.every
    return (
      min(functions.dim, self.dim + growths * self.more_dim),
      min(functions.points, self.points + growths * self.more_points),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
  """How a trained model is evaluated.

  Attributes:
    episodes: number of episodes; Garg et al. use 1,280.
    shifts: shifted evaluations besides the standard one.
    linear_queries: inputs at which predictors are compared as linear functions (ILWD),
      for each episode and number of exemplars; more than `dim`.
    linear_episodes: number of episodes for that.

  Raises:
    SymtuneError: a value is out of range.
  """

  episodes: int = 1280
  shifts: Sequence[Evaluation] = ()
  linear_queries: int = 40
  linear_episodes: int = 128

  def __post_init__(self):
    check_types(self)
    object.__setattr__(self, "shifts", tuple(self.shifts))
    for name in ("episodes", "linear_queries", "linear_episodes"):
      if getattr(self, name) < 2:
        raise SymtuneError(
          f"EvaluationSettings.{name} is {getattr(self, name)}; expected 2 or more."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeSettings:
  """How layers are probed; the defaults follow Akyurek et al. 2022, appendix D.

  Attributes:
    exemplars: number of exemplars after which probes read; None: twice `dim`.
    hidden: width of the MLP probes.
    steps: updates of the probes.
    batch_size: episodes of an update.
    learning_rate: Adam's, at first; it falls to 0 along a cosine.
    test_episodes: episodes on which probes are measured.

  Raises:
    SymtuneError: a value is out of range.
  """

  exemplars: int | None = None
  hidden: int = 512
  steps: int = 2000
  batch_size: int = 256
  learning_rate: float = 1e-3
  test_episodes: int = 1280

  def __post_init__(self):
    check_types(self)
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if value is not None and not value > 0:
        raise SymtuneError(f"ProbeSettings.{field.name} is {value}; expected above 0.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegressionRecipe:
  """One run: train a network on episodes of a class of functions, then evaluate it.

  Attributes:
    name: name of the recipe, used in reports.
    seed: root seed of the episodes; `train.seed` is that of the weights.
    functions: the class of functions.
    batch_size: episodes of a step; each step has fresh ones.
    network: sizes of the network.
    optimizer: optimizer and schedule.
    train: steps, logging, checkpoints.
    curriculum: episodes that grow; None: whole ones from the start.
    evaluation: how the trained model is evaluated.
    references: the predictors that it is compared with.
    probes: how its layers are probed.

  Raises:
    SymtuneError: the settings contradict each other.
  """

  name: str
  seed: int = 0
  functions: FunctionClass
  batch_size: int = 64
  network: NetworkSettings
  optimizer: OptimSettings
  train: TrainSettings
  curriculum: Curriculum | None = None
  evaluation: EvaluationSettings = dataclasses.field(default_factory=EvaluationSettings)
  references: References = dataclasses.field(default_factory=References)
  probes: ProbeSettings = dataclasses.field(default_factory=ProbeSettings)

  def __post_init__(self):
    check_types(self)
    if self.batch_size < 1:
      raise SymtuneError(
        f"RegressionRecipe.batch_size is {self.batch_size}; expected 1 or more."
      )
    queries = self.evaluation.linear_queries
    if queries <= self.functions.dim:
      raise SymtuneError(
        f"EvaluationSettings.linear_queries is {queries}; expected more than the "
        f"{self.functions.dim} dimensions, or a linear fit says nothing."
      )


def recipe_to_json(recipe: RegressionRecipe) -> str:
  """Canonical JSON of every setting: sorted keys, enums by value."""
  return json.dumps(dataclasses.asdict(recipe), sort_keys=True, indent=2)


def config_hash(recipe: RegressionRecipe) -> str:
  """16 hexadecimal digits that identify what training depends on.

  How the model is evaluated is not part of it: a report can be made anew with other
  settings.
  """
  plain: dict[str, Any] = dataclasses.asdict(recipe)
  del plain["evaluation"], plain["references"], plain["probes"]
  text = json.dumps([EPISODES_VERSION, json.dumps(plain, sort_keys=True)])
  return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
  """One run of a grid.

  Attributes:
    name: name of its folder.
    value: its place on the grid's axis.
    settings: gin bindings that replace those of the grid's recipe.

  Raises:
    SymtuneError: the name cannot be that of a folder.
  """

  name: str
  value: float
  settings: Sequence[str]

  def __post_init__(self):
    check_types(self)
    if not re.fullmatch(r"[\w.-]*\w", self.name):
      raise SymtuneError(
        f"Member.name is {self.name!r}; expected letters, digits, dots and hyphens."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
  """Runs that differ in one setting.

  Attributes:
    name: name of the grid.
    recipe: a recipe, or the name of one.
    axis: what differs, such as "layers"; the label of the figures.
    members: the runs.

  Raises:
    SymtuneError: two members have the same name, or there are none.
  """

  name: str
  recipe: str
  axis: str
  members: Sequence[Member]

  def __post_init__(self):
    check_types(self)
    names = [member.name for member in self.members]
    if not names or len(set(names)) < len(names):
      raise SymtuneError(
        f"Grid.members have the names {names}; expected different ones, at least one."
      )
