"""(class of functions, seed, positions) -> episodes of numbers.

Every episode is a pure function of the class, the evaluation, the seed and its position
(symtune/data/draw/words.py): an episode alone has the numbers that it has in a batch.
"""

import dataclasses

import numpy as np
import scipy.special
from jaxtyping import Float, Float32, Float64, Int64, UInt32

from symtune.data.draw.words import Use, below, draw_runs
from symtune.data.rng import keyed_generator, stream_key
from symtune.regression.tasks import (
  STANDARD,
  Evaluation,
  Family,
  FunctionClass,
  Shift,
)

# A change of anything that an episode is drawn by is a new version.
EPISODES_VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Episodes:
  """Episodes of (x, y) pairs; after i exemplars, the query i is asked.

  Attributes:
    xs: inputs of the exemplars.
    ys: their outputs, with noise.
    queries: what is asked after 0, 1, ... exemplars: xs itself, unless a shifted
      evaluation asks something else.
    answers: outputs of the queries, with noise.
    weights: the functions' weight vectors.
  """

  xs: Float32[np.ndarray, "episodes points dim"]
  ys: Float32[np.ndarray, "episodes points"]
  queries: Float32[np.ndarray, "episodes points dim"]
  answers: Float32[np.ndarray, "episodes points"]
  weights: Float32[np.ndarray, "episodes dim"]

  @property
  def asks_next(self) -> bool:
    """Whether each query is the next exemplar's input."""
    return self.queries is self.xs


def draw_episodes(
  functions: FunctionClass,
  *,
  seed: int | str,
  first: int,
  count: int,
  evaluation: Evaluation = STANDARD,
  active_dim: int | None = None,
) -> Episodes:
  """Draws successive episodes.

  Args:
    functions: the class of functions.
    seed: root seed of the draws; evaluations use another than training.
    first: position of the first episode.
    count: number of episodes.
    evaluation: how they differ from those of training.
    active_dim: coordinates of x that are not zero, for a curriculum; None: all.

  Returns:
    The episodes.
  """
  shape = (count, functions.points, functions.dim)
  xs = _normals(seed, "inputs", first, shape)
  xs = _shift_inputs(xs, evaluation, seed, first)
  if active_dim is not None:
    xs[:, :, active_dim:] = 0.0
  weights = _draw_weights(functions, seed, first, count)
  if evaluation.shift is Shift.SCALE_Y:
    weights = weights * evaluation.factor
  queries = _shift_queries(xs, evaluation, seed, first)
  ys = np.einsum("epd,ed->ep", xs, weights)
  answers = np.einsum("epd,ed->ep", queries, weights)
  noise = _noise(functions, evaluation, seed, first, count)
  scale = 1.0
  if evaluation.shift is Shift.NOISY:
    clean = functions.y_variance
    scale = np.sqrt(clean / (clean + evaluation.factor**2))
  xs_32 = xs.astype(np.float32)
  asks_next = queries is xs
  return Episodes(
    xs=xs_32,
    ys=((ys + noise) * scale).astype(np.float32),
    queries=xs_32 if asks_next else queries.astype(np.float32),
    answers=((answers + noise) * scale).astype(np.float32),
    weights=(weights * scale).astype(np.float32),
  )


def draw_queries(
  functions: FunctionClass, *, seed: int | str, first: int, count: int, number: int
) -> Float32[np.ndarray, "{count} {number} dim"]:
  """Standard normal x for successive episodes, which no episode uses.

  Args:
    functions: the class of functions.
    seed: root seed of the draws.
    first: position of the first episode.
    count: number of episodes.
    number: queries of each episode.
  """
  shape = (count, number, functions.dim)
  return _normals(seed, "linear queries", first, shape).astype(np.float32)


def pool_vectors(functions: FunctionClass) -> Float64[np.ndarray, "pool dim"]:
  """The weight vectors of a POOL; a larger pool of the same seed begins with them.

  Args:
    functions: a class of the family POOL.
  """
  assert functions.pool_size is not None, "only a POOL has vectors"
  shape = (functions.pool_size, functions.dim)
  return functions.weight_scale * _normals(functions.pool_seed, "pool", 0, shape)


def _draw_weights(
  functions: FunctionClass, seed: int | str, first: int, count: int
) -> Float64[np.ndarray, "count dim"]:
  match functions.family:
    case Family.POOL:
      words = _words(seed, "choices", first, (count, 1))[:, 0]
      size = np.asarray(functions.pool_size)
      return pool_vectors(functions)[below(words, size)]
    case Family.SPARSE:
      weights = _normals(seed, "weights", first, (count, functions.dim))
      order = np.argsort(_words(seed, "choices", first, weights.shape), axis=1)
      place = np.argsort(order, axis=1)  # of each coordinate in the random order
      assert functions.nonzero is not None, "only SPARSE has it, and needs it"
      weights = np.where(place < functions.nonzero, weights, 0.0)
      return functions.weight_scale * weights
  return functions.weight_scale * _normals(
    seed, "weights", first, (count, functions.dim)
  )


def _noise(
  functions: FunctionClass,
  evaluation: Evaluation,
  seed: int | str,
  first: int,
  count: int,
) -> Float64[np.ndarray, "count points"] | float:
  deviation = functions.noise
  if evaluation.shift is Shift.NOISY:
    deviation = float(np.hypot(deviation, evaluation.factor))
  if deviation == 0.0:
    return 0.0
  return deviation * _normals(seed, "noise", first, (count, functions.points))


def _shift_inputs(
  xs: Float64[np.ndarray, "episodes points dim"],
  evaluation: Evaluation,
  seed: int | str,
  first: int,
) -> Float64[np.ndarray, "episodes points dim"]:
  episodes, _, dim = xs.shape
  match evaluation.shift:
    case Shift.RANDOM_QUADRANTS:
      signs = _words(seed, "signs", first, (episodes, dim)) >> np.uint32(31)
      return np.abs(xs) * (2.0 * signs[:, None, :] - 1.0)
    case Shift.SCALE_X:
      return xs * evaluation.factor
    case Shift.HALF_SUBSPACE:
      kept = max(1, dim // 2)
      return xs @ _transformation(seed, np.arange(dim) < kept)
    case Shift.SKEWED:
      return xs @ _transformation(seed, 1.0 / np.arange(1, dim + 1))
  return xs


def _transformation(
  seed: int | str, eigenvalues: np.ndarray
) -> Float64[np.ndarray, "dim dim"]:
  """A symmetric matrix in a random basis, which keeps the mean length of x."""
  dim = len(eigenvalues)
  gaussian = keyed_generator(seed, "regression", "basis").normal(size=(dim, dim))
  basis = np.linalg.qr(gaussian)[0]
  scale = np.sqrt(dim / np.square(eigenvalues).sum())
  return scale * (basis * eigenvalues) @ basis.T


def _shift_queries(
  xs: Float64[np.ndarray, "episodes points dim"],
  evaluation: Evaluation,
  seed: int | str,
  first: int,
) -> Float64[np.ndarray, "episodes points dim"]:
  match evaluation.shift:
    case Shift.RANDOM_QUADRANTS:
      return _normals(seed, "queries", first, xs.shape)
    case Shift.ORTHOGONAL:
      return _orthogonal_queries(xs)
    case Shift.OVERLAPPING:
      return _overlapping_queries(xs, seed, first)
  return xs


def _orthogonal_queries(
  xs: Float64[np.ndarray, "episodes points dim"],
) -> Float64[np.ndarray, "episodes points dim"]:
  """The part of each x that is orthogonal to those before, of length sqrt(dim)."""
  dim, queries = xs.shape[2], np.zeros_like(xs)
  for place in range(min(dim, xs.shape[1])):
    earlier, query = xs[:, :place], xs[:, place]
    along = np.einsum("edp,epc,ec->ed", np.linalg.pinv(earlier), earlier, query)
    rest = query - along
    queries[:, place] = rest * (np.sqrt(dim) / np.linalg.norm(rest, axis=1)[:, None])
  return queries


def _overlapping_queries(
  xs: Float64[np.ndarray, "episodes points dim"], seed: int | str, first: int
) -> Float64[np.ndarray, "episodes points dim"]:
  episodes, points, _ = xs.shape
  words = _words(seed, "repeats", first, (episodes, points))
  bounds = np.maximum(np.arange(points), 1)[None, :]
  places: Int64[np.ndarray, "episodes points"] = below(words, bounds)
  return np.take_along_axis(xs, places[:, :, None], axis=1)


def _normals(
  seed: int | str, what: str, first: int, shape: tuple[int, ...]
) -> Float[np.ndarray, "..."]:
  """Standard normal numbers, each from one word by the inverse distribution."""
  words = _words(seed, what, first, shape)
  return scipy.special.ndtri((words + 0.5) * 2.0**-32)


def _words(
  seed: int | str, what: str, first: int, shape: tuple[int, ...]
) -> UInt32[np.ndarray, "..."]:
  """Words of successive positions; the other axes of `shape` belong to one position."""
  stream = stream_key(seed, "regression", what)
  width = int(np.prod(shape[1:]))
  return draw_runs(stream, Use.OTHER, first, shape[0], width).reshape(shape)
