"""One step: its metrics, its gradient, its randomness."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from symtune.errors import SymtuneError
from symtune.model.loss import LossNormalizer
from symtune.train.optim import OptimizerName
from symtune.train.step import LossSettings, jit_train_step, train_step


def leaves_as_bytes(tree):
  tree = jax.tree.map(
    lambda x: (
      jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
    ),
    tree,
  )
  return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def run_step(tiny, dropout_rate=0.0, batch=None, **changes):
  state, parts = tiny.tiny_parts(dropout_rate=dropout_rate)
  batch = jax.device_put(tiny.tiny_batch(0) if batch is None else batch)
  return jit_train_step(**{**parts, **changes})(state, batch)


def test_metrics_are_sums_and_counts_of_the_batch(tiny):
  batch = tiny.tiny_batch(0)
  batch["decoder_loss_weights"][0, 1] = 0
  state, parts = tiny.tiny_parts(dropout_rate=0.0)
  logits = parts["network"].apply(
    {"params": state.params},
    *(
      jnp.asarray(batch[name])
      for name in (
        "encoder_input_tokens",
        "decoder_input_tokens",
        "decoder_target_tokens",
      )
    ),
    encoder_segment_ids=jnp.asarray(batch["encoder_segment_ids"]),
    decoder_segment_ids=jnp.asarray(batch["decoder_segment_ids"]),
    enable_dropout=False,
  )
  logits = np.asarray(logits, np.float64)
  log_z = np.log(np.sum(np.exp(logits), axis=-1))
  targets, weights = batch["decoder_target_tokens"], batch["decoder_loss_weights"]
  picked = np.take_along_axis(logits, targets[:, :, None], axis=-1)[:, :, 0]
  _, metrics = run_step(tiny, batch=batch)
  close = functools.partial(np.testing.assert_allclose, rtol=1e-5)
  close(metrics.loss_nats, np.sum(weights * (log_z - picked)))
  close(metrics.z_loss, 1e-4 * np.sum(weights * log_z**2))
  right = (np.argmax(logits, axis=-1) == targets) & (weights > 0)
  assert float(metrics.correct_tokens) == np.sum(right)
  assert metrics.target_tokens == metrics.loss_weight == 4 * 4 - 1
  assert metrics.real_tokens == 4 * 11 + 4 * 4
  assert metrics.token_slots == 4 * 12 + 4 * 6
  assert metrics.learning_rate == 0.0
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(metrics))


def test_the_gradient_is_of_the_loss_per_target_token(tiny):
  """Twice the same rows: twice the sums, the same gradient."""
  batch = tiny.tiny_batch(0)
  twice = {name: np.concatenate([rows, rows]) for name, rows in batch.items()}
  _, once = run_step(tiny, batch=batch)
  _, double = run_step(tiny, batch=twice)
  np.testing.assert_allclose(double.loss_nats, 2.0 * once.loss_nats, rtol=1e-6)
  np.testing.assert_allclose(double.grad_norm, once.grad_norm, rtol=1e-5)


def test_the_update_follows_the_gradient_of_the_mean_loss(tiny):
  """Against a loss written out with optax: cross-entropy + 1e-4 log(Z)^2, a mean."""
  batch = jax.device_put(tiny.tiny_batch(0))
  state, parts = tiny.tiny_parts(dropout_rate=0.0)
  parts["optimizer"] = optax.sgd(1.0)
  state = state.replace(opt_state=parts["optimizer"].init(state.params))
  network = parts["network"]
  inputs = {k: v for k, v in batch.items() if k != "decoder_loss_weights"}

  def mean_loss(params):
    logits = network.apply({"params": params}, **inputs, enable_dropout=False)
    targets = batch["decoder_target_tokens"]
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    loss += 1e-4 * jax.nn.logsumexp(logits, axis=-1) ** 2
    return jnp.mean(loss, where=targets > 0)

  grads = jax.grad(mean_loss)(state.params)
  wanted = jax.tree.map(lambda param, grad: param - grad, state.params, grads)
  norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(grads)))
  new_state, metrics = jit_train_step(**parts)(state, batch)
  np.testing.assert_allclose(metrics.grad_norm, norm, rtol=1e-5)
  jax.tree.map(
    lambda got, want: np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7),
    new_state.params,
    wanted,
  )


@pytest.mark.parametrize("normalizer", list(LossNormalizer))
def test_microbatches_change_nothing_but_rounding(tiny, normalizer):
  settings = LossSettings(normalizer=normalizer)
  # Rows of unlike length, so that a mean of means would be wrong.
  batch = tiny.tiny_batch(0)
  for name in batch:
    if name.startswith("decoder"):
      batch[name][0, 1:] = 0
      batch[name][3, 3:] = 0
  sgd = optax.sgd(0.1)
  results = []
  for num_microbatches in (1, 4):
    state, parts = tiny.tiny_parts(dropout_rate=0.0)
    state = state.replace(opt_state=sgd.init(state.params))
    changes = dict(optimizer=sgd, loss_settings=settings)
    step = jit_train_step(**{**parts, **changes}, num_microbatches=num_microbatches)
    results.append(step(state, jax.device_put(batch)))
  for other in results[1:]:
    for got, wanted in zip(
      jax.tree.leaves((other[0].params, other[1])),
      jax.tree.leaves((results[0][0].params, results[0][1])),
      strict=True,
    ):
      np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_microbatches_must_divide_the_batch(tiny):
  with pytest.raises(SymtuneError, match=r"num_microbatches is 3.*which is 4"):
    run_step(tiny, num_microbatches=3)


def test_dropout_differs_from_step_to_step_and_comes_back_with_the_step(tiny):
  state, parts = tiny.tiny_parts(dropout_rate=0.5)
  step = jax.jit(functools.partial(train_step, **parts))
  batch = jax.device_put(tiny.tiny_batch(0))
  losses = []
  for number in (0, 1, 2, 0):
    _, metrics = step(state.replace(step=jnp.int32(number)), batch)
    losses.append(float(metrics.loss_nats))
  assert len(set(losses[:3])) == 3
  assert losses[3] == losses[0]


def test_dropout_differs_from_microbatch_to_microbatch(tiny):
  """Equal rows: were the masks equal too, four parts would lose twice what two do."""
  batch = tiny.tiny_batch(0)
  losses = {}
  for parts in (2, 4):
    rows = {name: rows[[0] * parts] for name, rows in batch.items()}
    _, metrics = run_step(tiny, dropout_rate=0.5, batch=rows, num_microbatches=parts)
    losses[parts] = float(metrics.loss_nats)
  assert abs(losses[4] - 2 * losses[2]) > 1e-3


@pytest.mark.parametrize("name", list(OptimizerName))
def test_the_state_is_donated_and_its_shapes_stay(tiny, name):
  state, parts = tiny.tiny_parts(name)
  step = jit_train_step(**parts)
  before = jax.tree.map(lambda x: (x.shape, x.dtype), state)
  new_state, _ = step(state, jax.device_put(tiny.tiny_batch(0)))
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
  moments = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.size > 1]
  assert moments
  assert all(leaf.is_deleted() for leaf in moments)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), new_state) == before
  assert int(new_state.step) == 1


def test_the_step_is_deterministic(tiny):
  first = run_step(tiny, dropout_rate=0.3)
  second = run_step(tiny, dropout_rate=0.3)
  assert leaves_as_bytes(first) == leaves_as_bytes(second)


def test_a_batch_without_targets_gives_a_zero_gradient(tiny):
  batch = tiny.tiny_batch(0)
  batch["decoder_loss_weights"] = np.zeros_like(batch["decoder_loss_weights"])
  _, metrics = run_step(tiny, batch=batch)
  assert float(metrics.grad_norm) == 0.0
  assert float(metrics.loss_nats) == 0.0


def test_training_lowers_the_loss(tiny):
  state, parts = tiny.tiny_parts()
  step = jit_train_step(**parts)
  batch = jax.device_put(tiny.tiny_batch(0))
  state, first = step(state, batch)
  for _ in range(60):
    state, last = step(state, batch)
  assert float(last.loss_nats) < 0.5 * float(first.loss_nats)


def test_loss_settings_are_values():
  assert LossSettings() == LossSettings(z_loss=1e-4)
  with pytest.raises(dataclasses.FrozenInstanceError):
    LossSettings().z_loss = 0.0
