"""Nucleus sampling and the presence penalty, on logits that are given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.model.sampling import likeliest, make_sampler, penalize_presence

_P = np.asarray([0.1, 0.4, 0.2, 0.3])
_ROWS = 2000


def _draw(top_p, temperature=1.0):
  """Which tokens are drawn, as shares, where `_P` are the probabilities."""
  draw = make_sampler(
    jax.random.key(0),
    rows=_ROWS,
    vocab_size=4,
    temperature=temperature,
    top_k=None,
    top_p=top_p,
  )
  logits = jnp.tile(jnp.log(jnp.asarray(_P, jnp.float32)), (_ROWS, 1))
  tokens = draw(logits, jnp.int32(0), jnp.zeros((_ROWS, 1), jnp.int32))
  return np.bincount(np.asarray(tokens), minlength=4) / _ROWS


@pytest.mark.parametrize(
  ("top_p", "kept"),
  [
    (1e-6, [1]),
    (0.39, [1]),
    (0.41, [1, 3]),
    (0.69, [1, 3]),
    (0.71, [1, 2, 3]),
    (1.0, [0, 1, 2, 3]),
    (None, [0, 1, 2, 3]),
  ],
)
def test_the_fewest_tokens_that_are_likely_enough_are_drawn(top_p, kept):
  wanted = np.zeros(4)
  wanted[kept] = _P[kept] / _P[kept].sum()
  error = 5 * np.sqrt(wanted * (1 - wanted) / _ROWS) + 1e-9
  np.testing.assert_array_less(np.abs(_draw(top_p) - wanted), error)


def test_the_temperature_comes_before_the_nucleus():
  """At temperature 1/2 the likeliest token has 0.53 of the probability."""
  assert _draw(0.5, 0.5)[1] == 1.0
  assert _draw(0.5, 1.0)[1] < 1.0


@pytest.mark.parametrize("top_p", [0.0, 1.1, -0.5])
def test_a_nucleus_out_of_range_is_refused(top_p):
  with pytest.raises(SymtuneError, match=f"top_p is {top_p}"):
    _draw(top_p)


def test_tokens_that_were_generated_lose_the_penalty_once():
  logits = jnp.asarray([[3.0, 2.0, 1.9], [3.0, 2.0, 1.9]])
  # Of the first row, token 0 twice, and later places, which are not written yet.
  output = jnp.asarray([[0, 0, 1, 2], [-1, -1, -1, -1]])
  seen = []

  def keep(logits, step, output):
    seen.append(logits)
    return likeliest(logits, step, output)

  choose = penalize_presence(keep, 1.5)
  assert choose(logits, jnp.int32(2), output).tolist() == [1, 0]
  np.testing.assert_allclose(seen[0], [[1.5, 2.0, 1.9], [3.0, 2.0, 1.9]])
  assert choose(logits, jnp.int32(3), output).tolist() == [2, 0]
  assert penalize_presence(keep, 0.0) is keep
