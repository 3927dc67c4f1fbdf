"""Label words of many prompts at once, as `draw_symbols` draws them."""

import numpy as np
from jaxtyping import Bool, Int64, UInt32

from symtune.data.draw.ragged import owners_of, places_of
from symtune.data.draw.tables import DrawTables
from symtune.data.draw.words import bounded


def draw_names(
  tables: DrawTables,
  entries: Int64[np.ndarray, "prompts"],
  halves: UInt32[np.ndarray, "_halves"],
  starts: Int64[np.ndarray, "prompts"],
) -> tuple[Int64[np.ndarray, "_classes"], Bool[np.ndarray, "prompts"]]:
  """The word of each class of each prompt, drawn or fixed.

  Args:
    tables: label words of all entries.
    entries: of the prompts.
    halves: random words, in halves.
    starts: where each prompt's halves start.

  Returns:
    Numbers of the words, prompt by prompt, and the prompts that are unsure: a generator
    draws again where a word is refused or stands for two classes; see `bounded`, too.
  """
  names, counts = tables.names, tables.rows.classes[tables.task_of[entries]]
  owners, places = owners_of(counts), places_of(counts)
  found = names.first_fixed[entries[owners]] + places
  drawn = np.flatnonzero(names.categories[entries[owners]])
  owners, places = owners[drawn], places[drawn]
  entry = entries[owners]
  categories = names.categories[entry]
  halves_each = 1 + (categories > 1)  # the only category is not drawn
  at = starts[owners] + halves_each * places
  category, unsure_category = bounded(halves[at], categories)
  category += names.first_category[entry]
  symbol, unsure_symbol = bounded(halves[at + halves_each - 1], names.sizes[category])
  found[drawn] = names.first_name[category] + symbol
  folded, base = names.folded[found[drawn]], len(names.names)
  refused = np.isin(entry * base + folded, names.refused)
  unsure = np.zeros(len(counts), bool)
  unsure[owners[unsure_category | unsure_symbol | refused]] = True
  same = np.sort(owners * base + folded)
  unsure[same[1:][same[1:] == same[:-1]] // base] = True
  return found, unsure
