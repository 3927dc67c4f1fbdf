"""Log-probability of complete targets, in nats; the encoder runs once per prompt.

Probes use `score_trees`, in which candidates with a common prefix share its positions
(model/token_tree.py). `score_candidates` gives the same without sharing: the candidates
of one prompt stand one after another in one decoder row, separated by segment ids, and
all attend to the same encoder output:

  targets        [[7 8 1 0]   candidate 1
                  [9 1 0 0]]  candidate 2
  decoder row    7 8 1 0 9 1 0 0
  decoder input  0 7 8 1 0 9 1 0
  segment ids    1 1 1 1 2 2 2 2
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from symtune.model.loss import token_cross_entropy
from symtune.model.network import Params, Transformer
from symtune.model.token_tree import TreeBatch


def shift_right(
  targets: Int[Array, "*shape length"],
) -> Int[Array, "*shape length"]:
  """Makes decoder inputs: targets shifted right by one position, with 0 in front.

  [[7, 8, 1, 0], [9, 1, 0, 0]]  ->  [[0, 7, 8, 1], [0, 9, 1, 0]]

  Args:
    targets: Token ids.

  Returns:
    Token ids of the same shape.
  """
  return jnp.concatenate([jnp.zeros_like(targets[..., :1]), targets[..., :-1]], axis=-1)


def score_candidates(
  network: Transformer,
  params: Params,
  inputs: Int[Array, "prompts enc_length"],
  targets: Int[Array, "prompts candidates dec_length"],
) -> Float[Array, "prompts candidates"]:
  """Sums log p(token) over each target, in nats. Pure; may be jitted.

  Args:
    network: The network.
    params: Its parameters.
    inputs: One prompt per row, 0 for padding.
    targets: Choices of each prompt, each ending in EOS and padded with 0. EOS counts:
      without it, a choice that is a prefix of another could never lose to it.

  Returns:
    Scores; higher means likelier. A candidate that is all padding gets -inf; it fills
    up a prompt that has fewer choices than the others.
  """
  prompts, candidates, dec_length = targets.shape
  row = (prompts, candidates * dec_length)
  row_targets = targets.reshape(row)
  segment_ids = jnp.repeat(jnp.arange(1, candidates + 1, dtype=jnp.int32), dec_length)
  variables = {"params": params}
  encoded = network.apply(variables, inputs, enable_dropout=False, method="encode")
  logits = network.apply(
    variables,
    encoded,
    inputs,
    shift_right(targets).reshape(row),
    row_targets,
    decoder_segment_ids=jnp.broadcast_to(segment_ids[None, :], row),
    enable_dropout=False,
    method="decode",
  )
  assert isinstance(logits, jax.Array)
  nats, _ = token_cross_entropy(logits, row_targets)
  is_real = targets > 0
  scores = -jnp.sum(jnp.where(is_real, nats.reshape(targets.shape), 0.0), axis=2)
  return jnp.where(jnp.any(is_real, axis=2), scores, -jnp.inf)


def score_trees(
  network: Transformer,
  params: Params,
  inputs: Int[Array, "prompts enc_length"],
  trees: TreeBatch,
) -> Float[Array, "prompts edges"]:
  """Computes log p(token) of each edge of each prompt's tree. Pure; may be jitted.

  The score of a candidate is the sum over its edges (`TokenTree.members`).

  Args:
    network: The network.
    params: Its parameters.
    inputs: One prompt per row, 0 for padding.
    trees: The candidates of each prompt.

  Returns:
    Log-probabilities in nats; those of padding edges are meaningless.
  """
  variables = {"params": params}
  encoded = network.apply(variables, inputs, enable_dropout=False, method="encode")
  logits = network.apply(
    variables,
    encoded,
    inputs,
    trees.tokens,
    trees.depths,
    trees.visible,
    method="decode_tree",
  )
  assert isinstance(logits, jax.Array)
  norms = jax.scipy.special.logsumexp(logits, axis=-1)
  row = jnp.arange(logits.shape[0])[:, None]
  chosen = logits[row, trees.edge_nodes, trees.edge_tokens]
  return chosen - norms[row, trees.edge_nodes]
