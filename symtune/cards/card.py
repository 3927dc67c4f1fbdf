"""Stage 1: YAML -> TaskCard. What a task is, without its rows.

A card says which fields an example has, how they become one input text (the
template), and which words name the classes. Labels are kept apart from the text: an
example holds a label id, the card holds the words, and no stage searches text for them.

  template          fields of an example                input text
  {premise}         premise: The cat slept on a mat.    The cat slept on a mat.
  {hypothesis}      hypothesis: The cat was awake.      The cat was awake.

Terms: a *slot* is `{field}` in a template, a *literal* the text between slots.
`labels` are the words shown to a model, `label_names` those that the row files use.
"""

import dataclasses
import enum
import functools
import os
import pathlib
import re
from collections.abc import Mapping

from symtune.cards import strict_yaml
from symtune.cards.download import Download, read_download
from symtune.errors import SymtuneError

# T5's vocabulary turns these into <unk>, so a prompt would lose them silently. For the
# same reason no template needs literal braces, and they can mark slots.
T5_UNKNOWN_CHARACTERS = frozenset("<\\^`{}~")
SPLITS = ("train", "validation")
# The keys of every row besides its text fields.
ROW_KEYS = ("label", "label_name", "split", "src")
_NAME = re.compile(r"[a-z0-9_]+")
_FIELD = re.compile(r"[A-Za-z0-9_]+")  # field names of other people's rows are kept


class TaskType(enum.StrEnum):
  """The seven task types of symbol tuning (arXiv 2305.08298, section 3.1) and two more.

  Knowledge and reasoning are what MMLU and BIG-Bench Hard test; they measure what a
  model forgets in tuning.
  """

  NLI = "nli"
  SENTIMENT = "sentiment"
  PARAPHRASE = "paraphrase"
  COMMON_SENSE = "common_sense"
  TOPIC = "topic"
  COREFERENCE = "coreference"
  MISCELLANEOUS = "miscellaneous"
  KNOWLEDGE = "knowledge"
  REASONING = "reasoning"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
  """Where the rows come from.

  Attributes:
    hub: Id of the data set on the Hugging Face hub, or None if it is not there.
    config: Configuration of that data set, or None if it has only one.
    reference: The paper or page to cite.
    wording: Where the label words and the instruction come from.
    download: How the rows are made from the data set, or None if that is not known.
  """

  hub: str | None
  config: str | None
  reference: str
  wording: str = "written for symtune"
  download: Download | None = None


# The source of rows of one's own; their cards need no keys `source` and `licence`.
PRIVATE = Source(hub=None, config=None, reference="private", wording="given")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
  """One row of a task.

  Attributes:
    row: 0-based number of the row in the file; identifies the example as a query.
    fields: The text of each field.
    label: Class id, an index into `TaskCard.labels`.
    split: One of `SPLITS`.
  """

  row: int
  fields: Mapping[str, str]
  label: int
  split: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slot:
  """A place in a template that a field fills."""

  field: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskCard:
  """What a task is. `tasks/README.md` describes each key of the YAML file.

  Attributes:
    name: Identifier, of lower-case letters, digits and underscores.
    title: Name shown to people.
    version: Number that goes up when an edit of the card changes its prompts.
    task_type: The kind of task.
    fields: Names of the text fields.
    template: Text with a `{field}` slot for each field.
    labels: One word or phrase for each class, in the order of the label ids.
    label_names: What the row files call the same classes, in the same order.
    instruction: One sentence that tells a person what to do.
    exemplar_splits: Splits that exemplars are drawn from.
    query_splits: Splits that queries are drawn from.
    rows: Stem of the row file, `<data dir>/<rows>.jsonl`.
    source: Where the rows come from.
    licence: What is known of the licence of the rows; "unknown" if nothing is.
    shares: Names of what the task has in common with other tasks, such as a category
      or a source of texts; the results of two tasks that share a name are not
      independent (`stats.shared`).
    passage: The field that several rows may share, such as the text that questions are
      about; rows that share the query's are never its exemplars. None if there is none.
    label_sets: Other words for the classes with the same meaning, such as synonyms,
      emoji or another language, by a name; the probe `label_semantics` asks with each.

  Raises:
    SymtuneError: If a value is invalid or contradicts another; names the key.
  """

  name: str
  title: str
  version: int
  task_type: TaskType
  fields: tuple[str, ...]
  template: str
  labels: tuple[str, ...]
  label_names: tuple[str, ...]
  instruction: str
  exemplar_splits: tuple[str, ...]
  query_splits: tuple[str, ...]
  rows: str
  source: Source
  licence: str
  shares: tuple[str, ...] = ()
  passage: str | None = None
  label_sets: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    for key, problem in (
      ("name", _name_problem(self.name)),
      ("version", None if self.version >= 1 else f"got {self.version}, expected >= 1"),
      ("fields", _fields_problem(self.fields)),
      ("template", _template_problem(self.template, self.fields)),
      ("labels", _labels_problem(self.labels)),
      ("label_sets", _label_sets_problem(self.label_sets, self.labels)),
      ("passage", _passage_problem(self.passage, self.fields)),
      ("label_names", _label_names_problem(self.label_names, self.labels)),
      ("instruction", _line_problem(self.instruction)),
      ("exemplar_splits", _splits_problem(self.exemplar_splits)),
      ("query_splits", _splits_problem(self.query_splits)),
      ("rows", _name_problem(self.rows)),
      ("title", None if self.title.strip() else "empty; give the task a title"),
      ("licence", None if self.licence.strip() else "empty; say 'unknown' if it is"),
    ):
      if problem:
        raise SymtuneError(f"card {self.name!r}: key {key!r}: {problem}")

  @functools.cached_property
  def parts(self) -> tuple[str | Slot, ...]:
    """The template, parsed: literals and slots in reading order."""
    pieces = _split_template(self.template)
    parts = [Slot(field=p) if i % 2 else p for i, p in enumerate(pieces)]
    return tuple(part for part in parts if part)

  def input_text(self, example: Example) -> str:
    """Returns the example's input text: the template with its slots filled.

    This is one pass over the parsed template. The text of a field is copied without
    being parsed, so a field that holds "{label}" or "Output:" comes out unchanged.
    """
    fields = example.fields
    return "".join(
      fields[part.field] if isinstance(part, Slot) else part for part in self.parts
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
  """A card and its rows.

  Attributes:
    card: What the task is.
    examples: The rows in file order.
    fingerprint: SHA-256, in hex, over the card and the rows.
    left_out: Number of rows of the file that are not read: those of the split "test",
      which no card uses, and those without a gold label (-1) in a split that this card
      does not use.
    group: Name of the group that its suite puts it in; None if the suite has none.
  """

  card: TaskCard
  examples: tuple[Example, ...]
  fingerprint: str
  left_out: int = 0
  group: str | None = None

  @property
  def queries(self) -> tuple[Example, ...]:
    """The rows that may be asked about."""
    splits = self.card.query_splits
    return tuple(e for e in self.examples if e.split in splits)


def read_card(path: str | os.PathLike[str]) -> TaskCard:
  """Reads and checks one card file.

  Raises:
    SymtuneError: If the file cannot be read, has unknown, repeated or missing keys or
      wrong types, or if a value is invalid or contradicts another. The message names
      the file and the key.
  """
  path = pathlib.Path(path)
  keys = strict_yaml.read_yaml(path)
  optional = ("shares", "passage", "label_sets", "source", "licence")
  names = [field.name for field in dataclasses.fields(TaskCard)]
  keys.check_keys([name for name in names if name not in optional], optional)
  values = {
    "name": keys.text("name"),
    "title": keys.text("title"),
    "version": keys.count("version"),
    "task_type": _task_type(keys),
    "fields": keys.texts("fields"),
    "template": keys.text("template"),
    "labels": keys.texts("labels"),
    "label_names": keys.texts("label_names"),
    "instruction": keys.text("instruction"),
    "exemplar_splits": keys.texts("exemplar_splits"),
    "query_splits": keys.texts("query_splits"),
    "rows": keys.text("rows"),
    "source": _source(keys) if "source" in keys.values else PRIVATE,
    "licence": keys.text("licence") if "licence" in keys.values else "private",
    "shares": keys.texts("shares") if "shares" in keys.values else (),
    "passage": keys.text("passage") if "passage" in keys.values else None,
    "label_sets": _label_sets(keys) if "label_sets" in keys.values else {},
  }
  try:
    return TaskCard(**values)
  except SymtuneError as error:
    raise SymtuneError(f"{path}: {error}") from error


def _source(keys: strict_yaml.Section) -> Source:
  source = keys.section("source")
  source.check_keys(["hub", "config", "reference"], ["wording", "download"])
  values = {
    "hub": source.text_or_none("hub"),
    "config": source.text_or_none("config"),
    "reference": source.text("reference"),
  }
  if "wording" in source.values:
    values["wording"] = source.text("wording")
  if source.values.get("download") is not None:
    if values["hub"] is None:
      raise source.error("download", "'hub' is null; name the data set to download")
    fields, labels = keys.texts("fields"), keys.texts("labels")
    values["download"] = read_download(source.section("download"), fields, len(labels))
  return Source(**values)


def _label_sets(keys: strict_yaml.Section) -> dict[str, tuple[str, ...]]:
  sets = keys.section("label_sets")
  return {str(name): sets.texts(name) for name in sets.values}


def _task_type(keys: strict_yaml.Section) -> TaskType:
  name = keys.text("task_type")
  if name not in set(TaskType):
    raise keys.error("task_type", f"got {name!r}, allowed: {', '.join(TaskType)}")
  return TaskType(name)


def _split_template(template: str) -> list[str]:
  """Returns literal, field, literal, field, ..., literal (literals may be empty)."""
  return re.split(r"\{([^{}]*)\}", template)


def _name_problem(name: str) -> str | None:
  if _NAME.fullmatch(name):
    return None
  return f"got {name!r}, expected lower-case letters, digits and underscores only"


def _fields_problem(fields: tuple[str, ...]) -> str | None:
  if not fields:
    return "empty; name at least one text field"
  for field in fields:
    if not _FIELD.fullmatch(field):
      return f"got {field!r}, expected letters, digits and underscores only"
    if field in ROW_KEYS:
      return f"{field!r} is not a text field: every row has it; rename the field"
    if fields.count(field) > 1:
      return f"{field!r} occurs twice; name each field once"
  return None


def _passage_problem(passage: str | None, fields: tuple[str, ...]) -> str | None:
  if passage is None or passage in fields:
    return None
  return f"got {passage!r}, expected one of the fields: {', '.join(fields)}"


def _template_problem(template: str, fields: tuple[str, ...]) -> str | None:
  pieces = _split_template(template)
  literals, slots = pieces[0::2], pieces[1::2]
  for slot in slots:
    if slot not in fields:
      return f"the slot {{{slot}}} is not a field; fields: {', '.join(fields)}"
  for field in fields:
    if field not in slots:
      return f"the field {field!r} is never used; add {{{field}}} or drop the field"
  bad = sorted(T5_UNKNOWN_CHARACTERS.intersection("".join(literals)))
  if bad:
    return (
      f"holds {' '.join(bad)} outside a slot, which T5's vocabulary cannot represent "
      "(braces mark slots only); write it in words"
    )
  if template != template.strip():
    return "begins or ends with white space; remove it"
  # Parts are tokenized apart; their tokens can be joined only at white space.
  for left, literal, right in zip(slots, literals[1:], slots[1:], strict=False):
    if not any(character.isspace() for character in literal):
      return f"no white space between {{{left}}} and {{{right}}}; add some"
  return None


def _line_problem(text: str) -> str | None:
  """Returns why a text cannot stand in a prompt as one line of words, or None."""
  if not text.strip():
    return "empty; write some text"
  if " ".join(text.split()) != text:
    return f"got {text!r}, expected one line, single spaces, none at either end"
  bad = sorted(T5_UNKNOWN_CHARACTERS.intersection(text))
  if bad:
    return f"{text!r} holds {' '.join(bad)}, which T5's vocabulary cannot represent"
  return None


def _labels_problem(labels: tuple[str, ...]) -> str | None:
  if len(labels) < 2:
    return f"got {len(labels)} labels, expected at least 2"
  for label in labels:
    if _line_problem(label):
      return _line_problem(label)
    if labels.count(label) > 1:
      return f"the label {label!r} occurs twice; each class needs its own word"
  return None


def _label_sets_problem(
  label_sets: Mapping[str, tuple[str, ...]], labels: tuple[str, ...]
) -> str | None:
  for name, words in label_sets.items():
    if len(words) != len(labels):
      return f"{name!r} has {len(words)} words for {len(labels)} labels; give one each"
    problem = _labels_problem(words)
    if problem:
      return f"{name!r}: {problem}"
  return None


def _label_names_problem(
  label_names: tuple[str, ...], labels: tuple[str, ...]
) -> str | None:
  if len(label_names) != len(labels):
    return f"got {len(label_names)} names for {len(labels)} labels; list one for each"
  for name in label_names:
    if label_names.count(name) > 1:
      return f"the name {name!r} occurs twice; each class needs its own name"
  return None


def _splits_problem(splits: tuple[str, ...]) -> str | None:
  if not splits:
    return f"empty; allowed: {', '.join(SPLITS)}"
  for split in splits:
    if split not in SPLITS:
      return f"got {split!r}, allowed: {', '.join(SPLITS)}"
    if splits.count(split) > 1:
      return f"{split!r} occurs twice; list each split once"
  return None
