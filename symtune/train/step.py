"""Stage 8: (TrainState, Batch) -> (TrainState, Metrics). Pure functions of arrays.

Metrics are sums and counts over the batch of one step; the host divides them
(`symtune.train.metrics`). Losses are in nats.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax.core.spmd import logical_axis_rules
from jax.sharding import Mesh

from symtune.errors import SymtuneError
from symtune.model.axes import DEFAULT_RULES, Rules
from symtune.model.forward import Scored, score_batch
from symtune.model.loss import LossNormalizer, sum_losses
from symtune.train.optim import EVERYTHING, join_params, split_params
from symtune.train.state import TrainState

StepFn = Callable[[TrainState, Mapping[str, jax.Array]], tuple[TrainState, "Metrics"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossSettings:
  """What is minimised; see `symtune.model.loss`.

  Attributes:
    normalizer: what the summed loss is divided by before its gradient is used.
    z_loss: factor of log(Z)^2; T5 1.1 was trained with 1e-4.
    label_smoothing: share of the target given to the other tokens.
  """

  normalizer: LossNormalizer = LossNormalizer.NUM_REAL_TARGET_TOKENS
  z_loss: float = 1e-4
  label_smoothing: float = 0.0


class Metrics(flax.struct.PyTreeNode):
  """One step's sums and counts, float32 scalars.

  Fields are `Any` because the same tree also holds shapes or shardings. Counts are
  exact up to 2^24 positions per batch.

  Attributes:
    loss_nats: cross-entropy without z-loss, nats, weighted sum over target tokens.
    z_loss: the z-loss term, weighted sum over target tokens.
    loss_weight: sum of the weights; dividing both losses by it gives means. It is the
      number of target tokens unless the normalizer gives examples equal weight.
    target_tokens: number of target tokens that have a loss weight.
    correct_tokens: number of those that have the largest logit, with dropout on.
    real_tokens: encoder and decoder positions that are not padding.
    token_slots: all encoder and decoder positions.
    grad_norm: norm of the gradient over all trained parameters, before clipping.
    learning_rate: the schedule's value at this step.
  """

  loss_nats: Any
  z_loss: Any
  loss_weight: Any
  target_tokens: Any
  correct_tokens: Any
  real_tokens: Any
  token_slots: Any
  grad_norm: Any
  learning_rate: Any


def train_step(
  state: TrainState,
  batch: Mapping[str, jax.Array],
  *,
  network: nn.Module,
  optimizer: optax.GradientTransformation,
  schedule: optax.Schedule,
  loss_settings: LossSettings,
  trainable: str = EVERYTHING,
  num_microbatches: int = 1,
) -> tuple[TrainState, Metrics]:
  """Makes one update.

  The gradient is that of the summed loss of the whole batch, divided by the normalizer.
  With micro-batches, sums are added up and divided once, so only the dropout masks and
  the rounding change.

  Args:
    state: the state before the step.
    batch: a `Batch` (data/batches/batch.py) or a `CausalBatch` (causal_batch.py) on the
      devices, int32 [batch, length] each.
    network: a `symtune.model.network.Transformer`, or a module with the same call; with
      a `CausalBatch` a `symtune.model.decoder.network.Decoder`.
    optimizer: updates the parameters.
    schedule: step -> learning rate; only for the metrics, the optimizer has its own.
    loss_settings: what is minimised.
    trainable: which parameters are trained (`OptimSettings.trainable`).
    num_microbatches: the batch is processed in this many parts, one after another, to
      save memory.

  Returns:
    The state after the step, and the step's metrics.

  Raises:
    SymtuneError: the number of rows is not a multiple of num_microbatches.
  """
  key = jax.random.fold_in(state.rng, state.step)
  trained, frozen = split_params(state.params, trainable)
  summed = functools.partial(
    _summed_gradients, trained, frozen, network=network, settings=loss_settings
  )
  if num_microbatches == 1:
    grads, divisor, metrics = summed(batch, key)
  else:
    grads, divisor, metrics = _accumulate(summed, batch, key, num_microbatches)
  if loss_settings.normalizer is LossNormalizer.NONE:
    divisor = jnp.ones_like(divisor)  # summing made it the number of micro-batches
  # A batch without targets has a zero gradient, not 0 / 0.
  divisor = jnp.where(divisor > 0.0, divisor, 1.0)
  grads = jax.tree.map(lambda grad: grad / divisor, grads)
  updates, opt_state = optimizer.update(grads, state.opt_state, trained)
  metrics = metrics.replace(
    grad_norm=optax.tree.norm(grads), learning_rate=schedule(state.step)
  )
  new_state = state.replace(
    step=state.step + 1,
    params=join_params(optax.apply_updates(trained, updates), frozen),
    opt_state=opt_state,
  )
  return new_state, metrics


def jit_train_step(
  *,
  network: nn.Module,
  optimizer: optax.GradientTransformation,
  schedule: optax.Schedule,
  loss_settings: LossSettings,
  trainable: str = EVERYTHING,
  num_microbatches: int = 1,
  mesh: Mesh | None = None,
  rules: Rules = DEFAULT_RULES,
  shardings: TrainState | None = None,
) -> StepFn:
  """Compiles `train_step`; the returned function donates the state it is given.

  Args:
    network: see `train_step`.
    optimizer: see `train_step`.
    schedule: see `train_step`.
    loss_settings: see `train_step`.
    trainable: see `train_step`.
    num_microbatches: see `train_step`.
    mesh: the devices to shard arrays over (`symtune.train.partition`); None: just one.
    rules: where the network's activations lie on the mesh.
    shardings: shardings of the state, the same after every step; required with a mesh.
  """
  step = functools.partial(
    train_step,
    network=network,
    optimizer=optimizer,
    schedule=schedule,
    loss_settings=loss_settings,
    trainable=trainable,
    num_microbatches=num_microbatches,
  )
  if mesh is None:
    return jax.jit(step, donate_argnums=0)
  compiled = jax.jit(step, donate_argnums=0, out_shardings=(shardings, None))

  def run(state: TrainState, batch: Mapping[str, jax.Array]):
    with jax.set_mesh(mesh), logical_axis_rules(rules):
      return compiled(state, batch)

  return run


def _summed_gradients(
  trained: Any,
  frozen: Any,
  batch: Mapping[str, jax.Array],
  key: jax.Array,
  *,
  network: nn.Module,
  settings: LossSettings,
) -> tuple[Any, jax.Array, Metrics]:
  """Returns the gradient of the summed loss, its divisor, and the metrics so far."""

  def loss(trained):
    scored = score_batch(network, join_params(trained, frozen), batch, key)
    sums = sum_losses(
      scored.logits,
      scored.targets,
      scored.weights,
      scored.segment_ids,
      normalizer=settings.normalizer,
      label_smoothing=settings.label_smoothing,
      z_loss=settings.z_loss,
    )
    return sums.loss, (sums, scored)

  grads, (sums, scored) = jax.grad(loss, has_aux=True)(trained)
  zero = jnp.zeros((), jnp.float32)
  metrics = Metrics(
    loss_nats=sums.loss - sums.z_loss,
    z_loss=sums.z_loss,
    loss_weight=sums.weight,
    grad_norm=zero,
    learning_rate=zero,
    **_token_counts(batch, scored),
  )
  return grads, sums.normalizer, metrics


def _token_counts(
  batch: Mapping[str, jax.Array], scored: Scored
) -> dict[str, jax.Array]:
  has_weight = scored.weights > 0
  correct = has_weight & (jnp.argmax(scored.logits, axis=-1) == scored.targets)
  segments = [ids for name, ids in batch.items() if name.endswith("_segment_ids")]
  return {
    "target_tokens": _count(has_weight),
    "correct_tokens": _count(correct),
    "real_tokens": sum((_count(ids > 0) for ids in segments), jnp.float32(0.0)),
    "token_slots": jnp.float32(sum(ids.size for ids in segments)),
  }


def _count(mask: jax.Array) -> jax.Array:
  return jnp.sum(mask, dtype=jnp.int32).astype(jnp.float32)


def _accumulate(
  summed: Callable[[Mapping[str, jax.Array], jax.Array], Any],
  batch: Mapping[str, jax.Array],
  key: jax.Array,
  num_microbatches: int,
) -> Any:
  """Adds up the results of `summed` over the micro-batches, one at a time.

  Micro-batch i takes the rows i, i + n, i + 2n, ...: the rows of each device are spread
  evenly over the micro-batches, so no row moves to another device.
  """
  rows = batch["decoder_input_tokens"].shape[0]
  if num_microbatches < 1 or rows % num_microbatches:
    raise SymtuneError(
      f"num_microbatches is {num_microbatches}; it must divide the number of rows of a "
      f"batch, which is {rows}."
    )
  parts = jax.tree.map(
    lambda array: array.reshape(-1, num_microbatches, array.shape[-1]).swapaxes(0, 1),
    dict(batch),
  )

  def add(total, part_and_index):
    part, index = part_and_index
    term = summed(part, jax.random.fold_in(key, index))
    return jax.tree.map(jnp.add, total, term), None

  shapes = jax.eval_shape(summed, jax.tree.map(lambda array: array[0], parts), key)
  zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
  indices = jnp.arange(num_microbatches, dtype=jnp.int32)
  return jax.lax.scan(add, zeros, (parts, indices))[0]
