"""What is probed: checkpoints by path, and baselines by name.

  runs/demo             the newest checkpoint of a run folder
  runs/demo@500         its checkpoint of step 500
  weights.safetensors   a weights file
  hf://..., gs://..., or a folder of Transformers or T5X: as Recipe.checkpoint
  baseline:neighbours   oracle, majority, random, neighbours, ...
  transformers:PATH     a Hugging Face model, causal or encoder-decoder (extra [hf])

The size of a model is read from the model.
"""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Sequence

import numpy as np

from symtune.convert.load import float_dtype, load_params
from symtune.convert.source import HF
from symtune.convert.tokenizer.read import check_rows, read_vocab
from symtune.data.text.causal_vocab import CausalVocab
from symtune.data.text.vocab import Vocab, have_same_ids
from symtune.errors import SymtuneError, did_you_mean
from symtune.experiment.start import Start, find_start
from symtune.experiment.tokens import Reader
from symtune.files import CACHE_FILE
from symtune.model.decoder.config import DecoderConfig
from symtune.model.decoder.network import Decoder
from symtune.model.network import Params
from symtune.model.networks import Config, Network, make_network
from symtune.probe.answer.baselines import score_by_neighbours, score_by_svm
from symtune.probe.answer.cache import DiskCache, MemoryCache, ScoreCache
from symtune.probe.answer.model_scorer import ModelScorer
from symtune.probe.answer.native_decoder import NativeDecoder
from symtune.probe.answer.native_model import NativeModel, native_runtime
from symtune.probe.answer.scorers import (
  make_random_scorer,
  score_by_context,
  score_by_copying,
  score_by_echo,
  score_by_majority,
  score_by_oracle,
  score_by_prior,
)
from symtune.probe.probe import ScoreFn
from symtune.probe.run import CheckpointLabel
from symtune.train import checkpoint
from symtune.train.loop import CHECKPOINTS

_STEP = re.compile(r"(.+)@(\d+)")  # RUN@STEP

BASELINES: dict[str, ScoreFn] = {
  "oracle": score_by_oracle,
  "prior": score_by_prior,
  "context": score_by_context,
  "majority": score_by_majority,
  "copy": score_by_copying,
  "echo": score_by_echo,
  "random": make_random_scorer(0),
  "neighbours": score_by_neighbours,
  "svm": score_by_svm,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answerer:
  """Something that can be probed.

  Attributes:
    label: its name in tables, step and size.
    score: answers items.
  """

  label: CheckpointLabel
  score: ScoreFn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opened:
  """An answerer whose weights are not read yet.

  Attributes:
    label: its name and step; the size is not known yet.
    read: reads the weights.
    vocab: the vocabulary that it reads with; None if it has none, or brings its own
      tokenizer (transformers:).
  """

  label: CheckpointLabel
  read: Callable[[], Answerer]
  vocab: Vocab | None = None


def open_answerers(
  names: Sequence[str],
  reader: Reader,
  out: pathlib.Path | None,
  dtype: str | None = None,
) -> list[Opened]:
  """Checks every name before any weights are read.

  Args:
    names: in the forms that the module's docstring lists.
    reader: the vocabulary, if all share one, and lengths.
    out: folder of the results, which holds the cache of scores; None keeps scores in
      memory.
    dtype: dtype of parameters and activations, float32 or bfloat16; None means float32
      parameters and the activation dtype of the checkpoint's settings, which for
      transformers: is float32 too, whatever the stored type.

  Returns:
    What each name stands for.

  Raises:
    SymtuneError: an unknown name, two names for one checkpoint, a dtype that no network
      can use, a checkpoint whose tokenizer is not the reader's, or one without a known
      tokenizer.
  """
  kind_of_numbers = None if dtype is None else float_dtype(dtype, "--dtype")
  titles = _titles(names)
  opened = []
  for name, title in zip(names, titles, strict=True):
    kind, _, rest = name.partition(":")
    if kind == "baseline":
      label = CheckpointLabel(name=title, step=0)
      opened.append(Opened(label=label, read=_baseline(label, rest)))
    elif kind == "transformers":
      label = CheckpointLabel(name=_with_dtype(title, dtype), step=0)
      read = _transformers(label, rest, reader, out, dtype)
      opened.append(Opened(label=label, read=read))
    else:
      start = _find(name)
      label = CheckpointLabel(
        name=_with_dtype(title, dtype), step=start.source.step or 0
      )
      mine = _with_vocab(name, start, reader)
      start = _in_dtype(start, kind_of_numbers)
      read = _native(label, start, mine, out, kind_of_numbers)
      opened.append(Opened(label=label, read=read, vocab=mine.vocab))
  known = [(o.label.name, o.label.step) for o in opened]
  if len(set(known)) < len(known):
    raise SymtuneError(
      f"--checkpoint: got {list(names)}, two of which are the same checkpoint. Give "
      f"each once."
    )
  return opened


def vocab_beside(names: Sequence[str]) -> pathlib.Path | None:
  """The vocabulary that lies beside the first native checkpoint, if one does.

  Args:
    names: in the forms that the module's docstring lists.

  Raises:
    SymtuneError: there is no such checkpoint, or it is damaged.
  """
  native = [n for n in names if not n.startswith(("baseline:", "transformers:"))]
  return _find(native[0]).source.vocab if native else None


def native_answerer(
  reader: Reader,
  label: CheckpointLabel,
  network: Network,
  params: Params,
  out: pathlib.Path | None,
) -> Answerer:
  """A network with its parameters.

  Args:
    reader: vocabulary and lengths.
    label: its name and step.
    network: the network; its vocabulary must cover the reader's.
    params: its parameters.
    out: folder of the results, which holds the cache of scores; None keeps them in
      memory.

  Raises:
    SymtuneError: the network's vocabulary is too small.
  """
  size, vocab = network.config.vocab_size, reader.tokenizer.vocab
  if size < vocab.num_ids:
    raise SymtuneError(
      f"checkpoint {label.name}: got a network for {size} tokens, expected at least "
      f"the {vocab.num_ids} ids of the vocabulary. Give the vocabulary that "
      f"the network was trained with as --vocab."
    )
  if isinstance(network, Decoder):
    reader = _within_positions(reader, network)
    model = NativeDecoder(network, params)
  else:
    model = NativeModel(network, params)
  scorer = ModelScorer(
    model,
    reader.tokenizer,
    tokens_per_batch=reader.tokens_per_batch,
    cache=_cache(out),
    runtime=native_runtime(),
  )
  sized = dataclasses.replace(
    label,
    parameters=model.num_parameters,
    identity=model.identity,
    family=_family(network.config, vocab.fingerprint),
    dtype=np.dtype(network.config.dtype).name,
  )
  return Answerer(label=sized, score=scorer)


def _within_positions(reader: Reader, network: Decoder) -> Reader:
  """The reader, whose prompts lose exemplars rather than exceed a model's positions."""
  return dataclasses.replace(reader, max_positions=network.config.max_positions)


def _cache(out: pathlib.Path | None) -> ScoreCache:
  return MemoryCache() if out is None else DiskCache(out / CACHE_FILE)


def _family(config: Config, vocab: str) -> str:
  """What networks of several sizes have in common: `ResultRow.family`."""
  if isinstance(config, DecoderConfig):
    output = "tied" if config.logits_via_embedding else "untied"
    parts = (config.positions, config.block, config.norm, config.activation)
    return f"decoder {' '.join(parts)} {output}, vocabulary {vocab[:8]}"
  layer = "-".join(config.mlp_activations)
  output = "tied" if config.logits_via_embedding else "untied"
  return f"t5 {layer} {output}, vocabulary {vocab[:8]}"


def _titles(names: Sequence[str]) -> list[str]:
  """Short names for tables: the last part of each path where that is unambiguous.

  A short name keeps a revision but not the step of RUN@STEP, which has its own field.
  """
  if len(set(names)) < len(names):
    raise SymtuneError(f"--checkpoint: got {list(names)}, expected each once.")
  parts = [_STEP.fullmatch(n) if not n.startswith(HF) else None for n in names]
  short = [
    pathlib.PurePath(part[1] if part else n).name or n
    for part, n in zip(parts, names, strict=True)
  ]
  keys = list(zip(short, (part[2] if part else "" for part in parts), strict=True))
  return [
    s if keys.count(key) == 1 else name
    for s, key, name in zip(short, keys, names, strict=True)
  ]


def _with_dtype(title: str, dtype: str | None) -> str:
  return title if dtype in (None, "float32") else f"{title} ({dtype})"


def _baseline(label: CheckpointLabel, name: str) -> Callable[[], Answerer]:
  if name not in BASELINES:
    raise SymtuneError(
      f"--checkpoint baseline:{name}: expected one of {', '.join(BASELINES)}."
      f"{did_you_mean(name, BASELINES)}"
    )
  named = dataclasses.replace(label, identity=f"baseline:{name}")
  return lambda: Answerer(label=named, score=BASELINES[name])


def _transformers(
  label: CheckpointLabel,
  name: str,
  reader: Reader,
  out: pathlib.Path | None,
  dtype: str | None,
) -> Callable[[], Answerer]:
  from symtune.probe.answer.hf import load

  load.check_installed()
  folder = load.find_folder(name)

  def read() -> Answerer:
    scorer = load.load_scorer(
      folder,
      max_inputs=reader.max_inputs,
      max_targets=reader.max_targets,
      tokens_per_batch=reader.tokens_per_batch,
      dtype=dtype or "float32",
      vocab=reader.vocab,
      cache=_cache(out),
    )
    sized = dataclasses.replace(
      label,
      parameters=scorer.num_parameters,
      identity=scorer.identity,
      family=scorer.family,
      dtype=scorer.dtype,
    )
    return Answerer(label=sized, score=scorer)

  return read


def _with_vocab(name: str, start: Start, reader: Reader) -> Reader:
  """The reader with a vocabulary: the shared one, which has to fit, or the model's own.

  Raises:
    SymtuneError: the checkpoint's token ids stand for other pieces, or no vocabulary is
      known.
  """
  path = start.source.vocab
  if reader.vocab is None:
    if path is None:
      raise SymtuneError(
        f"--checkpoint {name}: no tokenizer lies beside it. Give the vocabulary that "
        "it was trained with, T5's spiece.model or a decoder-only model's "
        "tokenizer.json, as --vocab."
      )
    vocab = read_vocab(path)
    check_rows(start.source, vocab, f"the vocabulary {path} beside {name}")
    return dataclasses.replace(reader, vocab=vocab)
  if path is None:  # all that is known of its tokenizer is the size of its table
    check_rows(start.source, reader.vocab, f"the vocabulary of --checkpoint {name}")
    return reader
  own = read_vocab(path)
  if have_same_ids(own, reader.vocab):
    shared = reader.vocab
    if isinstance(own, CausalVocab) and isinstance(shared, CausalVocab):
      shared = shared.with_ends(own.end_ids)  # a chat model ends its turns
    return dataclasses.replace(reader, vocab=shared)
  raise SymtuneError(
    f"--checkpoint {name}: its tokenizer, {path}, is not the one that this experiment "
    "uses, so its answers would be meaningless. Give the checkpoint's own with "
    f"--vocab {path}."
  )


def _in_dtype(start: Start, dtype: np.dtype | None) -> Start:
  if dtype is None:
    return start
  config = dataclasses.replace(start.source.config, dtype=dtype)
  return dataclasses.replace(
    start, source=dataclasses.replace(start.source, config=config)
  )


def _native(
  label: CheckpointLabel,
  start: Start,
  reader: Reader,
  out: pathlib.Path | None,
  dtype: np.dtype | None,
) -> Callable[[], Answerer]:
  def read() -> Answerer:
    network = make_network(start.source.config)
    params = load_params(start.source, dtype=dtype or np.float32)
    return native_answerer(reader, label, network, params, out)

  return read


def _find(name: str) -> Start:
  """Opens a checkpoint; RUN@STEP names the checkpoint of that step."""
  found = _STEP.fullmatch(name)
  if found is None or name.startswith(HF):
    return find_start(name)
  folder, step = pathlib.Path(found[1]) / CHECKPOINTS, int(found[2])
  known = checkpoint.steps(folder)
  if step not in known:
    raise SymtuneError(
      f"--checkpoint {name}: got step {step}, expected one of {list(known)}, the steps "
      f"of the checkpoints in {folder}."
    )
  return find_start(str(folder / str(step)))
