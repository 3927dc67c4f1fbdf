"""Stages 2 to 4 of many prompts at once: positions in the stream -> Draws, numbers.

What a mixture draws (data/mixture.py), side by side: the same keys, the same numbers,
so the same prompts. The few that arrays cannot tell are left to generators.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt32, UInt64

from symtune.data.draw.exemplars import Exemplars, draw_exemplars
from symtune.data.draw.names import draw_names
from symtune.data.draw.prompt_draws import Draws
from symtune.data.draw.ragged import starts_of
from symtune.data.draw.tables import DrawTables, TokenEntry
from symtune.data.draw.words import HALVES, bounded, philox_halves, philox_keys
from symtune.data.mixture import LabelStyle, entry_at
from symtune.data.rng import KeyedGenerator, key_text


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Asked:
  """Prompts whose query is known, and random words for what is drawn next.

  Attributes:
    positions: of the prompts.
    entries: of the prompts.
    tasks: of the prompts.
    queries: row of each query.
    unsure: prompts that are left to generators; see `bounded`.
    keys: of the exemplars, the format and the symbols.
    starts: where the halves of each key start.
    halves: random words, in halves.
  """

  positions: Int64[np.ndarray, "prompts"]
  entries: Int64[np.ndarray, "prompts"]
  tasks: Int64[np.ndarray, "prompts"]
  queries: Int64[np.ndarray, "prompts"]
  unsure: Bool[np.ndarray, "prompts"]
  keys: UInt64[np.ndarray, "prompts 3 2"]
  starts: Int64[np.ndarray, "prompts 3"]
  halves: UInt32[np.ndarray, "_halves"]


class BlockDrawer:
  """Draws prompts of a mixture's task entries."""

  def __init__(
    self,
    tables: DrawTables,
    entries: Int64[np.ndarray, "entries"],
    cumulative: Float64[np.ndarray, "entries"],
    seed: int,
  ):
    """Looks up what each entry asks for.

    Args:
      tables: what is drawn from.
      entries: number in the tables of each entry of the mixture; -1 for other kinds,
        which are not drawn here.
      cumulative: running sums of the mixture's shares, up to 1.
      seed: the root seed of the stream.
    """
    self._tables, self._entries, self._cumulative = tables, entries, cumulative
    self._keyed = KeyedGenerator()
    known = tables.entries
    suffices = [n >= 0 and _arrays_suffice(known[n]) for n in entries.tolist()]
    self._suffices = np.asarray(suffices, bool)
    self._formats = np.asarray([len(e.formats) for e in known], np.int64)
    shots = [(e.shots.minimum, e.shots.maximum) for e in known]
    self._shots = np.asarray(shots, np.int64).reshape(-1, 2)
    classes = tables.rows.classes[tables.task_of]
    halves = (1 + classes * self._shots[:, 1], np.ones_like(classes), 2 * classes)
    self._blocks = -(-np.stack(halves, axis=1) // HALVES)
    self._key_start = key_text(seed, "mixture")[:-1]
    self._key_starts = [key_text(seed, e.task.fingerprint)[:-1] for e in known]
    self._key_ends = [key_text("symbols", e.pool.split)[1:] for e in known]

  def draw(self, positions: Int64[np.ndarray, "positions"]) -> Draws:
    """The draws of those positions that arrays can tell, in their order."""
    asked, rows = self._ask(positions), self._tables.rows
    exemplars = draw_exemplars(
      rows,
      asked.tasks,
      asked.queries,
      self._shots[asked.entries],
      asked.halves,
      asked.starts[:, 0],
    )
    formats, unsure_formats = bounded(
      asked.halves[asked.starts[:, 1]], self._formats[asked.entries]
    )
    names, unsure_names = draw_names(
      self._tables, asked.entries, asked.halves, asked.starts[:, 2]
    )
    shown, turns = self._shuffle(asked, exemplars), exemplars.counts + 1
    unsure = asked.unsure | exemplars.unsure | unsure_formats | unsure_names
    return Draws(
      positions=asked.positions,
      entries=asked.entries,
      formats=formats,
      turns=turns,
      rows=shown,
      classes=rows.labels[shown],
      choices=rows.classes[asked.tasks],
      names=names,
    ).only(~unsure)

  def _ask(self, positions: Int64[np.ndarray, "positions"]) -> _Asked:
    """Entry and query of each prompt, and words for what follows."""
    keys = philox_keys([f"{self._key_start},{p}]" for p in positions.tolist()])
    halves = philox_halves(keys, np.ones_like(positions)).reshape(-1, HALVES)
    # As Generator.random(): the upper 53 bits of the first word.
    uniform = (np.ascontiguousarray(halves[:, :2]).view("<u8")[:, 0] >> 11) * 2.0**-53
    drawn = entry_at(self._cumulative, uniform)
    here = self._suffices[drawn]
    positions, entries = positions[here], self._entries[drawn[here]]
    tasks = self._tables.task_of[entries]
    rows = self._tables.rows
    query, unsure = bounded(halves[here, 2], rows.num_queries[tasks])
    queries = rows.queries[rows.first_query[tasks] + query]
    keys = philox_keys(self._key_texts(positions, entries, queries))
    blocks = self._blocks[entries].reshape(-1)
    return _Asked(
      positions=positions,
      entries=entries,
      tasks=tasks,
      queries=queries,
      unsure=unsure,
      keys=keys.reshape(-1, 3, 2),
      starts=HALVES * starts_of(blocks).reshape(-1, 3),
      halves=philox_halves(keys, blocks),
    )

  def _key_texts(
    self, positions: np.ndarray, entries: np.ndarray, queries: np.ndarray
  ) -> list[str]:
    """Texts of the keys of each prompt's exemplars, format and symbols."""
    texts: list[str] = []
    rows = self._tables.rows.numbers[queries].tolist()
    for entry, row, position in zip(
      entries.tolist(), rows, positions.tolist(), strict=True
    ):
      start = f"{self._key_starts[entry]},{row},{position},"
      texts += start + '"episode"]', start + '"format"]', start + self._key_ends[entry]
    return texts

  def _shuffle(
    self, asked: _Asked, exemplars: Exemplars
  ) -> Int64[np.ndarray, "_turns"]:
    """Rows of all turns: each prompt's exemplars shuffled, then its query."""
    last_word = np.maximum(exemplars.taken - 1, 0) // 2
    block = asked.starts[:, 0] // 2 + last_word // 4 * 4
    columns = (
      asked.keys[:, 0],
      exemplars.taken,
      asked.halves.view("<u8")[block[:, None] + np.arange(4)],
      starts_of(exemplars.counts),
      exemplars.counts,
    )
    order: list[int] = []
    query = len(exemplars.rows)  # the first of them
    for key, taken, words, start, count in zip(
      *(column.tolist() for column in columns), strict=True
    ):
      shown = list(range(start, start + count))
      self._keyed.after(key, taken, words).shuffle(shown)
      order += shown
      order.append(query)
      query += 1
    return np.concatenate([exemplars.rows, asked.queries])[order]


def _arrays_suffice(entry: TokenEntry) -> bool:
  """Whether prompts of an entry can be drawn here, but for single ones."""
  if not entry.draws_symbols:
    return True
  if entry.labels is LabelStyle.SCRAMBLED:
    return False  # classes are drawn after the symbols
  # Rules refuse symbols one after another; a category of one symbol uses no bits up.
  sizes = [len(symbols) for symbols in entry.pool.symbols.values()]
  return entry.pool.rules is None and min(sizes, default=0) > 1
