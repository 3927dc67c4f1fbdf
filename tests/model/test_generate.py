import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.model.generate import generate_greedy
from symtune.model.network import Transformer, init_params

MAX_LENGTH = 7
INPUTS = jnp.asarray([[5, 6, 7, 2, 1, 0], [2, 3, 1, 0, 0, 0], [4, 3, 4, 1, 0, 0]])
GENERATE = jax.jit(generate_greedy, static_argnums=(0, 3))


@pytest.fixture(scope="module")
def lively(tiny_config):
  """A network that ends two rows early, at different positions, and one never."""
  config = tiny_config.replace(vocab_size=8)
  network = Transformer(config)
  return network, init_params(network, jax.random.key(26))


def _naive(logits_of, network, params) -> list[list[int]]:
  """Runs everything again for each position; no cache, no loop in the program."""
  output = np.zeros((len(INPUTS), MAX_LENGTH), np.int32)
  for step in range(MAX_LENGTH):
    # Unknown targets are 2, which no position up to this one sees.
    targets = jnp.asarray(output).at[:, step:].set(2)
    logits = logits_of(network, params, INPUTS, targets)
    output[:, step] = jnp.argmax(logits[:, step], axis=-1)
    for row in output:
      if 1 in row[:step]:
        row[step] = 0
  return output.tolist()


def test_greedy_output_equals_a_naive_argmax_loop(lively, logits_of):
  network, params = lively
  output = GENERATE(network, params, INPUTS, MAX_LENGTH)
  assert output.dtype == jnp.int32
  assert output.tolist() == _naive(logits_of, network, params)


def test_rows_end_with_eos_and_padding_or_at_max_length(lively):
  network, params = lively
  rows = GENERATE(network, params, INPUTS, MAX_LENGTH).tolist()
  assert [row.index(1) if 1 in row else None for row in rows] == [2, 3, None]
  assert rows[0][3:] == [0] * 4
  assert rows[1][4:] == [0] * 3


def test_length_beyond_the_last_eos_is_padding(lively):
  network, params = lively
  rows = GENERATE(network, params, INPUTS[:2], 4)
  longer = GENERATE(network, params, INPUTS[:2], 6)
  assert longer.tolist() == [[*row, 0, 0] for row in rows.tolist()]


def test_max_length_must_be_positive(network):
  with pytest.raises(SymtuneError, match="max_length is 0"):
    generate_greedy(network, {}, INPUTS, 0)
