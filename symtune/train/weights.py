"""A network's parameters in one safetensors file, with the config that shapes them.

Names are the paths of the parameter tree, "encoder/layers_0/mlp/wo/kernel"; the config
is JSON in the file's metadata. Unlike a checkpoint of `train.checkpoint` it holds no
optimizer and no data position: it is what other experiments start from.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict

from symtune.errors import SymtuneError
from symtune.files import write_whole
from symtune.model.config import T5Config
from symtune.model.network import Params

_FORMAT = "symtune-weights-1"
# The file's metadata has this one key: safetensors writes several in no fixed order.
_KEY = "symtune"
# Settings that change how a network computes or trains, not which parameters it has.
_FREE = ("dtype", "dropout_rate", "float32_attention_logits", "remat_policy")


def save_weights(path: pathlib.Path, params: Params, config: T5Config) -> None:
  """Writes the file, whole or not at all; the same arrays give the same bytes.

  Args:
    path: the file, by custom `*.safetensors`.
    params: nested dict of float32 arrays.
    config: what the network was made of.
  """
  flat = flatten_dict(params, sep="/")
  arrays = {name: np.asarray(flat[name]) for name in sorted(flat)}
  write_whole(path, safetensors.numpy.save(arrays, weights_metadata(config)))


def load_weights(
  path: pathlib.Path, config: T5Config, shapes: Mapping[str, Any]
) -> Params:
  """Reads the file back, bit for bit.

  Args:
    path: the file.
    config: of the network that the parameters are for; type and dropout may differ.
    shapes: its tree, from `param_shapes`.

  Returns:
    Nested dict of NumPy arrays.

  Raises:
    SymtuneError: no such file, a damaged or foreign one, or one of another network.
  """
  arrays, metadata = _read(path)
  saved = saved_config(path, metadata)
  wanted = config_dict(config)
  keys = (saved.keys() | wanted.keys()) - set(_FREE)
  differ = {key for key in keys if saved.get(key) != wanted.get(key)}
  if differ:
    said = ", ".join(f"{k} {saved.get(k)!r}" for k in sorted(differ))
    here = ", ".join(f"{k} {wanted.get(k)!r}" for k in sorted(differ))
    raise SymtuneError(
      f"{path} is of a network with {said}; this one has {here}. Use the model "
      f"configuration that the weights were trained with."
    )
  _check_arrays(path, arrays, flatten_dict(shapes, sep="/"))
  return unflatten_dict(arrays, sep="/")


def _read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  try:
    with safetensors.safe_open(path, framework="numpy") as file:
      arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
      return arrays, file.metadata() or {}
  except FileNotFoundError as error:
    raise SymtuneError(f"no weights at {path}. Check the path.") from error
  except (OSError, safetensors.SafetensorError) as error:
    raise SymtuneError(f"{path} is no whole safetensors file: {error}.") from error


def _check_arrays(path: pathlib.Path, arrays, shapes) -> None:
  missing, extra = sorted(shapes.keys() - arrays), sorted(arrays.keys() - shapes.keys())
  if missing or extra:
    raise SymtuneError(
      f"{path}: the network has parameters {missing} that the file lacks, and the file "
      f"has {extra} that the network lacks. Use weights of this network."
    )
  for name, array in arrays.items():
    if array.shape != shapes[name].shape or array.dtype != shapes[name].dtype:
      raise SymtuneError(
        f"{path}: {name} has shape {array.shape} and type {array.dtype}, expected "
        f"{shapes[name].shape} and {shapes[name].dtype}."
      )


def weights_metadata(config: T5Config) -> dict[str, str]:
  """What a weights file of this network says of itself."""
  described = {"format": _FORMAT, "config": config_dict(config)}
  return {_KEY: json.dumps(described)}


def saved_config(path: pathlib.Path, metadata: Mapping[str, str]) -> dict[str, Any]:
  """The network's settings in a file's metadata, as JSON values.

  Raises:
    SymtuneError: symtune did not write the file.
  """
  try:
    return json.loads(metadata[_KEY])["config"]
  except (KeyError, ValueError, TypeError) as error:
    raise SymtuneError(
      f"{path}: got a safetensors file without a symtune config, expected one written "
      f"by symtune ({_FORMAT}). Of a Transformers model give the folder, not the file."
    ) from error


def config_dict(config: T5Config) -> dict[str, Any]:
  """A network's settings as JSON values, by field name."""
  values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
  values["dtype"] = np.dtype(values["dtype"]).name
  values["mlp_activations"] = list(values["mlp_activations"])
  return values
