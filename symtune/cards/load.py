"""Find cards and suites by name, and load the tasks of a suite.

A suite is a named, ordered list of tasks: `tasks/suites/<name>.yaml`. It either lists
cards, whose rows are in a data folder, or says how many tasks to make from the
microworld, whose rows are generated. A suite may name groups of its tasks, which
reports then show apart.

A name that is not shipped is that of a file in the working folder: `tasks/NAME.yaml` or
`NAME.yaml`. A shipped name that a file there has too is refused, since a recipe would
mean one thing in one folder and another thing in the next.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from symtune.cards import card as card_lib
from symtune.cards import microworld, strict_yaml
from symtune.cards.card import Task, TaskCard
from symtune.cards.examples import read_task
from symtune.cards.resources import data_path, resource_dir
from symtune.errors import SymtuneError, did_you_mean

MICROWORLD_PREFIX = "micro_"
MICROWORLD_SUITES = ("microworld_train", "microworld_eval")
_CARD_FOLDERS = ("train", "eval")
_OWN_FOLDERS = (pathlib.Path("tasks"), pathlib.Path())  # of the working folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suite:
  """A named list of tasks, without rows.

  Attributes:
    name: Identifier, the stem of the file.
    version: Number that goes up when the list changes.
    description: One sentence.
    tasks: The cards in order; empty for a suite of the microworld.
    plan: Which tasks to make from the microworld; None for a suite of cards.
    group_by_task: The group of each card by its name; empty without groups. Tasks of
      the microworld have theirs from `microworld.make_tasks`.
  """

  name: str
  version: int
  description: str
  tasks: tuple[TaskCard, ...]
  plan: microworld.Plan | None
  group_by_task: Mapping[str, str]


def list_cards() -> tuple[str, ...]:
  """Returns the names of all cards, sorted."""
  return tuple(sorted(_card_paths()))


def load_card(name: str | os.PathLike[str]) -> TaskCard:
  """Returns a card, by its name or by the path of a `.yaml` file.

  Raises:
    SymtuneError: If there is no such card, if several have this name, or if its file is
      not a valid card.
  """
  path = _card_path(name)
  card = card_lib.read_card(path)
  _check_stem(path, card.name)
  return card


def is_for_evaluation(name: str | os.PathLike[str]) -> bool:
  """Whether a card is in `tasks/eval`; a file elsewhere, or no card, is not."""
  path = _card_paths().get(os.fspath(name), pathlib.Path(name))
  return path.resolve().parent == resource_dir("tasks").resolve() / "eval"


def list_suites() -> tuple[str, ...]:
  """Returns the names of all suites, sorted."""
  return tuple(sorted(_suite_paths()))


def read_suite(name: str | os.PathLike[str]) -> Suite:
  """Returns a suite without its rows, by its name or by the path of a `.yaml` file.

  An entry of `tasks` is the name of a card, or the path of a `.yaml` file relative to
  the suite's file. `groups`, if given, lists every task, by its name or as `tasks`
  has it, under the name of one group.

  Raises:
    SymtuneError: If there is no such suite, if its file is not valid, or if one of its
      cards is not.
  """
  path = _path(name, "suite", _suite_paths())
  keys = strict_yaml.read_yaml(path)
  keys.check_keys(["name", "version", "description"], ["tasks", "groups", "world"])
  if ("tasks" in keys.values) == ("world" in keys.values):
    raise keys.error("tasks", "give either 'tasks' (cards) or 'world' (microworld)")
  _check_stem(path, keys.text("name"))
  if "tasks" in keys.values:
    cards, plan = _suite_cards(keys), None
  else:
    cards, plan = (), microworld.read_plan(keys.section("world"))
  groups = _read_groups(keys, cards) if "groups" in keys.values else {}
  return Suite(
    name=keys.text("name"),
    version=keys.count("version"),
    description=keys.text("description"),
    tasks=cards,
    plan=plan,
    group_by_task=groups,
  )


def load_suite(
  name: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None
) -> tuple[Task, ...]:
  """Returns the tasks of a suite with their rows, in the order of the suite.

  Args:
    name: The name of a suite, or the path of a `.yaml` file.
    data_dir: The folder with the rows of the cards, `<rows>.jsonl` each. The
      microworld suites need none and ignore it.

  Raises:
    SymtuneError: If there is no such suite, if its file, a card or a row is not valid,
      or if a suite of cards is given no data folder.
  """
  suite = read_suite(name)
  if suite.plan is not None:
    world = microworld.read_world(resource_dir("tasks") / "microworld" / "world.yaml")
    return microworld.make_tasks(world, suite.plan)
  rows = f"{suite.tasks[0].rows}.jsonl"
  if data_dir is None:
    raise SymtuneError(
      f"suite {suite.name!r} reads real data, but no data folder was given: pass "
      f"--data DIR, the folder that holds {rows} and the other row files"
    )
  if not data_path(data_dir).is_dir():
    raise SymtuneError(
      f"the data folder {os.fspath(data_dir)!r} is not a folder: pass --data DIR, the "
      f"folder that holds {rows} and the other row files of suite {suite.name!r}"
    )
  return tuple(
    dataclasses.replace(
      read_task(card, data_dir), group=suite.group_by_task.get(card.name)
    )
    for card in suite.tasks
  )


def load_task(
  name: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None
) -> Task:
  """Returns one task with its rows.

  Args:
    name: The name of a card or of a microworld task, or the path of a card.
    data_dir: The folder with its rows; None takes the folder of the card's file, if
      the card is not a shipped one. Tasks of the microworld need none.

  Raises:
    SymtuneError: If there is no such task, or its card or rows are not valid.
  """
  text = os.fspath(name)
  if text.startswith(MICROWORLD_PREFIX) and not text.endswith(".yaml"):
    tasks = {t.card.name: t for s in MICROWORLD_SUITES for t in load_suite(s, None)}
    if text not in tasks:
      raise SymtuneError(
        f"unknown microworld task {text!r}. To list the known ones, run: symtune tasks "
        f"--suite {MICROWORLD_SUITES[1]}."
      )
    return tasks[text]
  card = load_card(name)
  if data_dir is None and text not in _card_paths():
    data_dir = _card_path(name).resolve().parent
  if data_dir is None:
    raise SymtuneError(
      f"task {text} needs rows: give the folder of {card.rows}.jsonl with --data."
    )
  return read_task(card, data_path(data_dir))


def _card_path(name: str | os.PathLike[str]) -> pathlib.Path:
  return _path(name, "task card", _card_paths())


def _card_paths() -> dict[str, pathlib.Path]:
  root = resource_dir("tasks")
  return _yaml_files(root / folder for folder in _CARD_FOLDERS)


def _suite_paths() -> dict[str, pathlib.Path]:
  return _yaml_files([resource_dir("tasks") / "suites"])


def _yaml_files(folders: Iterable[pathlib.Path]) -> dict[str, pathlib.Path]:
  """Returns the path of each stem; it is an error if two folders share a stem."""
  path_by_stem = {}
  for folder in folders:
    for path in sorted(folder.glob("*.yaml")):
      if path.stem in path_by_stem:
        raise SymtuneError(
          f"{path} and {path_by_stem[path.stem]} have the same name; rename one"
        )
      path_by_stem[path.stem] = path
  return path_by_stem


def _path(
  name: str | os.PathLike[str], kind: str, path_by_name: dict[str, pathlib.Path]
) -> pathlib.Path:
  """Returns the file with this name, or the path that was given instead of a name."""
  text = os.fspath(name)
  if text.endswith(".yaml"):
    return pathlib.Path(text)
  own = _own_files(text)
  found = [path_by_name[text]] if text in path_by_name else []
  found += [path for path in own if not any(path.samefile(other) for other in found)]
  if len(found) > 1:
    names = " and ".join(map(str, found))
    raise SymtuneError(
      f"the {kind} {text!r} may be {names}: give the path of the one you mean, such as "
      f"{os.curdir}{os.sep}{own[-1]}, or rename your own file"
    )
  if found:
    return found[0]
  raise SymtuneError(
    f"unknown {kind} {text!r}.{did_you_mean(text, path_by_name)} There are: "
    f"{', '.join(sorted(path_by_name))}. "
    "To use a file of your own, give a path that ends in .yaml, or the name of one in "
    "the working folder"
  )


def _own_files(name: str) -> list[pathlib.Path]:
  """Files of the working folder that a plain name, without a folder, may stand for."""
  if not name or pathlib.PurePath(name).name != name:
    return []
  paths = [folder / f"{name}.yaml" for folder in _OWN_FOLDERS]
  return [path for path in paths if path.is_file()]


def _check_stem(path: pathlib.Path, name: str) -> None:
  if path.stem != name:
    raise SymtuneError(
      f"{path}: key 'name': got {name!r}, expected {path.stem!r}, as the file is named"
    )


def _suite_cards(keys: strict_yaml.Section) -> tuple[TaskCard, ...]:
  entries = keys.texts("tasks")
  if not entries:
    raise keys.error("tasks", "empty; list at least one card")
  cards = []
  for i, entry in enumerate(entries):
    own_file = entry.endswith(".yaml")
    try:
      cards.append(load_card(keys.path.parent / entry if own_file else entry))
    except SymtuneError as error:
      raise keys.error(f"tasks[{i}]", str(error)) from error
  names = [card.name for card in cards]
  for name in names:
    if names.count(name) > 1:
      raise keys.error("tasks", f"the task {name!r} occurs twice; list it once")
  return tuple(cards)


def _read_groups(
  keys: strict_yaml.Section, cards: Sequence[TaskCard]
) -> dict[str, str]:
  """The group of each card by its name; every card is in exactly one group."""
  if "tasks" not in keys.values:
    raise keys.error("groups", "only a suite of cards names groups; remove the key")
  names = [card.name for card in cards]
  name_by_entry = dict(zip((*keys.texts("tasks"), *names), names * 2, strict=True))
  groups = keys.section("groups")
  found: dict[str, str] = {}
  for group in groups.values:
    _check_group(groups, group)
    for i, entry in enumerate(groups.texts(group)):
      key, name = f"{group}[{i}]", name_by_entry.get(entry)
      if name is None:
        raise groups.error(key, _unknown_task(entry, names))
      if name in found:
        raise groups.error(
          key, f"the task {entry!r} is already in {found[name]!r}; list it once"
        )
      found[name] = group
  missing = [name for name in names if name not in found]
  if missing:
    raise keys.error("groups", f"no group has {', '.join(missing)}; list every task")
  return found


def _check_group(groups: strict_yaml.Section, name: object) -> None:
  """Raises SymtuneError for a name that does not fit a table, or without tasks."""
  if not isinstance(name, str) or not name or " ".join(name.split()) != name:
    raise groups.error(
      str(name), f"got the name {name!r}, expected text on one line, in quotes"
    )
  if not groups.texts(name):
    raise groups.error(name, "empty; list its tasks, or remove the group")


def _unknown_task(entry: str, names: Sequence[str]) -> str:
  hint = did_you_mean(entry, names)
  return f"got {entry!r}, expected one of 'tasks': {', '.join(names)}.{hint}"
