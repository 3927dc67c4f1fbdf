"""A small world of everyday words whose tasks need no data: "a fruit or a tool?".

Every category has words. A task takes two or three categories, puts each of their words
into one sentence, and asks for the category; the names of the categories are its
natural labels. So a small model that was trained to name things has real priors, and
symbol tuning must make it read the exemplars instead.

Training and evaluation are kept apart by construction, in the same way for every suite:

  categories   seen | unseen: no training task has an unseen category
  pairs        of seen categories, training | held out: some seen categories are kept
               apart, so that no training task has two of them
  sentences    training | evaluation: the sentences differ, so no text is shared, but
               they are made of the same words, so no word of a sentence is new

Evaluation therefore has two groups of tasks, of known and of unseen categories.

A base model is pre-trained on more than symbol tuning uses: its tasks have every
category, so that it knows what each word is called, but no pair that evaluation asks
about.

A word occurs once in a task, so a query's word is never among its exemplars. Nothing
is drawn at random: candidates are ranked by SHA-256 of the seed and their names.
"""

import dataclasses
import enum
import functools
import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Sequence

from symtune.cards import strict_yaml
from symtune.cards.card import Example, Source, Task, TaskCard, TaskType
from symtune.cards.examples import fingerprint
from symtune.errors import SymtuneError

# The groups of evaluation tasks: of held-out pairs, and of unseen categories.
KNOWN_CATEGORIES = "known categories"
UNSEEN_CATEGORIES = "unseen categories"
_WORD_SLOT = "{word}"


class Part(enum.StrEnum):
  """Which part of the world a suite uses."""

  BASE = "base"
  TRAIN = "train"
  EVAL = "eval"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Category:
  """A category: its label, how a sentence names it ("a fruit"), and its words."""

  name: str
  phrase: str
  words: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
  """The categories and sentences, and how many are held out for evaluation.

  Attributes:
    version: Number that goes up when words or sentences change.
    seed: Decides which categories, pairs and sentences are chosen.
    num_unseen_categories: Number of categories that no training task has.
    num_kept_apart: Number of other categories of which no training task has two.
    train_sentences: Sentences of the training tasks, with a `{word}` slot each.
    eval_sentences: Sentences of the evaluation tasks.
    categories: All categories.
  """

  version: int
  seed: int
  num_unseen_categories: int
  num_kept_apart: int
  train_sentences: tuple[str, ...]
  eval_sentences: tuple[str, ...]
  categories: tuple[Category, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """How many tasks of each kind a suite makes.

  Attributes:
    part: Base, training or evaluation.
    num_pairs: Number of two-way tasks; in evaluation, of categories kept apart.
    num_triples: Number of three-way tasks; 0 in evaluation.
    num_unseen_pairs: Number of two-way tasks of unseen categories; evaluation only.
  """

  part: Part
  num_pairs: int
  num_triples: int
  num_unseen_pairs: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Groups:
  """Names of categories and their combinations, each in its ranked order."""

  unseen: tuple[str, ...]
  kept_apart: tuple[str, ...]
  base_pairs: tuple[tuple[str, ...], ...]
  base_triples: tuple[tuple[str, ...], ...]
  train_pairs: tuple[tuple[str, ...], ...]
  train_triples: tuple[tuple[str, ...], ...]
  heldout_pairs: tuple[tuple[str, ...], ...]
  unseen_pairs: tuple[tuple[str, ...], ...]


def read_world(path: str | os.PathLike[str]) -> World:
  """Reads and checks `world.yaml`.

  Raises:
    SymtuneError: If keys, types or values are wrong; if a word occurs twice, in a
      sentence, or as the name of a category; or if a sentence does not have exactly
      one `{word}` slot. The message names the file and the key.
  """
  keys = strict_yaml.read_yaml(path)
  keys.check_keys(["version", "seed", "held_out", "sentences", "categories"])
  held_out = keys.section("held_out")
  held_out.check_keys(["categories", "kept_apart"])
  sentences = keys.section("sentences")
  sentences.check_keys([Part.TRAIN, Part.EVAL])
  world = World(
    version=keys.count("version"),
    seed=keys.count("seed"),
    num_unseen_categories=held_out.count("categories"),
    num_kept_apart=held_out.count("kept_apart"),
    train_sentences=sentences.texts(Part.TRAIN),
    eval_sentences=sentences.texts(Part.EVAL),
    categories=_read_categories(keys.section("categories")),
  )
  _check_sentences(sentences, world)
  _check_words(keys.section("categories"), world)
  num_seen = len(world.categories) - world.num_unseen_categories
  if num_seen < 2:
    raise held_out.error(
      "categories", f"leaves {num_seen} seen categories, expected 2 or more"
    )
  if world.num_kept_apart > num_seen:
    raise held_out.error(
      "kept_apart", f"got more than the {num_seen} categories there are"
    )
  return world


def read_plan(keys: strict_yaml.Section) -> Plan:
  """Reads the `world` mapping of a suite.

  Raises:
    SymtuneError: If keys, types or values are wrong; the message names file and key.
  """
  part = keys.values.get("part")
  if part not in list(Part):
    raise keys.error("part", f"got {part!r}, allowed: {', '.join(Part)}")
  if part != Part.EVAL:
    keys.check_keys(["part", "pairs", "triples"])
    return Plan(
      part=Part(part),
      num_pairs=keys.count("pairs"),
      num_triples=keys.count("triples"),
      num_unseen_pairs=0,
    )
  keys.check_keys(["part", "heldout_pairs", "unseen_pairs"])
  return Plan(
    part=Part.EVAL,
    num_pairs=keys.count("heldout_pairs"),
    num_triples=0,
    num_unseen_pairs=keys.count("unseen_pairs"),
  )


@functools.cache  # a quarter of a second; the tasks of a suite are asked for often
def make_tasks(world: World, plan: Plan) -> tuple[Task, ...]:
  """Returns the plan's tasks: pairs, then triples, then pairs of unseen categories.

  Tasks of evaluation carry their group.

  Raises:
    SymtuneError: If the world has fewer tasks of a kind than the plan asks for.
  """
  groups = split_groups(world)
  pairs, triples = {
    Part.BASE: (groups.base_pairs, groups.base_triples),
    Part.TRAIN: (groups.train_pairs, groups.train_triples),
    Part.EVAL: (groups.heldout_pairs, ()),
  }[plan.part]
  seen = (
    *_first(pairs, plan.num_pairs, f"{plan.part} pairs"),
    *_first(triples, plan.num_triples, f"{plan.part} triples"),
  )
  unseen = _first(groups.unseen_pairs, plan.num_unseen_pairs, "unseen pairs")
  is_eval = plan.part == Part.EVAL
  known = KNOWN_CATEGORIES if is_eval else None
  sentences = world.eval_sentences if is_eval else world.train_sentences
  category_by_name = {category.name: category for category in world.categories}
  return tuple(
    _make_task(world, [category_by_name[name] for name in names], sentences, group)
    for chosen, group in ((seen, known), (unseen, UNSEEN_CATEGORIES))
    for names in chosen
  )


def split_groups(world: World) -> Groups:
  """Assigns categories and their combinations to base, training and evaluation.

  A triple is for training, or for the base, if all three of its pairs are.
  """
  names = sorted(category.name for category in world.categories)
  unseen = _choose(names, world.num_unseen_categories, world.seed, "unseen category")
  seen = [name for name in names if name not in unseen]
  kept_apart = _choose(seen, world.num_kept_apart, world.seed, "category kept apart")
  heldout_pairs = _pairs(kept_apart, world.seed, "held-out pair")
  unseen_pairs = _pairs(unseen, world.seed, "unseen pair")
  asked = frozenset(heldout_pairs + unseen_pairs)
  return Groups(
    unseen=unseen,
    kept_apart=kept_apart,
    base_pairs=_without(_pairs(names, world.seed, "base pair"), asked),
    base_triples=_ranked(_triples(names, asked), world.seed, "base triple"),
    train_pairs=_without(_pairs(seen, world.seed, "training pair"), asked),
    train_triples=_ranked(_triples(seen, asked), world.seed, "triple"),
    heldout_pairs=heldout_pairs,
    unseen_pairs=unseen_pairs,
  )


def _choose(
  names: Sequence[str], count: int, seed: int, purpose: str
) -> tuple[str, ...]:
  """Returns the names that the seed decides, sorted."""
  ranked = _ranked(((name,) for name in names), seed, purpose)
  return tuple(sorted(name for (name,) in ranked[:count]))


def _pairs(
  names: Sequence[str], seed: int, purpose: str
) -> tuple[tuple[str, ...], ...]:
  return _ranked(itertools.combinations(names, 2), seed, purpose)


def _without(
  pairs: Sequence[tuple[str, ...]], asked: frozenset[tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
  return tuple(pair for pair in pairs if pair not in asked)


def _triples(
  names: Sequence[str], asked: frozenset[tuple[str, ...]]
) -> Iterable[tuple[str, ...]]:
  """Returns the triples without a pair that evaluation may ask about."""
  return (
    triple
    for triple in itertools.combinations(names, 3)
    if asked.isdisjoint(itertools.combinations(triple, 2))
  )


def _make_task(
  world: World,
  categories: Sequence[Category],
  sentences: Sequence[str],
  group: str | None,
) -> Task:
  """Returns one task: each word of each category in one sentence."""
  names = tuple(category.name for category in categories)
  name = "_".join(("micro", *names))
  examples = []
  for label, category in enumerate(categories):
    for word in category.words:
      sentence = sentences[_hash(world.seed, name, word) % len(sentences)]
      text = sentence.replace(_WORD_SLOT, word)
      examples.append(
        Example(row=len(examples), fields={"text": text}, label=label, split="train")
      )
  card = _make_card(world, name, categories)
  return Task(
    card=card,
    examples=tuple(examples),
    fingerprint=fingerprint(card, examples),
    group=group,
  )


def _make_card(world: World, name: str, categories: Sequence[Category]) -> TaskCard:
  labels = tuple(category.name for category in categories)
  phrases = [category.phrase for category in categories]
  choice = ", ".join(phrases[:-1]) + f" or {phrases[-1]}"
  return TaskCard(
    name=name,
    title=f"Microworld: {choice}?",
    version=world.version,
    task_type=TaskType.MISCELLANEOUS,
    fields=("text",),
    template="{text}",
    labels=labels,
    label_names=labels,
    instruction=f"Is the following text about {choice}?",
    # Evaluation holds out whole tasks, so the rows of a task need no split.
    exemplar_splits=("train",),
    query_splits=("train",),
    rows=name,
    source=Source(hub=None, config=None, reference="tasks/microworld/world.yaml"),
    licence="Apache-2.0, as symtune",
    shares=labels,
  )


def _read_categories(keys: strict_yaml.Section) -> tuple[Category, ...]:
  categories = []
  for name in keys.values:
    if not (isinstance(name, str) and name.isascii() and name.isalpha()):
      raise keys.error(str(name), "expected a category name of one word, letters only")
    category = keys.section(name)
    category.check_keys(["phrase", "words"])
    # One line of words is easier to read and to edit than a list.
    words = tuple(category.text("words").split())
    categories.append(Category(name=name, phrase=category.text("phrase"), words=words))
  return tuple(categories)


def _check_sentences(keys: strict_yaml.Section, world: World) -> None:
  counts = Counter(world.train_sentences + world.eval_sentences)
  for part, sentences in (
    (Part.TRAIN, world.train_sentences),
    (Part.EVAL, world.eval_sentences),
  ):
    if not sentences:
      raise keys.error(part, "empty; list at least one sentence")
    for sentence in sentences:
      if sentence.split().count(_WORD_SLOT) != 1:
        raise keys.error(
          part, f"{sentence!r} needs exactly one {_WORD_SLOT}, with spaces around it"
        )
      if counts[sentence] > 1:
        raise keys.error(part, f"{sentence!r} occurs twice; keep one of them")


def _check_words(keys: strict_yaml.Section, world: World) -> None:
  names = {category.name for category in world.categories}
  sentences = " ".join(world.train_sentences + world.eval_sentences).split()
  owner_by_word: dict[str, str] = {}
  for category in world.categories:
    for word in category.words:
      if word in names:
        raise keys.error(category.name, f"{word!r} is also the name of a category")
      if word in sentences:
        raise keys.error(category.name, f"{word!r} also occurs in a sentence")
      if word in owner_by_word:
        raise keys.error(
          category.name, f"{word!r} is already a word of {owner_by_word[word]!r}"
        )
      if not (word.isascii() and word.isalpha() and word.islower()):
        raise keys.error(category.name, f"{word!r}: expected lower-case letters only")
      owner_by_word[word] = category.name


def _hash(seed: int, *words: str) -> int:
  """Returns 64 bits that depend on nothing but the arguments."""
  text = " ".join((str(seed), *words))
  return int.from_bytes(hashlib.sha256(text.encode("ascii")).digest()[:8], "big")


def _ranked(
  groups: Iterable[tuple[str, ...]], seed: int, purpose: str
) -> tuple[tuple[str, ...], ...]:
  """Returns the groups in an arbitrary order that the seed decides."""
  return tuple(sorted(groups, key=lambda group: _hash(seed, purpose, *group)))


def _first(
  groups: tuple[tuple[str, ...], ...], count: int, kind: str
) -> tuple[tuple[str, ...], ...]:
  if count > len(groups):
    raise SymtuneError(
      f"the microworld has {len(groups)} {kind}, but the suite asks for {count}: lower "
      "the count in the suite, or change held_out in world.yaml"
    )
  return groups[:count]
