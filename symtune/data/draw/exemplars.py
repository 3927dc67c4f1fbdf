"""Exemplars of many queries at once: k of every class, none of the query's group.

A *cell* is a class of a prompt, of which k exemplars are drawn.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, UInt32

from symtune.data.draw.index import TaskIndex
from symtune.data.draw.words import below
from symtune.data.ragged import (
  join_runs,
  owners_of,
  places_of,
  sizes_of,
  starts_of,
)


class ExampleTables:
  """The examples of several tasks, numbered one task after another.

  `first_...` says where the numbers of a task, a class or a group start.

  Attributes:
    first_example: of each task.
    labels: class id of each example.
    groups: group of each example.
    classes: how many each task has.
    first_class: of each task.
    sizes: exemplars of each class.
    first_exemplar: of each class.
    exemplars: number of each exemplar, class by class.
    members: how many exemplars each group has.
    first_member: of each group.
    member_class: class id of each member.
    member_number: place of each member among the exemplars of its class.
    num_queries: of each task.
    first_query: of each task.
    queries: number of each query.
  """

  def __init__(self, tasks: Sequence[TaskIndex]):
    """Numbers the examples of the tasks."""
    self.first_example = starts_of(sizes_of([task.labels for task in tasks]))
    groups = np.asarray([int(t.groups.max(initial=-1)) + 1 for t in tasks], np.int64)
    self.labels = join_runs([task.labels for task in tasks])
    self.groups = join_runs([task.groups for task in tasks], starts_of(groups))
    exemplars = [np.concatenate(task.exemplars) for task in tasks]
    self.exemplars = join_runs(exemplars, self.first_example)
    self.classes = sizes_of([task.exemplars for task in tasks])
    self.first_class = starts_of(self.classes)
    self.sizes = sizes_of([some for task in tasks for some in task.exemplars])
    self.first_exemplar = starts_of(self.sizes)
    shown = self.groups[self.exemplars]
    order = np.argsort(shown, kind="stable")
    self.members = np.bincount(shown, minlength=int(groups.sum()))
    self.first_member = starts_of(self.members)
    self.member_class = self.labels[self.exemplars[order]]
    self.member_number = places_of(self.sizes)[order]
    self.num_queries = sizes_of([task.queries for task in tasks])
    self.first_query = starts_of(self.num_queries)
    self.queries = join_runs([task.queries for task in tasks], self.first_example)


def draw_exemplars(
  tables: ExampleTables,
  tasks: Int64[np.ndarray, "prompts"],
  queries: Int64[np.ndarray, "prompts"],
  shots: Int64[np.ndarray, "prompts"],
  words: UInt32[np.ndarray, "prompts _most"],
) -> Int64[np.ndarray, "_exemplars"]:
  """Draws a uniform set of k exemplars of each class, whose order says nothing.

  Args:
    tables: the examples of all tasks.
    tasks: of the prompts.
    queries: of the prompts.
    shots: k of each prompt.
    words: random, one for each exemplar of a prompt.

  Returns:
    Exemplars prompt by prompt, and class by class.
  """
  classes = tables.classes[tasks]
  prompts = owners_of(classes)
  cells = tables.first_class[tasks][prompts] + places_of(classes)
  k = shots[prompts]
  blocked = _block_groups(tables, tables.groups[queries], starts_of(classes))
  free = tables.sizes[cells]
  for where, _ in blocked:
    free[where] -= 1
  # Floyd's sample of k in n draws below n - k + 1, then n - k + 2, up to n.
  bounds = np.repeat(free - k + 1, k) + places_of(k)
  counts = classes * shots
  drawn = below(words[owners_of(counts), places_of(counts)], bounds)
  numbers = _without_repeats(drawn, k, free)
  for where, number in blocked:  # ascending: step over what must not be shown
    numbers[where] += numbers[where] >= number[:, None]
  firsts = tables.first_exemplar[cells]
  return tables.exemplars[(numbers + firsts[:, None])[_is_drawn(k)]]


def shuffle_within(
  counts: Int64[np.ndarray, "prompts"], words: UInt32[np.ndarray, "prompts _most"]
) -> Int64[np.ndarray, "_items"]:
  """A uniform order of each prompt's items: that of their random words.

  Two equal words keep the order of their items, which is the case in about one of
  2**32 pairs.
  """
  owners = owners_of(counts)
  drawn = words[owners, places_of(counts)].astype(np.int64)
  return np.argsort((owners << 32) + drawn, kind="stable")


def _block_groups(
  tables: ExampleTables,
  groups: Int64[np.ndarray, "prompts"],
  first_cell: Int64[np.ndarray, "prompts"],
) -> list[tuple[np.ndarray, np.ndarray]]:
  """What prompts must not show: the first member of each query's group, the second, ...

  Args:
    tables: the examples of all tasks.
    groups: of the queries.
    first_cell: of each prompt.

  Returns:
    Cells, each at most once, and a number in the class of each. A cell's numbers ascend
    from pair to pair, so that stepping over one after another skips them all.
  """
  members, blocked = tables.members[groups], []
  for nth in range(int(members.max(initial=0))):
    prompts = np.flatnonzero(members > nth)
    member = tables.first_member[groups[prompts]] + nth
    cells = first_cell[prompts] + tables.member_class[member]
    blocked.append((cells, tables.member_number[member]))
  return blocked


def _without_repeats(
  drawn: Int64[np.ndarray, "_draws"],
  k: Int64[np.ndarray, "cells"],
  free: Int64[np.ndarray, "cells"],
) -> Int64[np.ndarray, "cells _most"]:
  """Floyd's sample without replacement: what was drawn before becomes its bound.

  Args:
    drawn: k numbers of each cell, one cell after another.
    k: exemplars of each cell.
    free: exemplars that each cell may show.

  Returns:
    The first k numbers of each row are drawn; the rest has no meaning.
  """
  numbers = np.zeros((len(k), int(k.max(initial=0))), np.int64)
  numbers[_is_drawn(k)] = drawn
  for place in range(1, numbers.shape[1]):
    now = numbers[:, place]
    repeated = (numbers[:, :place] == now[:, None]).any(axis=1)
    numbers[:, place] = np.where(repeated, free - k + place, now)
  return numbers


def _is_drawn(k: Int64[np.ndarray, "cells"]) -> Bool[np.ndarray, "cells _most"]:
  """Which places of a table hold an exemplar: the first k of each row."""
  return np.arange(k.max(initial=0)) < k[:, None]
