"""Small tables to draw from."""

from collections.abc import Callable

import numpy as np
import pytest

from symtune.data.draw.draw import Asked, Draws, draw, pick_queries
from symtune.data.draw.index import index_task
from symtune.data.draw.tables import DrawTables, Entry
from symtune.data.ingredients import Ingredient, LabelStyle
from symtune.data.prompts import ALL_FORMATS

STREAM = 1234


@pytest.fixture
def make_tables(toy_pools) -> Callable[..., DrawTables]:
  """Tables of tasks that are all drawn from alike."""

  def make(*tasks, labels=LabelStyle.NATURAL, shots=(2, 2), pool=toy_pools[0]):
    settings = Ingredient(labels=labels, min_shots=shots[0], max_shots=shots[1])
    return DrawTables(
      [
        Entry(
          card=task.card,
          index=index_task(task),
          settings=settings,
          pool=pool,
          formats=ALL_FORMATS,
        )
        for task in tasks
      ]
    )

  return make


@pytest.fixture
def draw_at() -> Callable[..., Draws]:
  """Draws of some positions from one entry, with a given query or a drawn one."""

  def draw_positions(tables, positions, *, entry=0, query=None, stream=STREAM):
    positions = np.asarray(positions, np.int64)
    entries = np.full(len(positions), entry, np.int64)
    if query is None:
      asked = pick_queries(tables, stream, positions, entries)
    else:
      queries = np.full(len(positions), query, np.int64)
      asked = Asked(positions=positions, entries=entries, queries=queries)
    return draw(tables, stream, asked)

  return draw_positions
