"""Recipe.checkpoint -> the parameters that an experiment starts from."""

import dataclasses
import pathlib
from typing import Any

import jax

from symtune.cards.resources import resource_dir
from symtune.convert.load import check_config, fingerprint, load_params
from symtune.convert.source import open_checkpoint
from symtune.convert.tensors import SourceCheckpoint
from symtune.model.network import Params
from symtune.model.networks import Network, init_params
from symtune.train import partition

_SHIPPED_VOCAB = "vocab.model"  # beside the weights files of `tasks/`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
  """Where an experiment's parameters come from.

  Attributes:
    source: the checkpoint, opened.
    fingerprint: identifies the parameters.
  """

  source: SourceCheckpoint
  fingerprint: str


def find_start(name: str) -> Start:
  """Opens the checkpoint that a recipe's `checkpoint` names.

  Args:
    name: any address that `symtune.convert.source.open_checkpoint` takes, such as
      hf://google/flan-t5-small, gs://..., a run folder or a weights file; the last may
      lie inside `tasks/`.

  Returns:
    The opened checkpoint; large tensors are not read yet.

  Raises:
    SymtuneError: there is no checkpoint, or it is damaged.
  """
  shipped = resource_dir("tasks") / name
  is_shipped = not pathlib.Path(name).exists() and shipped.is_file()
  source = open_checkpoint(shipped if is_shipped else name)
  vocab = shipped.with_name(_SHIPPED_VOCAB)
  if is_shipped and source.vocab is None and vocab.is_file():
    source = dataclasses.replace(source, vocab=vocab)
  return Start(source=source, fingerprint=fingerprint(source))


def load_start(
  start: Start | None, network: Network, seed: int, shardings: Any = None
) -> Params:
  """The parameters before the first step.

  Args:
    start: where they come from; None initialises them at random.
    network: the network that uses them.
    seed: seed of random initialisation.
    shardings: the sharding of each parameter, from `partition.param_shardings`. The
      host then holds one tensor of a checkpoint at a time, a device only its shards.
      None puts everything on the first device.

  Returns:
    Nested dict of float32 arrays.

  Raises:
    SymtuneError: the checkpoint is damaged, or belongs to another network.
  """
  if start is None:
    params = init_params(network, jax.random.key(seed))
    return params if shardings is None else partition.place(params, shardings)
  check_config(start.source, network.config)
  return load_params(start.source, shardings=shardings)
