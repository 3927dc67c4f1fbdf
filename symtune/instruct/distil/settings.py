"""The content of a recipe for distilling: who teaches what to whom, and who asks."""

import dataclasses

from symtune.checks import parse_choice
from symtune.data.ingredients import Instructions
from symtune.data.text.instructions import Encoding, InstructionForm
from symtune.errors import SymtuneError
from symtune.experiment.recipe import Recipe
from symtune.instruct.answerers import BASELINE
from symtune.instruct.generate.generators import Sampling
from symtune.instruct.generate.models.server import ServerSettings
from symtune.instruct.tasks import MOST_INSTANCES

ANSWERS = Sampling(max_tokens=300, stops=("###",))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
  """Instruction data: files, or the tasks of a suite with their own instructions.

  Attributes:
    path: the file or folder, inside the data folder or absolute; "" with a suite.
    form: layout of the files; an `InstructionForm` or its name.
    tasks: a list of the folder's tasks that are used; "" takes all.
    suite: name of a suite in `tasks/suites`, in place of a path: each task asks its
      instruction about its texts, and its label words are the answers.
    num_tasks: how many of the tasks are used, drawn at random with the recipe's seed;
      None takes all.
    instances: most instances of a task, the first ones.
    leave_out: leave out and count rows without instruction or output.
  """

  path: str = ""
  form: InstructionForm = InstructionForm.ALPACA
  tasks: str = ""
  suite: str = ""
  num_tasks: int | None = None
  instances: int = MOST_INSTANCES
  leave_out: bool = False

  def __post_init__(self):
    form = parse_choice(InstructionForm, self.form, "Source.form")
    object.__setattr__(self, "form", form)  # the instance is being made
    if bool(self.path) == bool(self.suite):
      raise SymtuneError(
        f"Source: got path {self.path!r} and suite {self.suite!r}, expected one of "
        f"them."
      )
    if self.instances < 1:
      raise SymtuneError(
        f"Source.instances: got {self.instances}, expected at least 1."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Teacher:
  """Who answers the instructions.

  Attributes:
    model: a checkpoint, transformers:PATH or the address of a server, as `symtune
      instruct generate` takes it; "" takes the outputs of the data, which a model wrote
      earlier, such as those of Alpaca's file.
    licence: under which terms the teacher's answers may be used, and for what. It is
      kept with every row, and the report shows it.
    encoding: how it is asked; None takes the data's own.
    sampling: how its answers are drawn; one that reaches the largest number of tokens
      is left out. A model that does not end in Alpaca's templates goes on with another
      "### Instruction", which is a stop.
    vocab: its vocabulary, where none lies beside the checkpoint.
    dtype: float32 or bfloat16; None takes what the checkpoint says.
    server: how a server is asked.
    is_asked: whether it is evaluated beside the student.
  """

  model: str
  licence: str
  encoding: Encoding | None = None
  sampling: Sampling = ANSWERS
  vocab: str | None = None
  dtype: str | None = None
  server: ServerSettings = dataclasses.field(default_factory=ServerSettings)
  is_asked: bool = True

  def __post_init__(self):
    if self.encoding is not None:
      parsed = parse_choice(Encoding, self.encoding, "Teacher.encoding")
      object.__setattr__(self, "encoding", parsed)  # the instance is being made
    if not self.licence.strip():
      raise SymtuneError(
        "Teacher.licence: got no text, expected the terms under which the teacher's "
        "answers may be used, such as 'Apache-2.0' or 'research only: terms of X'."
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distillation:
  """A teacher's answers tune a student, which is evaluated on tasks it has not seen.

  Attributes:
    name: name of the recipe.
    seed: draws tasks and the teacher's answers.
    teacher: who answers.
    data: what the teacher is asked.
    held_out: number of tasks of `data` that are left to the evaluation, drawn at
      random; 0 takes `evaluation`.
    evaluation: what the student is asked; None takes the tasks held out.
    student: the recipe of its tuning. Its ingredient without a path gets the teacher's
      answers, as rows in Alpaca's layout.
    encodings: how the student is asked; none takes those that it is tuned with.
    baselines: names of rules that are asked, too (`instruct/answerers.py`).
    max_inputs: longest prompt of the evaluation in tokens.
    max_targets: longest answer of the evaluation in tokens.
  """

  name: str
  seed: int = 0
  teacher: Teacher
  data: Source
  held_out: int = 0
  evaluation: Source | None = None
  student: Recipe
  encodings: tuple[Encoding, ...] = ()
  baselines: tuple[str, ...] = ("baseline:copy_input",)
  max_inputs: int = 1024
  max_targets: int = 128

  def __post_init__(self):
    parsed = tuple(
      parse_choice(Encoding, one, "Distillation.encodings") for one in self.encodings
    )
    object.__setattr__(self, "encodings", parsed)  # the instance is being made
    models = [name for name in self.baselines if not name.startswith(BASELINE)]
    if models:
      raise SymtuneError(
        f"Distillation.baselines: got {models[0]!r}, expected names of rules such as "
        f"baseline:copy_input."
      )
    if (self.held_out > 0) == (self.evaluation is not None):
      raise SymtuneError(
        f"Distillation: got held_out {self.held_out} and "
        f"{'an' if self.evaluation else 'no'} evaluation, expected one of them."
      )
    if len(self._open_ingredients()) != 1:
      raise SymtuneError(
        f"Distillation.student: got {len(self._open_ingredients())} ingredients "
        f"Instructions without a path, expected one, which gets the teacher's answers."
      )

  @property
  def asked_encodings(self) -> tuple[Encoding, ...]:
    """How the student is asked."""
    (ingredient,) = self._open_ingredients()
    return self.encodings or tuple(ingredient.encodings) or (Encoding.ALPACA,)

  def _open_ingredients(self) -> list[Instructions]:
    ingredients = self.student.mixture.ingredients
    return [i for i in ingredients if isinstance(i, Instructions) and not i.path]
