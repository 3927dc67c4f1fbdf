"""A Transformers model continues prompts, one after another."""

from collections.abc import Sequence

from symtune.errors import SymtuneError
from symtune.instruct.generate.generators import (
  Completion,
  Sampling,
  make_completion,
)
from symtune.probe.answer.hf.sample import sample
from symtune.probe.answer.hf.scorer import HfScorer


class TransformersGenerator:
  """A `Generator`; an encoder-decoder model is taken to write no line breaks."""

  def __init__(self, name: str, scorer: HfScorer):
    """Wraps a model.

    Args:
      name: its name in reports.
      scorer: the model with its tokenizer.
    """
    self.name, self.identity = name, scorer.identity
    self.writes_lines = scorer.is_causal
    self._scorer = scorer

  def complete(
    self, prompts: Sequence[str], sampling: Sampling, seed: int
  ) -> list[Completion]:
    """Continues prompts (`generators.Generator`)."""
    return [
      self._complete(prompt, sampling, (seed + place) % 2**31)
      for place, prompt in enumerate(prompts)
    ]

  def _complete(self, prompt: str, sampling: Sampling, seed: int) -> Completion:
    tokens = self._scorer.tokens
    read = tokens.causal_prompt if self._scorer.is_causal else tokens.encoder_prompt
    ids = read(prompt)
    self._check_length(len(ids), sampling.max_tokens)
    written = sample(
      self._scorer.model,
      self._scorer.tokenizer,
      ids,
      max_tokens=sampling.max_tokens,
      temperature=sampling.temperature,
      top_p=sampling.top_p,
      presence_penalty=sampling.presence_penalty,
      stops=sampling.stops,
      seed=seed,
    )
    ends = self._scorer.model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    return make_completion(
      tokens.text(written),
      sampling.stops,
      is_ended=any(i in ends for i in written[-1:]),
      prompt_tokens=len(ids),
      tokens=len(written),
    )

  def _check_length(self, prompt: int, max_tokens: int) -> None:
    most, after = self._scorer.positions, max_tokens if self._scorer.is_causal else 0
    if most is not None and prompt + after - 1 > most:
      raise SymtuneError(
        f"{self.name}: got a prompt of {prompt} tokens with up to {max_tokens} after "
        f"it, but the model has {most} positions. Lower max_tokens, or the number of "
        "instructions in a prompt."
      )
