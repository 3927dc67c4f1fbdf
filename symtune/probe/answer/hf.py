"""A Hugging Face model answers a probe: causal or encoder-decoder, CPU or GPU.

Only this file imports torch and transformers, and only when it is used (extra [hf]).

The prompt runs once; the candidates then run as one batch on its encoder output or its
key-value cache. An encoder-decoder model scores complete targets with EOS, as ours
does. A causal model scores " label" and the blank line that would follow it in the
prompt: without such an end, "1" could never lose to "12". The prompt and what follows
it are tokenized separately, so that every candidate has the same prompt tokens.
"""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symtune.data.prompts import TURN_SEPARATOR, Prompt
from symtune.errors import SymtuneError
from symtune.probe.answer.cache import MemoryCache, ScoreCache, question_key
from symtune.probe.probe import AnswerKind, ProbeItem, Score


def check_installed() -> None:
  """Raises SymtuneError, which names the extra, if torch or transformers is missing."""
  try:
    import torch  # noqa: F401
    import transformers  # noqa: F401
  except ImportError as error:
    raise SymtuneError(
      f"transformers models need PyTorch and Transformers ({error}): "
      f"pip install 'symtune[hf]'."
    ) from error


def load_scorer(
  name: str, *, max_inputs: int, max_targets: int, cache: ScoreCache | None = None
) -> "HfScorer":
  """Loads a model and its tokenizer; never runs remote code.

  Args:
    name: name of a model on the hub, or a folder.
    max_inputs: length of the longest prompt in tokens; longer prompts lose exemplars.
    max_targets: largest number of tokens to generate.
    cache: cache of answers; None keeps them in memory.

  Raises:
    SymtuneError: the model cannot be read.
  """
  check_installed()
  import transformers

  try:
    config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    kind = (
      transformers.AutoModelForSeq2SeqLM
      if config.is_encoder_decoder
      else transformers.AutoModelForCausalLM
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(
      name, trust_remote_code=False
    )
    model = kind.from_pretrained(name, trust_remote_code=False, use_safetensors=True)
  except (OSError, ValueError) as error:
    raise SymtuneError(
      f"transformers:{name} cannot be read: {error}. Expected a folder or a hub name "
      f"with config.json, a tokenizer and *.safetensors."
    ) from error
  return HfScorer(
    model, tokenizer, max_inputs=max_inputs, max_targets=max_targets, cache=cache
  )


class HfScorer:
  """Answers items through a Transformers model.

  Attributes:
    identity: SHA-256 of settings and parameters.
    num_parameters: number of parameters of the model.
  """

  def __init__(
    self,
    model: Any,
    tokenizer: Any,
    *,
    max_inputs: int,
    max_targets: int,
    cache: ScoreCache | None = None,
  ):
    """Wraps a model.

    Args:
      model: a model of transformers, causal or encoder-decoder.
      tokenizer: its tokenizer.
      max_inputs: length of the longest prompt in tokens.
      max_targets: largest number of tokens to generate.
      cache: cache of answers; None keeps them in memory.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    self._model = model.to(device).eval()
    self._tokenizer = tokenizer
    self._is_causal = not model.config.is_encoder_decoder
    # Tokens that are removed from an answer. Sentinels are kept, as for our own models:
    # a model that fills in blanks has not answered, whatever the text between them.
    self._around = {
      getattr(model.config, "decoder_start_token_id", None),
      tokenizer.bos_token_id,
      tokenizer.pad_token_id,
      tokenizer.eos_token_id,
    }
    self._max_inputs = max_inputs
    self._max_targets = max_targets
    self._cache = cache or MemoryCache()
    self.identity = _fingerprint(model)
    self.num_parameters = sum(p.numel() for p in model.parameters())

  def __call__(self, items: Sequence[ProbeItem]) -> list[Score]:
    """Answers items; asks equal questions only once.

    Args:
      items: any number.

    Returns:
      One score per item, in their order.

    Raises:
      SymtuneError: a query does not fit even without exemplars, or a score is not
        finite.
    """
    import torch

    known: dict[tuple[Any, ...], Score] = {}
    scores = []
    with torch.inference_mode():
      for item in items:
        prompt = item.prompt
        key = (item.kind, prompt.turns, prompt.choices)
        if key not in known:
          known[key] = self._answer(item)
        scores.append(known[key])
    return scores

  def _answer(self, item: ProbeItem) -> Score:
    ids, exemplars = self._fit(item)
    if item.kind is AnswerKind.GENERATE:
      output = self._cached(item, ids, [[self._max_targets]], self._generate)
      return Score(text=self._decode([int(i) for i in output]), exemplars=exemplars)
    targets = [self._target(choice) for choice in item.prompt.choices]
    rank = self._causal if self._is_causal else self._seq2seq
    values = self._cached(item, ids, targets, lambda ids: rank(ids, targets))
    if not all(math.isfinite(value) for value in values):
      raise SymtuneError(
        f"probe {item.probe}, task {item.task}, query row {item.query}: got scores "
        f"{values}, expected finite ones. The model is broken, or its activations "
        f"overflow: load it in float32 or bfloat16."
      )
    lengths = tuple(len(target) for target in targets)
    return Score(log_likelihoods=tuple(values), tokens=lengths, exemplars=exemplars)

  def _cached(
    self,
    item: ProbeItem,
    ids: list[int],
    asked: list[list[int]],
    compute: Callable[[list[int]], Sequence[float]],
  ) -> list[float]:
    """Returns the cached value for these tokens, or computes it and caches it."""
    arrays = [np.array(row, np.int32) for row in (ids, *asked)]
    key = question_key(f"{item.kind} {self.identity}", arrays[0], arrays[1:])
    known = self._cache.get([key])
    if key not in known:
      known = {key: np.array(compute(ids), np.float64)}
      self._cache.put(known)
    return known[key].tolist()

  def _fit(self, item: ProbeItem) -> tuple[list[int], int]:
    """The prompt's ids and number of exemplars; drops exemplars until it fits."""
    prompt = item.prompt
    while True:
      ids = self._tokenizer(prompt.inputs)["input_ids"]
      if len(ids) <= self._max_inputs:
        return list(ids), len(prompt.exemplar_labels)
      if not prompt.exemplar_labels:
        raise SymtuneError(
          f"probe {item.probe}, task {item.task}, query row {item.query}: got "
          f"{len(ids)} tokens without exemplars, expected at most {self._max_inputs}. "
          f"Raise the input length."
        )
      prompt = _without_one(prompt)

  def _target(self, choice: str) -> list[int]:
    if self._is_causal:
      text = f" {choice}{TURN_SEPARATOR}"
      return self._tokenizer(text, add_special_tokens=False)["input_ids"]
    ids = self._tokenizer(choice, add_special_tokens=False)["input_ids"]
    return [*ids, self._tokenizer.eos_token_id]

  def _seq2seq(self, ids: list[int], targets: list[list[int]]) -> list[float]:
    from transformers.modeling_outputs import BaseModelOutput

    inputs = self._tensor([ids])
    encoded = self._model.get_encoder()(input_ids=inputs).last_hidden_state
    count = len(targets)
    labels = self._padded(targets)
    logits = self._model(
      encoder_outputs=BaseModelOutput(encoded.expand(count, -1, -1)),
      attention_mask=inputs.new_ones((count, inputs.shape[1])),
      decoder_input_ids=self._shift(labels),
    ).logits
    return _sum_log_p(logits, labels, targets)

  def _causal(self, ids: list[int], targets: list[list[int]]) -> list[float]:
    import torch

    first = self._model(input_ids=self._tensor([ids]), use_cache=True)
    cache = first.past_key_values
    cache.batch_repeat_interleave(len(targets))
    labels = self._padded(targets)
    rest = self._model(input_ids=labels[:, :-1], past_key_values=cache).logits
    start = first.logits[:, -1:].expand(len(targets), -1, -1)
    return _sum_log_p(torch.cat([start, rest], dim=1), labels, targets)

  def _generate(self, ids: list[int]) -> list[int]:
    """Generates tokens greedily and returns the new ones."""
    inputs = self._tensor([ids])
    pad = self._tokenizer.pad_token_id
    output = self._model.generate(
      input_ids=inputs,
      attention_mask=inputs.new_ones(inputs.shape),
      max_new_tokens=self._max_targets,
      do_sample=False,
      num_beams=1,
      pad_token_id=self._tokenizer.eos_token_id if pad is None else pad,
    )[0]
    return output[len(ids) if self._is_causal else 0 :].tolist()

  def _decode(self, ids: list[int]) -> str:
    if self._is_causal:
      text = self._tokenizer.decode(ids, skip_special_tokens=True)
      return text.strip().split(TURN_SEPARATOR)[0]
    return self._tokenizer.decode([i for i in ids if i not in self._around]).strip()

  def _shift(self, labels: Any) -> Any:
    start = labels.new_full((len(labels), 1), self._model.config.decoder_start_token_id)
    import torch

    return torch.cat([start, labels[:, :-1]], dim=1)

  def _padded(self, rows: list[list[int]]) -> Any:
    length = max(map(len, rows))
    return self._tensor([[*row, *[0] * (length - len(row))] for row in rows])

  def _tensor(self, rows: list[list[int]]) -> Any:
    import torch

    return torch.tensor(rows, dtype=torch.int64, device=self._model.device)


def _fingerprint(model: Any) -> str:
  """A hash of the class, settings and parameters of a model, on any device."""
  import torch

  settings = model.config.to_json_string(use_diff=False)
  digest = hashlib.sha256(f"{type(model).__name__} {settings}".encode())
  for name, value in sorted(model.state_dict().items()):
    digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
    flat = value.detach().cpu().contiguous().reshape(-1)
    digest.update(flat.view(torch.uint8).numpy().tobytes())
  return digest.hexdigest()


def _sum_log_p(logits: Any, labels: Any, targets: list[list[int]]) -> list[float]:
  """Log p of each complete target; padding does not count."""
  log_p = logits.float().log_softmax(-1).gather(-1, labels[:, :, None])[:, :, 0]
  return [
    float(row[: len(target)].double().sum())
    for row, target in zip(log_p, targets, strict=True)
  ]


def _without_one(prompt: Prompt) -> Prompt:
  """The prompt without the last exemplar of the class that has the most exemplars."""
  labels = prompt.exemplar_labels
  label = max(set(labels), key=lambda c: (labels.count(c), c))
  place = len(labels) - 1 - labels[::-1].index(label)
  return dataclasses.replace(
    prompt,
    turns=(*prompt.turns[:place], *prompt.turns[place + 1 :]),
    exemplar_labels=(*labels[:place], *labels[place + 1 :]),
  )
