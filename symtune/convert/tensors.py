"""What every checkpoint format is read into: named arrays, not yet in memory."""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from symtune.errors import SymtuneError
from symtune.model.networks import Config, make_network, param_shapes

_MAX_NAMED = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class LazyTensor:
  """An array of a file that is read on demand.

  Attributes:
    shape: shape of the array that `read` returns.
    dtype: its type; bfloat16 is that of ml_dtypes.
    read: returns the array, which may be a view and must not be written to; raises
      SymtuneError, which names the tensor, if the file is damaged.
  """

  shape: tuple[int, ...]
  dtype: np.dtype
  read: Callable[[], np.ndarray]

  @property
  def size(self) -> int:
    """How many numbers it holds."""
    return math.prod(self.shape)

  def map(
    self, shape: tuple[int, ...], change: Callable[[np.ndarray], np.ndarray]
  ) -> "LazyTensor":
    """The tensor with its axes changed by a function, such as a transpose."""
    return LazyTensor(shape=shape, dtype=self.dtype, read=lambda: change(self.read()))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceCheckpoint:
  """An opened checkpoint of any format: settings are known, arrays are not read yet.

  Attributes:
    where: what to call it in messages.
    config: the network's settings.
    tensors: parameters by slash-joined path, with the paths and shapes of
      `symtune.model.networks.init_params`; in the file's order, the cheapest to read.
    step: training step, or None if the format does not record it.
    vocab: the vocabulary found with the checkpoint, or None: a SentencePiece model or a
      tokenizer.json.
    left_out: what else the file holds besides the parameters, for information.
  """

  where: str
  config: Config
  tensors: Mapping[str, LazyTensor]
  step: int | None = None
  vocab: pathlib.Path | None = None
  left_out: tuple[str, ...] = ()


def expected_shapes(config: Config) -> dict[str, tuple[int, ...]]:
  """The shape of every parameter of a network, by slash-joined path."""
  tree: Mapping[str, Any] = dict(
    flatten_dict(param_shapes(make_network(config)), sep="/")
  )
  return {path: tuple(leaf.shape) for path, leaf in tree.items()}


def check_tensors(
  where: str, tensors: Mapping[str, LazyTensor], config: Config
) -> None:
  """Refuses parameters that do not match those of the network exactly.

  Args:
    where: the checkpoint, for messages.
    tensors: parameters by slash-joined path.
    config: settings of the network.

  Raises:
    SymtuneError: some are missing, unknown, misshapen or no numbers; names them.
  """
  check_shapes(where, tensors, expected_shapes(config))


def check_shapes(
  where: str,
  tensors: Mapping[str, LazyTensor],
  expected: Mapping[str, tuple[int, ...]],
) -> None:
  """Refuses tensors that are not those of a list.

  Args:
    where: the checkpoint, for messages.
    tensors: tensors by name.
    expected: the shapes that the network has, by the same names.

  Raises:
    SymtuneError: some are missing, unknown, misshapen or no numbers; names them.
  """
  problems = [f"{name} is missing" for name in expected if name not in tensors]
  problems += [f"{name} is unknown" for name in tensors if name not in expected]
  problems += [
    f"{name} is {tensor.dtype.name}, expected floating-point numbers"
    for name, tensor in tensors.items()
    if not jnp.issubdtype(tensor.dtype, jnp.floating)
  ]
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
  """The items in one line; beyond twenty, only how many more there are."""
  items = list(items)
  shown = "; ".join(items[:_MAX_NAMED])
  more = len(items) - _MAX_NAMED
  return f"{shown}; and {more} more" if more > 0 else shown
