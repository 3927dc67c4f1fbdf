"""A Transformers model answers a probe: causal or encoder-decoder, CPU or GPU.

An encoder-decoder model scores complete targets with EOS, as ours does; a causal model
scores " label" and the blank line that would follow it (`tokens.py`). The exemplars of
a prompt that is too long go in the order that every answerer uses
(`symtune.data.tokens.tokenizer.dropping_order`).
"""

import collections
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from symtune.data.prompts import TURN_SEPARATOR
from symtune.data.tokens.label_ids import label_error, label_problem
from symtune.data.tokens.tokenizer import dropping_order
from symtune.errors import SymtuneError
from symtune.probe.answer.cache import MemoryCache, ScoreCache, question_key
from symtune.probe.answer.hf import batched, forward
from symtune.probe.answer.hf.tokens import SAMPLE, TextTokenizer
from symtune.probe.probe import AnswerKind, ProbeItem, Score, tell_nobody

# What configs call the number of a model's positions.
_POSITIONS = (
  "max_position_embeddings",
  "max_encoder_position_embeddings",  # LED
  "max_seq_len",  # MPT
)
# Settings of a config that say where it is from or how it is run, not what it computes.
_UNRELATED = ("_name_or_path", "architectures", "transformers_version", "use_cache")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Question:
  """An item as ids.

  Attributes:
    item: the item, or the first of several that ask the same.
    prompt: ids of the prompt.
    targets: ids of each choice; empty if text is to be generated.
    exemplars: number of exemplars in the prompt.
    longest: tokens of the longest choice, ranked or not.
  """

  item: ProbeItem
  prompt: list[int]
  targets: list[list[int]]
  exemplars: int
  longest: int


_Key = tuple[AnswerKind, tuple[tuple[str, ...], ...], tuple[str, ...]]


class HfScorer:
  """Answers items through a Transformers model.

  Attributes:
    model: the model, on its device.
    is_causal: whether it is decoder-only.
    positions: most tokens of an input that it can take.
    identity: SHA-256 of tokenizer, settings and parameters.
    on_answered: called with the number of items that were answered since the last call.
    family: kind of model and hash of its vocabulary (`results.ResultRow`).
    num_parameters: number of parameters of the model.
    dtype: type of its parameters, such as "float32".
    tokenizer: its tokenizer, as Transformers reads it.
    tokens: the same as functions, to which no text is a control token.
    sample: ids of a short text, for checks.
  """

  def __init__(
    self,
    model: Any,
    tokenizer: Any,
    *,
    max_inputs: int,
    max_targets: int,
    tokens_per_batch: int = 2048,
    cache: ScoreCache | None = None,
  ):
    """Wraps a model.

    Args:
      model: a model of transformers, causal or encoder-decoder.
      tokenizer: its tokenizer.
      max_inputs: length of the longest prompt in tokens, for a decoder-only model with
        its longest label word; the model's own positions bound it too.
      max_targets: largest number of tokens to generate.
      tokens_per_batch: tokens of the prompts in a batch, each counted once for each of
        its choices; limits the memory. Models that cannot batch prompts ignore it.
      cache: cache of answers; None keeps them in memory.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    self.model = model.to(device).eval()
    self.tokenizer = tokenizer
    self.tokens = TextTokenizer(tokenizer)
    self.is_causal = not model.config.is_encoder_decoder
    model.generation_config = forward.greedy_settings(model, tokenizer)
    self.positions = count_positions(model)
    self.sample = self.tokens.causal_prompt(SAMPLE)[: self.positions]
    self._rank = (
      forward.choose_causal(model, self.sample)
      if self.is_causal
      else forward.score_encoder_decoder
    )
    self._can_batch = self._rank is forward.score_with_cache and batched.can_batch(
      model, self.sample
    )
    # Tokens that are removed from an answer. Sentinels are kept, as for our own models:
    # a model that fills in blanks has not answered, whatever the text between them.
    self._around = {
      model.generation_config.decoder_start_token_id,
      tokenizer.bos_token_id,
      tokenizer.pad_token_id,
      tokenizer.eos_token_id,
    }
    self.on_answered: Callable[[int], Any] = tell_nobody
    self._max_inputs = max_inputs
    self._max_targets = max_targets
    self._tokens_per_batch = tokens_per_batch
    self._cache = cache or MemoryCache()
    self.dtype = str(model.dtype).removeprefix("torch.")
    self.identity = _fingerprint(model, self.tokens)
    way = "score_batch" if self._can_batch else self._rank.__name__
    self._computed_by = f"{self.identity} {_runtime(model)} {way}"
    self.family = _family(model, tokenizer)
    self.num_parameters = sum(p.numel() for p in model.parameters())

  def __call__(self, items: Sequence[ProbeItem]) -> list[Score]:
    """Answers items; asks equal questions only once.

    Args:
      items: any number.

    Returns:
      One score per item, in their order.

    Raises:
      SymtuneError: a query does not fit even without exemplars, two choices have the
        same tokens, or a score is not finite.
    """
    import torch

    keys = [(item.kind, item.prompt.turns, item.prompt.choices) for item in items]
    counts = collections.Counter(keys)
    distinct = dict(zip(reversed(keys), reversed(items), strict=True))
    questions = {key: self._fit(distinct[key]) for key in counts}
    known: dict[_Key, Score] = {}
    with torch.inference_mode():
      for batch in self._batches(questions):
        values = self._values([questions[key] for key in batch])
        for key, value in zip(batch, values, strict=True):
          known[key] = self._to_score(questions[key], value)
        self.on_answered(sum(counts[key] for key in batch))
    return [known[key] for key in keys]

  def _batches(self, questions: Mapping[_Key, _Question]) -> list[list[_Key]]:
    """Questions that run together: their prompts are of similar length, longest first.

    They depend on the questions alone, so that a resumed run gives the same numbers.
    """
    if not self._can_batch:
      return [[key] for key in questions]
    sizes = {key: len(question.prompt) for key, question in questions.items()}
    batches, room = [], 0
    order = sorted(questions, key=lambda key: (len(questions[key].targets), sizes[key]))
    for key in reversed(order):
      count = len(questions[key].targets)
      is_same = batches and count == len(questions[batches[-1][0]].targets)
      if is_same and len(batches[-1]) < room:
        batches[-1].append(key)
      else:  # each choice has a copy of the prompt's cache
        room = self._tokens_per_batch // (max(1, count) * sizes[key])
        batches.append([key])
    return batches

  def _values(self, questions: Sequence[_Question]) -> list[list[float]]:
    """Cached answers, or computed ones, which are cached; ids come as numbers."""
    keys = []
    for q in questions:
      targets = q.targets or [[self._max_targets]]
      arrays = [np.array(row, np.int32) for row in (q.prompt, *targets)]
      name = f"{q.item.kind} {self._computed_by}"
      keys.append(question_key(name, arrays[0], arrays[1:]))
    known = self._cache.get(keys)
    if len(known) < len(keys):
      values = [np.array(value, np.float64) for value in self._run(questions)]
      fresh = dict(zip(keys, values, strict=True))
      self._cache.put(fresh)
      known = {**fresh, **known}
    return [known[key].tolist() for key in keys]

  def _run(self, questions: Sequence[_Question]) -> Sequence[Sequence[Any]]:
    first = questions[0]
    try:
      prompts, targets = zip(*((q.prompt, q.targets) for q in questions), strict=True)
      if first.item.kind is AnswerKind.GENERATE:
        if len(questions) == 1:
          return [self._generate(first.prompt)]
        return batched.generate_batch(self.model, prompts, self._max_targets)
      if len(questions) == 1:
        return [self._rank(self.model, first.prompt, first.targets)]
      return batched.score_batch(self.model, prompts, targets)
    except Exception as error:  # a model's own limits can fail anywhere in its code
      raise SymtuneError(
        f"{first.item.where}: {type(self.model).__name__} fails on {len(questions)} "
        f"prompt(s) of at most {len(first.prompt)} tokens ({describe(error)}). If they "
        "are too long for the model or for the memory, lower --gin.probe.max_inputs or "
        "--gin.probe.tokens_per_batch; otherwise leave the task or the model out."
      ) from error

  def _to_score(self, question: _Question, values: list[float]) -> Score:
    item, exemplars = question.item, question.exemplars
    if item.kind is AnswerKind.GENERATE:
      return Score(text=self._decode([int(i) for i in values]), exemplars=exemplars)
    if not all(math.isfinite(value) for value in values):
      raise SymtuneError(
        f"{item.where}: got scores {values}, expected finite ones. The model is "
        f"broken, or its activations overflow: use --dtype float32."
      )
    lengths = tuple(len(target) for target in question.targets)
    return Score(log_likelihoods=tuple(values), tokens=lengths, exemplars=exemplars)

  def _fit(self, item: ProbeItem) -> _Question:
    """The item as ids; drops exemplars until it fits."""
    prompt = item.prompt
    order = dropping_order(prompt.exemplar_labels, nearest_last=prompt.nearest_last)
    dropped: set[int] = set()
    while True:
      question = self._question(item, dropped)
      limit = self._limit(question)
      if len(question.prompt) <= limit:
        break
      turn = next(order, None)
      if turn is None:
        raise SymtuneError(
          f"{item.where}: got {len(question.prompt)} tokens without exemplars, "
          f"expected at most {limit}. {self._why(limit)}"
        )
      dropped.add(turn)
    self._check_choices(item, question)
    return question

  def _check_choices(self, item: ProbeItem, question: _Question) -> None:
    """Refuses choices that the model cannot tell apart."""
    if item.kind is not AnswerKind.RANK:
      return
    targets = [np.array(ids, np.int32) for ids in question.targets]
    problem = label_problem(item.prompt.choices, targets, self.tokens.blank_ids)
    if problem:
      raise label_error(item.where, problem, "the model's own tokenizer")

  def _question(self, item: ProbeItem, dropped: set[int]) -> _Question:
    prompt = item.prompt
    turns = (turn for i, turn in enumerate(prompt.turns) if i not in dropped)
    text = TURN_SEPARATOR.join("".join(turn) for turn in turns)
    if self.is_causal:
      ids = self.tokens.causal_prompt(text)
      choices = self.tokens.causal_labels(text, prompt.choices)
    else:
      eos = self.tokenizer.eos_token_id
      ids = self.tokens.encoder_prompt(text)
      choices = [self.tokens.decoder_target(word, eos) for word in prompt.choices]
    return _Question(
      item=item,
      prompt=ids,
      targets=choices if item.kind is AnswerKind.RANK else [],
      exemplars=len(prompt.exemplar_labels) - len(dropped),
      longest=max(map(len, choices)),
    )

  def _limit(self, question: _Question) -> int:
    """The longest prompt in tokens, whose answer must have positions too.

    A row of a decoder-only model holds prompt and label word, as for our own models.
    """
    asked = self._max_inputs - (question.longest if self.is_causal else 0)
    if self.positions is None:
      return asked
    answer = question.longest if question.targets else self._max_targets
    # The last token of an answer is never read.
    free = self.positions - (answer - 1 if self.is_causal else 0)
    return min(asked, free)

  def _why(self, limit: int) -> str:
    if self.positions is None or limit <= self._max_inputs < self.positions:
      return "Raise the input length (--gin.probe.max_inputs, or --max-inputs)."
    return (
      f"The model has {self.positions} positions for the prompt and its answer: leave "
      "this task out, or use a model with more."
    )

  def _generate(self, ids: list[int]) -> list[int]:
    return forward.generate(self.model, ids, self._max_targets)

  def _decode(self, ids: list[int]) -> str:
    if self.is_causal:
      text = self.tokenizer.decode(ids, skip_special_tokens=True)
      return text.split(TURN_SEPARATOR)[0].strip()
    return self.tokenizer.decode([i for i in ids if i not in self._around]).strip()


def count_positions(model: Any) -> int | None:
  """How many tokens a model has positions for; None if it has no such limit, as T5."""
  config = model.config.get_text_config()
  counts = (getattr(config, name, None) for name in _POSITIONS)
  return next((n for n in counts if isinstance(n, int) and n > 0), None)  # XLNet: -1


def describe(error: Exception) -> str:
  """The kind and the first line of an error of PyTorch or Transformers."""
  first = (str(error).splitlines() or [""])[0].rstrip(".:")
  return f"{type(error).__name__}: {first}"


def _family(model: Any, tokenizer: Any) -> str:
  pieces = json.dumps(sorted(tokenizer.get_vocab().items()))
  vocab = hashlib.sha256(pieces.encode("utf-8", "surrogatepass")).hexdigest()
  return f"{model.config.model_type}, vocabulary {vocab[:8]}"


def _fingerprint(model: Any, tokens: TextTokenizer) -> str:
  """A hash of tokenizer, class, settings and parameters, on any device."""
  import torch

  settings = {k: v for k, v in model.config.to_dict().items() if k not in _UNRELATED}
  about = json.dumps(
    [
      type(model).__name__,
      settings,
      model.generation_config.eos_token_id,
      model.generation_config.decoder_start_token_id,
      tokens.fingerprint,
    ],
    sort_keys=True,
    default=str,
  )
  digest = hashlib.sha256(about.encode())
  for name, value in sorted(model.state_dict().items()):
    digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
    flat = value.detach().cpu().contiguous().reshape(-1)
    digest.update(flat.view(torch.uint8).numpy().tobytes())
  return digest.hexdigest()


def _runtime(model: Any) -> str:
  """What else the last digits of a score depend on."""
  import torch
  import transformers

  attention = getattr(model.config, "_attn_implementation", None)
  versions = f"torch {torch.__version__} transformers {transformers.__version__}"
  return f"{versions} {model.device.type} {attention}"
