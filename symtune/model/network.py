"""The T5 1.1 encoder-decoder, in the shape that T5X expects.

Argument names, parameter tree, axis names, decode cache and numerics are those of
t5x/examples/t5/network.py, so that T5X can train this network (a gin file names this
module in place of its own) and checkpoints convert both ways. tests/golden and
tests/parity check that the two agree.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import unfreeze
from flax.linen.partitioning import get_axis_names
from jaxtyping import Array, Bool, Float, Int, Key, Num, UInt32

from symtune.errors import SymtuneError
from symtune.model import masks
from symtune.model.config import T5Config
from symtune.model.layers import Embed
from symtune.model.stacks import Decoder, Encoder

Params = dict[str, Any]

# One number per token of a packed row: its id, segment or position. T5X may initialise
# with float32 ones in place of integers.
EncoderIds = Num[Array, "batch enc_length"]
DecoderIds = Num[Array, "batch dec_length"]


class Transformer(nn.Module):
  """The network: `encode`, `decode`, and both in one call.

  Attributes:
    config: Settings of the network.
  """

  config: T5Config

  def setup(self):  # noqa: D102
    cfg = self.config
    self.token_embedder = Embed(cfg.vocab_size, cfg.emb_dim, cfg.dtype)
    self.encoder = Encoder(cfg, self.token_embedder)
    self.decoder = Decoder(cfg, self.token_embedder)

  def encode(
    self,
    encoder_input_tokens: EncoderIds,
    encoder_segment_ids: EncoderIds | None = None,
    enable_dropout: bool = True,
  ) -> Float[Array, "batch enc_length embed"]:
    """Runs the encoder.

    Args:
      encoder_input_tokens: Token ids, 0 for padding.
      encoder_segment_ids: Example of each token; None when rows are not packed.
      enable_dropout: Use dropout (needs the rng "dropout"). True by default, as in
        T5X: pass False whenever you do not train.

    Returns:
      One vector per token.
    """
    tokens = encoder_input_tokens.astype(jnp.int32)
    mask = masks.encoder_mask(tokens, _as_int(encoder_segment_ids))
    return self.encoder(tokens, mask, deterministic=not enable_dropout)

  def decode(
    self,
    encoded: Float[Array, "batch enc_length embed"],
    encoder_input_tokens: EncoderIds,
    decoder_input_tokens: DecoderIds,
    decoder_target_tokens: DecoderIds,
    encoder_segment_ids: EncoderIds | None = None,
    decoder_segment_ids: DecoderIds | None = None,
    decoder_positions: DecoderIds | None = None,
    enable_dropout: bool = True,
    decode: bool = False,
    max_decode_length: int | None = None,
  ) -> Float[Array, "batch dec_length vocab"]:
    """Runs the decoder.

    Args:
      encoded: Output of `encode`.
      encoder_input_tokens: The encoder's tokens; used for the padding mask only.
      decoder_input_tokens: Targets moved right by one, starting with 0.
      decoder_target_tokens: Targets; used for the padding mask only.
      encoder_segment_ids: Example of each encoder token, for packed rows.
      decoder_segment_ids: Example of each target. Given alone, self-attention stays
        within an example, while all examples read the whole encoder row.
      decoder_positions: Not used: T5 has relative positions only. Kept for T5X.
      enable_dropout: As in `encode`.
      decode: Use the cache (collection "cache", mutable). The first call makes it with
        the length of its tokens; each further call takes one token per row.
      max_decode_length: Length of the cache; needed by all calls but the first.

    Returns:
      Logits in float32.

    Raises:
      SymtuneError: Packed rows in decode mode, or encoder_segment_ids alone.
    """
    del decoder_positions
    _check_segments(encoder_segment_ids, decoder_segment_ids, decode)
    encoder_tokens = encoder_input_tokens.astype(jnp.int32)
    targets = decoder_target_tokens.astype(jnp.int32)
    if decode:
      # What is being generated is never padding, whatever its id.
      mask = None
      cross_mask = masks.cross_mask(jnp.ones_like(targets), encoder_tokens)
    else:
      decoder_ids = _as_int(decoder_segment_ids)
      encoder_ids = _as_int(encoder_segment_ids)
      mask = masks.decoder_mask(targets, decoder_ids)
      cross_mask = masks.cross_mask(targets, encoder_tokens, decoder_ids, encoder_ids)
    return self.decoder(
      decoder_input_tokens.astype(jnp.int32),
      encoded,
      mask,
      cross_mask,
      deterministic=not enable_dropout,
      decode=decode,
      max_decode_length=max_decode_length,
    )

  def read(
    self,
    encoded: Float[Array, "batch enc_length embed"],
    encoder_input_tokens: EncoderIds,
    tokens: Int[Array, "batch dec_length"],
    is_token: Bool[Array, "batch dec_length"],
  ) -> Float[Array, "batch dec_length embed"]:
    """Runs the decoder up to the output layer, without dropout.

    Args:
      encoded: Output of `encode`.
      encoder_input_tokens: The encoder's tokens; used for the padding mask only.
      tokens: What the decoder reads, starting with 0.
      is_token: False for padding on the right.

    Returns:
      One normalised vector per token, which has read it and those before it.
    """
    real = is_token.astype(jnp.int32)
    return self.decoder(
      tokens,
      encoded,
      masks.decoder_mask(real, None),
      masks.cross_mask(real, encoder_input_tokens.astype(jnp.int32)),
      deterministic=True,
      read=True,
    )

  def decode_tree(
    self,
    encoded: Float[Array, "batch enc_length embed"],
    encoder_input_tokens: EncoderIds,
    tokens: Int[Array, "batch nodes"],
    depths: Int[Array, "batch nodes"],
    visible: Bool[Array, "batch nodes nodes"],
  ) -> Float[Array, "batch nodes vocab"]:
    """Runs the decoder over trees of tokens, without dropout (model/token_tree.py).

    Args:
      encoded: Output of `encode`.
      encoder_input_tokens: The encoder's tokens; used for the padding mask only.
      tokens: Input token of each node.
      depths: Depth of each node in its tree, below the number of nodes.
      visible: Which nodes each node may attend to.

    Returns:
      Logits in float32 for the token after each node.
    """
    cross_mask = masks.cross_mask(
      jnp.ones_like(tokens), encoder_input_tokens.astype(jnp.int32)
    )
    return self.decoder(
      tokens,
      encoded,
      visible[:, None, :, :],
      cross_mask,
      deterministic=True,
      positions=depths,
    )

  def __call__(
    self,
    encoder_input_tokens: EncoderIds,
    decoder_input_tokens: DecoderIds,
    decoder_target_tokens: DecoderIds,
    encoder_segment_ids: EncoderIds | None = None,
    decoder_segment_ids: DecoderIds | None = None,
    encoder_positions: EncoderIds | None = None,
    decoder_positions: DecoderIds | None = None,
    *,
    enable_dropout: bool = True,
    decode: bool = False,
  ) -> Float[Array, "batch dec_length vocab"]:
    """Encodes, then decodes.

    T5X passes arguments by position as well as by name, here and to `decode`, so both
    signatures list them in its order.

    Args:
      encoder_input_tokens: As in `encode`.
      decoder_input_tokens: As in `decode`.
      decoder_target_tokens: As in `decode`.
      encoder_segment_ids: As in `encode`.
      decoder_segment_ids: As in `decode`.
      encoder_positions: Not used: as `decoder_positions` in `decode`.
      decoder_positions: Not used.
      enable_dropout: As in `encode`: True by default.
      decode: As in `decode`.

    Returns:
      Logits in float32.
    """
    del encoder_positions, decoder_positions
    encoded = self.encode(encoder_input_tokens, encoder_segment_ids, enable_dropout)
    return self.decode(
      encoded,
      encoder_input_tokens,
      decoder_input_tokens,
      decoder_target_tokens,
      encoder_segment_ids=encoder_segment_ids,
      decoder_segment_ids=decoder_segment_ids,
      enable_dropout=enable_dropout,
      decode=decode,
    )


def _as_int(ids: jax.Array | None) -> jax.Array | None:
  return None if ids is None else ids.astype(jnp.int32)


def _check_segments(encoder_ids, decoder_ids, decode: bool) -> None:
  if decode and (encoder_ids is not None or decoder_ids is not None):
    raise SymtuneError(
      "got segment ids with decode=True, expected none: the cache holds one example "
      "per row. Decode unpacked rows."
    )
  if encoder_ids is not None and decoder_ids is None:
    raise SymtuneError(
      "got encoder_segment_ids alone, expected decoder_segment_ids too. Give both."
    )


def _init(network: Transformer, rng_key: jax.Array) -> dict[str, Any]:
  token = jnp.ones((1, 1), jnp.int32)
  return dict(network.init(rng_key, token, token, token, enable_dropout=False))


def init_params(
  network: Transformer, rng_key: Key[Array, ""] | UInt32[Array, "2"]
) -> Params:
  """Draws the parameters.

  Args:
    network: The network.
    rng_key: Random key. The same key gives T5X's network the same parameters.

  Returns:
    Nested dict of float32 arrays; the tree is in tests/golden/network_tree.json.
  """
  return jax.jit(_init, static_argnums=0)(network, rng_key)["params"]


def param_shapes(network: Transformer) -> dict[str, Any]:
  """The tree of `init_params` with jax.ShapeDtypeStruct for arrays; allocates nothing.

  Args:
    network: The network.

  Returns:
    Nested dict.
  """
  cfg = network.config
  small = dataclasses.replace(cfg, num_encoder_layers=1, num_decoder_layers=1)
  tree = jax.eval_shape(lambda: _init(Transformer(small), jax.random.key(0)))["params"]
  # The layers of a stack are alike, so tracing one saves a second for 24 layers.
  counts = {"encoder": cfg.num_encoder_layers, "decoder": cfg.num_decoder_layers}
  for stack, count in counts.items():
    layers = {f"layers_{i}": tree[stack]["layers_0"] for i in range(count)}
    tree[stack] = dict(sorted((tree[stack] | layers).items()))
  return tree


def param_axes(network: Transformer) -> dict[str, Any]:
  """The logical axis names of each parameter.

  Args:
    network: The network.

  Returns:
    The tree of `init_params` with a PartitionSpec of names for each array, e.g.
    PartitionSpec("embed", "mlp"); symtune/model/axes.py has rules for a mesh.
  """
  variables = jax.eval_shape(lambda: _init(network, jax.random.key(0)))
  return unfreeze(get_axis_names(variables["params_axes"]))
