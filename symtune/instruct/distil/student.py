"""Stage 4: rows -> Student. A recipe is tuned on a teacher's rows, in a run folder."""

import dataclasses
import functools
import pathlib

import rich.console

from symtune.data.batches.feed import FeedSettings
from symtune.data.ingredients import Instructions
from symtune.data.text.instructions import InstructionForm
from symtune.experiment.answerers import native_answerer
from symtune.experiment.build import Experiment, build_experiment
from symtune.experiment.folder import claim_folder
from symtune.experiment.recipe import Recipe
from symtune.experiment.recipe_json import recipe_to_json
from symtune.experiment.run import check_trainable, load_step, train_model
from symtune.experiment.tokens import Reader
from symtune.instruct.answerers import Answerer, Ready
from symtune.probe.run import CheckpointLabel

UNTUNED, TUNED = "untuned student", "tuned student"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
  """Where a student's data are.

  Attributes:
    data_dir: folder of rows, for ingredients besides the teacher's rows; or None.
    vocab: the student's vocabulary; None takes the recipe's own.
    feed: how batches are built ahead.
  """

  data_dir: str | None = None
  vocab: pathlib.Path | None = None
  feed: FeedSettings | None = None


def build_student(recipe: Recipe, rows: pathlib.Path, inputs: Inputs) -> Experiment:
  """The experiment of a student, checked, with the teacher's rows in its mixture.

  Args:
    recipe: its ingredient without a path gets the rows.
    rows: file in Alpaca's layout.
    inputs: where the rest is.

  Raises:
    SymtuneError: settings, data or vocabulary do not fit.
  """
  ingredients = tuple(
    dataclasses.replace(i, path=str(rows.resolve()), form=InstructionForm.ALPACA)
    if isinstance(i, Instructions) and not i.path
    else i
    for i in recipe.mixture.ingredients
  )
  mixture = dataclasses.replace(recipe.mixture, ingredients=ingredients)
  experiment = build_experiment(
    dataclasses.replace(recipe, mixture=mixture),
    data_dir=inputs.data_dir,
    vocab_path=inputs.vocab,
    feed=inputs.feed,
  )
  check_trainable(experiment)
  return experiment


def tune(
  experiment: Experiment, folder: pathlib.Path, console: rich.console.Console
) -> None:
  """Tunes a student; an unfinished run is continued.

  Args:
    experiment: from `build_student`.
    folder: its run folder.
    console: shows progress.

  Raises:
    SymtuneError: the folder belongs to another run, or training fails.
    KeyboardInterrupt: a signal stopped it; the same call continues it.
  """
  with claim_folder(
    folder,
    recipe=experiment.recipe.name,
    config_hash=experiment.config_hash,
    config=recipe_to_json(experiment.recipe),
    gin="",
  ):
    result = train_model(experiment, folder, console)
    if result.stopped_by is not None:
      raise KeyboardInterrupt(result.stopped_by)


def student_answerers(
  experiment: Experiment, folder: pathlib.Path, reader: Reader
) -> list[Answerer]:
  """The student before and after tuning, as an evaluation asks them.

  Args:
    experiment: the student.
    folder: its run folder.
    reader: how questions are read.
  """
  steps = {UNTUNED: 0, TUNED: experiment.recipe.train.steps}

  def read(name: str) -> Ready:
    label = CheckpointLabel(name=name, step=steps[name])
    params = load_step(experiment, folder, steps[name])
    answerer = native_answerer(reader, label, experiment.network, params, folder)
    return Ready(label=answerer.label, model=answerer.score)

  return [
    Answerer(name=name, vocab=experiment.vocab, read=functools.partial(read, name))
    for name in steps
  ]
