"""(stream, use, positions) -> random words: every prompt has words of its own.

The words are those of NumPy's Philox, a counter-based generator (Salmon et al. 2011,
"Parallel random numbers: as easy as 1, 2, 3"). Its key is (stream, use), its counter is
(position, block). So the words of a window are one call to NumPy, the words of a single
prompt are a slice of them, and no draw depends on which other prompts are drawn, on how
many words they take, or on any other use.
"""

import enum

import numpy as np
from jaxtyping import Int64, UInt32

# A change of anything that a prompt is drawn by is a new version. It is part of every
# configuration hash and every fingerprint of questions.
DRAWS_VERSION = 3

BLOCK = 8  # words of 32 bits that Philox makes of one counter
# Words that lie between two positions are made and thrown away, up to this many
# positions: from there on a second call to NumPy costs less.
_MAX_GAP = 512


class Use(enum.IntEnum):
  """What random words decide. Each use has words of its own."""

  PLACE = 0  # the ingredient's task, the query, how many exemplars, the format
  EXEMPLARS = 1
  ORDER = 2
  SYMBOLS = 3
  CLASSES = 4  # of scrambled labels
  OTHER = 5  # whatever prompts that no task makes need, such as those of skills


def draw_words(
  stream: int, use: Use, positions: Int64[np.ndarray, "positions"], block: int = 0
) -> UInt32[np.ndarray, "positions 8"]:
  """One block of uniform random words for every position.

  Args:
    stream: from `stream_key`.
    use: what the words decide.
    positions: of the prompts, ascending, 0 or more.
    block: number of the block, for uses that need more than eight words.

  Returns:
    Words of 32 bits.
  """
  breaks = np.flatnonzero(np.diff(positions) > _MAX_GAP) + 1
  runs = []
  for run in np.split(positions, breaks):
    if len(run):
      first, last = int(run[0]), int(run[-1])
      philox = _philox(stream, use, first, block)
      words = philox.random_raw((last - first + 1) * BLOCK // 2).astype("<u8")
      runs.append(words.view("<u4").reshape(-1, BLOCK)[run - first])
  return np.concatenate([np.zeros((0, BLOCK), np.uint32), *runs])


def draw_many_words(
  stream: int, use: Use, positions: Int64[np.ndarray, "positions"], count: int
) -> UInt32[np.ndarray, "positions _count"]:
  """At least `count` words for every position, block by block."""
  blocks = [
    draw_words(stream, use, positions, block) for block in range(-(-count // BLOCK))
  ]
  return np.concatenate([np.zeros((len(positions), 0), np.uint32), *blocks], axis=1)


def draw_runs(
  stream: int, use: Use, first: int, count: int, width: int
) -> UInt32[np.ndarray, "{count} {width}"]:
  """Words for successive positions that each need many: one call to NumPy for all.

  The counters of a position follow those of the one before, so a stream and a use are
  read with one width only, and not by `draw_words` too.

  Args:
    stream: from `stream_key`.
    use: what the words decide.
    first: the first position, 0 or more.
    count: number of positions.
    width: words of each position.
  """
  blocks = -(-width // BLOCK)
  philox = _philox(stream, use, first * blocks, 0)
  words = philox.random_raw(count * blocks * BLOCK // 2).astype("<u8")
  return words.view("<u4").reshape(count, blocks * BLOCK)[:, :width]


def below(
  words: UInt32[np.ndarray, "*n"], bounds: np.ndarray
) -> Int64[np.ndarray, "*n"]:
  """Numbers from 0 to below the bounds, one for each word, by multiply and shift.

  No word is refused, so some numbers are likelier than others by at most
  bound / 2**32: for a task of 25,000 rows that is one part in 170,000.

  Args:
    words: uniform random words.
    bounds: 1 or more, of a shape that broadcasts to that of the words.
  """
  product = words.astype(np.uint64) * bounds.astype(np.uint64)
  return (product >> np.uint64(32)).astype(np.int64)


def position_generator(stream: int, position: int) -> np.random.Generator:
  """A generator for the one prompt at a position, of use `OTHER`."""
  # The position is the second word of the counter, so streams never meet.
  return np.random.Generator(_philox(stream, Use.OTHER, 0, position))


def _philox(stream: int, use: Use, position: int, block: int) -> np.random.Philox:
  # As arrays: NumPy turns a list with numbers above 2**63 into floats.
  key = np.asarray([stream, use], np.uint64)
  counter = np.asarray([position, block, 0, 0], np.uint64)
  return np.random.Philox(key=key, counter=counter)
