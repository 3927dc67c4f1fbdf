"""Forward passes of a Transformers model: log-likelihoods and greedy text.

The prompt runs once; its candidates then run as one batch on its encoder output or its
key-value cache. A causal model without such a cache runs the whole text of each
candidate instead. Prompts of a causal model run in batches (`batched.py`) where that
gives the same numbers.
"""

import inspect
from collections.abc import Callable
from typing import Any

ScoreTargets = Callable[[Any, list[int], list[list[int]]], list[float]]

_TOLERANCE = 1e-3
_COARSE = 5e-2  # of types with fewer bits than float32
_NOTHING = 1e-5  # what a causal model does not see changes nothing at all


def score_encoder_decoder(
  model: Any, prompt: list[int], targets: list[list[int]]
) -> list[float]:
  """Log p of each target, in nats.

  Args:
    model: an encoder-decoder of transformers, with `greedy_settings`.
    prompt: ids of the encoder's input.
    targets: ids of whole targets, with EOS.
  """
  import torch

  inputs = tensor(model, [prompt])
  encoded = model.get_encoder()(input_ids=inputs)
  count = len(targets)
  # The encoder's own kind of output: Switch Transformers' decoder reads more of it.
  encoded["last_hidden_state"] = encoded.last_hidden_state.expand(count, -1, -1)
  labels = padded(model, targets)
  first = model.generation_config.decoder_start_token_id
  start = labels.new_full((count, 1), first)
  logits = model(
    encoder_outputs=encoded,
    attention_mask=inputs.new_ones((count, inputs.shape[1])),
    decoder_input_ids=torch.cat([start, labels[:, :-1]], dim=1),
    use_cache=False,
  ).logits
  return sum_log_p(logits, labels, targets)


def score_with_cache(
  model: Any, prompt: list[int], targets: list[list[int]]
) -> list[float]:
  """Log p of each target after a prompt, in nats; the prompt runs once.

  Args:
    model: a causal model of transformers whose key-value cache can be repeated.
    prompt: ids of the prompt; at least one.
    targets: ids of what may follow it.
  """
  import torch

  # The output layer of a prompt's other positions can cost more than the network.
  last = {"logits_to_keep": 1} if takes(model, "logits_to_keep") else {}
  first = model(input_ids=tensor(model, [prompt]), use_cache=True, **last)
  labels = padded(model, targets)
  start = first.logits[:, -1:].expand(len(targets), -1, -1)
  if labels.shape[1] == 1:
    return sum_log_p(start, labels, targets)
  cache = first.past_key_values
  cache.batch_repeat_interleave(len(targets))
  rest = model(input_ids=labels[:, :-1], past_key_values=cache).logits
  return sum_log_p(torch.cat([start, rest], dim=1), labels, targets)


def score_without_cache(
  model: Any, prompt: list[int], targets: list[list[int]]
) -> list[float]:
  """Log p of each target after a prompt, in nats; the prompt runs once per target."""
  found = []
  for target in targets:
    row = tensor(model, [[*prompt, *target]])
    logits = model(input_ids=row[:, :-1]).logits[:, len(prompt) - 1 :]
    found += sum_log_p(logits, row[:, len(prompt) :], [target])
  return found


def choose_causal(model: Any, sample: list[int]) -> ScoreTargets:
  """How a causal model scores: with its cache, if that gives the same numbers.

  Args:
    model: a causal model of transformers.
    sample: ids of any text; at least four.
  """
  import torch

  prompt, targets = sample[:-2], [sample[-2:], [sample[-1], sample[0]]]
  with torch.inference_mode():
    first = model(input_ids=tensor(model, [prompt]), use_cache=True)
    layers = getattr(getattr(first, "past_key_values", None), "layers", ())
    if not layers or not all(hasattr(x, "batch_repeat_interleave") for x in layers):
      return score_without_cache
    expected = score_without_cache(model, prompt, targets)
    try:
      found = score_with_cache(model, prompt, targets)
    except Exception:  # a cache that takes one token at a time, as Falcon-H1's
      return score_without_cache
  pairs = zip(found, expected, strict=True)
  close = all(abs(a - b) <= tolerance(model) * max(1, abs(b)) for a, b in pairs)
  return score_with_cache if close else score_without_cache


def sees_the_future(model: Any, sample: list[int]) -> bool:
  """Whether a model's logits depend on later tokens, as those of an encoder do.

  Args:
    model: a model of transformers that is used as a causal one.
    sample: ids of any text; at least four.
  """
  import torch

  other = next((i for i in sample if i != sample[-1]), sample[-1] - 1)
  rows = tensor(model, [sample, [*sample[:-1], other]])
  with torch.inference_mode():
    logits = model(input_ids=rows).logits[:, :-1].float()
  change = (logits[0] - logits[1]).abs().max()
  return bool(change > _NOTHING * logits.abs().max())


def generate(model: Any, prompt: list[int], max_targets: int) -> list[int]:
  """Generates tokens greedily and returns the new ones.

  Args:
    model: its `generation_config` has to be `greedy_settings`.
    prompt: ids of the prompt.
    max_targets: largest number of tokens.
  """
  inputs = tensor(model, [prompt])
  output = model.generate(
    input_ids=inputs,
    attention_mask=inputs.new_ones(inputs.shape),
    max_new_tokens=max_targets,
  )[0]
  start = 0 if model.config.is_encoder_decoder else len(prompt)
  return output[start:].tolist()


def greedy_settings(model: Any, tokenizer: Any) -> Any:
  """The `GenerationConfig` of plain greedy decoding.

  Of the model's own settings it keeps only the ids that start and end an answer:
  sampling, beams, penalties, shortest lengths and suppressed tokens have no effect.
  """
  import transformers

  def stated(name: str) -> Any:
    sources = (model.generation_config, model.config, tokenizer)
    return next((v for s in sources if (v := getattr(s, name, None)) is not None), None)

  ends = stated("eos_token_id")
  pad = tokenizer.pad_token_id
  if pad is None:
    pad = ends[0] if isinstance(ends, list) else ends
  return transformers.GenerationConfig(
    do_sample=False,
    num_beams=1,
    eos_token_id=ends,
    pad_token_id=pad,
    bos_token_id=stated("bos_token_id"),
    decoder_start_token_id=stated("decoder_start_token_id"),
  )


def tensor(model: Any, rows: list[list[int]]) -> Any:
  """Ids on the model's device."""
  import torch

  return torch.tensor(rows, dtype=torch.int64, device=model.device)


def padded(model: Any, rows: list[list[int]]) -> Any:
  """Rows of ids, padded on the right with 0."""
  length = max(map(len, rows))
  return tensor(model, [[*row, *[0] * (length - len(row))] for row in rows])


def sum_log_p(logits: Any, labels: Any, targets: list[list[int]]) -> list[float]:
  """Log p of each complete target; padding does not count."""
  log_p = logits.float().log_softmax(-1).gather(-1, labels[:, :, None])[:, :, 0]
  return [
    float(row[: len(target)].double().sum())
    for row, target in zip(log_p, targets, strict=True)
  ]


def takes(model: Any, name: str) -> bool:
  """Whether a model's forward pass has an argument of this name."""
  return name in inspect.signature(model.forward).parameters


def tolerance(model: Any) -> float:
  """Largest difference of two ways to compute a number, in shares of its size."""
  return _TOLERANCE if str(model.dtype) == "torch.float32" else _COARSE
