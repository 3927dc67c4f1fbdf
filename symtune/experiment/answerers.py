"""Who is probed: checkpoints by their path, and baselines by their name.

  runs/demo             the newest checkpoint of a run folder
  runs/demo@500         its checkpoint of step 500
  weights.safetensors   a weights file
  baseline:neighbours   oracle, majority, random, neighbours, ...
  transformers:PATH     a Hugging Face model, causal or encoder-decoder (extra [hf])

The size of a model is read from the model.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import safetensors
from flax.traverse_util import flatten_dict, unflatten_dict

from symtune.errors import SymtuneError
from symtune.experiment.build import Experiment, make_probe_tokenizer
from symtune.files import CACHE_FILE, RUN_FILE
from symtune.model.config import T5Config
from symtune.model.network import Params, Transformer, param_shapes
from symtune.probe.baselines import score_by_neighbours, score_by_svm
from symtune.probe.cache import DiskCache
from symtune.probe.model_scorer import ModelScorer
from symtune.probe.native_model import NativeModel
from symtune.probe.probe import ScoreFn
from symtune.probe.run import CheckpointLabel
from symtune.probe.scorers import (
  make_random_scorer,
  score_by_context,
  score_by_majority,
  score_by_oracle,
  score_by_prior,
)
from symtune.train import checkpoint
from symtune.train.loop import CHECKPOINTS

BASELINES: dict[str, ScoreFn] = {
  "oracle": score_by_oracle,
  "prior": score_by_prior,
  "context": score_by_context,
  "majority": score_by_majority,
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
class _Weights:
  """A network and its parameters, as they lie on disk."""

  step: int
  config: T5Config
  params: Params


def open_answerers(
  names: Sequence[str], experiment: Experiment, out: pathlib.Path
) -> list[tuple[CheckpointLabel, Callable[[], Answerer]]]:
  """Checks every name before any is read.

  Args:
    names: as the module's docstring shows.
    experiment: vocabulary, lengths and probes.
    out: folder of the results; keeps the cache of scores.

  Returns:
    Per name a label without the size, and a function that reads the weights.

  Raises:
    SymtuneError: a name stands for nothing, or two for the same.
  """
  titles = _titles(names)
  opened = []
  for name, title in zip(names, titles, strict=True):
    kind, _, rest = name.partition(":")
    if kind == "baseline":
      label = CheckpointLabel(name=title, step=0)
      opened.append((label, _baseline(label, rest)))
    elif kind == "transformers":
      label = CheckpointLabel(name=title, step=0)
      opened.append((label, _transformers(label, rest, experiment)))
    else:
      label = CheckpointLabel(name=title, step=_find_step(name))
      opened.append((label, _native(label, name, experiment, out)))
  known = [(label.name, label.step) for label, _ in opened]
  if len(set(known)) < len(known):
    raise SymtuneError(
      f"--checkpoint: got {list(names)}, of which two are the same checkpoint. Give "
      f"each once."
    )
  return opened


def native_answerer(
  experiment: Experiment,
  label: CheckpointLabel,
  network: Transformer,
  params: Params,
  out: pathlib.Path,
) -> Answerer:
  """A network with its parameters.

  Args:
    experiment: vocabulary and lengths.
    label: its name and step.
    network: the network; its vocabulary must cover the experiment's.
    params: its parameters.
    out: folder of the results; keeps the cache of scores.

  Raises:
    SymtuneError: the network's vocabulary is too small.
  """
  size = network.config.vocab_size
  if size < experiment.vocab.size:
    raise SymtuneError(
      f"checkpoint {label.name}: got a network for {size} tokens, expected at least "
      f"{experiment.vocab.size}, those of the vocabulary. Give the vocabulary that it "
      f"was trained with, with --vocab."
    )
  model = NativeModel(network, params)
  scorer = ModelScorer(
    model,
    make_probe_tokenizer(experiment),
    tokens_per_batch=experiment.recipe.probe.tokens_per_batch,
    cache=DiskCache(out / CACHE_FILE),
  )
  return Answerer(
    label=dataclasses.replace(label, parameters=model.num_parameters), score=scorer
  )


def _titles(names: Sequence[str]) -> list[str]:
  """Short names for tables: the last part of a path if that tells them apart."""
  if len(set(names)) < len(names):
    raise SymtuneError(f"--checkpoint: got {list(names)}, expected each once.")
  short = [pathlib.PurePath(n.partition("@")[0]).name or n for n in names]
  keys = list(zip(short, (n.partition("@")[2] for n in names), strict=True))
  return [
    s if keys.count(key) == 1 else name
    for s, key, name in zip(short, keys, names, strict=True)
  ]


def _baseline(label: CheckpointLabel, name: str) -> Callable[[], Answerer]:
  if name not in BASELINES:
    raise SymtuneError(
      f"--checkpoint baseline:{name}: expected one of {', '.join(BASELINES)}."
    )
  return lambda: Answerer(label=label, score=BASELINES[name])


def _transformers(
  label: CheckpointLabel, name: str, experiment: Experiment
) -> Callable[[], Answerer]:
  from symtune.probe import hf

  hf.check_installed()
  plan = experiment.recipe.probe

  def read() -> Answerer:
    scorer = hf.load_scorer(
      name, max_inputs=plan.max_inputs, max_targets=plan.max_targets
    )
    sized = dataclasses.replace(label, parameters=scorer.num_parameters)
    return Answerer(label=sized, score=scorer)

  return read


def _native(
  label: CheckpointLabel, name: str, experiment: Experiment, out: pathlib.Path
) -> Callable[[], Answerer]:
  def read() -> Answerer:
    weights = _read_weights(name)
    network = Transformer(config=weights.config)
    return native_answerer(experiment, label, network, weights.params, out)

  return read


def _find_step(name: str) -> int:
  """The step of a run folder's checkpoint; 0 for a weights file."""
  path, step = _split(name)
  if path.is_file():
    return 0
  if not path.is_dir():
    raise SymtuneError(
      f"--checkpoint {name}: nothing at {path}, expected a run folder, a weights file "
      f"(*.safetensors), baseline:NAME or transformers:PATH."
    )
  known = checkpoint.steps(path / CHECKPOINTS)
  if not known or (step is not None and step not in known):
    raise SymtuneError(
      f"--checkpoint {name}: {path} has checkpoints of steps {list(known)}, expected "
      f"{'one' if step is None else step} there."
    )
  return known[-1] if step is None else step


def _split(name: str) -> tuple[pathlib.Path, int | None]:
  found = re.fullmatch(r"(.+)@(\d+)", name)
  if found is None:
    return pathlib.Path(name), None
  return pathlib.Path(found[1]), int(found[2])


def _read_weights(name: str) -> _Weights:
  """Reads a run folder's checkpoint or a weights file."""
  path, _ = _split(name)
  step = _find_step(name)
  if path.is_file():
    return _read_weights_file(path)
  config = _read_run_config(path)
  shapes = param_shapes(Transformer(config=config))
  params = checkpoint.load_params(path / CHECKPOINTS, step, shapes)
  return _Weights(step=step, config=config, params=params)


def _read_weights_file(path: pathlib.Path) -> _Weights:
  """A safetensors file whose metadata holds the network's settings."""
  try:
    with safetensors.safe_open(path, framework="numpy") as file:
      config = _to_config(json.loads((file.metadata() or {})["config"]))
      arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
  except (
    OSError,
    safetensors.SafetensorError,
    KeyError,
    TypeError,
    ValueError,
  ) as error:
    raise SymtuneError(
      f"{path} is no weights file ({error!r}). Expected a *.safetensors file that "
      f"symtune wrote, with the network's settings in it."
    ) from error
  shapes = flatten_dict(param_shapes(Transformer(config=config)), sep="/")
  wrong = sorted(
    name
    for name in shapes.keys() | arrays.keys()
    if name not in shapes
    or name not in arrays
    or arrays[name].shape != shapes[name].shape
  )
  if wrong:
    raise SymtuneError(
      f"{path}: parameters {wrong[:3]} are missing, unknown or of another shape than "
      f"the file's own settings say. The file is damaged; write it again."
    )
  return _Weights(step=0, config=config, params=unflatten_dict(arrays, sep="/"))


def _read_run_config(path: pathlib.Path) -> T5Config:
  try:
    values = json.loads((path / RUN_FILE).read_text(encoding="utf-8"))
    return _to_config(values["config"]["model"])
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise SymtuneError(
      f"{path / RUN_FILE} does not say what the network is ({error!r}). Expected the "
      f"folder of a run, as symtune run and symtune train leave it."
    ) from error


def _to_config(values: dict[str, Any]) -> T5Config:
  """Settings as JSON has them -> settings."""
  return T5Config(
    **{
      **values,
      "dtype": jnp.dtype(values["dtype"]),
      "mlp_activations": tuple(values["mlp_activations"]),
    }
  )
