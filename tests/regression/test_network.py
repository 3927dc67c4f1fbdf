"""The network sees what it may see, and starts at the scale of the papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.regression.network import (
  NetworkSettings,
  Regressor,
  init_params,
  to_tokens,
)

POINTS, DIM = 4, 3


def make(**settings):
  sizes = NetworkSettings(layers=2, width=16, heads=2, **settings)
  network = Regressor(sizes.config(points=POINTS))
  return network, init_params(network, jax.random.key(0), dim=DIM)


def test_tokens_alternate_as_drawn():
  xs, ys = jnp.array([[[1.0, 2.0], [3.0, 4.0]]]), jnp.array([[5.0, 6.0]])
  wanted = [[[0, 1, 2], [5, 0, 0], [0, 3, 4], [6, 0, 0]]]
  np.testing.assert_array_equal(to_tokens(xs, ys), np.array(wanted, np.float32))


@pytest.mark.parametrize("positions", ["learned", "rotary", "none"])
def test_a_prediction_depends_on_earlier_pairs_and_its_own_x_only(positions):
  network, params = make(positions=positions)
  keys = jax.random.split(jax.random.key(1))
  xs = jax.random.normal(keys[0], (1, POINTS, DIM))
  ys = jax.random.normal(keys[1], (1, POINTS))

  def predict(xs, ys):
    return network.apply({"params": params}, xs, ys)[0]

  by_xs, by_ys = jax.jit(jax.jacobian(predict, argnums=(0, 1)))(xs, ys)
  of_xs, of_ys = jnp.abs(by_xs[:, 0]).sum(axis=-1), jnp.abs(by_ys[:, 0])
  seen_x, seen_y = np.tri(POINTS, dtype=bool), np.tri(POINTS, k=-1, dtype=bool)
  np.testing.assert_array_equal(np.asarray(of_xs) > 0, seen_x)
  np.testing.assert_array_equal(np.asarray(of_ys) > 0, seen_y)


def test_states_are_those_before_and_after_each_layer():
  network, params = make()
  xs, ys = jnp.ones((2, POINTS, DIM)), jnp.ones((2, POINTS))
  states = jax.jit(network.apply, static_argnames="method")(
    {"params": params}, xs, ys, method="states"
  )
  assert [state.shape for state in states] == [(2, 2 * POINTS, 16)] * 3
  assert not np.allclose(states[1], states[2])


def test_initial_kernels_have_the_variance_of_uniform_scaling():
  sizes = NetworkSettings(layers=1, width=128, heads=2)
  network = Regressor(sizes.config(points=POINTS))
  params = init_params(network, jax.random.key(0), dim=DIM)
  mlp = params["layers_0"]["mlp"]
  np.testing.assert_allclose(mlp["wi"]["kernel"].std(), (3 * 128) ** -0.5, rtol=0.02)
  np.testing.assert_allclose(mlp["wo"]["kernel"].std(), (3 * 512) ** -0.5, rtol=0.02)
  assert not np.asarray(mlp["wo"]["bias"]).any()


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"width": 0}, "emb_dim is 0"),
    ({"heads": 3}, "heads is 3; expected a divisor of width, which is 16"),
    ({"positions": "sinusoidal"}, "positions is 'sinusoidal'"),
    ({"dtype": "float16"}, "dtype is 'float16'"),
    ({"layers": 0}, "num_layers is 0"),
  ],
)
def test_bad_sizes_are_refused(settings, message):
  with pytest.raises(SymtuneError, match=message):
    NetworkSettings(**{"layers": 1, "width": 16, "heads": 2, **settings})
