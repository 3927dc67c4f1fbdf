"""An episode that shows itself, can be changed by hand, and can be asked."""

import dataclasses
import html
from collections.abc import Sequence

import rich.console
import rich.panel
import rich.text

from symtune.checks import parse_choice
from symtune.data.episodes import Episode
from symtune.data.prompts import Prompt, PromptFormat
from symtune.data.remap import with_words
from symtune.data.text.symbols import SymbolCategory
from symtune.errors import SymtuneError
from symtune.lab.models import LabModel
from symtune.lab.scores import Scores
from symtune.probe.ask import Asker, Question, derange
from symtune.probe.probe import AnswerKind, ProbeItem
from symtune.report.lab.show import prompt_to_html, prompt_to_terminal


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabEpisode:
  """One query with its exemplars, as a prompt; every change gives a new episode.

  Attributes:
    episode: exemplars, query and label words.
    asker: draws symbols and renders, as the probes do.
    seed: seed of exemplars, format and symbols.
    prompt_format: the cues; None takes the format that was drawn.
    instruction: whether each turn starts with the task's instruction.
    is_edited: whether an exemplar has another class than its row; then the exemplars
      imply no answer for sure.
  """

  episode: Episode
  asker: Asker
  seed: int
  prompt_format: PromptFormat | None = None
  instruction: bool = False
  is_edited: bool = False

  @property
  def item(self) -> ProbeItem:
    """The question, as a probe would ask it."""
    episode, label = self.episode, self.episode.query.label
    own = episode.card.labels[label]
    words = episode.label_words
    question = Question(
      setting="episode",
      episode=episode,
      context=None if self.is_edited else label,
      prior=words.index(own) if own in words else None,
      instruction=self.instruction,
      prompt_format=self.prompt_format,
      kind=AnswerKind.RANK,
    )
    return self.asker.item(self.seed, question)

  @property
  def prompt(self) -> Prompt:
    """The rendered prompt, with its choices and the right answer."""
    return self.item.prompt

  @property
  def text(self) -> str:
    """The prompt as a model reads it."""
    return self.prompt.inputs

  @property
  def words(self) -> tuple[str, ...]:
    """What the classes are called."""
    return self.episode.label_words

  @property
  def answer(self) -> str:
    """The label word that is right for the query."""
    return self.words[self.episode.query.label]

  def flipped(self) -> "LabEpisode":
    """The label words change places, in the exemplars and in the right answer.

    Two words are swapped; more are deranged at random, as by the probe
    `flipped_labels`.
    """
    rng = self.asker.rng(self.seed, self.episode.query, "derange")
    order = derange(rng, len(self.words))
    return self.with_labels([self.words[i] for i in order])

  def with_labels(self, words: Sequence[str]) -> "LabEpisode":
    """Other label words, one per class in the order of the task's own.

    Raises:
      SymtuneError: the wrong number of words, or two that are the same.
    """
    names = self.episode.card.labels
    if len(words) != len(names) or len(set(words)) < len(words) or not all(words):
      raise SymtuneError(
        f"got the label words {list(words)}, expected {len(names)} different ones: one "
        f"for each of {', '.join(names)}."
      )
    return dataclasses.replace(self, episode=with_words(self.episode, tuple(words)))

  def with_symbols(self, category: str | None = None) -> "LabEpisode":
    """Symbols for the label words, drawn from those that no model was tuned on.

    Args:
      category: integers, combinations, words or nonce; None draws from all.

    Raises:
      SymtuneError: an unknown category, or one that this task's pool does not have.
    """
    kind = category and parse_choice(SymbolCategory, category, "category")
    there = self.asker.settings.pool.symbols
    if kind and kind not in there:
      raise SymtuneError(
        f"category {category}: expected one of {', '.join(there)}, the symbols that "
        "suit this task's models."
      )
    drawn = self.asker.with_symbols(self.episode, self.seed, kind or None)
    return dataclasses.replace(self, episode=drawn)

  def edit(
    self,
    *,
    exemplar: int | None = None,
    label: str | None = None,
    **fields: str,
  ) -> "LabEpisode":
    """Changes one exemplar, or the query, by hand.

    Args:
      exemplar: which exemplar, from 0; None changes the query.
      label: the label word that it gets; for the query, the right answer.
      **fields: new texts of its fields, such as `text="a dull film"`.

    Raises:
      SymtuneError: no such exemplar, label word or field, or nothing to change.
    """
    shown = self.episode.exemplars
    if exemplar is not None and not 0 <= exemplar < len(shown):
      raise SymtuneError(
        f"exemplar {exemplar}: expected 0 to {len(shown) - 1}, or None for the query."
      )
    old = self.episode.query if exemplar is None else shown[exemplar]
    unknown = sorted(fields.keys() - old.fields.keys())
    if unknown or (label is None and not fields):
      raise SymtuneError(
        f"got {', '.join(unknown) or 'nothing'} to change, expected label or a field: "
        f"{', '.join(old.fields)}."
      )
    if label is not None and label not in self.words:
      raise SymtuneError(
        f"label {label!r}: expected one of {', '.join(self.words)}, the label words of "
        "this episode. Change them all with with_labels."
      )
    place = old.label if label is None else self.words.index(label)
    new = dataclasses.replace(old, fields={**old.fields, **fields}, label=place)
    if exemplar is None:
      episode = dataclasses.replace(self.episode, query=new)
    else:
      changed = (*shown[:exemplar], new, *shown[exemplar + 1 :])
      episode = dataclasses.replace(self.episode, exemplars=changed)
    is_edited = self.is_edited or (exemplar is not None and place != old.label)
    return dataclasses.replace(self, episode=episode, is_edited=is_edited)

  def ask(self, *models: LabModel) -> Scores:
    """How likely each model finds each label word, in nats; one row per model."""
    if not models:
      raise SymtuneError("ask: got no model. Give one or more: episode.ask(model).")
    scores = [model.score_items([self.item]) for model in models]
    return sum(scores[1:], scores[0])

  def __str__(self) -> str:
    return f"{self.text} ({self.answer})"

  def __rich__(self) -> rich.console.RenderableType:
    prompt = self.prompt
    body = prompt_to_terminal(prompt.turns)
    body.append(f" {self.answer}", style="bold green")
    title = f"{self.episode.card.title}: {', '.join(self.words)}"
    return rich.panel.Panel(body, title=rich.text.Text(title), title_align="left")

  def _repr_html_(self) -> str:
    right = html.escape(self.answer)
    return (
      f'{prompt_to_html(self.prompt.turns)}<p style="opacity:.7">label words: '
      f"{html.escape(', '.join(self.words))}; right: <b>{right}</b></p>"
    )
