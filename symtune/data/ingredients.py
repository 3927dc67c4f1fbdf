"""What a mixture is made of: the settings of classification tasks in it."""

import dataclasses
import enum

from symtune.data.draw.index import TUNING_SHOTS, Shots
from symtune.errors import SymtuneError


class LabelStyle(enum.StrEnum):
  """What stands for the classes in a prompt."""

  NATURAL = "natural"
  SYMBOLS = "symbols"
  BORROWED = "borrowed"  # label words of the ingredient's other tasks, as symbols
  FLIPPED = "flipped"
  SCRAMBLED = "scrambled"  # symbols whose assignment changes from exemplar to exemplar

  @property
  def draws_symbols(self) -> bool:
    """Whether the label words of every prompt are drawn from a pool."""
    return self not in (LabelStyle.NATURAL, LabelStyle.FLIPPED)


class Mixing(enum.StrEnum):
  """How often each task of an ingredient is drawn."""

  PROPORTIONAL = "proportional"  # by its rows, at most 25,000; the paper's choice
  UNIFORM = "uniform"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ingredient:
  """Settings that some tasks of a mixture share; the defaults are the paper's.

  Attributes:
    suite: name of the suite that the tasks are from; "" for tasks of your own.
    labels: what stands for the classes.
    instruction: whether prompts carry the task's instruction.
    shots: exemplars per class.
    rate: share of the mixture, relative to the other ingredients' rates.
    num_tasks: how many of the tasks are used, drawn at random with the mixture's seed;
      all unless given. Ablation B.4 of the paper varies this.
    temperature: tasks weigh (capped rows) ** (1 / temperature).
  """

  suite: str = ""
  labels: LabelStyle = LabelStyle.SYMBOLS
  instruction: bool = False
  shots: Shots = TUNING_SHOTS
  rate: float = 1.0
  num_tasks: int | None = None
  temperature: float = 1.0

  def __post_init__(self):
    if self.temperature <= 0:
      raise SymtuneError(
        f"mixture: got temperature {self.temperature}, expected above 0."
      )
