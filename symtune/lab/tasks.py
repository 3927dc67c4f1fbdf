"""A task of a notebook: any table of labelled texts, or a card by its name."""

import dataclasses
import html
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import rich.table
import rich.text

from symtune.cards.card import Task
from symtune.cards.examples import fingerprint
from symtune.cards.load import MICROWORLD_PREFIX, load_suite, load_task
from symtune.cards.table import TableSettings, make_task
from symtune.cards.write_card import write_task
from symtune.data.draw.index import Shots
from symtune.data.prompts import ALL_FORMATS, PromptFormat
from symtune.data.text.symbols import SymbolCategory
from symtune.errors import SymtuneError
from symtune.lab.episodes import LabEpisode
from symtune.lab.inquiry import symbol_pool
from symtune.probe.ask import Asker
from symtune.probe.probe import ProbeSettings

if TYPE_CHECKING:
  import pandas

TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
_SHOWN_ROWS = 3
# What recipe.symbols.categories of gin_configs/recipes/microworld.gin says.
_MICROWORLD = (SymbolCategory.NONCE,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabTask:
  """A task with its rows; shows itself in notebooks.

  Attributes:
    task: the card and its rows.
  """

  task: Task

  @property
  def name(self) -> str:
    """Its name in tables."""
    return self.task.card.name

  @property
  def labels(self) -> tuple[str, ...]:
    """What prompts call the classes."""
    return self.task.card.labels

  @property
  def categories(self) -> tuple[SymbolCategory, ...] | None:
    """The categories of symbols that suit its models; None stands for all."""
    return _MICROWORLD if self.name.startswith(MICROWORLD_PREFIX) else None

  @property
  def frame(self) -> "pandas.DataFrame":
    """Its rows: the text fields, the class's word and the split; the index is `row`."""
    import pandas

    return pandas.DataFrame(
      [
        {**e.fields, "label": self.labels[e.label], "split": e.split}
        for e in self.task.examples
      ],
      index=pandas.Index([e.row for e in self.task.examples], name="row"),
    )

  def episode(
    self,
    k: int = 4,
    seed: int = 0,
    query: int | None = None,
    *,
    instruction: bool = False,
    prompt_format: str | None = None,
  ) -> LabEpisode:
    """One query with k exemplars per class, as the probes draw them.

    Args:
      k: exemplars per class; 0 shows none.
      seed: draws exemplars, format and symbols.
      query: row of the query in `frame`; None takes the first that probes ask about.
      instruction: whether each turn starts with the task's instruction.
      prompt_format: name of a `PromptFormat`, such as "ARROW"; None draws one.

    Raises:
      SymtuneError: no such query or format, or too few rows for k exemplars.
    """
    rows = {e.row: e for e in self.task.queries}
    if query is not None and query not in rows:
      raise SymtuneError(
        f"query {query}: expected the row of a query of {self.name}, {min(rows)} to "
        f"{max(rows)}."
      )
    settings = ProbeSettings(
      pool=symbol_pool([], self.categories),
      shots=Shots(minimum=k, maximum=k),
      seeds=(seed,),
      max_queries=100 if query is None else len(rows),
    )
    asker = Asker("episode", self.task, settings)
    asked = asker.queries[0] if query is None else rows[query]
    return LabEpisode(
      episode=asker.episode(seed, asked),
      asker=asker,
      seed=seed,
      prompt_format=None if prompt_format is None else _parse_format(prompt_format),
      instruction=instruction,
    )

  def with_labels(self, words: Sequence[str]) -> "LabTask":
    """The task with other words for its classes, as its own: what probes call natural.

    Args:
      words: one per class, in the order of `labels`.

    Raises:
      SymtuneError: the wrong number of words, or two that are the same.
    """
    return self._with_card(labels=tuple(words), label_sets={})

  def with_label_sets(self, **sets: Sequence[str]) -> "LabTask":
    """The task with more words for its classes, which `label_semantics` asks with too.

    Args:
      **sets: for each name, one word per class: `emoji=["👎", "👍"]`.

    Raises:
      SymtuneError: the wrong number of words, or two that are the same.
    """
    known: Mapping[str, Any] = self.task.card.label_sets
    return self._with_card(
      label_sets={**known, **{n: tuple(words) for n, words in sets.items()}}
    )

  def save(self, folder: str | os.PathLike[str]) -> pathlib.Path:
    """Writes the card and the rows as files, and returns the card's path.

    Raises:
      SymtuneError: one of the files exists.
    """
    return write_task(self.task, pathlib.Path(folder))[0]

  def __len__(self) -> int:
    return len(self.task.examples)

  def __rich__(self) -> rich.table.Table:
    table = rich.table.Table(title=self._title(), title_justify="left")
    columns = [*self.task.card.fields, "label"]
    for column in columns:
      table.add_column(rich.text.Text(column))
    for e in self.task.examples[:_SHOWN_ROWS]:
      cells = [*(e.fields[f] for f in self.task.card.fields), self.labels[e.label]]
      table.add_row(*map(rich.text.Text, cells))
    return table

  def _repr_html_(self) -> str:
    shown = self.frame.head(_SHOWN_ROWS)._repr_html_()
    return f"<b>{html.escape(self._title())}</b>{shown}"

  def _title(self) -> str:
    counts = self.frame["label"].value_counts()
    classes = ", ".join(f"{label} {counts.get(label, 0)}" for label in self.labels)
    return f"{self.task.card.title}: {len(self)} rows ({classes})"

  def _with_card(self, **changes: Any) -> "LabTask":
    card = dataclasses.replace(self.task.card, **changes)
    print_of = fingerprint(card, self.task.examples)
    task = dataclasses.replace(self.task, card=card, fingerprint=print_of)
    return LabTask(task=task)


def task(
  table: Any,
  *,
  text: str | Sequence[str] | None = None,
  labels: str | None = None,
  words: Sequence[str] | Mapping[Any, str] | None = None,
  template: str | None = None,
  instruction: str | None = None,
  split: str | None = None,
  name: str | None = None,
  data: str | os.PathLike[str] | None = None,
) -> LabTask:
  """A task from a table of labelled texts, or a card with its rows.

  Args:
    table: a DataFrame, a Hugging Face data set, the path of a .csv, .tsv, .jsonl,
      .json or .parquet file; or the name of a card or of a microworld task, or the
      path of a card's .yaml.
    text: the column with the text, or several in the order in which they are shown.
    labels: the column with the labels.
    words: what prompts call the classes: one word per class in their sorted order, or a
      mapping from the column's values. None takes the values.
    template: text with a `{column}` slot per text column; None takes a line each.
    instruction: what a person would be told to do; None names the label words.
    split: the column that says "train" (exemplars) or "validation" (queries); None
      uses every row as both. A query is never among its own exemplars.
    name: name of the task; None takes the file's.
    data: for a card: the folder of its rows; None takes the folder of the card's file.

  Returns:
    The task.

  Raises:
    SymtuneError: no such table, card or column, an empty cell, or settings that do not
      belong to a card.
  """
  if isinstance(table, str | os.PathLike) and not is_table(table):
    if text is not None or labels is not None:
      raise SymtuneError(
        f"{os.fspath(table)}: text and labels name the columns of a table, expected "
        f"the path of one ({', '.join(TABLES)}). A card has its own."
      )
    return LabTask(task=load_task(table, data))
  if text is None or labels is None:
    raise SymtuneError(
      "a table needs the names of its columns: text='...' and labels='...'."
    )
  settings = TableSettings(
    text=(text,) if isinstance(text, str) else tuple(text),
    label=labels,
    words=None,
    template=template,
    instruction=instruction,
    split=split,
    name=name,
  )
  if isinstance(words, Mapping):
    settings = dataclasses.replace(
      settings, words={str(value): word for value, word in words.items()}
    )
  made = LabTask(task=make_task(table, settings))
  if words is None or isinstance(words, Mapping):
    return made
  if len(words) != len(made.labels):
    raise SymtuneError(
      f"words: got {list(words)}, expected {len(made.labels)}: one for each of "
      f"{', '.join(made.labels)}."
    )
  # Made again, so that the instruction names the words.
  settings = dataclasses.replace(
    settings, words=dict(zip(made.labels, words, strict=True))
  )
  return LabTask(task=make_task(table, settings))


def tasks(
  suite: str | os.PathLike[str], data: str | os.PathLike[str] | None = None
) -> list[LabTask]:
  """The tasks of a suite, such as "microworld_eval", which needs no data folder.

  Args:
    suite: name of a suite, or the path of its .yaml.
    data: folder with the rows of its cards.

  Raises:
    SymtuneError: no such suite, or rows that are missing or damaged.
  """
  return [LabTask(task=found) for found in load_suite(suite, data)]


def is_table(path: str | os.PathLike[str]) -> bool:
  """Whether a path names a table by its ending; other names are of cards."""
  return pathlib.PurePath(path).suffix.lower() in TABLES


def _parse_format(name: str) -> PromptFormat:
  try:
    return PromptFormat[name]
  except KeyError as error:
    choices = ", ".join(f.name for f in ALL_FORMATS)
    raise SymtuneError(f"prompt_format {name!r}: expected one of {choices}.") from error
