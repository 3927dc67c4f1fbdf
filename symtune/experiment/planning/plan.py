"""(Recipe, slice, layout) -> Plan: estimates from shapes alone, without a device.

Memory of one device, in bytes:

  parameters   float32, sharded by the partitioning rules
  gradients    as large as the parameters that are trained; with micro-batches twice
               that, for the sum so far and the newest term
  optimizer    moments with a parameter's shape are sharded like it; factored ones are
               small and replicated on every device
  activations  what `jax.vjp` keeps of one micro-batch for the backward pass

Activations are not guessed: the network is traced with one device's share of heads,
mlp and vocabulary, which gives the shapes that it saves. The compiler fuses some of
them away, so the estimate is an upper bound. The time of a step is its floating-point
operations at an assumed share of the chip's peak.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator

import jax

from symtune.errors import SymtuneError
from symtune.experiment.planning.costs import (
  local_config,
  row_activation_bytes,
  step_flops,
  tree_bytes,
)
from symtune.experiment.planning.slices import Slice
from symtune.experiment.recipe import Recipe
from symtune.model.axes import DATA_AXIS, MODEL_AXIS
from symtune.model.decoder.config import DecoderConfig
from symtune.model.networks import make_network, param_axes, param_shapes
from symtune.train.optim import make_optimizer, split_params
from symtune.train.partition import Layout, layout_rules

# A T5 of size large reached 36% of an A100's peak in T5X; see docs/tpu_pods.md.
DEFAULT_MFU = 0.35
# The rest goes to the runtime and to fragmentation.
USABLE_SHARE = 0.92


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """What a run needs.

  Attributes:
    parameters: number of parameters.
    param_bytes: parameters on one device.
    gradient_bytes: gradients on one device.
    optimizer_bytes: optimizer state on one device.
    activation_bytes: values kept for the backward pass of one micro-batch.
    device_bytes: memory that one device has for all of it.
    step_flops: multiplications and additions of one step on all devices together.
    step_seconds: time of one step at the assumed share of peak.
    hours: time of all steps, without compiling, probing and saving.
    checkpoint_bytes: one checkpoint on disk.
    rows_per_device: rows of a micro-batch on one device of the data axis.
  """

  parameters: int
  param_bytes: int
  gradient_bytes: int
  optimizer_bytes: int
  activation_bytes: int
  device_bytes: int
  step_flops: float
  step_seconds: float
  hours: float
  checkpoint_bytes: int
  rows_per_device: int

  @property
  def used_bytes(self) -> int:
    """Bytes of everything on one device."""
    return (
      self.param_bytes
      + self.gradient_bytes
      + self.optimizer_bytes
      + self.activation_bytes
    )

  @property
  def fits(self) -> bool:
    """Whether one device holds its share."""
    return self.used_bytes <= self.device_bytes


class Workload:
  """What a recipe needs on any machine; shapes are traced once.

  Attributes:
    recipe: all settings.
    shapes: the parameters' shapes.
    axes: the names of their axes.
    opt_state: the optimizer state's shapes.
    step_flops: multiplications and additions of one step.
  """

  def __init__(self, recipe: Recipe):
    """Traces the network; allocates nothing."""
    network = make_network(recipe.model)
    self.recipe = recipe
    self.shapes = param_shapes(network)
    self.axes = param_axes(network)
    optimizer = make_optimizer(recipe.optimizer, self.shapes)
    self.opt_state = jax.eval_shape(optimizer.init, self.shapes)
    self.step_flops = step_flops(recipe, self.shapes)

  def row_bytes(self, model_devices: int) -> int:
    """Bytes that one packed row keeps for the backward pass on a device of a group."""
    batches = self.recipe.mixture.batches
    return row_activation_bytes(
      # Pyright does not know that flax's dataclasses are frozen.
      local_config(self.recipe.model, model_devices),  # pyright: ignore
      batches.input_length,
      batches.target_length,
    )


def make_plan(
  work: Workload, target: Slice, layout: Layout, mfu: float = DEFAULT_MFU
) -> Plan:
  """Estimates memory, time and checkpoint size of a recipe on a slice.

  Args:
    work: what the recipe needs.
    target: the devices.
    layout: how parameters and batches are sharded.
    mfu: share of the chips' bfloat16 peak that the run is assumed to reach.

  Returns:
    The plan; `fits` tells whether it can run.

  Raises:
    SymtuneError: the layout does not divide the devices, the network or the batch.
  """
  if not 0.0 < mfu <= 1.0:
    raise SymtuneError(f"plan: got mfu {mfu}, expected more than 0 and at most 1.")
  recipe = work.recipe
  _check_layout(recipe, target, layout)
  param_bytes, trained_bytes, optimizer_bytes = _local_bytes(work, target, layout)
  data_devices = target.devices // layout.model_devices
  rows = recipe.mixture.batches.batch_size // data_devices // layout.microbatches
  seconds = work.step_flops / (target.devices * target.flops * mfu)
  return Plan(
    parameters=sum(math.prod(s.shape) for s in jax.tree.leaves(work.shapes)),
    param_bytes=param_bytes,
    gradient_bytes=trained_bytes * (2 if layout.microbatches > 1 else 1),
    optimizer_bytes=optimizer_bytes,
    activation_bytes=rows * work.row_bytes(layout.model_devices),
    device_bytes=int(target.memory * USABLE_SHARE),
    step_flops=work.step_flops,
    step_seconds=seconds,
    hours=seconds * recipe.train.steps / 3600,
    checkpoint_bytes=tree_bytes(work.shapes) + tree_bytes(work.opt_state),
    rows_per_device=rows,
  )


def find_layout(
  work: Workload, target: Slice, mfu: float = DEFAULT_MFU
) -> Layout | None:
  """The simplest layout that fits, or None; prefers micro-batches to sharding."""
  for layout in _layouts(work.recipe, target):
    try:
      if make_plan(work, target, layout, mfu).fits:
        return layout
    except SymtuneError:
      continue  # something does not divide evenly
  return None


def _layouts(recipe: Recipe, target: Slice) -> Iterator[Layout]:
  powers = [2**i for i in range(target.devices.bit_length())]
  rows = recipe.mixture.batches.batch_size
  parts = [2**i for i in range(rows.bit_length())]
  for devices, cut, parts_of_batch in itertools.product(powers, (False, True), parts):
    yield Layout(model_devices=devices, shard_params=cut, microbatches=parts_of_batch)


def _check_layout(recipe: Recipe, target: Slice, layout: Layout) -> None:
  model, batch = recipe.model, recipe.mixture.batches.batch_size
  count = layout.model_devices
  if target.devices % count:
    raise SymtuneError(
      f"{target.name} has {target.devices} devices, which do not divide into groups of "
      f"{count}. Choose another --model-devices."
    )
  if count > target.devices_per_host:
    raise SymtuneError(
      f"a host of {target.name} has {target.devices_per_host} devices, and those that "
      f"share parameters must be on one host. Lower --model-devices to that number, "
      f"and add --shard-params."
    )
  divided = ["num_heads", "mlp_dim", "vocab_size"]
  if isinstance(model, DecoderConfig):
    divided.append("num_kv_heads")
  for name in divided:
    if getattr(model, name) % count:
      raise SymtuneError(
        f"the network's {name}, {getattr(model, name)}, does not divide among {count} "
        f"devices. Choose another --model-devices."
      )
  if layout.shard_params and model.emb_dim % (target.devices // count):
    raise SymtuneError(
      f"the network's emb_dim, {model.emb_dim}, does not divide among "
      f"{target.devices // count} devices. Leave out --shard-params, or raise "
      f"--model-devices."
    )
  groups = target.devices // count * layout.microbatches
  if batch % groups:
    raise SymtuneError(
      f"a batch of {batch} rows does not divide into {groups} parts "
      f"({target.devices // count} devices along data x {layout.microbatches} "
      f"micro-batches). Raise --model-devices or lower --microbatches; or set "
      f"mixture.batch_size, which makes it a different experiment."
    )


def _local_bytes(work: Workload, target: Slice, layout: Layout) -> tuple[int, int, int]:
  """Bytes of parameters, of trained ones and of optimizer state on one device.

  They are sharded as by `symtune.train.partition.state_shardings`.
  """
  sizes = {
    DATA_AXIS: target.devices // layout.model_devices,
    MODEL_AXIS: layout.model_devices,
    None: 1,
  }
  rules = dict(layout_rules(layout))

  def parts(axes) -> int:
    return math.prod(sizes[axis] for axis in {rules.get(name) for name in axes})

  leaves = jax.tree_util.tree_leaves_with_path(work.shapes)
  cuts = jax.tree.leaves(jax.tree.map(lambda _, a: parts(a), work.shapes, work.axes))
  by_path = {
    path: (leaf.shape, cut) for (path, leaf), cut in zip(leaves, cuts, strict=True)
  }

  def local(path, leaf) -> int:
    for start in range(len(path)):
      shape, cut = by_path.get(path[start:], (None, 1))
      if shape == leaf.shape:
        return tree_bytes(leaf) // cut
    return tree_bytes(leaf)

  with_path = jax.tree_util.tree_map_with_path
  trained, _ = split_params(work.shapes, work.recipe.optimizer.trainable)
  trees = (work.shapes, trained, work.opt_state)
  params, trained, optimizer = (
    sum(jax.tree.leaves(with_path(local, tree))) for tree in trees
  )
  return params, trained, optimizer
