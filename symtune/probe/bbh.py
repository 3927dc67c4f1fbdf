"""BIG-Bench Hard: what does tuning cost in reasoning?

Suzgun et al. 2022 (arXiv 2210.09261), as Wei et al. 2023 report it before and after
symbol tuning (appendix C): three exemplars of the same task, answered directly. The
published exemplars come with reasoning and are not in the data files, so ours are drawn
from the task's other questions, per seed and question.

A question that lists its options is answered by ranking them, and so is one of a task
with two answers in all, yes and no; every other answer is generated and must be equal.
T5's vocabulary has no braces and angle brackets, so `dyck_languages` cannot be answered
by a T5 model: it stays in, and counts as wrong.

`bbh/<task>.json` holds {"examples": [{"input": ..., "target": ...}, ...]}.
"""

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Iterator, Sequence

from symtune.cards.card import Task
from symtune.data.prompts import Prompt, PromptFormat
from symtune.data.rng import keyed_generator
from symtune.errors import SymtuneError
from symtune.probe.data_files import find_data, parse_json, read_text
from symtune.probe.made import fingerprint, open_prompt
from symtune.probe.probe import AnswerKind, ProbeItem, ProbeSettings

_OPTION = re.compile(r"^(\([A-Z]\)|- \S.*)", re.MULTILINE)
_FEW_ANSWERS = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class BbhTask:
  """One task: its name and its questions with their answers."""

  name: str
  pairs: tuple[tuple[str, str], ...]

  @property
  def targets(self) -> tuple[str, ...]:
    """Its different answers, sorted."""
    return tuple(sorted({target for _, target in self.pairs}))


class Bbh:
  """Accuracy by task."""

  name = "bbh"

  def __init__(self, data_dir: pathlib.Path | None, shots: int = 3):
    """Says where the folder `bbh` is, and how many exemplars are shown."""
    self._data_dir = data_dir
    self.shots = shots

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[BbhTask, ...]:
    """Its tasks, in order of name; the suite's play no part.

    Raises:
      SymtuneError: the folder or a file is missing or damaged.
    """
    del tasks, settings
    folder = find_data(self._data_dir, "bbh", self.name)
    paths = sorted(folder.glob("*.json"))
    if not paths:
      raise SymtuneError(f"{folder} holds no .json files, expected the tasks of BBH.")
    return tuple(read_bbh_task(path, self.shots) for path in paths)

  def items(self, subject: BbhTask, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """One item per seed and question."""
    digest = fingerprint(subject.name, subject.pairs)
    order = keyed_generator(digest, "queries").permutation(len(subject.pairs))
    queries = [int(i) for i in order[: settings.max_queries]]
    for seed, query in itertools.product(settings.seeds, queries):
      text, target = subject.pairs[query]
      rng = keyed_generator(seed, digest, query, "exemplars")
      others = [p for p in subject.pairs if p[0] != text]
      shown = [others[int(i)] for i in rng.permutation(len(others))[: self.shots]]
      prompt = open_prompt(shown, text, target, PromptFormat.Q_A)
      options = _options(subject, text)
      ranked = target in options
      if ranked:
        prompt = _with_options(prompt, options, target)
      yield ProbeItem(
        probe=self.name,
        setting=f"{self.shots} exemplars",
        task=f"bbh_{subject.name}",
        seed=seed,
        query=query,
        prompt=prompt,
        context=None,
        prior=prompt.answer,
        kind=settings.kind if ranked else AnswerKind.GENERATE,
        fingerprint=digest,
      )


def read_bbh_task(path: pathlib.Path, shots: int) -> BbhTask:
  """Reads and checks one file.

  Raises:
    SymtuneError: it is malformed or has too few questions; names the file.
  """
  values = parse_json(read_text(path), str(path))
  try:
    pairs = tuple((_text(e["input"]), _text(e["target"])) for e in values["examples"])
  except (KeyError, TypeError) as error:
    raise SymtuneError(
      f"{path}: expected examples with an input and a target, both text ({error!r})."
    ) from error
  if len({text for text, _ in pairs}) <= shots:
    raise SymtuneError(
      f"{path}: got {len(pairs)} questions, expected more than {shots} different ones."
    )
  return BbhTask(name=path.stem, pairs=pairs)


def _options(task: BbhTask, text: str) -> tuple[str, ...]:
  """The options that a question lists, or a task's few answers; else none."""
  listed = [o.removeprefix("- ").strip() for o in _OPTION.findall(text)]
  if len(set(listed)) > 1:
    return tuple(dict.fromkeys(listed))
  return task.targets if len(task.targets) == _FEW_ANSWERS else ()


def _with_options(prompt: Prompt, options: tuple[str, ...], target: str) -> Prompt:
  """The same turns; exemplars are dropped evenly if too long, whatever they answer."""
  return dataclasses.replace(prompt, choices=options, answer=options.index(target))


def _text(value: object) -> str:
  if not isinstance(value, str):
    raise TypeError(f"got {value!r}")
  return value
