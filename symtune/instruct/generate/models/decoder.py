"""A native decoder-only model continues prompts, in batches of few shapes."""

from collections.abc import Sequence

import jax
import numpy as np

from symtune.data.text.causal_vocab import CausalVocab
from symtune.errors import SymtuneError
from symtune.instruct.generate.generators import (
  Completion,
  Sampling,
  make_completion,
)
from symtune.model.decoder.generate import (
  NO_TOKEN,
  Ends,
  generate_greedy,
  generate_sampled,
)
from symtune.probe.answer.decoder_batches import padded_length
from symtune.probe.answer.native_decoder import NativeDecoder

ROWS = 8  # prompts of a batch
_LENGTH_STEPS = 2  # lengths of prompts per doubling: every one is compiled
_jit_greedy = jax.jit(
  generate_greedy, static_argnums=(0, 4, 5), static_argnames="presence_penalty"
)
_jit_sampled = jax.jit(
  generate_sampled,
  static_argnums=(0, 4, 5),
  static_argnames=("temperature", "top_p", "presence_penalty"),
)


class DecoderGenerator:
  """A `Generator`.

  A batch always has the same number of rows, whatever its prompts: the same shapes give
  the same tokens.
  """

  writes_lines = True

  def __init__(self, name: str, model: NativeDecoder, vocab: CausalVocab):
    """Wraps a model.

    Args:
      name: its name in reports.
      model: the network with its parameters.
      vocab: its vocabulary.
    """
    self.name, self.identity = name, model.identity
    self._model, self._vocab = model, vocab

  def complete(
    self, prompts: Sequence[str], sampling: Sampling, seed: int
  ) -> list[Completion]:
    """Continues prompts (`generators.Generator`)."""
    bos = [] if self._vocab.bos_id is None else [self._vocab.bos_id]
    ids = [[*bos, *self._vocab.encode(prompt).tolist()] for prompt in prompts]
    self._check_lengths(ids, sampling.max_tokens)
    found = []
    for start in range(0, len(ids), ROWS):
      key = jax.random.fold_in(jax.random.key(seed), start)
      found += self._complete(ids[start : start + ROWS], sampling, key)
    return found

  def _complete(
    self, ids: Sequence[list[int]], sampling: Sampling, key: jax.Array
  ) -> list[Completion]:
    inputs = np.zeros(
      (ROWS, padded_length(max(map(len, ids)), _LENGTH_STEPS)), np.int32
    )
    lengths = np.ones(ROWS, np.int32)
    for row, prompt in enumerate(ids):
      lengths[row] = len(prompt)
      inputs[row, : len(prompt)] = prompt
    # Rows without a prompt repeat the first one.
    inputs[len(ids) :], lengths[len(ids) :] = inputs[0], lengths[0]
    about = (
      self._model.network,
      self._model.params,
      inputs,
      lengths,
      self._ends(sampling.stops),
      sampling.max_tokens,
    )
    if sampling.temperature:
      written = _jit_sampled(
        *about,
        key,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        presence_penalty=sampling.presence_penalty,
      )
    else:
      written = _jit_greedy(*about, presence_penalty=sampling.presence_penalty)
    return [
      self._completion(prompt, row[row != NO_TOKEN].tolist(), sampling)
      for prompt, row in zip(ids, np.asarray(written), strict=False)
    ]

  def _ends(self, stops: Sequence[str]) -> Ends:
    """What the model ends with, and the usual tokens of stop strings.

    Stop strings of other tokens are found in the text.
    """
    ids = [tuple(self._vocab.encode(stop).tolist()) for stop in stops]
    return Ends(self._vocab.eos_id, (*((i,) for i in self._vocab.end_ids), *ids))

  def _completion(
    self, prompt: list[int], ids: list[int], sampling: Sampling
  ) -> Completion:
    is_ended = ids[-1] in self._vocab.end_ids
    return make_completion(
      self._vocab.decode(ids[:-1] if is_ended else ids),
      sampling.stops,
      is_ended=is_ended,
      prompt_tokens=len(prompt),
      tokens=len(ids),
    )

  def _check_lengths(self, ids: Sequence[list[int]], max_tokens: int) -> None:
    most = self._model.network.config.max_positions
    longest = max(map(len, ids), default=0)
    if longest + max_tokens - 1 > most:  # the last token is never read
      raise SymtuneError(
        f"{self.name}: got a prompt of {longest} tokens with up to {max_tokens} after "
        f"it, but the model has {most} positions. Lower max_tokens, or the number of "
        "instructions in a prompt."
      )
