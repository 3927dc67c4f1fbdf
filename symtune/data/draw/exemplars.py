"""Exemplars of many queries at once: k of each class, as `ExemplarDrawer` draws them.

The numbers are those of NumPy's `Generator`, made from the same random words. A *cell*
is a class of a prompt, of which k exemplars are drawn.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int64, UInt32

from symtune.data.draw.ragged import owners_of, places_of, starts_of
from symtune.data.draw.tables import RowTables
from symtune.data.draw.words import bounded, bounded_in_turn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exemplars:
  """Exemplars of some prompts, class by class, not yet shuffled.

  Attributes:
    rows: of all prompts, one prompt after another.
    counts: exemplars of each prompt.
    taken: halves of random words that each prompt has used up.
    unsure: prompts for which a generator must be asked; see `bounded`.
  """

  rows: Int64[np.ndarray, "_exemplars"]
  counts: Int64[np.ndarray, "prompts"]
  taken: Int64[np.ndarray, "prompts"]
  unsure: Bool[np.ndarray, "prompts"]


def draw_exemplars(
  tables: RowTables,
  tasks: Int64[np.ndarray, "prompts"],
  queries: Int64[np.ndarray, "prompts"],
  shots: Int64[np.ndarray, "prompts 2"],
  halves: UInt32[np.ndarray, "_halves"],
  starts: Int64[np.ndarray, "prompts"],
) -> Exemplars:
  """Draws k, then k exemplars of each class, none of which has the query's text.

  Args:
    tables: rows of all tasks.
    tasks: of the prompts.
    queries: row of each prompt's query.
    shots: fewest and most exemplars per class, of each prompt.
    halves: random words, in halves.
    starts: where each prompt's halves start.

  Returns:
    The exemplars in the order of drawing.
  """
  spans = shots[:, 1] - shots[:, 0] + 1
  more, unsure_k = bounded(halves[starts], spans)
  per_class = shots[:, 0] + more
  classes = tables.classes[tasks]
  prompts = owners_of(classes)
  cells = tables.first_class[tasks][prompts] + places_of(classes)
  k = per_class[prompts]
  blocked = _block_group(tables, tables.groups[queries], starts_of(classes))
  free = tables.sizes[cells]
  for where, _ in blocked:
    free[where] -= 1
  # Floyd's sample of k in n draws below n - k + 1, then n - k + 2, up to n.
  bounds = np.repeat(free - k + 1, k) + places_of(k)
  counts = classes * per_class
  after_k = (spans > 1).astype(np.int64)
  drawn, taken, unsure = bounded_in_turn(halves, starts + after_k, counts, bounds)
  numbers = _without_repeats(drawn, k, free)
  for where, number in blocked:  # ascending: step over what must not be shown
    numbers[where] += numbers[where] >= number[:, None]
  firsts = tables.first_exemplar[cells]
  return Exemplars(
    rows=tables.exemplars[(numbers + firsts[:, None])[_is_drawn(k)]],
    counts=counts,
    taken=after_k + taken,
    unsure=unsure | unsure_k,
  )


def _block_group(
  tables: RowTables,
  groups: Int64[np.ndarray, "prompts"],
  first_cell: Int64[np.ndarray, "prompts"],
) -> list[tuple[np.ndarray, np.ndarray]]:
  """What prompts must not show: the first member of each query's group, the second, ...

  Args:
    tables: rows of all tasks.
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
) -> Int64[np.ndarray, "cells most"]:
  """Floyd's sample without replacement: what was drawn before becomes its bound.

  Args:
    drawn: k numbers of each cell, one cell after another.
    k: exemplars of each cell.
    free: exemplars that each cell may show.

  Returns:
    The first k numbers of each row are drawn; the rest has no meaning.
  """
  numbers = np.zeros((len(k), k.max(initial=0)), np.int64)
  numbers[_is_drawn(k)] = drawn
  for place in range(1, k.max(initial=0)):
    now = numbers[:, place]
    repeated = (numbers[:, :place] == now[:, None]).any(axis=1)
    numbers[:, place] = np.where(repeated, free - k + place, now)
  return numbers


def _is_drawn(k: Int64[np.ndarray, "cells"]) -> Bool[np.ndarray, "cells most"]:
  """Which places of a table hold an exemplar: the first k of each row."""
  return np.arange(k.max(initial=0)) < k[:, None]
