"""An evaluation from its settings to its report, in a folder that can be continued."""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Sequence

import rich.console

from symtune.checks import check_types
from symtune.convert.tokenizer.read import read_vocab
from symtune.data.instruction_prompts import DEFAULT_ENCODING, check_encodings
from symtune.data.text.instructions import Encoding, InstructionForm, InstructionTask
from symtune.errors import SymtuneError
from symtune.experiment.folder import claim_folder, git_commit
from symtune.experiment.recipe_json import to_plain_json
from symtune.experiment.tokens import Reader
from symtune.instruct.answerers import Answerer, open_all
from symtune.instruct.evaluate import ANSWERS_FILE, evaluate
from symtune.instruct.overlaps import find_near_duplicates
from symtune.instruct.questions import Question, check_readable, make_questions
from symtune.instruct.report import write_report
from symtune.instruct.tasks import (
  MOST_INSTANCES,
  check_strict,
  fingerprint_of,
  read_tasks,
)
from symtune.probe.run import RunContext
from symtune.report.lab.content import Content

NAME = "instruct eval"  # what stands for the recipe in a folder's run.json


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalSettings:
  """What is asked, and how.

  Attributes:
    data: file or folder of instruction data.
    form: its layout.
    tasks: list of the test tasks, one name per line; None takes all.
    train: file or folder of the data that models were tuned on, in the same layout;
      None with `train_tasks` takes `data`.
    train_tasks: list of the training tasks; None with `train` takes all.
    encodings: how questions are asked; none takes the one of the layout.
    instances: most instances per task.
    leave_out: leave out and count rows without instruction or output.
    max_inputs: longest prompt in tokens; 1,024 in Wang et al. 2022.
    max_targets: longest answer in tokens; 128 in Wang et al. 2022.
  """

  data: pathlib.Path
  form: InstructionForm
  tasks: pathlib.Path | None = None
  train: pathlib.Path | None = None
  train_tasks: pathlib.Path | None = None
  encodings: tuple[Encoding, ...] = ()
  instances: int = MOST_INSTANCES
  leave_out: bool = False
  max_inputs: int = 1024
  max_targets: int = 128

  def __post_init__(self):
    check_types(self)
    for name in ("instances", "max_inputs", "max_targets"):
      if getattr(self, name) < 1:
        option = "--" + name.replace("_", "-")
        raise SymtuneError(f"{option}: got {getattr(self, name)}, expected at least 1.")


def run_evaluation(
  settings: EvalSettings,
  models: Sequence[str],
  out: pathlib.Path,
  console: rich.console.Console,
  *,
  vocab: pathlib.Path | None = None,
  dtype: str | None = None,
) -> Content:
  """Asks models the instances of instruction data, and writes answers and a report.

  Args:
    settings: what is asked, and how.
    models: models and baselines (`answerers`); the others are compared with the first.
    out: folder of answers.jsonl, report.md and report.html; an interrupted evaluation
      goes on there, and models can be added.
    console: shows progress.
    vocab: the vocabulary, where none lies beside a checkpoint.
    dtype: float32 or bfloat16; None takes what the checkpoint says.

  Returns:
    What the report says.

  Raises:
    SymtuneError: data, splits, models or encodings do not fit, or the folder holds
      another evaluation; nothing is asked then.
  """
  if not models:
    raise SymtuneError("instruct eval: got no model, expected at least one --model.")
  tasks, train = _read_split(settings)
  encodings = settings.encodings or (DEFAULT_ENCODING[settings.form],)
  check_encodings(tasks, encodings)
  questions = make_questions(tasks, encodings)
  near = None if train is None else find_near_duplicates(tasks, train)
  reader = Reader(
    vocab=None if vocab is None else read_vocab(vocab),
    max_inputs=settings.max_inputs,
    max_targets=settings.max_targets,
  )
  answerers = open_all(models, reader, out, dtype)
  _check_readable(answerers, questions, settings)
  asked = {
    "data": fingerprint_of(tasks),
    "form": str(settings.form),
    "encodings": [*map(str, encodings)],
    "instances": settings.instances,
    "max_inputs": settings.max_inputs,
    "max_targets": settings.max_targets,
  }
  config = to_plain_json(asked)
  config_hash = hashlib.sha256(config.encode()).hexdigest()[:16]
  with claim_folder(out, recipe=NAME, config_hash=config_hash, config=config, gin=""):
    context = RunContext(
      config_hash=config_hash, vocab_hash="", git_commit=git_commit()
    )
    rows = evaluate(answerers, questions, out / ANSWERS_FILE, context, console)
    return write_report(out, tasks, questions, rows, near)


def _read_split(
  settings: EvalSettings,
) -> tuple[tuple[InstructionTask, ...], tuple[InstructionTask, ...] | None]:
  """The test tasks, and the training tasks if any are given."""
  test_list, train_list = settings.tasks, settings.train_tasks
  if test_list and train_list:
    check_strict(test_list, train_list)
  if train_list and not test_list and settings.train is None:
    raise SymtuneError(
      f"--train-tasks {train_list}: it names tasks of --data, all of which are asked. "
      f"Name the test tasks with --tasks, or other data with --train."
    )
  read = functools.partial(
    read_tasks,
    form=settings.form,
    instances=settings.instances,
    leave_out=settings.leave_out,
  )
  tasks = read(settings.data, listed=test_list)
  if settings.train is None and train_list is None:
    return tasks, None
  return tasks, read(settings.train or settings.data, listed=train_list)


def _check_readable(
  answerers: Sequence[Answerer], questions: Sequence[Question], settings: EvalSettings
) -> None:
  """Refuses questions that a model cannot read, once per vocabulary."""
  vocabs = {a.vocab.fingerprint: a.vocab for a in answerers if a.vocab is not None}
  for vocab in vocabs.values():
    reader = Reader(
      vocab=vocab, max_inputs=settings.max_inputs, max_targets=settings.max_targets
    )
    check_readable(questions, reader.tokenizer)
