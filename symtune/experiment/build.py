"""Recipe -> Experiment: data read and everything checked before any work."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from symtune.cards.card import Task
from symtune.cards.load import load_suite, read_suite
from symtune.cards.resources import path_in_data, resource_dir
from symtune.convert.tokenizer.read import read_vocab
from symtune.data.batches.batch import BatchStream, HostShard
from symtune.data.batches.feed import FeedSettings, prefetched_windows
from symtune.data.batches.windows import PromptsAt
from symtune.data.ingredients import Ingredient, Instructions, Skill
from symtune.data.mixture import Mixture
from symtune.data.text.instructions import read_instructions
from symtune.data.text.leaks import (
  Leak,
  apply_policy,
  drop_instruction_leaks,
  find_leaks,
)
from symtune.data.text.symbols import (
  PoolSplit,
  SymbolPool,
  check_disjoint,
  make_pool,
  match_lengths,
  read_synonyms,
)
from symtune.data.text.vocab import Vocab
from symtune.errors import SymtuneError
from symtune.experiment.answerers import vocab_beside
from symtune.experiment.recipe import Recipe
from symtune.experiment.recipe_json import config_hash
from symtune.experiment.start import Start, find_start
from symtune.experiment.tokens import (
  Reader,
  check_kinds,
  check_targets,
  layout_of,
  make_stream,
)
from symtune.model.networks import Network, make_network
from symtune.probe.answer.model_scorer import tokenize_item
from symtune.probe.catalog import make_probes
from symtune.probe.probe import Probe, ProbeSettings
from symtune.probe.questions import Inquiry, Questions
from symtune.progress import Progress


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
  """A recipe with its data: what `run` works on.

  Attributes:
    recipe: all settings.
    vocab: the vocabulary.
    mixture: the tuning prompts, by position; None where their rows are absent.
    stream: the tuning prompts as ids, by position; None where nothing is tuned.
    questions: what is asked.
    reader: how the questions are read.
    leaks: texts that tuning shared with evaluation before they were dropped.
    left_out: number of rows that were not read, by task; see `Task.left_out`.
    absent: a file of tuning rows that is not there, so that nobody knows whether they
      share texts with the questions; None if all were compared.
    network: the model, without weights.
    start: where its weights come from; None draws them.
    config_hash: identifies settings, data and vocabulary.
    feed: how batches are built ahead; it changes nothing but the speed.
  """

  recipe: Recipe
  vocab: Vocab
  mixture: Mixture | None
  stream: PromptsAt | None
  questions: Questions
  reader: Reader
  leaks: tuple[Leak, ...]
  left_out: Mapping[str, int]
  absent: str | None
  network: Network
  start: Start | None
  config_hash: str
  feed: FeedSettings

  @property
  def inquiry(self) -> Inquiry:
    """What is asked, apart from what is tuned."""
    return Inquiry(
      questions=self.questions,
      calibration=self.recipe.probe.calibration,
      config_hash=self.config_hash,
    )


def build_experiment(
  recipe: Recipe,
  *,
  data_dir: str | os.PathLike[str] | None,
  vocab_path: pathlib.Path | None,
  feed: FeedSettings | None = None,
  tunes: bool = True,
  others: Sequence[str] = (),
  own_probes: Sequence[Probe] = (),
) -> Experiment:
  """Reads and checks everything that a run needs.

  Args:
    recipe: all settings.
    data_dir: folder with `<rows>.jsonl` files, local or gs://; the microworld needs
      none, and probes with files of their own need a local one.
    vocab_path: a SentencePiece model, or the tokenizer.json of a decoder-only model or
      its folder; None takes the recipe's own, or the one that lies beside the first of
      `others` that has one, or beside the recipe's checkpoint.
    feed: how batches are built ahead; not at all unless given.
    tunes: whether it is going to: if so, the first batches are built, as a trial.
    others: checkpoints made elsewhere, by name (`answerers.py`), that are asked instead
      of the recipe's network. It then need not suit the vocabulary, its start is not
      read, and tuning rows may be absent.
    own_probes: asked beside those that the recipe names.

  Returns:
    The experiment.

  Raises:
    SymtuneError: data, vocabulary or settings are missing, damaged or do not fit, or
      tuning and evaluation share texts or symbols.
  """
  if others and vocab_path is None and recipe.vocab is None:
    vocab_path = vocab_beside(others)
  start = None
  if recipe.checkpoint is not None and not (others and (vocab_path or recipe.vocab)):
    start = find_start(recipe.checkpoint)
  vocab = load_vocab(recipe, vocab_path, start)
  if not others:
    check_kinds(recipe, vocab)
    check_rows(recipe, vocab, start)
  tuning_pool, evaluation_pool = make_pools(recipe, vocab)
  if tunes:
    check_targets(tuning_pool.all_symbols(), vocab, recipe)
  probe_tasks = load_suite(recipe.probe.suite, data_dir) if recipe.asks else ()
  mixture, leaks, absent = None, (), None
  if others:
    absent = _find_absent(recipe, data_dir)
  if absent is None:
    mixture, leaks = make_mixture(recipe, tuning_pool, vocab, probe_tasks, data_dir)
  asked = ProbeSettings(
    pool=evaluation_pool,
    shots=recipe.probe.shots,
    max_queries=recipe.probe.max_queries,
    seeds=recipe.probe.seeds,
    kind=recipe.probe.answers,
    many_shots=recipe.probe.many_shots,
    also_generate=recipe.probe.also_generate,
    exemplars=recipe.probe.exemplars,
    balanced=recipe.probe.balanced,
  )
  probes: tuple[Probe, ...] = ()
  if recipe.asks:
    probes = make_probes([*recipe.probe.probes, *own_probes], _local(data_dir))
  fingerprints = [] if mixture is None else [*mixture.fingerprints]
  fingerprints += [task.fingerprint for task in probe_tasks]
  # Rows name the groups, so a folder keeps to one division of its tasks.
  fingerprints += [f"{t.card.name} in {t.group}" for t in probe_tasks if t.group]
  if start is not None and not others:
    fingerprints.append(start.fingerprint)
  if recipe.symbols.synonyms is not None:
    fingerprints.append(str(sorted(tuning_pool.synonyms.items())))
  feed = feed or FeedSettings()
  stream = None
  if tunes and mixture is not None:
    stream = make_stream(recipe, mixture, vocab, feed.cache_dir)
  experiment = Experiment(
    recipe=recipe,
    vocab=vocab,
    mixture=mixture,
    stream=stream,
    questions=Questions(probes, probe_tasks, asked),
    reader=Reader(
      vocab=vocab,
      max_inputs=recipe.probe.max_inputs,
      max_targets=recipe.probe.max_targets,
      max_positions=None if others else getattr(recipe.model, "max_positions", None),
      tokens_per_batch=recipe.probe.tokens_per_batch,
    ),
    leaks=leaks,
    left_out={
      task.card.name: task.left_out
      for task in (*(mixture.tasks if mixture else ()), *probe_tasks)
      if task.left_out
    },
    absent=absent,
    network=make_network(recipe.model),
    start=start,
    config_hash=config_hash(recipe, fingerprints, vocab.fingerprint),
    feed=feed,
  )
  # A question that cannot be asked fails now, not after an hour of tuning.
  count = len(experiment.questions)
  with Progress("checking questions", count, unit="groups") as progress:
    for _, items in experiment.questions:
      for item in items:
        tokenize_item(experiment.reader.tokenizer, item)
      progress.advance()
  return experiment


def make_batches(
  experiment: Experiment,
  shard: HostShard | None = None,
) -> BatchStream:
  """The tuning batches of an experiment, from the start.

  Args:
    experiment: data and settings; built for tuning.
    shard: this host's share of every batch; all of it unless given.

  Returns:
    The stream.
  """
  stream, feed = experiment.stream, experiment.feed
  assert stream is not None, "the experiment was not built for tuning"
  shape, seed = experiment.recipe.mixture.batches, experiment.recipe.seed
  ahead = None
  if feed.workers:
    ahead = prefetched_windows(stream, shape, seed=seed, workers=feed.workers)
  return BatchStream(
    stream,
    shape,
    seed=seed,
    shard=shard,
    windows=ahead,
    lay_out_rows=layout_of(experiment.vocab),
  )


def load_vocab(recipe: Recipe, path: pathlib.Path | None, start: Start | None) -> Vocab:
  """The vocabulary given, else the recipe's own, else the one beside its checkpoint.

  Raises:
    SymtuneError: there is none, or it cannot be read.
  """
  if path is None and recipe.vocab is None and start is not None:
    path = start.source.vocab
  if path is None:
    if recipe.vocab is None:
      raise SymtuneError(
        f"recipe {recipe.name} has no vocabulary of its own. Give T5's spiece.model, "
        "or a decoder-only model's tokenizer.json, with --vocab."
      )
    path = resource_dir("tasks") / recipe.vocab
  return read_vocab(path)


def check_rows(recipe: Recipe, vocab: Vocab, start: Start | None) -> None:
  """Refuses a network with fewer rows than the vocabulary has ids.

  Raises:
    SymtuneError: names the setting.
  """
  if recipe.model.vocab_size >= vocab.num_ids:
    return
  setting = f"--gin.{type(recipe.model).__name__}.vocab_size"
  advice = f"Set {setting}={vocab.size}."
  if start is not None:
    rows = start.source.config.vocab_size
    advice = (
      f"Set {setting}={rows}, the rows of {start.source.where}."
      if rows >= vocab.num_ids
      else f"{start.source.where} has {rows} rows: give the vocabulary that it was "
      "trained with as --vocab."
    )
  raise SymtuneError(
    f"recipe {recipe.name}: the model's vocab_size is {recipe.model.vocab_size}, the "
    f"vocabulary has {vocab.num_ids} ids. {advice}"
  )


def _local(data_dir: str | os.PathLike[str] | None) -> pathlib.Path | None:
  if data_dir is None or "://" in os.fspath(data_dir):
    return None
  return pathlib.Path(data_dir)


def make_pools(recipe: Recipe, vocab: Vocab) -> tuple[SymbolPool, SymbolPool]:
  """The symbols of tuning and those of evaluation.

  Raises:
    SymtuneError: the pools meet, or have too few symbols.
  """
  symbols = recipe.symbols
  tuning, evaluation = (
    make_pool(
      split,
      symbols.categories,
      size,
      synonyms=read_synonyms(symbols.synonyms and pathlib.Path(symbols.synonyms)),
      rules=symbols.rules,
      vocab=vocab,
    )
    for split, size in (
      (PoolSplit.TUNING, symbols.tuning_size),
      (PoolSplit.EVALUATION, symbols.evaluation_size),
    )
  )
  check_disjoint(tuning, evaluation, vocab)
  if symbols.match_lengths:
    evaluation = match_lengths(evaluation, tuning, vocab)
  return tuning, evaluation


def _find_absent(recipe: Recipe, data_dir: str | os.PathLike[str] | None) -> str | None:
  """A file of tuning rows that is not there; None if all are."""
  names: list[str] = []
  for i in recipe.mixture.ingredients:
    if isinstance(i, Instructions):
      names.append(i.path)
    else:
      names += [f"{card.rows}.jsonl" for card in read_suite(i.suite).tasks]
  absent = (n for n in names if not path_in_data(data_dir, n).exists())
  return next(absent, None)


def make_mixture(
  recipe: Recipe,
  pool: SymbolPool,
  vocab: Vocab,
  probe_tasks: tuple[Task, ...],
  data_dir: str | os.PathLike[str] | None,
) -> tuple[Mixture, tuple[Leak, ...]]:
  """The tuning prompts, and the texts that they shared with the probe tasks.

  Raises:
    SymtuneError: rows are missing, or shared and not to be dropped.
  """
  settings = recipe.mixture
  suites = dict.fromkeys(
    i.suite for i in settings.ingredients if not isinstance(i, Instructions)
  )
  tasks_by_suite = {suite: load_suite(suite, data_dir) for suite in suites}
  leaks_by_suite = {}
  with Progress("looking for shared texts", len(suites), unit="suites") as progress:
    for suite, tasks in tasks_by_suite.items():
      overlap = settings.leak_overlap
      leaks_by_suite[suite] = find_leaks(tasks, probe_tasks, overlap=overlap)
      progress.advance()
  leaks = [leak for found in leaks_by_suite.values() for leak in found]
  ingredients: list[tuple[Ingredient | Skill | Instructions, Sequence[Any]]] = []
  for i in settings.ingredients:
    if isinstance(i, Instructions):
      tasks, found = drop_instruction_leaks(
        read_instructions(
          path_in_data(data_dir, i.path),
          i.form,
          listed=path_in_data(data_dir, i.tasks) if i.tasks else None,
          instances=i.instances,
          leave_out=i.leave_out,
        ),
        probe_tasks,
        settings.leaks,
        overlap=settings.leak_overlap,
      )
      leaks += [leak for leak in found if leak not in leaks]  # a file may occur twice
    else:
      suite = tasks_by_suite[i.suite]
      tasks = apply_policy(suite, leaks_by_suite[i.suite], settings.leaks)
      words = [word for task in tasks for word in task.card.labels]
      check_targets(words if isinstance(i, Ingredient) else (), vocab, recipe)
    ingredients.append((i, tasks))
  mixture = Mixture(
    ingredients,
    pool,
    seed=recipe.seed,
    mixing=settings.mixing,
    formats=settings.formats,
    reserved=[label for task in probe_tasks for label in task.card.labels],
  )
  return mixture, tuple(leaks)
