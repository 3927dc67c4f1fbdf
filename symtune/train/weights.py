"""A network's parameters in one safetensors file, with the config that shapes them.

Names are the paths of the parameter tree, "encoder/layers_0/mlp/wo/kernel"; the config
is JSON in the file's metadata. Unlike a checkpoint of `train.checkpoint` it holds no
optimizer and no data position: it is what other experiments start from.
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
from symtune.model.network import Params

_FORMAT = "symtune-weights-1"
# The file's metadata has this one key: safetensors writes several in no fixed order.
_KEY = "symtune"


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
