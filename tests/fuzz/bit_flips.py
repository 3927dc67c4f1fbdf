"""Flips single bits in the files of a run, and reads the run again.

Usage: bit_flips.py [FLIPS] [SEED]

A tiny run has been stopped after 4 of 6 steps. For each flip, whatever reads the file
reads a fresh copy of the folder: training to the end, probing again, the report, and
the conversion. A flip has to be named, or to have no effect.
"""

import collections
import contextlib
import dataclasses
import io
import os
import pathlib
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import rich.console

from symtune.cli.experiments import claim
from symtune.cli.gin_config import load_recipe
from symtune.convert.source import open_checkpoint
from symtune.data.tokens.stream import TokenStream
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.errors import SymtuneError
from symtune.experiment.build import Experiment, build_experiment, make_batches
from symtune.experiment.run import probe_model
from symtune.experiment.start import load_start
from symtune.files import RESULTS_FILE
from symtune.model.network import param_shapes
from symtune.probe.results import read_results
from symtune.probe.run import CheckpointLabel
from symtune.report.report import write_report
from symtune.train.loop import fit
from symtune.train.optim import make_optimizer, make_schedule
from symtune.train.progress import Progress
from symtune.train.state import create_state
from symtune.train.step import jit_train_step

SETTINGS = (
  "loop.TrainSettings.steps = 6",
  "loop.TrainSettings.save_every = 2",
  "loop.TrainSettings.log_every = 1",
  "loop.TrainSettings.keep = 1",
  "recipe.Recipe.checkpoint = None",
  "config.T5Config.num_encoder_layers = 1",
  "config.T5Config.num_decoder_layers = 1",
  "config.T5Config.emb_dim = 16",
  "config.T5Config.mlp_dim = 16",
  "config.T5Config.num_heads = 2",
  "config.T5Config.head_dim = 8",
  "recipe.mixture.batch_size = 4",
  "recipe.mixture.window = 32",
  "recipe.symbols.tuning_size = 100",
  "recipe.symbols.evaluation_size = 100",
  "recipe.probe.max_queries = 1",
  "recipe.probe.shots = 1",
  "recipe.probe.tokens_per_batch = 512",
  "recipe.probe.probes = ('flipped_labels',)",
)
STOP = 4
RUN, CACHE = "run", "tokens"


class Subject:
  """The run, and the four ways to read it; each returns what it found as bytes."""

  def __init__(self, home: pathlib.Path) -> None:
    recipe, self.gin = load_recipe("microworld", SETTINGS)
    self.experiment = build_experiment(recipe, data_dir=None, vocab_path=None)
    self.optimizer = make_optimizer(
      recipe.optimizer, param_shapes(self.experiment.network)
    )
    self.step = jit_train_step(
      network=self.experiment.network,
      optimizer=self.optimizer,
      schedule=make_schedule(recipe.optimizer),
      loss_settings=recipe.loss,
    )
    self.console = rich.console.Console(file=io.StringIO())
    self.home = home
    self._train(home, steps=STOP)
    with self._claimed(home):
      self._probe(home)
    write_report(home / RUN)

  def readers_of(self, file: pathlib.PurePath) -> list[Callable[[pathlib.Path], bytes]]:
    """What reads a file, by its path in the folder."""
    if file.parts[0] == CACHE:
      return [self.train]
    match file.parts[1]:
      case "checkpoints":
        return [self.train, self.convert]
      case "results.jsonl":
        return [self.probe_again, self.report]
      case "scores.sqlite":
        return [self.probe_from_scores]
      case "run.json":
        return [self.train, self.report]
      case "data.json" | "report.md" | "report.html" | "report.png":
        return [self.report]
      case "questions.jsonl.gz":
        return [self.report]
      case _:  # metrics.jsonl, timing.jsonl, config.gin, .lock
        return [self.train]

  def train(self, home: pathlib.Path) -> bytes:
    """Goes on to the last step: parameters, optimizer state and metrics."""
    state = self._train(home, steps=6)
    arrays = jax.device_get((state.params, state.opt_state))
    metrics = (home / RUN / "metrics.jsonl").read_bytes()
    return b"".join(a.tobytes() for a in jax.tree.leaves(arrays)) + metrics

  def probe_again(self, home: pathlib.Path) -> bytes:
    """Probes a run that has its answers."""
    with self._claimed(home):
      self._probe(home)
    rows = read_results(home / RUN / RESULTS_FILE)
    same = [dataclasses.replace(row, git_commit=None) for row in rows]
    return repr(same).encode()

  def probe_from_scores(self, home: pathlib.Path) -> bytes:
    """Writes the answers again, from the cached scores."""
    (home / RUN / RESULTS_FILE).unlink()
    return self.probe_again(home)

  def report(self, home: pathlib.Path) -> bytes:
    """The report."""
    write_report(home / RUN)
    return (home / RUN / "report.md").read_bytes()

  def convert(self, home: pathlib.Path) -> bytes:
    """The parameters, as `symtune convert` reads them."""
    source = open_checkpoint(home / RUN)
    config = repr(source.config).encode()
    return config + b"".join(
      np.ascontiguousarray(tensor.read()).tobytes()
      for _, tensor in sorted(source.tensors.items())
    )

  def _train(self, home: pathlib.Path, steps: int):
    experiment = self._with_cache(home / CACHE)
    recipe = experiment.recipe
    with self._claimed(home):
      params = load_start(None, experiment.network, recipe.train.seed)
      return fit(
        state=create_state(params, self.optimizer, recipe.train.seed),
        batches=make_batches(experiment),
        train_step=self.step,
        settings=dataclasses.replace(recipe.train, steps=steps),
        run_dir=home / RUN,
        config_hash=experiment.config_hash,
        config={"model": _plain_config(experiment)},
        progress=Progress(steps, self.console),
      ).state

  def _with_cache(self, folder: pathlib.Path) -> Experiment:
    settings = self.experiment.recipe.mixture
    tokenizer = PromptTokenizer(
      self.experiment.vocab,
      max_inputs=settings.batches.input_length,
      max_targets=settings.batches.target_length,
      min_exemplars_per_class=settings.min_exemplars_per_class,
    )
    stream = TokenStream(self.experiment.mixture, tokenizer, str(folder))
    return dataclasses.replace(self.experiment, stream=stream)

  def _probe(self, home: pathlib.Path) -> None:
    label = CheckpointLabel(name="before", step=0)
    probe_model(self.experiment, home / RUN, label, self.console)

  def _claimed(self, home: pathlib.Path):
    return claim(self.experiment, self.gin, home / RUN)


def _plain_config(experiment: Experiment) -> dict:
  from symtune.train.weights import config_dict

  return config_dict(experiment.network.config)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flip:
  """What became of a flipped bit.

  Attributes:
    file: the file.
    bit: which of its bits.
    reader: what read it.
    outcome: "named", "mended", "no effect", "silent difference" or "traceback".
    said: the message.
  """

  file: pathlib.PurePath
  bit: int
  reader: str
  outcome: str
  said: str


def flip_bits(count: int, seed: int, home: pathlib.Path) -> Iterator[Flip]:
  """Flips bits one by one, as often in the token cache as in checkpoints or results.

  Args:
    count: number of flips.
    seed: which bits.
    home: an empty folder for the run and its copies.
  """
  subject = Subject(home / "whole")
  files = sorted(p for p in subject.home.rglob("*") if p.is_file() and p.stat().st_size)
  places = collections.defaultdict(list)
  for path in files:
    name = path.relative_to(subject.home)
    places[_place(name)].append(name)
  numbers, wanted = random.Random(seed), {}
  for i in range(count):
    name = numbers.choice(places[sorted(places)[i % len(places)]])
    bit = numbers.randrange(8 * (subject.home / name).stat().st_size)
    for reader in subject.readers_of(name):
      if reader not in wanted:
        wanted[reader] = reader(_copy(subject.home, home / "copy"))
      copy = _copy(subject.home, home / "copy")
      whole = (copy / name).read_bytes()
      content = bytearray(whole)
      content[bit // 8] ^= 1 << bit % 8
      (copy / name).write_bytes(content)
      outcome, said = _outcome(reader, copy, wanted[reader])
      if name.parts[0] == CACHE:  # all copies share it
        (copy / name).write_bytes(whole)
      yield Flip(file=name, bit=bit, reader=reader.__name__, outcome=outcome, said=said)


def _outcome(
  reader: Callable[[pathlib.Path], bytes], copy: pathlib.Path, wanted: bytes
) -> tuple[str, str]:
  errors = io.StringIO()
  try:
    with contextlib.redirect_stderr(errors):
      found = reader(copy)
  except (SymtuneError, OSError) as error:
    return "named", str(error)
  except Exception as error:
    return "traceback", f"{type(error).__name__}: {error}"
  if found != wanted:
    return "silent difference", errors.getvalue()
  return ("mended" if errors.getvalue() else "no effect"), errors.getvalue()


def _copy(whole: pathlib.Path, copy: pathlib.Path) -> pathlib.Path:
  shutil.rmtree(copy, ignore_errors=True)
  shutil.copytree(whole / RUN, copy / RUN)
  (copy / CACHE).symlink_to(whole / CACHE)  # thousands of files, seldom damaged
  return copy


def _place(name: pathlib.PurePath) -> str:
  return "/".join(name.parts[:2]) if name.parts[0] == RUN else CACHE


def main() -> None:
  """Prints how many flips had which outcome, by file; exits with 1 if one is wrong."""
  given = [int(text) for text in sys.argv[1:]]
  count, seed = [*given, *(500, 0)[len(given) :]]
  outcomes: collections.Counter[tuple[str, str]] = collections.Counter()
  wrong = []
  with tempfile.TemporaryDirectory() as home:
    for flip in flip_bits(count, seed, pathlib.Path(home)):
      outcomes[_place(flip.file), flip.outcome] += 1
      if flip.outcome in ("silent difference", "traceback"):
        wrong.append(flip)
        print(f"{flip.file}, bit {flip.bit}, {flip.reader}: {flip.outcome} {flip.said}")
  for (place, outcome), number in sorted(outcomes.items()):
    print(f"{place:24} {outcome:18} {number}")
  print(f"{count} flips, {sum(outcomes.values())} readings, {len(wrong)} wrong")
  sys.exit(bool(wrong))


if __name__ == "__main__":
  main()
