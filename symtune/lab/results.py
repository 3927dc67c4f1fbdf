"""Results of a notebook's or a run's questions: frames, tables, figures, episodes."""

import dataclasses
import os
import pathlib
import shutil
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console

from symtune.checks import parse_choice
from symtune.errors import SymtuneError
from symtune.files import CONTRASTS_FILE, QUESTIONS_FILE, RESULTS_FILE, RUN_FILE
from symtune.lab.picture import Picture
from symtune.probe.contrasts import read_contrasts
from symtune.probe.results import Results, read_results
from symtune.probe.texts import read_questions
from symtune.report.export.export import (
  ExportFormat,
  accuracies_to_csv,
  content_to_latex,
  results_to_json,
)
from symtune.report.export.latex import to_latex
from symtune.report.export.records import accuracy_records
from symtune.report.figures import accuracy_figure
from symtune.report.lab.episodes import AnsweredEpisode, Change, Wanted, find_episodes
from symtune.report.lab.join import keep_paired
from symtune.report.lab.page import write_page
from symtune.report.lab.show import episode_to_html, episode_to_terminal, table_to_html
from symtune.report.labels.reliance import measure_reliance
from symtune.report.labels.tables import reliance_table
from symtune.report.report import make_content
from symtune.report.results import PairedResults, pair_rows
from symtune.report.rules import Rule, apply_rule
from symtune.report.summary import summarize_settings
from symtune.report.tables import Table, headline_table, to_terminal

if TYPE_CHECKING:
  import pandas

_COLUMNS = (
  *("checkpoint", "step", "parameters", "probe", "setting", "task", "group"),
  *("seed", "query", "label", "context", "prior", "prediction", "correct", "chance"),
  *("choices", "log_likelihoods", "text", "exemplars"),
)


class LabResults:
  """Every answer of some models to some questions; shows its table in notebooks.

  Attributes:
    folder: holds results.jsonl and the text of every question.
    order: name and step of the models, the reference first.
  """

  def __init__(
    self,
    folder: str | os.PathLike[str],
    order: Sequence[tuple[str, int]] = (),
    *,
    is_temporary: bool = False,
  ):
    """Reads the results of a folder.

    Args:
      folder: of a run, of `symtune ask`, or saved by `save`.
      order: name and step of checkpoints, the reference first.
      is_temporary: whether the folder is removed when the results are gone.

    Raises:
      SymtuneError: there are no results, or they are damaged.
    """
    self.folder = pathlib.Path(folder)
    self.order = tuple(order)
    if is_temporary:
      weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
    self._rows = read_results(self.folder / RESULTS_FILE)

  @property
  def rows(self) -> Results:
    """The rows of results.jsonl, as columns."""
    return self._rows

  @property
  def frame(self) -> "pandas.DataFrame":
    """One line per answer: who was asked what, the answer, and nats per choice."""
    import pandas

    lines = [[getattr(row, name) for name in _COLUMNS] for row in self._rows]
    return pandas.DataFrame(lines, columns=pandas.Index(_COLUMNS))

  def paired(self, rule: str = "sum") -> PairedResults:
    """The questions that every model was asked, side by side.

    Args:
      rule: how log-likelihoods become answers: sum, token, byte, pmi, contextual,
        domain or batch.

    Raises:
      SymtuneError: an unknown rule, or one whose calibration was not asked.
    """
    rows = keep_paired(self._rows).rows
    answered = apply_rule(rows, parse_choice(Rule, rule, "rule"))
    return pair_rows(answered, self.order, read_contrasts(self.folder))

  def table(self, rule: str = "sum") -> "LabTable":
    """Accuracy by setting with 95% intervals, and differences from the first model."""
    results = self.paired(rule)
    settings = summarize_settings(results)
    return LabTable(table=headline_table(settings, results.checkpoints))

  def label_reliance(self, rule: str = "sum") -> "LabTable":
    """What rests on the names of labels, and its change from the first model.

    Natural labels minus symbols, minus nonce words, and the override rate under flipped
    labels, each where its probe was asked; no rows where none was.
    """
    results = self.paired(rule)
    found = measure_reliance(results)
    return LabTable(table=reliance_table(found, results.checkpoints))

  def accuracies(self, rule: str = "sum") -> "pandas.DataFrame":
    """Accuracy of every setting, group and task as shares with 95% intervals.

    One line per checkpoint, with its difference from the first model, both intervals
    and p-values; nothing stands where there is none.
    """
    import pandas

    return pandas.DataFrame(accuracy_records(self.paired(rule)))

  def export(self, form: str = "csv", rule: str = "sum") -> str:
    """The tables as text for other programs.

    Args:
      form: "csv" is `accuracies`, "json" has differences between settings and label
        reliance too, and "latex" all tables of the report for the package booktabs.
      rule: see `paired`.

    Raises:
      SymtuneError: another form, or an unknown rule.
    """
    kind = parse_choice(ExportFormat, form, "format")
    if kind is ExportFormat.CSV:
      return accuracies_to_csv(self.paired(rule))
    chosen = parse_choice(Rule, rule, "rule")
    if kind is ExportFormat.JSON:
      return results_to_json(self.paired(rule), chosen)
    return content_to_latex(make_content(self.folder, chosen, self.order))

  def plot(self, rule: str = "sum") -> Picture:
    """Accuracy by setting, one bar per model."""
    results = self.paired(rule)
    draw, size = accuracy_figure(summarize_settings(results), results.checkpoints)
    return Picture(draw, size)

  def episodes(
    self,
    *,
    probe: str | None = None,
    setting: str | None = None,
    task: str | None = None,
    changed: str | bool | None = None,
    text: str = "",
    limit: int = 20,
  ) -> "LabEpisodes":
    """Single questions with every model's answer.

    Args:
      probe: only of this probe.
      setting: only of this setting.
      task: only of this task.
      changed: only those that the last model answers otherwise than the first: True or
        "any", "right-wrong", "wrong-right", or "none" for the same answer.
      text: only prompts with this text.
      limit: at most so many.

    Raises:
      SymtuneError: there is no such probe, setting, task or change.
    """
    if isinstance(changed, bool):
      changed = "any" if changed else "none"
    kind = None if changed is None else parse_choice(Change, changed, "changed")
    wanted = Wanted(probe=probe, setting=setting, task=task, changed=kind, text=text)
    texts = read_questions(self.folder / QUESTIONS_FILE)
    found = find_episodes(self.paired(), texts, wanted)
    return LabEpisodes(
      episodes=tuple(episode for episode, _ in zip(found, range(limit), strict=False))
    )

  def report(self, path: str | os.PathLike[str] = "report.html") -> pathlib.Path:
    """Writes the lab report: one HTML file that needs no network and no server.

    Args:
      path: the file; replaced if it exists.

    Raises:
      SymtuneError: results.jsonl is damaged, or the disk is full.
    """
    target = pathlib.Path(path)
    texts = read_questions(self.folder / QUESTIONS_FILE)
    write_page(target, make_content(self.folder, order=self.order), texts)
    return target

  def save(self, folder: str | os.PathLike[str]) -> pathlib.Path:
    """Copies the results into a folder, from which `load` reads them again.

    Raises:
      SymtuneError: the folder has results already.
    """
    target = pathlib.Path(folder)
    if (target / RESULTS_FILE).exists():
      raise SymtuneError(f"{target} has results already. Choose another folder.")
    target.mkdir(parents=True, exist_ok=True)
    for name in (RESULTS_FILE, QUESTIONS_FILE, CONTRASTS_FILE, RUN_FILE):
      if (self.folder / name).exists():
        shutil.copyfile(self.folder / name, target / name)
    return target

  @classmethod
  def load(cls, folder: str | os.PathLike[str]) -> "LabResults":
    """The results of a saved folder, of a run, or of `symtune ask`."""
    return cls(folder)

  def __len__(self) -> int:
    return len(self._rows)

  def __rich__(self) -> rich.console.RenderableType:
    return self.table().__rich__()

  def _repr_html_(self) -> str:
    return self.table()._repr_html_()


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabTable:
  """A table that shows itself.

  Attributes:
    table: its content.
  """

  table: Table

  @property
  def frame(self) -> "pandas.DataFrame":
    """The cells as texts."""
    import pandas

    titles = pandas.Index([column.title for column in self.table.columns])
    return pandas.DataFrame(list(self.table.rows), columns=titles)

  def latex(self, label: str = "tab:symtune") -> str:
    """The table for LaTeX's package booktabs, with its title as caption."""
    return to_latex(self.table, label)

  def __str__(self) -> str:
    console = rich.console.Console(width=100, no_color=True, highlight=False)
    with console.capture() as capture:
      console.print(to_terminal(self.table))
    return capture.get()

  def __rich__(self) -> rich.console.RenderableType:
    return to_terminal(self.table)

  def _repr_html_(self) -> str:
    titles = [column.title for column in self.table.columns]
    return table_to_html(titles, self.table.rows)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabEpisodes(Sequence[AnsweredEpisode]):
  """Some answered episodes, which show themselves one below the other.

  Attributes:
    episodes: the episodes.
  """

  episodes: tuple[AnsweredEpisode, ...]

  def __len__(self) -> int:
    return len(self.episodes)

  def __getitem__(self, index):
    found = self.episodes[index]
    return LabEpisodes(episodes=found) if isinstance(index, slice) else found

  def __rich__(self) -> rich.console.Group:
    return rich.console.Group(*map(episode_to_terminal, self.episodes))

  def _repr_html_(self) -> str:
    return "".join(map(episode_to_html, self.episodes))
