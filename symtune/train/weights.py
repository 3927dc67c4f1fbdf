"""A network's parameters and its config in one safetensors file.

Names are the paths of the parameter tree, such as "encoder/layers_0/mlp/wo/kernel"; the
config is JSON in the file's metadata. Unlike a checkpoint of `train.checkpoint`, the
file holds neither optimizer state nor data position: other experiments start from it.
`symtune.convert.source` reads it.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict

from symtune.errors import SymtuneError
from symtune.files import write_whole
from symtune.model.config import T5Config
from symtune.model.decoder.config import DecoderConfig, Rotary
from symtune.model.network import Params
from symtune.model.networks import Config

_FORMAT = "symtune-weights-1"
# The metadata has a single key: safetensors writes several keys in no fixed order.
_KEY = "symtune"


def save_weights(path: pathlib.Path, params: Params, config: Config) -> None:
  """Writes the file atomically; the same arrays give the same bytes.

  Args:
    path: the file, usually `*.safetensors`.
    params: nested dict of float32 arrays.
    config: settings of the network.
  """
  flat = flatten_dict(params, sep="/")
  arrays = {name: np.asarray(flat[name]) for name in sorted(flat)}
  write_whole(path, safetensors.numpy.save(arrays, weights_metadata(config)))


def weights_metadata(config: Config) -> dict[str, str]:
  """The metadata of a weights file of this network."""
  described = {"format": _FORMAT, "config": config_dict(config)}
  return {_KEY: json.dumps(described)}


def saved_config(path: pathlib.Path, metadata: Mapping[str, str]) -> dict[str, Any]:
  """Reads the network's settings from a file's metadata, as JSON values.

  Raises:
    SymtuneError: the metadata is not that of a weights file of symtune.
  """
  try:
    return json.loads(metadata[_KEY])["config"]
  except (KeyError, ValueError, TypeError) as error:
    raise SymtuneError(
      f"{path}: got a safetensors file without a symtune config, expected one written "
      f"by symtune ({_FORMAT}). For a Transformers model, give the folder, not a file."
    ) from error


def config_dict(config: Config) -> dict[str, Any]:
  """A network's settings as JSON values, by field name."""
  values = {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}
  values["dtype"] = np.dtype(config.dtype).name
  return values


def _plain(value: Any) -> Any:
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
  return list(value) if isinstance(value, tuple) else value


def config_from_dict(content: Mapping[str, Any]) -> Config:
  """The settings that `config_dict` returned; what they have tells which network's.

  Raises:
    TypeError: an unknown setting, or one is missing; names it.
    SymtuneError: a value is out of range.
  """
  if "num_kv_heads" not in content:
    return T5Config(**content)
  nested = {
    name: Rotary(**content[name])
    for name in ("rotary", "window_rotary")
    if isinstance(content.get(name), Mapping)
  }
  return DecoderConfig(**{**content, **nested})


def known_settings(content: Mapping[str, Any]) -> frozenset[str]:
  """The names of the settings that a network of this kind has."""
  kind = DecoderConfig if "num_kv_heads" in content else T5Config
  return frozenset(field.name for field in dataclasses.fields(kind))
