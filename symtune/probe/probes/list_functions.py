"""List functions: which function turned these lists into these lists?

The 250 functions of Rule 2020, as in BIG-bench and in Wei et al. 2023 (arXiv
2305.08298, section 5): after four input-output pairs, the generated output of a fifth
input must equal the given one; accuracy is averaged over functions. The paper does not
name its 20 functions (the highest human accuracy), so `SELECTION` is our own: simple
functions that remove elements, modify the list, or ignore the input.

`list_functions.jsonl` holds one function per line: {"concept": "c001", "examples":
[{"input": [...], "output": [...]}, ...], ...}.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from symtune.cards.card import Task
from symtune.data.rng import keyed_generator
from symtune.errors import SymtuneError
from symtune.probe.data_files import find_data, parse_json, read_text
from symtune.probe.made import fingerprint, open_prompt
from symtune.probe.probe import AnswerKind, ProbeItem, ProbeSettings

FILE = "list_functions.jsonl"
# fmt: off
SELECTION = (
  "c037", "c041", "c042", "c043", "c044", "c045", "c046", "c048", "c049", "c050",
  "c062", "c064", "c070", "c077", "c078", "c080", "c090", "c091", "c101", "c102",
)
# fmt: on
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
    functions: tuple[str, ...] | None = None,
    shots: int = 4,
    queries: int = 2,
  ):
    """Chooses functions and questions.

    Args:
      data_dir: where `list_functions.jsonl` is, or the folder below it.
      functions: names; None for all in the file, `SELECTION` for our twenty.
      shots: pairs shown; 4 in the paper.
      queries: questions per function and seed.
    """
    self._data_dir = data_dir
    self.functions = functions
    self.shots = shots
    self.queries = queries

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[tuple[ListFunction, ...], ...]:
    """The functions in groups of fifty; the tasks are not used.

    Raises:
      SymtuneError: the file is missing or damaged, or lacks a function or pairs.
    """
    del tasks, settings
    path = find_data(self._data_dir, FILE, self.name)
    read = {f.name: f for f in read_functions(path)}
    names = self.functions or tuple(read)
    missing = [name for name in names if name not in read]
    if missing:
      raise SymtuneError(f"{path}: got no {missing}. Use a file that has them.")
    short = [name for name in names if len(read[name].pairs) <= self.shots]
    if short:
      raise SymtuneError(
        f"{path}: functions {short[:3]} have too few pairs, expected more than "
        f"{self.shots}: those shown and one to ask about."
      )
    chosen = [read[name] for name in names]
    size = _FUNCTIONS_PER_SUBJECT
    return tuple(tuple(chosen[i : i + size]) for i in range(0, len(chosen), size))

  def items(
    self, subject: tuple[ListFunction, ...], settings: ProbeSettings
  ) -> Iterator[ProbeItem]:
    """Per function and seed, `queries` items, each about a different pair."""
    setting = "all" if self.functions is None else f"{len(self.functions)} chosen"
    for function in subject:
      pairs = function.pairs
      for seed in settings.seeds:
        rng = keyed_generator(seed, self.name, function.name)
        order = [int(i) for i in rng.permutation(len(pairs))]
        for query in order[: min(self.queries, settings.max_queries)]:
          others = [i for i in order if i != query]
          shown = rng.permutation(others)[: self.shots]
          yield ProbeItem(
            probe=self.name,
            setting=setting,
            task=function.name,
            seed=seed,
            query=query,
            prompt=open_prompt([pairs[i] for i in shown], *pairs[query]),
            context=0,
            prior=None,
            kind=AnswerKind.GENERATE,
            fingerprint=fingerprint(function.name, pairs),
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
