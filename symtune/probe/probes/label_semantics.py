"""Label semantics: how much accuracy is due to the meaning of the label words?

The same exemplars and query with seven to nine kinds of label words: the task's own, a
synonym of each, its own words swapped (a derangement, expected answers too), another
task's words, nonce words, and symbols of each category; and every label set of the
card, such as emoji or another language. Natural labels minus symbols is what meaning
adds; swapped labels show what unlearning it costs.
"""

from collections.abc import Iterator, Sequence

from symtune.cards.card import Task
from symtune.data.episodes import Episode
from symtune.data.remap import LabelMap, remap_labels, with_words
from symtune.data.rng import keyed_generator
from symtune.data.text.symbols import ALL_CATEGORIES, SymbolPool, draw_nonce_words
from symtune.errors import SymtuneError
from symtune.probe.ask import Asker, Question, ask_each, derange
from symtune.probe.probe import Compared, ProbeItem, ProbeSettings

# For each label word of the cards, another phrase with the same meaning.
SYNONYMS = {
  "subjective": "personal opinion",
  "objective": "plain fact",
  "hate": "contempt",
  "not hate": "no contempt",
  "none": "undecided",
  "against": "opposed",
  "favor": "supportive",
  "adverse drug event": "harmful side effect",
  "not adverse drug event": "no harmful side effect",
  "overruling": "overturning",
  "not overruling": "not overturning",
  "company": "business firm",
  "research institute": "scientific laboratory",
  "university": "college",
  "potentially unfair": "possibly unjust",
  "not potentially unfair": "hardly unjust",
  "complaint": "grievance",
  "no complaint": "no grievance",
  "Negative Sentiment": "unfavourable",
  "Positive Sentiment": "favourable",
  "Neutral Sentiment": "indifferent",
  "Entailment": "it follows",
  "Not Entailment": "it does not follow",
  "Contradiction": "it is ruled out",
  "Neither Entailment Nor Contradiction": "it may or may not be",
  "Offensive": "insulting",
  "Not Offensive": "not insulting",
  "Irony": "sarcasm",
  "Not Irony": "no sarcasm",
  "Duplicate": "repeated",
  "Not Duplicate": "not repeated",
  "Equivalent": "same meaning",
  "Not Equivalent": "other meaning",
  "true": "correct",
  "false": "wrong",
}

# Settings that every task has; a label set called "synonym" replaces the shipped words.
_TAKEN = ("natural", "swapped", "other task", "nonce", *map(str, ALL_CATEGORIES))


class LabelSemantics:
  """Accuracy by what the label words mean."""

  name = "label_semantics"
  # What the meaning of the words adds to each other kind of words.
  contrasts = (
    Compared(setting="natural"),
    Compared(setting="natural", minus="nonce", reliance="natural minus nonce"),
  )

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[tuple[Task, tuple[str, ...]], ...]:
    """Every task, with the label words of another task with as many classes.

    The fingerprint selects the other task among those that share no label word. If
    there is none, the words are empty and that setting is skipped.
    """
    pool = settings.pool
    return tuple((task, _other_words(task, tasks, pool)) for task in tasks)

  def items(
    self, subject: tuple[Task, tuple[str, ...]], settings: ProbeSettings
  ) -> Iterator[ProbeItem]:
    """Per seed and query, one item for each kind of label words."""
    task, other = subject
    asker = Asker(self.name, task, settings)

    def questions(seed: int, episode: Episode) -> list[Question]:
      return [
        *_meaningful(asker, seed, episode),
        *_meaningless(asker, seed, episode, other),
      ]

    return ask_each(asker, questions)


def _meaningful(asker: Asker, seed: int, episode: Episode) -> list[Question]:
  """Natural, synonym and swapped labels."""
  labels, label = episode.card.labels, episode.query.label
  asked = [Question(setting="natural", episode=episode, context=label, prior=label)]
  sets = dict(episode.card.label_sets)
  taken = [name for name in sets if name in _TAKEN]
  if taken:
    raise SymtuneError(
      f"card {episode.card.name}: key 'label_sets': {taken[0]!r} is the name of "
      "another setting of the probe label_semantics; choose another name."
    )
  if all(word in SYNONYMS for word in labels):
    sets = {"synonym": tuple(SYNONYMS[word] for word in labels)} | sets
  for setting, words in sets.items():
    named = with_words(episode, words)
    asked.append(Question(setting=setting, episode=named, context=label, prior=label))
  order = derange(asker.rng(seed, episode.query, "derange"), len(labels))
  swapped = with_words(episode, tuple(labels[i] for i in order))
  prior = order.index(label)
  return [
    *asked,
    Question(setting="swapped", episode=swapped, context=label, prior=prior),
  ]


def _meaningless(
  asker: Asker, seed: int, episode: Episode, other: tuple[str, ...]
) -> list[Question]:
  """Another task's labels, nonce words, and symbols of each category."""
  rng = asker.rng(seed, episode.query, "nonce labels")
  nonce = draw_nonce_words(rng, len(episode.card.labels))
  shown = {
    "other task": remap_labels(episode, LabelMap(symbols=other)) if other else None,
    "nonce": remap_labels(episode, LabelMap(symbols=nonce)),
  }
  for category in asker.settings.pool.symbols:
    shown[str(category)] = asker.with_symbols(episode, seed, category)
  label = episode.query.label
  return [
    Question(setting=setting, episode=remapped, context=label, prior=None)
    for setting, remapped in shown.items()
    if remapped is not None
  ]


def _other_words(
  task: Task, tasks: Sequence[Task], pool: SymbolPool
) -> tuple[str, ...]:
  own = pool.relevant_words(task.card.labels)
  fitting = sorted(
    {
      t.card.labels
      for t in tasks
      if len(t.card.labels) == len(task.card.labels)
      and not own & pool.relevant_words(t.card.labels)
    }
  )
  if not fitting:
    return ()
  rng = keyed_generator(task.fingerprint, "other task")
  return fitting[int(rng.integers(len(fitting)))]
