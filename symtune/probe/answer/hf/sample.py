"""Generates text with the settings of a draw, one prompt after another."""

from collections.abc import Sequence
from typing import Any

from symtune.probe.answer.hf import forward


def sample(
  model: Any,
  tokenizer: Any,
  prompt: list[int],
  *,
  max_tokens: int,
  temperature: float,
  top_p: float,
  presence_penalty: float,
  stops: Sequence[str],
  seed: int,
) -> list[int]:
  """Continues a prompt and returns the new tokens.

  Args:
    model: a model of transformers with `forward.greedy_settings`.
    tokenizer: its tokenizer, which finds stop strings.
    prompt: ids of the prompt.
    max_tokens: largest number of tokens.
    temperature: divides the logits; 0 takes the likeliest token.
    top_p: draw only among the fewest tokens that are this likely together.
    presence_penalty: taken from the logits of tokens that were generated before.
    stops: texts after which to stop; what stands before and in them is returned.
    seed: of the draw; the state of PyTorch's own generator stays as it was.
  """
  import torch
  import transformers

  inputs = forward.tensor(model, [prompt])
  start = 1 if model.config.is_encoder_decoder else len(prompt)

  def penalize(ids: Any, scores: Any) -> Any:
    seen = torch.zeros_like(scores).scatter_(1, ids[:, start:], 1.0)
    return scores - presence_penalty * seen

  drawn = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
  stopped = {"stop_strings": list(stops), "tokenizer": tokenizer}
  with torch.inference_mode(), torch.random.fork_rng():
    torch.manual_seed(seed)
    output = model.generate(
      input_ids=inputs,
      attention_mask=inputs.new_ones(inputs.shape),
      max_new_tokens=max_tokens,
      logits_processor=transformers.LogitsProcessorList(
        [penalize] if presence_penalty else []
      ),
      **(drawn if temperature else {}),
      **(stopped if stops else {}),
    )[0]
  return output[start:].tolist()
