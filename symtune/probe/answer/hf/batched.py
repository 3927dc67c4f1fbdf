"""Prompts of a causal Transformers model in batches, padded on the right.

Padding is masked, and positions are given, so that a prompt's numbers are those that it
has alone. That needs a model which takes both, and a cache that keeps every token: one
that keeps a window of the last ones would keep padding. `can_batch` tries it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from symtune.probe.answer.hf import forward

_NEEDED = ("attention_mask", "position_ids", "past_key_values")


class _Read(NamedTuple):
  """What a model has read.

  Attributes:
    logits: of the token after each prompt, [prompts, vocab].
    cache: keys and values.
    lengths: tokens of each prompt, [prompts, 1].
    is_token: 1 for tokens and 0 for padding, [prompts, length].
  """

  logits: Any
  cache: Any
  lengths: Any
  is_token: Any


def score_batch(
  model: Any, prompts: Sequence[list[int]], targets: Sequence[list[list[int]]]
) -> list[list[float]]:
  """Log p of each target after each prompt, in nats; each prompt runs once.

  Args:
    model: a causal model for which `can_batch` holds.
    prompts: ids of the prompts; at least one each.
    targets: ids of what may follow each prompt, as many for each.
  """
  import torch

  read = _read(model, prompts)
  count = len(targets[0])
  flat = [target for some in targets for target in some]
  labels = forward.padded(model, flat)
  logits = read.logits.repeat_interleave(count, dim=0)[:, None]
  if labels.shape[1] > 1:
    cache = read.cache
    cache.batch_repeat_interleave(count)
    seen = read.is_token.repeat_interleave(count, dim=0)
    steps = torch.arange(labels.shape[1] - 1, device=labels.device)[None]
    rest = model(
      input_ids=labels[:, :-1],
      attention_mask=torch.cat([seen, torch.ones_like(labels[:, :-1])], dim=1),
      position_ids=read.lengths.repeat_interleave(count, dim=0) + steps,
      past_key_values=cache,
    ).logits
    logits = torch.cat([logits, rest], dim=1)
  sums = forward.sum_log_p(logits, labels, flat)
  return [sums[i : i + count] for i in range(0, len(sums), count)]


def generate_batch(
  model: Any, prompts: Sequence[list[int]], max_targets: int
) -> list[list[int]]:
  """Generates tokens greedily and returns the new ones, with EOS, of each prompt.

  Args:
    model: a causal model for which `can_batch` holds; its `generation_config` has to be
      `forward.greedy_settings`.
    prompts: ids of the prompts; at least one each.
    max_targets: largest number of tokens.
  """
  import torch

  read = _read(model, prompts)
  stated = model.generation_config.eos_token_id
  ends = {*(stated if isinstance(stated, list) else [stated])}
  written: list[list[int]] = [[] for _ in prompts]
  logits, seen = read.logits, read.is_token
  for step in range(max_targets):
    chosen = logits.argmax(dim=-1)
    for row, token in zip(written, chosen.tolist(), strict=True):
      if not ends.intersection(row):
        row.append(token)
    if step + 1 == max_targets or all(ends.intersection(row) for row in written):
      break
    seen = torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1)
    logits = model(
      input_ids=chosen[:, None],
      attention_mask=seen,
      position_ids=read.lengths + step,
      past_key_values=read.cache,
    ).logits[:, -1]
  return written


def _read(model: Any, prompts: Sequence[list[int]]) -> _Read:
  """Reads prompts in one pass."""
  import torch

  ids = forward.padded(model, list(prompts))
  lengths = forward.tensor(model, [[len(prompt)] for prompt in prompts])
  places = torch.arange(ids.shape[1], device=ids.device)[None]
  is_token = (places < lengths).long()
  ends, rows = torch.unique(lengths[:, 0] - 1, return_inverse=True)
  # The output layer of a prompt's other positions can cost more than the network.
  keeps = forward.takes(model, "logits_to_keep")
  first = model(
    input_ids=ids,
    attention_mask=is_token,
    position_ids=places.expand_as(ids),
    use_cache=True,
    **({"logits_to_keep": ends} if keeps else {}),
  )
  chosen = rows if keeps else lengths[:, 0] - 1
  return _Read(
    logits=first.logits[torch.arange(len(ids), device=ids.device), chosen],
    cache=first.past_key_values,
    lengths=lengths,
    is_token=is_token,
  )


def can_batch(model: Any, sample: list[int]) -> bool:
  """Whether a causal model gives prompts in a batch the numbers that they have alone.

  Args:
    model: a causal model that scores with its cache (`forward.choose_causal`).
    sample: ids of any text; at least six.
  """
  import torch

  if not all(forward.takes(model, name) for name in _NEEDED):
    return False
  prompts = [sample[:2], sample[:-1], sample[1:-2]]
  targets = [[sample[-2:], [sample[0]]]] * len(prompts)
  with torch.inference_mode():
    first = model(input_ids=forward.tensor(model, [sample]), use_cache=True)
    if any(getattr(x, "is_sliding", False) for x in first.past_key_values.layers):
      return False
    try:
      found = score_batch(model, prompts, targets)
    except Exception:  # a model's own limits can fail anywhere in its code
      return False
    alone = map(forward.score_with_cache, [model] * 3, prompts, targets)
    pairs = [p for a, b in zip(found, alone, strict=True) for p in zip(a, b)]  # noqa: B905
  return all(abs(a - b) <= forward.tolerance(model) * max(1, abs(b)) for a, b in pairs)
