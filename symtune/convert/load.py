"""SourceCheckpoint -> parameters on devices, tensor by tensor."""

import concurrent.futures
import dataclasses
import enum
import hashlib
import math
import shlex
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from symtune.convert.tensors import LazyTensor, SourceCheckpoint
from symtune.errors import SymtuneError
from symtune.model.decoder.config import Positions, PromptAttention
from symtune.model.network import Params
from symtune.model.networks import Config
from symtune.progress import Progress

_DTYPES = ("float32", "bfloat16")
_READ_WHOLE = 2_000_000_000
_COPIERS = 2  # threads that cast, transpose and copy while the next tensor is read
_ALIGNMENT = 64  # bytes; on a CPU, JAX uses an array aligned like this without a copy
_STRIP = 16  # columns; wider strips do not stay in the processor's cache
# Settings that change how a network computes, not which parameters it has.
_FREE = ("dtype", "dropout_rate", "float32_attention_logits", "remat_policy")


def float_dtype(dtype: Any, what: str) -> np.dtype:
  """Checks a type for parameters or computation.

  Args:
    dtype: a type or its name.
    what: what the type is for, for the message.

  Raises:
    SymtuneError: the type is neither float32 nor bfloat16.
  """
  try:
    found = jnp.dtype(dtype)
  except TypeError as error:
    raise SymtuneError(f"{what}: got {dtype!r}, expected one of {_DTYPES}.") from error
  if found == jnp.float16:
    raise SymtuneError(
      f"{what}: got float16, expected one of {_DTYPES}. T5 and Gemma were trained in "
      "bfloat16: their activations exceed float16's 65,504 and become infinite, then "
      "NaN."
    )
  if found.name not in _DTYPES:
    raise SymtuneError(f"{what}: got {found.name}, expected one of {_DTYPES}.")
  return found


def load_params(
  checkpoint: SourceCheckpoint,
  *,
  dtype: Any = jnp.float32,
  shardings: Any = None,
) -> Params:
  """Reads the parameters onto devices; the host holds at most three of them at a time.

  Args:
    checkpoint: an opened checkpoint, whose tensors were checked.
    dtype: type of the parameters, float32 or bfloat16. Train in float32.
    shardings: nested dict of shardings (`symtune.train.partition.param_shardings`);
      each device gets only its part. None puts everything on the first device.

  Returns:
    A nested dict, as `init_params` of the network returns it.

  Raises:
    SymtuneError: no network can use the type, or a tensor is damaged; names it.
  """
  kind = float_dtype(dtype, "parameter dtype")
  first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  places = {} if shardings is None else flatten_dict(shardings, sep="/")
  coming: list[concurrent.futures.Future[jax.Array]] = []
  with (
    Progress(
      f"reading {checkpoint.where}", len(checkpoint.tensors), unit="tensors"
    ) as progress,
    concurrent.futures.ThreadPoolExecutor(_COPIERS) as pool,
  ):
    for name, tensor in checkpoint.tensors.items():
      if len(coming) >= _COPIERS:
        coming[-_COPIERS].result()
      place = places.get(name, first)
      coming.append(pool.submit(_put, tensor.read(), kind, place))
      progress.advance()
  named = zip(checkpoint.tensors, coming, strict=True)
  return unflatten_dict({name: future.result() for name, future in named}, sep="/")


def _put(value: np.ndarray, dtype: np.dtype, sharding: Any) -> jax.Array:
  placed = jax.make_array_from_callback(
    value.shape, sharding, lambda index: _copied(value[index], dtype)
  )
  return jax.block_until_ready(placed)


def _copied(block: np.ndarray, dtype: np.dtype) -> np.ndarray:
  """A copy that JAX need not copy again and that outlives a memory-mapped file."""
  memory = np.empty(block.size * dtype.itemsize + _ALIGNMENT, np.uint8)
  start = -memory.ctypes.data % _ALIGNMENT
  copy = memory[start : start + block.size * dtype.itemsize].view(dtype)
  copy = copy.reshape(block.shape)
  whole = copy
  if block.dtype == dtype:  # NumPy moves plain integers faster than bfloat16
    bits = np.dtype(f"u{dtype.itemsize}")
    block, copy = block.view(bits), copy.view(bits)
  if block.ndim == 2 and not block.flags.c_contiguous:
    # Strip by strip: column by column, each number would cost a memory access.
    for first in range(0, block.shape[1], _STRIP):
      strip = np.s_[:, first : first + _STRIP]
      copy[strip] = block[strip]
  else:
    copy[...] = block
  return whole


def check_config(checkpoint: SourceCheckpoint, config: Config) -> None:
  """Refuses a checkpoint whose network differs from the one that is to use it.

  Args:
    checkpoint: an opened checkpoint.
    config: settings of the network; type, dropout and rematerialisation may differ, as
      well as the number of positions if none are learned. A network that was tuned to
      read prompts causally may go on to read them in both directions.

  Raises:
    SymtuneError: names every setting that differs, and both values.
  """
  kind, here = type(checkpoint.config).__name__, type(config).__name__
  if kind != here:
    raise SymtuneError(
      f"{checkpoint.where} is of a network with {kind}, but this network has {here}: "
      "T5Config is of encoder-decoders, DecoderConfig of decoder-only models. Use a "
      "recipe of the other kind."
    )
  names = [f.name for f in dataclasses.fields(config)]
  differ = [name for name in names if not _suits(name, checkpoint.config, config)]
  if differ:
    found = ", ".join(f"{n} = {_shown(getattr(checkpoint.config, n))}" for n in differ)
    here = ", ".join(f"{n} = {_shown(getattr(config, n))}" for n in differ)
    raise SymtuneError(
      f"{checkpoint.where} is of a network with {kind} {found}, but this network has "
      f"{here}. Use the settings of the checkpoint: {_options(checkpoint, differ)}."
    )


def _suits(name: str, checkpoint: Config, here: Config) -> bool:
  """Whether a network may have this setting, given that of the checkpoint."""
  left, right = getattr(checkpoint, name), getattr(here, name)
  if name in _FREE:
    return True
  if name == "attention" and left is PromptAttention.CAUSAL:
    return True  # tuning teaches it to read prompts in both directions
  if name == "max_positions":
    return left == right or getattr(here, "positions", None) is not Positions.LEARNED
  if isinstance(left, float) and isinstance(right, float):
    return math.isclose(left, right, rel_tol=1e-6)  # some files keep float32
  return left == right


def _shown(value: Any) -> str:
  return repr(value.value if isinstance(value, enum.Enum) else value)


def _options(checkpoint: SourceCheckpoint, names: Sequence[str]) -> str:
  """The options of a command line that give a recipe the checkpoint's settings."""
  kind, options = type(checkpoint.config).__name__, []
  for name in names:
    value = getattr(checkpoint.config, name)
    if dataclasses.is_dataclass(value):
      options.append(f"(and {name} as in its file of gin_configs/models/decoder)")
    else:
      setting = f"--gin.{kind}.{name}={_shown(value)}".replace(" ", "")
      options.append(shlex.quote(setting))
  return " ".join(options)


def fingerprint(checkpoint: SourceCheckpoint) -> str:
  """A hash that changes when the parameters do.

  It covers all parameters if there are at most 2 billion, which take some seconds to
  read. For a larger checkpoint it covers the norm scales, biases and relative biases,
  which are few even at 11B and change in any training that does not leave them out
  (`optimizer.trainable`).

  Args:
    checkpoint: an opened checkpoint.

  Returns:
    SHA-256 in hexadecimal; equal parameters give the same hash in every format.

  Raises:
    SymtuneError: a tensor is damaged.
  """
  numbers = sum(tensor.size for tensor in checkpoint.tensors.values())
  # Reading in the file's order is cheapest and holds one array at a time.
  digests = {
    name: _digest(name, tensor, is_small=numbers <= _READ_WHOLE)
    for name, tensor in checkpoint.tensors.items()
  }
  return hashlib.sha256(b"".join(digests[n] for n in sorted(digests))).hexdigest()


def _digest(name: str, tensor: LazyTensor, *, is_small: bool) -> bytes:
  digest = hashlib.sha256(f"{name} {tensor.shape} {tensor.dtype.name}\n".encode())
  if is_small or len(tensor.shape) == 1 or name.endswith("/rel_embedding"):
    # As plain bytes, since bfloat16 has no buffer format.
    digest.update(np.ascontiguousarray(tensor.read()).reshape(-1).view(np.uint8).data)
  return digest.digest()
