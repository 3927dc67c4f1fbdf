"""Models, tasks and probes -> results, without a recipe."""

import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

import rich.console

from symtune.checks import parse_choice
from symtune.data.text.symbols import SymbolCategory
from symtune.errors import SymtuneError
from symtune.experiment import run
from symtune.experiment.folder import claim_folder
from symtune.experiment.recipe_json import to_plain_json
from symtune.experiment.tokens import Reader
from symtune.lab.inquiry import (
  AskSettings,
  check_questions,
  make_inquiry,
)
from symtune.lab.models import LabModel, load
from symtune.lab.results import LabResults
from symtune.lab.tasks import LabTask
from symtune.lab.tasks import task as find_task
from symtune.probe.answer.calibrate import Calibration
from symtune.probe.probe import AnswerKind, ExemplarSets, Probe
from symtune.probe.probes.exemplars.choice import ExemplarChoice
from symtune.probe.questions import Inquiry

_VOTE = "baseline:neighbours"
NAME = "ask"  # what stands for the recipe in a folder's run.json


def ask(
  models: LabModel | str | Sequence[LabModel | str],
  tasks: LabTask | str | Sequence[LabTask | str],
  probes: str | Sequence[str | Probe] = ("settings",),
  *,
  k: int = 4,
  many_shots: int = 16,
  max_queries: int = 100,
  seeds: Sequence[int] = (0, 1, 2),
  answers: str = "rank",
  also_generate: bool = True,
  calibration: Sequence[str] = (),
  exemplars: str = "per_query",
  balanced: bool = True,
  symbols: Sequence[str] | None = None,
  data: str | os.PathLike[str] | None = None,
  out: str | os.PathLike[str] | None = None,
  quiet: bool = False,
) -> LabResults:
  """Asks every model the questions of some probes about some tasks.

  Args:
    models: what `load` gives or takes; the others are compared with the first.
    tasks: what `task` gives, or names of cards.
    probes: names of probes (`symtune.probe.catalog.PROBES`), or probes of your own.
    k: exemplars per class.
    many_shots: the same for the probes of arXiv 2303.03846, such as flip_share.
    max_queries: most queries per task, drawn at random.
    seeds: each draws its own exemplars, formats and symbols.
    answers: "rank" takes the likeliest choice, "generate" decodes an answer.
    also_generate: whether probes that need it also decode answers.
    calibration: calibration prompts to ask: "pmi", "contextual", "domain".
    exemplars: "per_query" or "random" draws them for each query; "per_seed" gives all
      queries of a task and seed the same ones, which decoder-only models read once;
      "similar" and "dissimilar" look them up with each query (BM25), the most similar
      one last. Then `baseline:neighbours`, a vote of the same exemplars, is asked too.
    balanced: whether exemplars that are looked up are as many of every class.
    symbols: categories of symbols; None takes those that all models know.
    data: folder for probes with data files of their own.
    out: folder of the results, where an interrupted call goes on; None keeps them until
      the results are gone.
    quiet: whether no progress is shown.

  Returns:
    The results.

  Raises:
    SymtuneError: an unknown probe, model or task, two models or tasks of one name, a
      question that a model cannot read, or a folder with other results.
  """
  opened = [load(m) if isinstance(m, str) else m for m in _as_list(models)]
  wanted = [find_task(t) if isinstance(t, str) else t for t in _as_list(tasks)]
  settings = AskSettings(
    shots=k,
    many_shots=many_shots,
    max_queries=max_queries,
    seeds=tuple(seeds),
    answers=parse_choice(AnswerKind, answers, "answers"),
    also_generate=also_generate,
    calibration=tuple(parse_choice(Calibration, c, "calibration") for c in calibration),
    exemplars=parse_choice(ExemplarSets, exemplars, "exemplars"),
    balanced=balanced,
    categories=None
    if symbols is None
    else tuple(parse_choice(SymbolCategory, c, "symbols") for c in symbols),
  )
  opened = _with_vote(opened, settings, _as_list(probes))
  _check_names(opened)
  vocabs = [model.vocab for model in opened if model.vocab is not None]
  inquiry = make_inquiry(
    [one.task for one in wanted],
    _as_list(probes),
    settings,
    vocabs,
    None if data is None else pathlib.Path(data),
  )
  _check_readable(opened, inquiry)
  console = rich.console.Console(stderr=True, quiet=quiet)
  about = {"tasks": [one.name for one in wanted], "settings": settings}
  folder = pathlib.Path(tempfile.mkdtemp(prefix="symtune_") if out is None else out)
  try:
    _ask_into(folder, opened, inquiry, about, console)
  except BaseException:
    if out is None:
      shutil.rmtree(folder)
    raise
  return LabResults(folder, _order(opened), is_temporary=out is None)


def _with_vote(
  models: Sequence[LabModel], settings: AskSettings, probes: Sequence[str | Probe]
) -> Sequence[LabModel]:
  """The models, and beside them a vote of the exemplars that were looked up.

  After relevant exemplars, models behave much like it (arXiv 2601.01290).
  """
  looks_up = settings.exemplars in (ExemplarSets.SIMILAR, ExemplarSets.DISSIMILAR)
  names = [probe if isinstance(probe, str) else probe.name for probe in probes]
  looks_up = looks_up or ExemplarChoice.name in names
  if not looks_up or any(model.name == _VOTE for model in models):
    return models
  return [*models, load(_VOTE)]


def _ask_into(
  folder: pathlib.Path,
  models: Sequence[LabModel],
  inquiry: Inquiry,
  about: dict[str, Any],
  console: rich.console.Console,
) -> None:
  config_hash = inquiry.config_hash
  with claim_folder(
    folder, recipe=NAME, config_hash=config_hash, config=to_plain_json(about), gin=""
  ):
    for model in models:
      run.ask(inquiry, model.answerer, model.vocab, folder, console)


def _order(models: Sequence[LabModel]) -> list[tuple[str, int]]:
  return [(model.name, model.opened.label.step) for model in models]


def _as_list(values: Any) -> list[Any]:
  return list(values) if isinstance(values, list | tuple) else [values]


def _check_names(models: Sequence[LabModel]) -> None:
  if not models:
    raise SymtuneError("ask: got no models, expected at least one.")
  names = _order(models)
  for name in names:
    if names.count(name) > 1:
      raise SymtuneError(
        f"ask: two models are called {name[0]!r}. Give one another name: "
        "load(..., called='...')."
      )


def _check_readable(models: Sequence[LabModel], inquiry: Inquiry) -> None:
  """Refuses questions that a model cannot read, once per vocabulary."""
  checked = set()
  for model in models:
    vocab = model.vocab
    if vocab is not None and vocab.fingerprint not in checked:
      checked.add(vocab.fingerprint)
      check_questions(inquiry, Reader(vocab=vocab).tokenizer)
