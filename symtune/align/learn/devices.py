"""Where the arrays of policies and reward models lie: on one device, or on a mesh."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from flax.core.spmd import logical_axis_rules
from jax.sharding import NamedSharding, PartitionSpec

from symtune.experiment.start import Start, load_start
from symtune.model.axes import DATA_AXIS
from symtune.model.networks import Network, param_axes, param_shapes
from symtune.train import partition
from symtune.train.state import TrainState, create_state


class Devices:
  """The devices of a run, the same for sampling as for training."""

  def __init__(
    self,
    layout: partition.Layout | None = None,
    devices: Sequence[Any] | None = None,
  ) -> None:
    """Arranges devices.

    Args:
      layout: how parameters are sharded; None replicates them.
      devices: the devices; None: all of them.

    Raises:
      SymtuneError: the devices cannot be divided as the layout says.
    """
    layout = layout or partition.Layout()
    found = jax.devices() if devices is None else list(devices)
    self._mesh = partition.make_mesh(model_devices=layout.model_devices, devices=found)
    self._rules = partition.layout_rules(layout)
    self.everywhere = NamedSharding(self._mesh, PartitionSpec())
    self._rows = NamedSharding(self._mesh, PartitionSpec(DATA_AXIS))

  def jit(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compiles a function for these devices; options are those of `jax.jit`."""
    return functools.partial(self.call, jax.jit(function, **options))

  def call(self, compiled: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """Calls a function that `jax.jit` made, on these devices."""
    with jax.set_mesh(self._mesh), logical_axis_rules(self._rules):
      return compiled(*arguments, **settings)

  def put(self, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """Shards the rows of a batch; every process passes the whole batch.

    Raises:
      SymtuneError: the devices cannot share the rows evenly.
    """
    for rows in batch.values():
      partition.check_rows(len(rows), self._mesh)
    return partition.place(dict(batch), dict.fromkeys(batch, self._rows))

  def param_places(self, network: Network) -> Any:
    """The sharding of each parameter of a network.

    Raises:
      SymtuneError: an axis does not divide evenly.
    """
    shapes, axes = param_shapes(network), param_axes(network)
    return partition.param_shardings(shapes, axes, self._mesh, self._rules)

  def load(self, start: Start | None, network: Network, seed: int) -> Any:
    """The parameters that a run starts from, each time in arrays of their own.

    Raises:
      SymtuneError: the checkpoint is damaged, or belongs to another network.
    """
    return load_start(start, network, seed, self.param_places(network))

  def state(
    self,
    params: Any,
    places: Any,
    optimizer: optax.GradientTransformation,
    seed: int,
  ) -> tuple[TrainState, "Places"]:
    """The state before the first step, which takes over `params`, and its places.

    Args:
      params: the parameters.
      places: the sharding of each.
      optimizer: as made by `make_optimizer`.
      seed: of what the steps draw.
    """

    def make(params: Any) -> TrainState:
      return create_state(params, optimizer, seed)

    shapes = jax.eval_shape(make, params)
    shardings = partition.state_shardings(shapes, places, self._mesh)
    state = jax.jit(make, out_shardings=shardings, donate_argnums=0)(params)
    return state, Places(tuple(jax.tree.leaves(shardings)))


class Places(NamedTuple):
  """The shardings of the arrays of a train state, as a static argument of steps.

  Attributes:
    shardings: of every array, in the order of the tree.
  """

  shardings: tuple[NamedSharding, ...]

  def keep(self, state: TrainState) -> TrainState:
    """The state, whose arrays stay where they were before the step."""
    tree = jax.tree.structure(state)
    wanted = jax.tree.unflatten(tree, self.shardings)
    return jax.lax.with_sharding_constraint(state, wanted)
