"""Cards as SeqIO tasks and suites as mixtures; importing this registers them.

Names, for a card `rte` and the suite `symbol_tuning_train`:

  symtune_rte_symbols                    labels are symbols, fresh for each prompt
  symtune_rte_natural                    labels are the task's own words
  symtune_rte_flipped                    its own words swapped; two classes only
  symtune_rte_symbols_instruction        with the instruction, in any setting above
  symtune_rte_symbols_rank               every choice of a question, to be scored
  symtune_symbol_tuning_train_symbols    the suite, its tasks weighted by their rows

Split "train" is for tuning, "validation" holds the questions of the native probes
(symtune/bridges/seqio_prompts.py). Settings are environment variables
(symtune/bridges/seqio_settings.py). Give this module to T5X as MIXTURE_OR_TASK_MODULE,
to `seqio_cache_tasks` as --module_import, or import it.
"""

import functools
from collections.abc import Iterator, Sequence

import seqio

from symtune.bridges import seqio_metrics
from symtune.bridges.seqio_prompts import VALIDATION, TaskPrompts
from symtune.bridges.seqio_settings import (
  CardKey,
  SeqioSettings,
  load_task,
  load_vocab,
  make_vocabulary,
  read_settings,
)
from symtune.bridges.seqio_stages import PromptSource, fit_prompts, render_prompts
from symtune.cards.load import list_cards, list_suites, load_suite, read_suite
from symtune.cards.load import load_card as read_card
from symtune.data.limits import MAX_EXAMPLES_PER_TASK
from symtune.data.mixture import LabelStyle
from symtune.errors import SymtuneError

PREFIX = "symtune_"
STYLES = (LabelStyle.SYMBOLS, LabelStyle.NATURAL, LabelStyle.FLIPPED)
_INSTRUCTION = "_instruction"
_RANK = "_rank"


def task_name(
  name: str, labels: LabelStyle, *, instruction: bool = False, rank: bool = False
) -> str:
  """The SeqIO name of a card or suite in one setting.

  Args:
    name: name of a card or suite.
    labels: what stands for the classes.
    instruction: whether prompts carry the instruction.
    rank: whether every choice is an example, for rank classification.

  Returns:
    A name such as "symtune_rte_symbols_instruction".
  """
  suffix = (_INSTRUCTION if instruction else "") + (_RANK if rank else "")
  return f"{PREFIX}{name}_{labels}{suffix}"


def make_task(prompts: TaskPrompts, *, rank: bool = False) -> seqio.Task:
  """One card in one setting as a SeqIO task, not registered.

  Args:
    prompts: card and setting.
    rank: if true, every choice of a question is an example and the metric is rank
      classification; otherwise only the right answer, and exact match.

  Returns:
    The task; nothing is read yet.
  """
  feature = seqio.Feature(make_vocabulary(prompts.key), add_eos=True)
  if rank:
    source = PromptSource(prompts, (VALIDATION,), every_choice=True)
  else:
    source = PromptSource(prompts)
  return seqio.Task(
    task_name(
      prompts.key.name, prompts.labels, instruction=prompts.instruction, rank=rank
    ),
    source=source,
    preprocessors=[
      render_prompts(prompts),
      seqio.CacheDatasetPlaceholder(),
      fit_prompts(functools.partial(_vocab, prompts.key)),
    ],
    output_features={"inputs": feature, "targets": feature},
    postprocess_fn=seqio_metrics.rank_target if rank else seqio_metrics.text_answer,
    metric_fns=[
      seqio_metrics.rank_classification if rank else seqio_metrics.exact_match
    ],
  )


def mix(name: str, parts: Sequence[tuple[str, float]]) -> seqio.Mixture:
  """Combines registered mixtures or tasks in given shares; gin can bind it.

  Args:
    name: name of the result.
    parts: pairs of a registered name and its share of the prompts.

  Returns:
    The mixture, not registered; give it to T5X's DatasetConfig instead of a name.

  Raises:
    SymtuneError: an unknown name, or a share that is not above 0.
  """
  for part, rate in parts:
    if not is_registered(part) or not rate > 0:
      raise SymtuneError(
        f"mixture {name}: got part {part!r} with share {rate}, expected a registered "
        f"name such as {task_name('symbol_tuning_train', LabelStyle.SYMBOLS)!r} and a "
        f"share above 0."
      )
  return seqio.Mixture(name, [(part, float(rate)) for part, rate in parts])


def is_registered(name: str) -> bool:
  """Whether SeqIO knows a task or mixture of this name."""
  return name in seqio.TaskRegistry.names() or name in seqio.MixtureRegistry.names()


def register_all() -> None:
  """Registers every card and suite; skips names that are already registered."""
  for key, num_classes in _cards():
    for labels, instruction in _settings():
      if labels is LabelStyle.FLIPPED and num_classes != 2:
        continue
      prompts = TaskPrompts(key=key, labels=labels, instruction=instruction)
      for rank in (False, True):
        task = make_task(prompts, rank=rank)
        if not is_registered(task.name):
          seqio.TaskRegistry.add_provider(task.name, task)
  for suite in list_suites():
    _register_suite(suite)


def _register_suite(suite: str) -> None:
  names = _card_names(suite)
  for labels, instruction in _settings():
    for rank in (False, True):
      tasks = [task_name(n, labels, instruction=instruction, rank=rank) for n in names]
      tasks = [task for task in tasks if is_registered(task)]
      mixture = task_name(suite, labels, instruction=instruction, rank=rank)
      if tasks and not is_registered(mixture):
        seqio.MixtureRegistry.add(mixture, tasks, default_rate=_rate)


def _rate(task: seqio.Task) -> float:
  """The number of rows that may be queries, at most 25,000, as in the paper."""
  source = task.source
  assert isinstance(source, PromptSource)
  return _capped_queries(source.prompts.key, read_settings())


@functools.cache  # a mixture of mixtures asks for every pair of tasks
def _capped_queries(key: CardKey, settings: SeqioSettings) -> float:
  task = load_task(key, settings)
  queries = sum(e.split in task.card.query_splits for e in task.examples)
  return float(min(queries, MAX_EXAMPLES_PER_TASK))


def _settings() -> Iterator[tuple[LabelStyle, bool]]:
  return ((labels, instruction) for labels in STYLES for instruction in (False, True))


def _cards() -> Iterator[tuple[CardKey, int]]:
  """Every card with its number of classes; those of the microworld with their suite."""
  for name in list_cards():
    yield CardKey(name=name), len(read_card(name).labels)
  for suite in list_suites():
    if read_suite(suite).plan is not None:
      for task in load_suite(suite, None):
        yield CardKey(name=task.card.name, suite=suite), len(task.card.labels)


def _card_names(suite: str) -> list[str]:
  cards = [card.name for card in read_suite(suite).tasks]
  return cards or [task.card.name for task in load_suite(suite, None)]


def _vocab(key: CardKey):
  return load_vocab(key, read_settings())


register_all()
