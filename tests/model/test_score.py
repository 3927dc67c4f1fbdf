import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.model.loss import sum_losses
from symtune.model.score import score_candidates, shift_right

INPUTS = jnp.asarray([[5, 6, 7, 8, 1, 0], [9, 10, 1, 0, 0, 0]], jnp.int32)
# The second prompt has two choices; candidate 2 of the first begins with candidate 1.
TARGETS = jnp.asarray(
  [
    [[3, 1, 0, 0], [3, 4, 5, 1], [6, 7, 1, 0]],
    [[8, 9, 10, 1], [11, 1, 0, 0], [0, 0, 0, 0]],
  ],
  jnp.int32,
)

SCORE = jax.jit(score_candidates, static_argnums=0)


def _brute_force(logits_of, network, params, inputs, target) -> float:
  """One forward pass for one candidate; log-softmax by NumPy."""
  logits = logits_of(network, params, inputs[None, :], target[None, :])
  logits = np.asarray(logits[0], np.float64)
  log_p = logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
  return sum(log_p[i, token] for i, token in enumerate(target.tolist()) if token)


def test_targets_are_shifted_as_drawn():
  targets = jnp.asarray([[7, 8, 1, 0], [9, 1, 0, 0]], jnp.int32)
  shifted = shift_right(targets)
  assert f"{targets.tolist()}  ->  {shifted.tolist()}" in inspect.getdoc(shift_right)


def test_score_equals_a_forward_pass_per_candidate(
  either_network, either_params, logits_of
):
  scores = SCORE(either_network, either_params, INPUTS, TARGETS)
  for prompt in range(2):
    for candidate in range(3 - prompt):
      expected = _brute_force(
        logits_of,
        either_network,
        either_params,
        INPUTS[prompt],
        TARGETS[prompt, candidate],
      )
      assert scores[prompt, candidate] == pytest.approx(expected, abs=1e-5)


def test_score_equals_minus_the_summed_loss(either_network, either_params, logits_of):
  targets = TARGETS[:, 0]
  scores = SCORE(either_network, either_params, INPUTS, TARGETS[:, :1])[:, 0]
  for row in range(2):
    logits = logits_of(
      either_network,
      either_params,
      INPUTS[row : row + 1],
      targets[row : row + 1],
    )
    loss = sum_losses(logits, targets[row : row + 1]).loss
    assert scores[row] == pytest.approx(-float(loss), abs=1e-5)


def test_a_missing_choice_scores_minus_infinity(network, params):
  scores = SCORE(network, params, INPUTS, TARGETS)
  assert jnp.isneginf(scores).tolist() == [[False] * 3, [False, False, True]]


def test_score_does_not_depend_on_the_other_candidates(network, params):
  together = SCORE(network, params, INPUTS, TARGETS)
  reversed_order = SCORE(network, params, INPUTS, TARGETS[:, ::-1])
  np.testing.assert_allclose(reversed_order[:, ::-1], together, atol=1e-5)


def test_a_prompt_of_padding_gives_no_nan(network, params):
  scores = SCORE(network, params, jnp.zeros_like(INPUTS), TARGETS)
  assert not jnp.any(jnp.isnan(scores))


def test_probabilities_of_all_one_token_targets_sum_to_one(network, params, logits_of):
  """Sign and unit: exp of a score is a probability."""
  targets = jnp.arange(1, 32, dtype=jnp.int32)[None, :, None]
  scores = SCORE(network, params, INPUTS[:1], targets)
  pad = 1.0 - float(jnp.sum(jnp.exp(scores)))
  logits = logits_of(network, params, INPUTS[:1], jnp.ones((1, 1), jnp.int32))
  assert pad == pytest.approx(float(jax.nn.softmax(logits)[0, 0, 0]), abs=1e-5)


def test_encoder_runs_once_per_prompt_and_nothing_is_repeated(network, params):
  """No array of the compiled program has prompts * candidates encoder rows."""
  prompts, candidates, enc_length = 7, 3, 11
  inputs = jnp.ones((prompts, enc_length), jnp.int32)
  targets = jnp.ones((prompts, candidates, 4), jnp.int32)
  text = SCORE.lower(network, params, inputs, targets).as_text()
  assert f"tensor<{prompts}x{enc_length}x8xf32>" in text
  assert f"tensor<{prompts * candidates}x{enc_length}" not in text
  assert f"tensor<{prompts}x{candidates}x{enc_length}" not in text
