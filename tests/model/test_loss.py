import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.model.loss import (
  LossNormalizer,
  loss_weights,
  sum_losses,
  token_cross_entropy,
)

LOGITS = jax.random.normal(jax.random.key(0), (2, 7, 5)) * 3.0
TARGETS = jnp.asarray([[3, 4, 0, 2, 1, 1, 0], [1, 2, 3, 4, 1, 0, 0]], jnp.int32)
SEGMENTS = jnp.asarray([[1, 1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 1, 0, 0]], jnp.int32)


def test_loss_is_minus_the_log_probability_in_nats():
  logits = jnp.log(jnp.asarray([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]]))
  loss, z_loss = token_cross_entropy(logits, jnp.asarray([[1, 2]], jnp.int32))
  np.testing.assert_allclose(loss, [[-np.log(0.25), -np.log(0.7)]], rtol=1e-6)
  np.testing.assert_array_equal(z_loss, [[0.0, 0.0]])


def test_z_loss_is_the_squared_log_of_the_normaliser():
  logits = jnp.asarray([[[1.0, 1.0]]])
  loss, z_loss = token_cross_entropy(logits, jnp.asarray([[0]], jnp.int32), z_loss=0.1)
  log_z = 1.0 + np.log(2.0)
  np.testing.assert_allclose(z_loss, [[0.1 * log_z**2]], rtol=1e-6)
  np.testing.assert_allclose(loss, [[np.log(2.0) + 0.1 * log_z**2]], rtol=1e-6)


def test_smoothed_loss_is_the_divergence_from_the_smoothed_target():
  smoothing, vocab_size = 0.2, LOGITS.shape[-1]
  loss, _ = token_cross_entropy(LOGITS, TARGETS, label_smoothing=smoothing)
  log_p = np.asarray(jax.nn.log_softmax(LOGITS))
  q = np.full(LOGITS.shape, smoothing / (vocab_size - 1), np.float32)
  np.put_along_axis(q, np.asarray(TARGETS)[:, :, None], 1 - smoothing, axis=-1)
  np.testing.assert_allclose(loss, np.sum(q * (np.log(q) - log_p), -1), atol=1e-5)


def test_gradient_is_softmax_minus_target():
  gradient = jax.grad(lambda x: jnp.sum(token_cross_entropy(x, TARGETS)[0]))(LOGITS)
  expected = jax.nn.softmax(LOGITS) - jax.nn.one_hot(TARGETS, 5)
  np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_large_logits_give_a_finite_loss_and_gradient():
  logits = LOGITS * 1e4

  def total(x):
    return jnp.sum(token_cross_entropy(x, TARGETS, z_loss=1e-4)[0])

  value, gradient = jax.value_and_grad(total)(logits)
  assert jnp.isfinite(value)
  assert jnp.all(jnp.isfinite(gradient))


@pytest.mark.parametrize(
  ("normalizer", "expected"),
  [
    (LossNormalizer.NONE, 1),
    (LossNormalizer.NUM_REAL_TARGET_TOKENS, 10),
    (LossNormalizer.NUM_TOTAL_TARGET_TOKENS, 14),
    (LossNormalizer.AVERAGE_PER_SEQUENCE, 3),
  ],
)
def test_divisor_by_normalizer(normalizer, expected):
  _, divisor = loss_weights(TARGETS, None, SEGMENTS, normalizer=normalizer)
  assert divisor == pytest.approx(expected)


def test_examples_of_a_packed_row_count_the_same():
  """The picture in the docstring."""
  weights = jnp.asarray([[1, 1, 0, 1, 1, 1, 0]], jnp.int32)
  divided, _ = loss_weights(
    TARGETS[:1],
    weights,
    SEGMENTS[:1],
    normalizer=LossNormalizer.AVERAGE_PER_SEQUENCE,
  )
  third = 1 / 3
  np.testing.assert_allclose(
    divided, [[0.5, 0.5, 0.0, third, third, third, 0.0]], rtol=1e-6
  )


def test_rows_without_segment_ids_are_one_example_each():
  weights, divisor = loss_weights(
    TARGETS, normalizer=LossNormalizer.AVERAGE_PER_SEQUENCE
  )
  np.testing.assert_allclose(jnp.sum(weights, axis=1), [1.0, 1.0], rtol=1e-6)
  assert divisor == pytest.approx(2.0)


def test_sums_of_two_batches_add_up_to_the_sum_of_both():
  whole = sum_losses(LOGITS, TARGETS, z_loss=1e-4)
  parts = [
    sum_losses(LOGITS[i : i + 1], TARGETS[i : i + 1], z_loss=1e-4) for i in range(2)
  ]
  added = jax.tree.map(jnp.add, *parts)
  np.testing.assert_allclose(added.loss, whole.loss, rtol=1e-6)
  np.testing.assert_allclose(added.z_loss, whole.z_loss, rtol=1e-6)
  assert added.weight == whole.weight == 10


def test_padding_and_zero_weights_count_nothing():
  weights = jnp.asarray([[1, 0, 0, 0, 0, 0, 0]] * 2, jnp.int32)
  sums = sum_losses(LOGITS, TARGETS, weights)
  loss, _ = token_cross_entropy(LOGITS, TARGETS)
  np.testing.assert_allclose(sums.loss, jnp.sum(loss[:, 0]), rtol=1e-6)
  assert sums.weight == 2


def test_label_smoothing_out_of_range_is_refused():
  with pytest.raises(SymtuneError, match=r"label_smoothing is 1\.0"):
    token_cross_entropy(LOGITS, TARGETS, label_smoothing=1.0)
