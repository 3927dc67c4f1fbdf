"""Log p of every token of a text after a context, by a Transformers model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32

from symtune.probe.answer.hf import forward


def score_causal(
  model: Any,
  contexts: Sequence[Int32[np.ndarray, "_ids"]],
  targets: Sequence[Int32[np.ndarray, "_ids"]],
) -> list[Float64[np.ndarray, "_nats"]]:
  """Scores targets behind contexts, in one batch that is padded on the right.

  Args:
    model: a causal model of transformers.
    contexts: token ids; at least one each.
    targets: token ids; at least one each.

  Returns:
    log p of each token of each target, in nats.
  """
  import torch

  rows = [[*c.tolist(), *t.tolist()] for c, t in zip(contexts, targets, strict=True)]
  ids = forward.padded(model, rows)
  sizes = forward.tensor(model, [[len(row)] for row in rows])
  is_token = (torch.arange(ids.shape[1], device=ids.device)[None] < sizes).long()
  first = min(len(context) for context in contexts) - 1  # predicts the first target
  keeps = forward.takes(model, "logits_to_keep")
  kept = {"logits_to_keep": ids.shape[1] - first} if keeps else {}
  with torch.inference_mode():
    logits = model(input_ids=ids, attention_mask=is_token, use_cache=False, **kept)
    logits = logits.logits if keeps else logits.logits[:, first:]
    return [
      _log_p(logits[i, len(c) - 1 - first :], ids[i, len(c) : len(c) + len(t)])
      for i, (c, t) in enumerate(zip(contexts, targets, strict=True))
    ]


def score_encoder_decoder(
  model: Any,
  contexts: Sequence[Int32[np.ndarray, "_ids"]],
  targets: Sequence[Int32[np.ndarray, "_ids"]],
) -> list[Float64[np.ndarray, "_nats"]]:
  """The same, with the contexts in the encoder and the targets in the decoder."""
  import torch

  inputs = forward.padded(model, [context.tolist() for context in contexts])
  sizes = forward.tensor(model, [[len(context)] for context in contexts])
  is_token = (torch.arange(inputs.shape[1], device=inputs.device)[None] < sizes).long()
  labels = forward.padded(model, [target.tolist() for target in targets])
  first = model.generation_config.decoder_start_token_id
  start = labels.new_full((len(labels), 1), first)
  with torch.inference_mode():
    logits = model(
      input_ids=inputs,
      attention_mask=is_token,
      decoder_input_ids=torch.cat([start, labels[:, :-1]], dim=1),
      use_cache=False,
    ).logits
    return [
      _log_p(logits[i], labels[i, : len(target)]) for i, target in enumerate(targets)
    ]


def _log_p(logits: Any, target: Any) -> Float64[np.ndarray, "_nats"]:
  """Log p of each target token; the logits may go on behind them."""
  log_p = logits[: len(target)].float().log_softmax(-1)
  return log_p.gather(-1, target[:, None])[:, 0].double().cpu().numpy()
