"""The content of a recipe for learning from preferences, and its hash."""

import dataclasses
import enum
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from symtune.checks import check_types, parse_choice
from symtune.data.draw.words import DRAWS_VERSION
from symtune.errors import SymtuneError
from symtune.experiment.recipe import Recipe
from symtune.experiment.recipe_json import recipe_to_json as base_to_json
from symtune.train.loop import TrainSettings
from symtune.train.optim import OptimSettings

SEEDS = 1 << 23  # each draws prompts from as large a part of the 2^63 positions


class Gold(enum.StrEnum):
  """What an answer is rewarded for: from 0 to 1, known without any model."""

  FOLLOW = "follow"  # the label word that the exemplars demand
  PRIOR = "prior"  # the label word that means what the query is about
  BRIEF = "brief"  # few tokens, whatever they say


class Ensemble(enum.StrEnum):
  """How several reward models become one reward (Coste et al. 2023)."""

  MEAN = "mean"
  WORST = "worst"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairSettings:
  """Where pairs of a better and a worse answer come from.

  Attributes:
    path: a file of preference rows; None: sampled from the start and labelled by the
      gold reward.
    count: how many pairs are made.
    samples: answers to a prompt, of which the first two with different gold rewards
      become a pair.
    noise: share of the pairs whose label is turned round.
    test: pairs of held-out prompts, without noise, on which reward models are measured.

  Raises:
    SymtuneError: a value is out of range.
  """

  path: str | None = None
  count: int = 1000
  samples: int = 4
  noise: float = 0.0
  test: int = 500

  def __post_init__(self):
    check_types(self)
    _check_at_least(self, count=1, samples=2, test=2)
    if not 0.0 <= self.noise < 0.5:
      raise SymtuneError(
        f"PairSettings.noise is {self.noise}; expected 0 or more, below 0.5: from "
        "there on labels say nothing."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RewardSettings:
  """How reward models are trained.

  Attributes:
    members: reward models, which differ in their heads and in the order of pairs.
    batch_size: pairs of a step.
    centring: weight of the mean square of the sum of both rewards.
    epsilon: Adam's; 1e-5 in Huang et al. 2024 (arXiv 2403.17031).
    optimizer: optimizer and schedule.
    train: steps and how often it writes; `AlignRecipe.seed` is the seed.

  Raises:
    SymtuneError: a value is out of range.
  """

  members: int = 1
  batch_size: int = 32
  centring: float = 0.01
  epsilon: float = 1e-5
  optimizer: OptimSettings
  train: TrainSettings

  def __post_init__(self):
    check_types(self)
    _check_at_least(self, members=1, batch_size=1, centring=0.0, epsilon=0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RlooSettings:
  """Policy gradient with a leave-one-out baseline; defaults as Ahmadian et al. 2024.

  A step samples answers to fresh prompts and then makes `updates` of the policy.

  Attributes:
    prompts: prompts of a step.
    samples: answers to each.
    updates: updates with the answers of a step.
    beta: weight of the KL from the start in the reward.
    clip: how far the probability ratio of an answer may move in a step.
    gold_weight: weight of the gold reward.
    model_weight: weight of the reward models.
    ensembles: RLOO runs once for each number here, with so many of the reward models;
      (0,) where `model_weight` is 0.
    ensemble: how they become one reward.
    missing_reward: the reward of an answer that is empty or does not end.
    max_kl: training ends once the KL of a logged row is larger, in nats; None: never.
    optimizer: optimizer and schedule, which counts updates.
    train: steps and how often it writes; `AlignRecipe.seed` is the seed.

  Raises:
    SymtuneError: a value is out of range, or the settings contradict each other.
  """

  prompts: int = 64
  samples: int = 4
  updates: int = 2
  beta: float = 0.03
  clip: float = 0.2
  gold_weight: float = 0.0
  model_weight: float = 1.0
  ensembles: Sequence[int] = (1,)
  ensemble: Ensemble = Ensemble.MEAN
  missing_reward: float = -1.0
  max_kl: float | None = None
  optimizer: OptimSettings
  train: TrainSettings

  def __post_init__(self):
    _parse(self, "ensemble", Ensemble)
    check_types(self)
    object.__setattr__(self, "ensembles", tuple(self.ensembles))
    _check_at_least(self, prompts=1, samples=2, updates=1)
    _check_at_least(self, beta=0.0, clip=0.0, gold_weight=0.0, model_weight=0.0)
    lowest = 1 if self.model_weight else 0
    if not self.ensembles or min(self.ensembles) < lowest:
      raise SymtuneError(
        f"RlooSettings.ensembles is {list(self.ensembles)}; expected numbers of reward "
        f"models of {lowest} or more, because model_weight is {self.model_weight}."
      )
    if not self.model_weight and self.ensembles != (0,):
      raise SymtuneError(
        f"RlooSettings.ensembles is {list(self.ensembles)}, but model_weight is 0. Set "
        "ensembles to (0,), or a model_weight above 0."
      )
    if self.max_kl is not None and not self.max_kl > 0.0:
      raise SymtuneError(f"RlooSettings.max_kl is {self.max_kl}; expected above 0.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DpoSettings:
  """Direct preference optimisation on the pairs.

  Attributes:
    batch_size: pairs of a step.
    beta: how dear it is to leave the start.
    optimizer: optimizer and schedule.
    train: steps and how often it writes; `AlignRecipe.seed` is the seed.

  Raises:
    SymtuneError: a value is out of range.
  """

  batch_size: int = 32
  beta: float = 0.1
  optimizer: OptimSettings
  train: TrainSettings

  def __post_init__(self):
    check_types(self)
    _check_at_least(self, batch_size=1, beta=0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BestOfSettings:
  """Best-of-n with the reward models.

  Attributes:
    samples: answers to each held-out prompt, from which all n are computed.
    counts: the n, which rise from 1: the start itself, as its answers come.
    ensembles: numbers of reward models, as of `RlooSettings`.
    ensemble: how they become one reward.

  Raises:
    SymtuneError: a value is out of range.
  """

  samples: int = 64
  counts: Sequence[int] = (1, 2, 4, 8, 16)
  ensembles: Sequence[int] = (1,)
  ensemble: Ensemble = Ensemble.MEAN

  def __post_init__(self):
    _parse(self, "ensemble", Ensemble)
    check_types(self)
    for name in ("counts", "ensembles"):
      object.__setattr__(self, name, tuple(getattr(self, name)))
    if not self.ensembles or min(self.ensembles) < 1:
      raise SymtuneError(
        f"BestOfSettings.ensembles is {list(self.ensembles)}; expected 1 or more."
      )
    counts = list(self.counts)
    if counts[:1] != [1] or counts != sorted({*counts}) or counts[-1] > self.samples:
      raise SymtuneError(
        f"BestOfSettings.counts is {counts}; expected numbers that rise from 1, which "
        f"the others are compared with, to at most samples, which is {self.samples}."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOutSettings:
  """How policies are measured on held-out prompts.

  Attributes:
    prompts: how many; the first of the held-out stream.
    samples: answers to each.
    every: steps between two measurements; the last step always has one.
    batch_size: prompts at once.

  Raises:
    SymtuneError: a value is below 1.
  """

  prompts: int = 512
  samples: int = 4
  every: int = 50
  batch_size: int = 64

  def __post_init__(self):
    check_types(self)
    _check_at_least(self, prompts=2, samples=1, every=1, batch_size=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlignRecipe:
  """One run: a start, a gold reward, and what is learned from it.

  Attributes:
    name: name of the recipe, used in reports.
    seed: of pairs, prompts, samples and heads; below `SEEDS`.
    base: the start (`checkpoint`, `model`, `vocab`), the prompts (`mixture`, `symbols`)
      and the held-out ones (`probe.suite`); how it trains is not used.
    gold: the gold reward.
    prompt_length: longest prompt in tokens; for a decoder-only model with its answer.
    answer_length: most tokens of an answer, with those that end it.
    pairs: the preference rows.
    reward: how reward models are trained; None: there are none.
    rloo: the policy gradient; None: not run.
    dpo: direct preference optimisation; None: not run.
    best_of: best-of-n; None: not run.
    evaluation: how policies are measured.

  Raises:
    SymtuneError: the settings contradict each other.
  """

  name: str
  seed: int = 0
  base: Recipe
  gold: Gold
  prompt_length: int
  answer_length: int = 8
  pairs: PairSettings = dataclasses.field(default_factory=PairSettings)
  reward: RewardSettings | None = None
  rloo: RlooSettings | None = None
  dpo: DpoSettings | None = None
  best_of: BestOfSettings | None = None
  evaluation: HeldOutSettings = dataclasses.field(default_factory=HeldOutSettings)

  def __post_init__(self):
    _parse(self, "gold", Gold)
    check_types(self)
    _check_at_least(self, prompt_length=1, answer_length=2)
    if not 0 <= self.seed < SEEDS:
      raise SymtuneError(
        f"AlignRecipe.seed is {self.seed}; expected a number from 0 to {SEEDS - 1}."
      )
    members = 0 if self.reward is None else self.reward.members
    for name in ("rloo", "best_of"):
      part = getattr(self, name)
      if part is not None and max(part.ensembles) > members:
        raise SymtuneError(
          f"AlignRecipe.{name} uses {max(part.ensembles)} reward models, but "
          f"AlignRecipe.reward trains {members}. Raise RewardSettings.members, or "
          "lower ensembles."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
  """Runs of a study that differ in their seeds only.

  Attributes:
    name: name of its folder.
    settings: gin bindings that replace those of the study's recipe.

  Raises:
    SymtuneError: the name cannot be that of a folder.
  """

  name: str
  settings: Sequence[str] = ()

  def __post_init__(self):
    check_types(self)
    if not re.fullmatch(r"[\w.-]*\w", self.name):
      raise SymtuneError(
        f"Variant.name is {self.name!r}; expected letters, digits, dots and hyphens."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
  """A recipe in several variants, each under several seeds.

  Attributes:
    name: name of the study.
    recipe: a recipe, or the name of one.
    variants: what differs.
    seeds: values of `AlignRecipe.seed`.

  Raises:
    SymtuneError: variants or seeds are missing or occur twice.
  """

  name: str
  recipe: str
  variants: Sequence[Variant]
  seeds: Sequence[int] = (0, 1, 2)

  def __post_init__(self):
    check_types(self)
    names = [variant.name for variant in self.variants]
    for what, values in (("variants", names), ("seeds", list(self.seeds))):
      if not values or len(set(values)) < len(values):
        raise SymtuneError(
          f"Study.{what} are {values}; expected different ones, at least one."
        )


def recipe_to_json(recipe: AlignRecipe) -> str:
  """Canonical JSON of every setting: sorted keys, enums by value."""
  own = {
    field.name: getattr(recipe, field.name)
    for field in dataclasses.fields(recipe)
    if field.name != "base"
  }
  plain = {name: _plain(value) for name, value in own.items()}
  plain["base"] = json.loads(base_to_json(recipe.base))
  return json.dumps(plain, sort_keys=True, indent=2)


def config_hash(recipe: AlignRecipe, fingerprints: Sequence[str]) -> str:
  """16 hexadecimal digits that identify the settings and the data of a run.

  Args:
    recipe: all settings.
    fingerprints: of tasks, start, a file of pairs, and vocabulary.
  """
  text = json.dumps([DRAWS_VERSION, recipe_to_json(recipe), list(fingerprints)])
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
  """A setting as JSON values: a number, a text, None, or settings of its own."""
  if value is None or isinstance(value, int | str):
    return value
  return dataclasses.asdict(value)


def _parse(settings: Any, name: str, choices: type[enum.Enum]) -> None:
  where = f"{type(settings).__name__}.{name}"
  value = parse_choice(choices, getattr(settings, name), where)
  object.__setattr__(settings, name, value)  # the instance is being made


def _check_at_least(settings: Any, **least: float) -> None:
  for name, lowest in least.items():
    if not getattr(settings, name) >= lowest:  # NaN is none of them
      raise SymtuneError(
        f"{type(settings).__name__}.{name} is {getattr(settings, name)}; expected "
        f"{lowest} or more."
      )
