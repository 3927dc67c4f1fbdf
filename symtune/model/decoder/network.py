"""The decoder-only network: rows of tokens, packed or in steps, to logits.

One network covers the families that `DecoderConfig` describes. The tree of parameters:

  token_embedder/embedding                          [vocab, embed]
  position_embedder/embedding                       [positions, embed]; learned ones
  layers_i/pre_attention_norm/scale, bias           [embed]
  layers_i/attention/{query,key,value}/kernel       [embed, heads * kv]; bias
  layers_i/attention/{query_norm,key_norm}/scale    [kv]
  layers_i/attention/out/kernel                     [heads * kv, embed]; bias
  layers_i/post_attention_norm/scale                [embed]
  layers_i/pre_mlp_norm/scale, bias                 [embed]
  layers_i/mlp/{wi_0,wi_1}/kernel                   [embed, mlp]; wi if not gated; bias
  layers_i/mlp/wo/kernel                            [mlp, embed]; bias
  layers_i/post_mlp_norm/scale                      [embed]
  final_norm/scale, bias                            [embed]
  logits_dense/kernel                               [embed, vocab]; absent when tied
"""

import dataclasses
import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import unfreeze
from flax.linen.partitioning import get_axis_names
from jaxtyping import Array, Bool, Float, Float32, Int, Key, UInt32

from symtune.errors import SymtuneError
from symtune.model import axes
from symtune.model.decoder.block import DecoderBlock, remat_block
from symtune.model.decoder.cache import (
  Cache,
  LayerCache,
  branch_mask,
  for_rows,
  place_tokens,
  slot_mask,
)
from symtune.model.decoder.config import DecoderConfig, Positions
from symtune.model.decoder.layers import Embed, Normalize, Output
from symtune.model.decoder.masks import row_mask, window_mask
from symtune.model.decoder.rotary import Rotation, rotation

Params = dict[str, Any]


class Decoder(nn.Module):
  """The network: whole rows by calling it, rows in parts by `extend`.

  Attributes:
    config: Settings of the network.
  """

  config: DecoderConfig

  def setup(self):  # noqa: D102
    cfg = self.config
    self.token_embedder = Embed(cfg.vocab_size, axes.VOCAB, cfg.emb_dim, cfg.dtype)
    if cfg.positions is Positions.LEARNED:
      self.position_embedder = Embed(
        cfg.max_positions, axes.LENGTH, cfg.emb_dim, cfg.dtype
      )
    block = remat_block(cfg)
    self.layers = [block(cfg) for _ in range(cfg.num_layers)]
    self.final_norm = Normalize(cfg)
    if not cfg.logits_via_embedding:
      self.logits_dense = Output(cfg.vocab_size, cfg.dtype)

  def __call__(
    self,
    tokens: Int[Array, "batch length"],
    segment_ids: Int[Array, "batch length"] | None = None,
    positions: Int[Array, "batch length"] | None = None,
    is_prefix: Bool[Array, "batch length"] | None = None,
    select: Int[Array, "batch selected"] | None = None,
  ) -> Float32[Array, "batch _ vocab"]:
    """Reads whole rows.

    A packed row, and what describes it:

      tokens       7 8 9 4 5 0
      segment_ids  1 1 1 2 2 0
      positions    0 1 2 0 1 0

    Args:
      tokens: Token ids. No id means padding; padding on the right changes nothing.
      segment_ids: Example of each token, 0 for padding; None: one example per row.
      positions: Position of each token in its example; given with segment_ids. None:
        0, 1, 2, ...
      is_prefix: Tokens that see each other in both directions; None: causal.
      select: Places in the row, from 0, for whose next token logits are wanted; None:
        all. With a large vocabulary, logits cost more than all layers.

    Returns:
      Logits of the token after each selected place, in that order.

    Raises:
      SymtuneError: Segment ids without positions.
    """
    vectors = self.read(tokens, segment_ids, positions, is_prefix)
    return self.logits(_selected(vectors, select))

  def read(
    self,
    tokens: Int[Array, "batch length"],
    segment_ids: Int[Array, "batch length"] | None = None,
    positions: Int[Array, "batch length"] | None = None,
    is_prefix: Bool[Array, "batch length"] | None = None,
  ) -> Float[Array, "batch length embed"]:
    """Reads whole rows, up to the output layer; the arguments are those of a call.

    Returns:
      One normalised vector per token, for `logits` or another output.
    """
    if positions is None:
      if segment_ids is not None:
        raise SymtuneError(
          "got segment_ids without positions, expected both: the positions of a packed "
          "row restart with each example."
        )
      positions = jnp.broadcast_to(jnp.arange(tokens.shape[1])[None, :], tokens.shape)
    mask = row_mask(segment_ids, is_prefix, length=tokens.shape[1])
    x, rotations = self._embed(tokens, positions)
    masks = self._masks(mask, positions, positions)
    is_causal = is_prefix is None
    for i, layer in enumerate(self.layers):
      kind = self._is_windowed(i)
      x, _ = layer(x, masks[kind], rotations[kind], None, None, is_causal)
    return self.final_norm(x)

  def extend(
    self,
    tokens: Int[Array, "batch length"],
    cache: Cache,
    positions: Int[Array, "batch length"],
    is_token: Bool[Array, "batch length"] | None = None,
    mask: Bool[Array, "batch length length"] | None = None,
    select: Int[Array, "batch selected"] | None = None,
  ) -> tuple[Float32[Array, "batch _ vocab"], Cache]:
    """Reads the next tokens of rows whose earlier tokens are in a cache.

    The first call reads the prompts into an empty cache; each later call reads one
    token, or several, per row. New tokens see all earlier ones.

    Args:
      tokens: Token ids.
      cache: As made by `empty_cache`, or returned by an earlier call.
      positions: Position of each token in its row.
      is_token: False for padding on the right of shorter rows; None: no padding.
      mask: Which of the new tokens attends to which; None: causal. `row_mask` makes
        that of a prompt seen in both directions; candidates in a tree see their own
        ancestors only.
      select: As in a call.

    Returns:
      Logits as of a call, NaN if the cache has too few slots; and the longer cache.
    """
    if is_token is None:
      is_token = jnp.ones(tokens.shape, bool)
    if mask is None:
      mask = row_mask(None, None, length=tokens.shape[1])
    mask = jnp.broadcast_to(mask, (*tokens.shape, tokens.shape[1]))
    placed = place_tokens(cache, positions, is_token)
    visible = slot_mask(cache, mask & is_token[:, None, :])
    masks = self._masks(visible, positions, placed.positions)
    x, rotations = self._embed(tokens, positions)
    layers = []
    for i, layer in enumerate(self.layers):
      kind = self._is_windowed(i)
      x, kept = _read_layer(
        self.config,
        layer.variables["params"],
        x,
        masks[kind],
        rotations[kind],
        cache.layers[i],
        cache.used,
      )
      layers.append(kept)
    # Beyond the last slot, tokens would silently overwrite earlier ones.
    fits = placed.used <= cache.positions.shape[1]
    x = jnp.where(fits, self.final_norm(x), jnp.asarray(jnp.nan, x.dtype))
    return self.logits(_selected(x, select)), placed._replace(layers=tuple(layers))

  def branch(
    self,
    tokens: Int[Array, "batch length"],
    cache: Cache,
    positions: Int[Array, "batch length"],
    mask: Bool[Array, "batch length length"],
  ) -> Float[Array, "batch length embed"]:
    """Reads tokens after a cache, which stays as it is, up to the output layer.

    Args:
      tokens: Token ids.
      cache: What stands before the tokens: one row for each, or one for all.
      positions: Position of each token, counted with what stands before it.
      mask: Which of the tokens attends to which. Padding is what no token attends to.

    Returns:
      One normalised vector per token, for `logits`.
    """
    x, rotations = self._embed(tokens, positions)
    earlier = for_rows(cache.positions, len(tokens))
    places = jnp.concatenate([earlier, positions], axis=1)
    masks = self._masks(branch_mask(cache, mask), positions, places)
    for i, layer in enumerate(self.layers):
      kind = self._is_windowed(i)
      x, _ = _read_layer(
        self.config,
        layer.variables["params"],
        x,
        masks[kind],
        rotations[kind],
        cache.layers[i],
        None,
      )
    return self.final_norm(x)

  def logits(
    self, vectors: Float[Array, "batch length embed"]
  ) -> Float32[Array, "batch length vocab"]:
    """The output layer.

    Args:
      vectors: As `read` returns them.

    Returns:
      Logits of the token after each one.
    """
    if self.config.logits_via_embedding:
      return self.token_embedder.attend(vectors)
    return self.logits_dense(vectors)

  def _embed(
    self, tokens: Int[Array, "batch length"], positions: Int[Array, "batch length"]
  ) -> tuple[Float[Array, "batch length embed"], list[Rotation | None]]:
    """Vectors of the tokens, and rotations of other and of windowed layers."""
    cfg = self.config
    x = self.token_embedder(tokens)
    if cfg.scales_embedding:  # rounded to the type first, as Gemma was trained
      x = x * jnp.asarray(math.sqrt(cfg.emb_dim), x.dtype)
    if cfg.positions is Positions.LEARNED:
      x = x + self.position_embedder(positions)
    if cfg.positions is not Positions.ROTARY:
      return x, [None, None]
    kinds = (cfg.rotary, cfg.window_rotary or cfg.rotary)
    return x, [rotation(positions, kind, cfg.head_dim) for kind in kinds]

  def _masks(
    self,
    mask: Bool[Array, "#batch length k_length"],
    q_positions: Int[Array, "batch length"],
    k_positions: Int[Array, "batch k_length"],
  ) -> list[Bool[Array, "#batch length k_length"]]:
    """The masks of other and of windowed layers."""
    if self.config.window is None:
      return [mask]
    near = window_mask(q_positions, k_positions, self.config.window)
    return [mask, jnp.broadcast_to(mask, near.shape) & near]

  def _is_windowed(self, layer: int) -> bool:
    return layer in self.config.windowed_layers


@functools.partial(jax.jit, static_argnums=0)
def _read_layer(
  config: DecoderConfig,
  params: Params,
  x: Float[Array, "batch length embed"],
  mask: Bool[Array, "#batch length k_length"],
  rotation: Rotation | None,
  cache: LayerCache,
  slot: Int[Array, ""] | None,
) -> tuple[Float[Array, "batch length embed"], LayerCache | None]:
  """A layer that reads after a cache.

  Layers are alike, so that one is traced for all of them: questions come in many
  shapes, and tracing thirty layers for each takes longer than the answers.
  """
  block = DecoderBlock(config, parent=None)
  found: Any = block.apply({"params": params}, x, mask, rotation, cache, slot, False)
  return found


def _selected(
  vectors: Float[Array, "batch length embed"],
  select: Int[Array, "batch selected"] | None,
) -> Float[Array, "batch _ embed"]:
  if select is None:
    return vectors
  return jnp.take_along_axis(vectors, select[:, :, None], axis=1, mode="fill")


def _init(network: Decoder, rng_key: jax.Array) -> dict[str, Any]:
  return dict(network.init(rng_key, jnp.ones((1, 1), jnp.int32)))


def init_params(
  network: Decoder, rng_key: Key[Array, ""] | UInt32[Array, "2"]
) -> Params:
  """Draws the parameters.

  Args:
    network: The network.
    rng_key: Random key.

  Returns:
    Nested dict of float32 arrays; the tree is in this module's docstring.
  """
  return jax.jit(_init, static_argnums=0)(network, rng_key)["params"]


def param_shapes(network: Decoder) -> dict[str, Any]:
  """The tree of `init_params` with jax.ShapeDtypeStruct for arrays; allocates nothing.

  Args:
    network: The network.

  Returns:
    Nested dict.
  """
  return _all_layers(network, lambda variables: variables["params"])


def param_axes(network: Decoder) -> dict[str, Any]:
  """The logical axis names of each parameter.

  Args:
    network: The network.

  Returns:
    The tree of `init_params` with a PartitionSpec of names for each array, e.g.
    PartitionSpec("embed", "mlp"); symtune/model/axes.py has rules for a mesh.
  """
  return _all_layers(
    network, lambda variables: unfreeze(get_axis_names(variables["params_axes"]))
  )


def _all_layers(network: Decoder, part: Any) -> dict[str, Any]:
  """A tree of the network; its layers are alike, so one is traced for all of them."""
  cfg = network.config
  one = dataclasses.replace(
    cfg, num_layers=1, window=None, windowed_layers=(), window_rotary=None
  )
  tree = dict(part(jax.eval_shape(lambda: _init(Decoder(one), jax.random.key(0)))))
  layer = tree.pop("layers_0")
  return {**tree, **{f"layers_{i}": layer for i in range(cfg.num_layers)}}
