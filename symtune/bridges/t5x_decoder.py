"""symtune's decoder-only network with the call of T5X's DecoderOnlyModel.

T5X's rows are SeqIO's: each sequence begins with a 0 in the place of BOS, and a slot's
target is the token that the next slot holds. Two sequences, 7 8 5 and 9 4:

    decoder_target_tokens  7  8  5  9  4
    decoder_input_tokens   0  7  8  0  9
    decoder_segment_ids    1  1  1  2  2
    decoder_positions      0  1  2  0  1

Where the model was trained with a BOS, the first slot of a sequence takes it. Where it
was not, that slot is hidden from all others, as padding is, and the positions count
from the slot behind it. So tokens and positions are those of the native batches
(symtune/data/batches/causal_batch.py).
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int

from symtune.errors import SymtuneError
from symtune.model.decoder.config import DecoderConfig, PromptAttention
from symtune.model.decoder.network import Decoder


class T5XDecoder(nn.Module):
  """The network for T5X; it has the parameters and axes of `Decoder`.

  Attributes:
    config: Settings of the network. For `attention` "prefix", T5X's model needs
      `inputs_bidirectional_attention` as well, as it makes the mask.
    bos_id: The token at the start of each sequence; None if the model knows none.
  """

  config: DecoderConfig
  bos_id: int | None = None

  def setup(self):  # noqa: D102
    self.network = Decoder(self.config)
    nn.share_scope(self, self.network)

  def __call__(
    self,
    decoder_input_tokens: Int[Array, "batch length"],
    decoder_target_tokens: Int[Array, "batch length"],
    decoder_segment_ids: Int[Array, "batch length"] | None = None,
    decoder_positions: Int[Array, "batch length"] | None = None,
    decoder_causal_attention: Int[Array, "batch length"] | None = None,
    *,
    enable_dropout: bool = True,
    decode: bool = False,
    max_decode_length: int | None = None,
    prefill: bool = False,
    prefill_lengths: Int[Array, "batch"] | None = None,
  ) -> Float32[Array, "batch length vocab"]:
    """Reads whole rows, as T5X trains and scores them.

    Args:
      decoder_input_tokens: The row, with 0 at the start of each sequence.
      decoder_target_tokens: The tokens to predict, 0 for padding; they say which slots
        are used where segment ids are absent.
      decoder_segment_ids: Sequence of each slot, 0 for padding; None: one per row.
      decoder_positions: Position of each slot in its sequence; with segment ids only.
      decoder_causal_attention: 1 for slots of the prompt, which see each other in both
        directions; None: causal.
      enable_dropout: Without effect, as these networks have no dropout.
      decode: Not supported.
      max_decode_length: Not used.
      prefill: Not supported.
      prefill_lengths: Not used.

    Returns:
      Logits of each slot's target.

    Raises:
      SymtuneError: T5X asks for its cache to generate text, or one of the two settings
        of prefix attention is missing.
    """
    del enable_dropout, max_decode_length, prefill_lengths
    if decode or prefill:
      raise SymtuneError(
        "T5X's generation is not supported for decoder-only networks, expected "
        "training or scoring. Convert the checkpoint with `symtune convert --like`, "
        "and ask the result with `symtune probe --checkpoint`."
      )
    self._check_attention(is_causal=decoder_causal_attention is None)
    segments, positions = decoder_segment_ids, decoder_positions
    if segments is None or positions is None:
      segments = (decoder_target_tokens > 0).astype(jnp.int32)
      slots = jnp.arange(decoder_input_tokens.shape[1], dtype=jnp.int32)
      positions = jnp.broadcast_to(slots[None, :], decoder_input_tokens.shape)
    tokens, is_start = decoder_input_tokens, (positions == 0) & (segments > 0)
    if self.bos_id is None:
      segments = jnp.where(is_start, 0, segments)
      positions = jnp.maximum(positions - 1, 0)
    else:
      tokens = jnp.where(is_start, self.bos_id, tokens)
    is_prefix = None
    if decoder_causal_attention is not None:
      is_prefix = (decoder_causal_attention > 0) & (segments > 0)
    return self.network(tokens, segments, positions, is_prefix)

  def _check_attention(self, *, is_causal: bool) -> None:
    wanted = PromptAttention(self.config.attention)
    # T5X makes parameters without saying what is a prompt.
    if self.is_initializing() or (wanted is PromptAttention.CAUSAL) == is_causal:
      return
    raise SymtuneError(
      f"DecoderConfig.attention is {wanted.value!r}, but T5X's model asks for "
      f"{'causal' if is_causal else 'prefix'} attention. Bind "
      f"DecoderOnlyModel.inputs_bidirectional_attention = {is_causal}."
    )
