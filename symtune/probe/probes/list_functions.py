"""List functions: which function turned these lists into these lists?

Functions of Rule 2020, as in BIG-bench and in Wei et al. 2023 (arXiv 2305.08298,
section 5): after four input-output pairs in one of the ten formats, the generated
output of a fifth input must equal the given one; accuracy is averaged over functions.

The paper asks about the 20 functions with the highest human accuracy, in five
categories, of which we know three: remove elements, modify the list, independent of the
input. Neither the functions nor the accuracies are at hand, so `SELECTION` is our own:
four simple functions of each of these three, and of two categories of our own. Each
category is a setting. A model that gives the last output again is right about the
functions that ignore their input; the report says how often such rules are right.

`list_functions.jsonl` holds one function per line: {"concept": "c001", "examples":
[{"input": [...], "output": [...]}, ...], ...}.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from symtune.cards.card import Task
from symtune.data.rng import keyed_generator
from symtune.errors import SymtuneError
from symtune.probe.data_files import find_data, parse_json, read_text
from symtune.probe.made import draw_format, fingerprint, fixed_rules, open_prompt
from symtune.probe.probe import AnswerKind, ProbeItem, ProbeSettings

FILE = "list_functions.jsonl"
# By category; the comments say what the functions do to a list.
SELECTION = {
  # Keep the first; drop the first, the last, or both ends.
  "remove elements": ("c048", "c049", "c062", "c064"),
  # Append 3; prepend 7; repeat the first element, or the whole list.
  "modify the list": ("c037", "c046", "c050", "c070"),
  # Always [9], [5, 2], [8, 2, 7, 0, 3], or a list of ten.
  "input-independent": ("c041", "c042", "c043", "c044"),
  # Nothing, for small and for large numbers; first to the end; reverse.
  "keep or reorder": ("c045", "c102", "c066", "c080"),
  # The last, the length, the largest, the sum.
  "one number": ("c061", "c077", "c078", "c079"),
}
_FUNCTIONS_PER_SUBJECT = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListFunction:
  """One function: its name and its pairs of lists, as text."""

  name: str
  pairs: tuple[tuple[str, str], ...]


class ListFunctions:
  """Share of exact outputs, by function."""

  name = "list_functions"

  def __init__(
    self,
    data_dir: pathlib.Path | None,
    *,
    functions: Mapping[str, tuple[str, ...]] | None = SELECTION,
    shots: int = 4,
    queries: int = 5,
  ):
    """Chooses functions and questions.

    Args:
      data_dir: where `list_functions.jsonl` is, or the folder below it.
      functions: names by setting; None for all in the file, as one setting.
      shots: pairs shown; 4 in the paper.
      queries: questions per function and seed.
    """
    self._data_dir = data_dir
    self.functions = functions
    self.shots = shots
    self.queries = queries

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[tuple[str, tuple[ListFunction, ...]], ...]:
    """Settings and their functions, at most fifty at once; the tasks are not used.

    Raises:
      SymtuneError: the file is missing or damaged, or lacks a function or pairs.
    """
    del tasks, settings
    path = find_data(self._data_dir, FILE, self.name)
    read = {f.name: f for f in read_functions(path)}
    by_setting = {"all": tuple(read)} if self.functions is None else self.functions
    names = [name for some in by_setting.values() for name in some]
    missing = [name for name in names if name not in read]
    if missing:
      raise SymtuneError(f"{path}: got no {missing}. Use a file that has them.")
    short = [name for name in names if len(read[name].pairs) <= self.shots]
    if short:
      raise SymtuneError(
        f"{path}: functions {short[:3]} have too few pairs, expected more than "
        f"{self.shots}: those shown and one to ask about."
      )
    size = _FUNCTIONS_PER_SUBJECT
    return tuple(
      (setting, tuple(read[name] for name in some[start : start + size]))
      for setting, some in by_setting.items()
      for start in range(0, len(some), size)
    )

  def items(
    self, subject: tuple[str, tuple[ListFunction, ...]], settings: ProbeSettings
  ) -> Iterator[ProbeItem]:
    """Per function and seed, `queries` items, each about a different pair."""
    setting, functions = subject
    for function in functions:
      pairs = function.pairs
      for seed in settings.seeds:
        rng = keyed_generator(seed, self.name, function.name)
        order = [int(i) for i in rng.permutation(len(pairs))]
        for query in order[: min(self.queries, settings.max_queries)]:
          others = [i for i in order if i != query]
          shown = [pairs[i] for i in rng.permutation(others)[: self.shots]]
          prompt_format = draw_format(seed, self.name, function.name, query)
          yield ProbeItem(
            probe=self.name,
            setting=setting,
            task=function.name,
            seed=seed,
            query=query,
            prompt=open_prompt(shown, *pairs[query], prompt_format),
            context=0,
            prior=None,
            kind=AnswerKind.GENERATE,
            fingerprint=fingerprint(function.name, pairs),
            references=fixed_rules(shown, pairs[query][0]),
          )


def read_functions(path: pathlib.Path) -> list[ListFunction]:
  """Reads and checks the file.

  Raises:
    SymtuneError: a line is malformed; the message names file and line.
  """
  functions = []
  for number, line in enumerate(read_text(path).splitlines(), start=1):
    where = f"{path}, line {number}"
    values = parse_json(line, where)
    try:
      pairs = tuple(
        (_list_text(e["input"]), _list_text(e["output"])) for e in values["examples"]
      )
      functions.append(ListFunction(name=str(values["concept"]), pairs=pairs))
    except (KeyError, TypeError) as error:
      raise SymtuneError(
        f"{where}: expected a concept and examples with an input and an output, each "
        f"a list of whole numbers ({error!r})."
      ) from error
  return functions


def _list_text(values: Any) -> str:
  """[3, 4] -> "[3, 4]"."""
  if not isinstance(values, list) or any(type(v) is not int for v in values):
    raise TypeError(f"got {values!r}")
  return str(values)
