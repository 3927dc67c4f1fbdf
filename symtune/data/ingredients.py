"""What a mixture is made of: settings, as recipes give them and mixtures take them.

Recipes are read here: names become enums, so that everything behind sees typed values.
"""

import dataclasses
import enum
from collections.abc import Sequence

from symtune.checks import parse_choice
from symtune.data.draw.index import Shots
from symtune.data.draw.lookup import Likeness, Lookup
from symtune.data.text.instructions import Encoding, InstructionForm
from symtune.errors import SymtuneError


class LabelStyle(enum.StrEnum):
  """What stands for the classes in a prompt."""

  NATURAL = "natural"
  SYMBOLS = "symbols"
  BORROWED = "borrowed"  # label words of the ingredient's other tasks, as symbols
  TEXT_WORDS = "text_words"  # words of the ingredient's texts, as symbols
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


class SkillKind(enum.StrEnum):
  """What a skill's prompts ask for."""

  LOOK_UP = "look_up"
  MISS = "miss"  # a look-up of a text that is not there
  FIND = "find"
  DESCRIBE = "describe"
  COPY = "copy"
  FILL_IN = "fill_in"  # span corruption


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ingredient:
  """Settings that some tasks of a mixture share; the defaults are the paper's.

  Attributes:
    suite: name of the suite in `tasks/suites` that the tasks are from; "" for tasks of
      your own.
    labels: what stands for the classes; a `LabelStyle` or its name.
    instruction: whether prompts carry the task's instruction.
    min_shots: fewest exemplars per class.
    max_shots: most exemplars per class.
    rate: share of the mixture, relative to the other ingredients' rates.
    num_tasks: how many of the tasks are used, drawn at random with the mixture's seed;
      all unless given. Ablation B.4 of the paper varies this.
    temperature: tasks weigh (capped rows) ** (1 / temperature).
    retrieved: share of the prompts whose exemplars are looked up with their query
      instead of drawn; see data/draw/lookup.py.
    likeness: of those, whether the most or the least similar ones; a `Likeness` or its
      name.
    balanced: of those, whether as many of every class.
  """

  suite: str = ""
  labels: LabelStyle = LabelStyle.SYMBOLS
  instruction: bool = False
  min_shots: int = 2
  max_shots: int = 10
  rate: float = 1.0
  num_tasks: int | None = None
  temperature: float = 1.0
  retrieved: float = 0.0
  likeness: Likeness = Likeness.SIMILAR
  balanced: bool = True

  def __post_init__(self):
    _parse(self, "labels", LabelStyle)
    _parse(self, "likeness", Likeness)
    _ = self.shots, self.lookup  # refuses numbers that are impossible

  @property
  def shots(self) -> Shots:
    """The exemplars per class."""
    return Shots(minimum=self.min_shots, maximum=self.max_shots)

  @property
  def lookup(self) -> Lookup:
    """How exemplars are looked up, and how often."""
    return Lookup(likeness=self.likeness, balanced=self.balanced, share=self.retrieved)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skill:
  """Settings of reading prompts in a mixture; see data/skills.py.

  Attributes:
    kind: what is asked; a `SkillKind` or its name.
    suite: name of the suite whose texts are used; "" for tasks of your own.
    min_items: fewest texts (or, to copy, symbols) in a prompt.
    max_items: most of them.
    one_task: whether the texts of a prompt are of one task. Then several are of one
      class, and a look-up must be exact: what a text is about does not tell which.
    rate: share of the mixture, relative to the other ingredients' rates.
  """

  kind: SkillKind
  suite: str = ""
  min_items: int
  max_items: int
  one_task: bool = False
  rate: float = 1.0

  def __post_init__(self):
    _parse(self, "kind", SkillKind)
    if not 1 <= self.min_items <= self.max_items:
      raise SymtuneError(
        f"skill {self.kind}: got {self.min_items} to {self.max_items} items, expected "
        f"1 <= min_items <= max_items."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Instructions:
  """Settings of instruction data in a mixture; see data/instruction_prompts.py.

  Attributes:
    path: the file or folder of files, inside the data folder or absolute; "" for tasks
      of your own.
    form: layout of the files; an `InstructionForm` or its name.
    tasks: a list of the folder's tasks that are used, inside the data folder or
      absolute, such as the training tasks of Super-NI; "" takes all.
    instances: most rows of a task, the first ones; Tk-Instruct takes 100; None takes
      all.
    encodings: how a row is asked; one is drawn for each prompt. Each is an `Encoding`
      or its name; none takes those of the data's paper, all five for Super-NI.
    leave_out: whether rows without instruction or output are left out and counted.
    rate: share of the mixture, relative to the other ingredients' rates: 0.84 beside
      symbol data at 0.16 is the dose of ablation B.3 in the paper.
    cap: rows of a task that count towards its weight; Flan caps FLAN tasks at 30,000,
      Super-NI tasks at 5,000 and chain-of-thought tasks at 100,000 (Chung et al. 2022).
    temperature: weights are (capped rows) ** (1 / temperature): 1 is proportional, and
      the higher, the more alike (Raffel et al. 2020, section 3.5.2).
    num_tasks: how many of the files are used, drawn at random with the mixture's seed;
      all unless given.
  """

  path: str = ""
  form: InstructionForm = InstructionForm.PAIRS
  tasks: str = ""
  instances: int | None = None
  encodings: Sequence[Encoding] = ()
  leave_out: bool = False
  rate: float = 1.0
  cap: int = 30_000
  temperature: float = 1.0
  num_tasks: int | None = None

  def __post_init__(self):
    _parse(self, "form", InstructionForm)
    where = "Instructions.encodings"
    parsed = tuple(parse_choice(Encoding, one, where) for one in self.encodings)
    object.__setattr__(self, "encodings", parsed)  # the instance is being made
    if self.instances is not None and self.instances < 1:
      raise SymtuneError(
        f"Instructions.instances: got {self.instances}, expected at least 1, or None."
      )


def _parse(
  settings: Ingredient | Skill | Instructions, name: str, choices: type[enum.Enum]
) -> None:
  """Turns the name of a choice into the choice; refuses what is not one."""
  where = f"{type(settings).__name__}.{name}"
  value = parse_choice(choices, getattr(settings, name), where)
  object.__setattr__(settings, name, value)  # the instance is being made
