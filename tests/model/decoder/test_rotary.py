import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.model.decoder.config import Rotary, RotaryScaling
from symtune.model.decoder.rotary import frequencies, rotate, rotation


def test_frequencies_fall_from_one_to_the_base():
  np.testing.assert_allclose(
    frequencies(Rotary(base=100.0), 8), [1, 100**-0.25, 0.1, 100**-0.75], rtol=1e-6
  )


def test_a_share_of_the_head_has_frequencies_of_its_own():
  half = frequencies(Rotary(base=100.0, share=0.5), 8)
  np.testing.assert_allclose(half, [1, 0.1], rtol=1e-6)


def test_linear_scaling_divides_all():
  scaled = frequencies(Rotary(scaling=RotaryScaling.LINEAR, factor=8.0), 8)
  np.testing.assert_allclose(8 * scaled, frequencies(Rotary(), 8), rtol=1e-6)


def test_llama3_keeps_short_waves_and_stretches_long_ones():
  rotary = Rotary(
    base=1e6, scaling=RotaryScaling.LLAMA3, factor=8.0, original_length=1000
  )
  plain, scaled = frequencies(Rotary(base=1e6), 16), frequencies(rotary, 16)
  waves = 2 * math.pi / plain
  np.testing.assert_array_equal(scaled[waves < 250], plain[waves < 250])
  np.testing.assert_allclose(scaled[waves > 1000], plain[waves > 1000] / 8, rtol=1e-6)
  # One wave of 2 pi 10^(6 * 2/8) = 198.7 is kept, and none is in between here.
  assert sum(waves < 250) == 3
  middle = Rotary(
    base=1e6, scaling=RotaryScaling.LLAMA3, factor=8.0, original_length=400
  )
  kept = (400 / waves[2] - 1) / 3  # a wave of 198.7 is between 100 and 400
  expected = plain[2] * (kept + (1 - kept) / 8)
  np.testing.assert_allclose(frequencies(middle, 16)[2], expected, rtol=1e-6)


def test_a_quarter_turn_by_hand():
  """Pair (x0, x2) turns by the position, pair (x1, x3) by a tenth of it."""
  x = jnp.asarray([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 1, 4)
  by = rotation(jnp.asarray([[2]]), Rotary(base=100.0), 4)
  a, b = 2.0, 0.2
  expected = [
    math.cos(a) - 3 * math.sin(a),
    2 * math.cos(b) - 4 * math.sin(b),
    3 * math.cos(a) + math.sin(a),
    4 * math.cos(b) + 2 * math.sin(b),
  ]
  np.testing.assert_allclose(rotate(x, by)[0, 0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_products_depend_on_distance_alone(share):
  query, key = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))
  rotary = Rotary(base=50.0, share=share)

  def product(q_position, k_position):
    turned = [
      rotate(x, rotation(jnp.asarray([[position]]), rotary, 8))
      for x, position in ((query, q_position), (key, k_position))
    ]
    return float(jnp.vdot(*turned))

  np.testing.assert_allclose(product(7, 3), product(104, 100), rtol=1e-4)
  assert abs(product(7, 3) - product(7, 4)) > 1e-3


def test_what_is_not_rotated_stays():
  x = jax.random.normal(jax.random.key(0), (1, 2, 3, 8), jnp.bfloat16)
  turned = rotate(x, rotation(jnp.asarray([[0, 5]]), Rotary(share=0.5), 8))
  assert turned.dtype == jnp.bfloat16
  np.testing.assert_array_equal(turned[..., 4:], x[..., 4:])
  np.testing.assert_array_equal(turned[:, 0], x[:, 0])  # position 0
  assert not np.allclose(turned[:, 1, :, :4], x[:, 1, :, :4])
