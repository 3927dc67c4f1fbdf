"""TrainState: everything that a train step reads and replaces."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

_DROPOUT_STREAM = 1


class TrainState(flax.struct.PyTreeNode):
  """A pytree of arrays; with the data position, it is all that a run needs to continue.

  Fields are `Any` because the same tree also holds shapes or shardings.

  Attributes:
    step: int32 scalar, the number of updates made.
    params: the network's parameters, a nested dict of float32 arrays.
    opt_state: the optimizer's state.
    rng: a typed JAX key, the same throughout a run; step n (0-based) draws its dropout
      masks from `fold_in(rng, n)`.
  """

  step: Any
  params: Any
  opt_state: Any
  rng: Any


def create_state(
  params: Any, optimizer: optax.GradientTransformation, seed: int
) -> TrainState:
  """Returns the state before the first step.

  The state holds `params` without a copy, and the first jitted train step donates them:
  do not use the arrays passed in afterwards.

  Args:
    params: nested dict of float32 arrays.
    optimizer: as made by `symtune.train.optim.make_optimizer`.
    seed: seeds the dropout masks.
  """
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=optimizer.init(params),
    # key(seed) itself draws the parameters; dropout must not use the same key.
    rng=jax.random.fold_in(jax.random.key(seed), _DROPOUT_STREAM),
  )


def abstract_state(state: TrainState) -> TrainState:
  """Returns the state's shapes, dtypes and shardings, without its values."""
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
    state,
  )
