"""A recipe -> a folder with a teacher's answers, a tuned student, and a report.

  teacher.jsonl    what the teacher answered, with checksums (append-only)
  rows.jsonl       what the student learns from, with teacher and licence in every row
  rejected.jsonl   what was left out, with reasons
  student/         the run folder of the tuning, with its checkpoints
  answers.jsonl    what all models answered to the tasks held out (append-only)
  report.md, report.html

Each stage checks what the folder holds and does the rest, so that a run that was killed
anywhere goes on and gives the same bytes.
"""

import dataclasses
import functools
import hashlib
import pathlib
import tempfile
from collections.abc import Sequence

import rich.console

from symtune.data.instruction_prompts import DEFAULT_ENCODING, check_encodings
from symtune.errors import SymtuneError
from symtune.experiment.build import Experiment
from symtune.experiment.folder import claim_folder, git_commit
from symtune.experiment.planning.slices import Slice
from symtune.experiment.recipe_json import to_plain_json
from symtune.experiment.tokens import Reader
from symtune.files import write_whole
from symtune.instruct.answerers import Answerer, open_all
from symtune.instruct.distil.costs import (
  Cost,
  answering_cost,
  cost_table,
  count_parameters,
  tuning_cost,
)
from symtune.instruct.distil.report import report_distillation
from symtune.instruct.distil.settings import Distillation
from symtune.instruct.distil.sift import Sifted, sift
from symtune.instruct.distil.student import (
  Inputs,
  build_student,
  student_answerers,
  tune,
)
from symtune.instruct.distil.tasks import Lessons, read_lessons
from symtune.instruct.distil.teach import Taught, recorded, teach
from symtune.instruct.distil.teacher import OpenTeacher, open_teacher
from symtune.instruct.evaluate import ANSWERS_FILE, evaluate
from symtune.instruct.questions import Question, check_readable, make_questions
from symtune.instruct.rows import AnswerRow
from symtune.instruct.tasks import fingerprint_of
from symtune.probe.run import RunContext
from symtune.report.lab.content import Content
from symtune.report.tables import Table

TEACHER_FILE, ROWS_FILE, REJECTED_FILE = "teacher.jsonl", "rows.jsonl", "rejected.jsonl"
STUDENT = "student"  # folder
_DATA_AUTHOR = "the data"  # teaches where a recipe names no model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
  """All that can be known and checked before anything is asked.

  Attributes:
    recipe: all settings.
    inputs: where the student's data are.
    lessons: the tasks of both sides.
    to_teach: questions to the teacher.
    to_ask: questions to the student.
    teacher: the teacher; None takes the outputs of the data.
    rules: baselines that are asked, too.
    reader: how students read their questions.
  """

  recipe: Distillation
  inputs: Inputs
  lessons: Lessons
  to_teach: tuple[Question, ...]
  to_ask: tuple[Question, ...]
  teacher: OpenTeacher | None
  rules: tuple[Answerer, ...]
  reader: Reader

  @property
  def teacher_name(self) -> str:
    """Who taught, for people."""
    return self.recipe.teacher.model or _DATA_AUTHOR

  @functools.cached_property
  def costs(self) -> tuple[Cost, ...]:
    """What the stages cost."""
    return _costs(self)

  def plan(self, target: Slice) -> Table:
    """The cost of each stage, with its time on a slice."""
    return cost_table(self.costs, target)


def prepare(recipe: Distillation, inputs: Inputs) -> Prepared:
  """Reads and checks everything, before anybody is asked.

  Args:
    recipe: all settings.
    inputs: where the student's data are.

  Raises:
    SymtuneError: data, models or settings are missing or do not fit.
  """
  lessons = read_lessons(recipe, inputs.data_dir)
  form = lessons.taught[0].form
  encodings = (recipe.teacher.encoding or DEFAULT_ENCODING[form],)
  check_encodings(lessons.taught, encodings, "Teacher.encoding")
  check_encodings(lessons.held_out, recipe.asked_encodings, "Distillation.encodings")
  to_teach = make_questions(lessons.taught, encodings)
  to_ask = make_questions(lessons.held_out, recipe.asked_encodings)
  experiment = _rehearse(recipe, to_teach, inputs)
  reader = Reader(
    vocab=experiment.vocab,
    max_inputs=recipe.max_inputs,
    max_targets=recipe.max_targets,
  )
  check_readable(to_ask, reader.tokenizer)
  rules = open_all(recipe.baselines, reader, pathlib.Path(), None)
  teacher = open_teacher(recipe.teacher) if recipe.teacher.model else None
  return Prepared(
    recipe=recipe,
    inputs=inputs,
    lessons=lessons,
    to_teach=to_teach,
    to_ask=to_ask,
    teacher=teacher,
    rules=tuple(rules),
    reader=reader,
  )


def run_distillation(
  prepared: Prepared, out: pathlib.Path, console: rich.console.Console, *, gin: str = ""
) -> Content:
  """Teaches, sifts, tunes, evaluates and reports; stages that are done are skipped.

  Args:
    prepared: from `prepare`.
    out: the folder; an interrupted run goes on there.
    console: shows progress.
    gin: the recipe's operative configuration, kept in the folder.

  Returns:
    What the report says.

  Raises:
    SymtuneError: the folder holds another run or is damaged, or no answer of the
      teacher is any good.
    KeyboardInterrupt: a signal stopped the tuning; the same call continues it.
  """
  recipe = prepared.recipe
  config = _config(prepared)
  config_hash = hashlib.sha256(config.encode()).hexdigest()[:16]
  with claim_folder(
    out, recipe=recipe.name, config_hash=config_hash, config=config, gin=gin
  ):
    taught = _teach(prepared, out / TEACHER_FILE, console)
    sifted = sift(
      prepared.to_teach,
      taught,
      teacher=prepared.teacher_name,
      licence=recipe.teacher.licence,
    )
    experiment = _write_and_build(prepared, sifted, out)
    tune(experiment, out / STUDENT, console)
    context = RunContext(
      config_hash=config_hash, vocab_hash="", git_commit=git_commit()
    )
    answerers = _answerers(prepared, experiment, out)
    path = out / ANSWERS_FILE
    rows = evaluate(answerers, prepared.to_ask, path, context, console)
    return _report(prepared, sifted, rows, out)


def _rehearse(
  recipe: Distillation, questions: Sequence[Question], inputs: Inputs
) -> Experiment:
  """The student's experiment with the outputs of the data in place of the teacher's.

  So whatever is wrong with it is found before the teacher has worked for hours.
  """
  stand_in = sift(questions, recorded(questions, ""), teacher="", licence="")
  with tempfile.TemporaryDirectory() as folder:
    rows = pathlib.Path(folder) / ROWS_FILE
    rows.write_text(stand_in.rows(), encoding="utf-8")
    return build_student(recipe.student, rows, inputs)


def _costs(prepared: Prepared) -> tuple[Cost, ...]:
  recipe, teacher = prepared.recipe, prepared.teacher
  vocab = prepared.reader.tokenizer.vocab
  tuning = tuning_cost(recipe.student)
  size = count_parameters(recipe.student)
  costs = [tuning]
  asked: dict[str, tuple[int, int | None]] = {"ask the student, twice": (2, size)}
  if teacher is not None:
    parameters = teacher.label.parameters
    teaching = answering_cost(
      "ask the teacher",
      prepared.to_teach,
      vocab,
      recipe.teacher.sampling.max_tokens,
      parameters,
    )
    price = recipe.teacher.server.cost(teaching.read, teaching.written)
    costs.insert(0, dataclasses.replace(teaching, price=price))
    if recipe.teacher.is_asked:
      asked["ask the teacher what the student is asked"] = (1, parameters)
  for stage, (times, parameters) in asked.items():
    questions = [*prepared.to_ask] * times
    costs.append(
      answering_cost(stage, questions, vocab, recipe.max_targets, parameters)
    )
  return tuple(costs)


def _config(prepared: Prepared) -> str:
  """Everything that the results depend on, as JSON."""
  lessons, teacher = prepared.lessons, prepared.teacher
  return to_plain_json(
    {
      "recipe": dataclasses.asdict(prepared.recipe),
      "taught": fingerprint_of(lessons.taught),
      "held_out": fingerprint_of(lessons.held_out),
      "teacher": None if teacher is None else teacher.label.identity,
    }
  )


def _teach(
  prepared: Prepared, path: pathlib.Path, console: rich.console.Console
) -> list[Taught]:
  recipe, teacher = prepared.recipe, prepared.teacher
  if teacher is None:
    return recorded(prepared.to_teach, _DATA_AUTHOR)
  return teach(
    teacher.generator,
    prepared.to_teach,
    recipe.teacher.sampling,
    recipe.seed,
    path,
    console,
  )


def _write_and_build(
  prepared: Prepared, sifted: Sifted, out: pathlib.Path
) -> Experiment:
  if not sifted.num_kept:
    raise SymtuneError(
      f"{out}: none of the teacher's {len(sifted.judged)} answers is good enough to "
      f"learn from: {dict(sifted.rejected)}. Look at {TEACHER_FILE}; raise "
      f"Sampling.max_tokens, or take another teacher."
    )
  write_whole(out / ROWS_FILE, sifted.rows())
  write_whole(out / REJECTED_FILE, sifted.leftovers())
  return build_student(prepared.recipe.student, out / ROWS_FILE, prepared.inputs)


def _answerers(
  prepared: Prepared, experiment: Experiment, out: pathlib.Path
) -> list[Answerer]:
  """The student before and after, then rules, then the teacher."""
  recipe, teacher = prepared.recipe, prepared.teacher
  found = student_answerers(experiment, out / STUDENT, prepared.reader)
  found += prepared.rules
  if teacher is not None and recipe.teacher.is_asked:
    found.append(teacher.as_answerer(recipe.teacher, recipe.max_targets))
  return found


def _report(
  prepared: Prepared, sifted: Sifted, rows: Sequence[AnswerRow], out: pathlib.Path
) -> Content:
  return report_distillation(
    out,
    prepared.lessons,
    sifted,
    prepared.costs,
    prepared.to_ask,
    rows,
    is_suite=bool(prepared.recipe.data.suite),
  )
