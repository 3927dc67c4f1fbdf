"""What every checkpoint format is read as: named arrays that are not in memory yet."""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from symtune.errors import SymtuneError
from symtune.model.config import T5Config
from symtune.model.network import Transformer, param_shapes

_MAX_NAMED = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class LazyTensor:
  """An array of a file, read when asked for.

  Attributes:
    shape: its axes, as `read` returns them.
    dtype: its type; bfloat16 is that of ml_dtypes.
    read: returns the array, which may be a view and must not be written to; raises
      SymtuneError that names the tensor when the file is damaged.
  """

  shape: tuple[int, ...]
  dtype: np.dtype
  read: Callable[[], np.ndarray]

  @property
  def size(self) -> int:
    """Numbers in it."""
    return math.prod(self.shape)

  def map(
    self, shape: tuple[int, ...], change: Callable[[np.ndarray], np.ndarray]
  ) -> "LazyTensor":
    """The tensor after a change of its axes, such as a transpose."""
    return LazyTensor(shape=shape, dtype=self.dtype, read=lambda: change(self.read()))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceCheckpoint:
  """A checkpoint of any format, opened: settings are known, arrays are not read yet.

  Attributes:
    where: what to call it in messages.
    config: the network's settings.
    tensors: parameters by the slash-joined path of our tree, in the file's order, which
      is the cheapest to read them in; as `symtune.model.network.init_params` has them.
    step: training step, where the format knows it.
    vocab: the SentencePiece model beside it, where there is one.
    left_out: what the file holds beside the parameters, for the record.
  """

  where: str
  config: T5Config
  tensors: Mapping[str, LazyTensor]
  step: int | None = None
  vocab: pathlib.Path | None = None
  left_out: tuple[str, ...] = ()


def expected_shapes(config: T5Config) -> dict[str, tuple[int, ...]]:
  """Shape of every parameter of a network by its slash-joined path."""
  tree: Mapping[str, Any] = dict(
    flatten_dict(param_shapes(Transformer(config)), sep="/")
  )
  return {name: tuple(leaf.shape) for name, leaf in tree.items()}


def check_tensors(
  where: str, tensors: Mapping[str, LazyTensor], config: T5Config
) -> None:
  """Refuses parameters that are not exactly those of the network.

  Args:
    where: the checkpoint, for messages.
    tensors: parameters by slash-joined path.
    config: settings of the network.

  Raises:
    SymtuneError: names every missing, unknown and misshapen parameter.
  """
  expected = expected_shapes(config)
  problems = [f"{name} is missing" for name in expected if name not in tensors]
  problems += [f"{name} is unknown" for name in tensors if name not in expected]
  problems += [
    f"{name} has shape {list(tensors[name].shape)}, expected {list(shape)}"
    for name, shape in expected.items()
    if name in tensors and tensors[name].shape != shape
  ]
  if problems:
    raise SymtuneError(
      f"{where}: the parameters are not those of this network: {list_some(problems)}. "
      "Nothing is filled in: give a whole checkpoint, with the settings that belong to "
      "it."
    )


def list_some(items: Iterable[str]) -> str:
  """The items as one line; beyond twenty only their number."""
  items = list(items)
  shown = "; ".join(items[:_MAX_NAMED])
  more = len(items) - _MAX_NAMED
  return f"{shown}; and {more} more" if more > 0 else shown
