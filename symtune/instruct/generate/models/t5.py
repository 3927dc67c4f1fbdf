"""A native T5 continues prompts; its vocabulary has no line breaks."""

from collections.abc import Sequence

import jax
import numpy as np

from symtune.data.text.vocab import Vocab
from symtune.instruct.generate.generators import (
  Completion,
  Sampling,
  make_completion,
)
from symtune.model.generate import PAD_ID, generate_greedy, generate_sampled
from symtune.probe.answer.decoder_batches import padded_length
from symtune.probe.answer.native_model import NativeModel

ROWS = 8  # prompts of a batch
_LENGTH_STEPS = 2  # lengths of prompts per doubling: every one is compiled
_jit_greedy = jax.jit(
  generate_greedy, static_argnums=(0, 3), static_argnames="presence_penalty"
)
_jit_sampled = jax.jit(
  generate_sampled,
  static_argnums=(0, 3),
  static_argnames=("temperature", "top_p", "presence_penalty"),
)


class T5Generator:
  """A `Generator`, whose encoder reads the prompt and whose decoder writes."""

  writes_lines = False

  def __init__(self, name: str, model: NativeModel, vocab: Vocab):
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
    ids = [[*self._vocab.encode(p).tolist(), self._vocab.eos_id] for p in prompts]
    found = []
    for start in range(0, len(ids), ROWS):
      key = jax.random.fold_in(jax.random.key(seed), start)
      found += self._complete(ids[start : start + ROWS], sampling, key)
    return found

  def _complete(
    self, ids: Sequence[list[int]], sampling: Sampling, key: jax.Array
  ) -> list[Completion]:
    inputs = np.full(
      (ROWS, padded_length(max(map(len, ids)), _LENGTH_STEPS)), PAD_ID, np.int32
    )
    for row, prompt in enumerate(ids):
      inputs[row, : len(prompt)] = prompt
    # Rows without a prompt repeat the first one.
    inputs[len(ids) :] = inputs[0]
    model, penalty = self._model, sampling.presence_penalty
    about = (model.network, model.params, inputs, sampling.max_tokens)
    if sampling.temperature:
      written = _jit_sampled(
        *about,
        key,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        presence_penalty=penalty,
      )
    else:
      written = _jit_greedy(*about, presence_penalty=penalty)
    return [
      self._completion(prompt, row.tolist(), sampling)
      for prompt, row in zip(ids, np.asarray(written), strict=False)
    ]

  def _completion(
    self, prompt: list[int], row: list[int], sampling: Sampling
  ) -> Completion:
    eos = self._vocab.eos_id
    is_ended = eos in row
    ids = row[: row.index(eos)] if is_ended else row
    return make_completion(
      self._vocab.decode(ids),
      sampling.stops,
      is_ended=is_ended,
      prompt_tokens=len(prompt),
      tokens=len(ids) + is_ended,
    )
