"""The parts of a recipe: typed settings of the data and of the probes."""

import dataclasses

from symtune.data.batches.windows import BatchShape
from symtune.data.draw.index import Shots
from symtune.data.ingredients import Ingredient, Instructions, Mixing, Skill
from symtune.data.limits import DEFAULT_OVERLAP
from symtune.data.prompts import PromptFormat
from symtune.data.text.leaks import LeakPolicy
from symtune.data.text.symbols import ALL_CATEGORIES, SymbolCategory, SymbolRules
from symtune.data.tokens.causal import LossOn
from symtune.errors import SymtuneError
from symtune.probe.answer.calibrate import Calibration
from symtune.probe.probe import AnswerKind, ExemplarSets


@dataclasses.dataclass(frozen=True, kw_only=True)
class SymbolSettings:
  """Which symbols stand for labels; see `symtune.data.text.symbols.make_pool`.

  With `match_lengths`, evaluation symbols are as long in tokens as tuning symbols.
  """

  categories: tuple[SymbolCategory, ...] = ALL_CATEGORIES
  tuning_size: int | None = None
  evaluation_size: int | None = None
  rules: SymbolRules | None = None
  synonyms: str | None = None
  match_lengths: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureSettings:
  """The tuning data and its batches."""

  ingredients: tuple[Ingredient | Skill | Instructions, ...]
  batches: BatchShape
  mixing: Mixing
  formats: tuple[PromptFormat, ...]
  min_exemplars_per_class: int
  leaks: LeakPolicy
  leak_overlap: float | None = DEFAULT_OVERLAP
  loss_on: LossOn = LossOn.LAST


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbePlan:
  """What is asked before and after tuning.

  The choice of probes does not affect the result of any one probe, so `probes` is not
  part of the configuration hash, and more can be added to the same folder later.
  """

  suite: str
  probes: tuple[str, ...]
  shots: Shots
  many_shots: int
  max_queries: int
  seeds: tuple[int, ...]
  answers: AnswerKind
  also_generate: bool
  calibration: tuple[Calibration, ...]
  max_inputs: int
  max_targets: int
  tokens_per_batch: int
  exemplars: ExemplarSets = ExemplarSets.PER_QUERY
  balanced: bool = True

  def __post_init__(self):
    # ProbeSettings checks the rest.
    for name in ("max_inputs", "max_targets", "tokens_per_batch"):
      value = getattr(self, name)
      if isinstance(value, int) and value < 1:
        raise SymtuneError(f"probe: got {name} {value}, expected at least 1.")
