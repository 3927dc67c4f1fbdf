"""What T5X's gin files need from symtune besides the network: a task's vocabulary.

T5X configures the vocabularies of model and tasks separately and refuses a run where
they differ; this takes the model's from the task.
"""

import seqio

from symtune.bridges import seqio_tasks
from symtune.errors import SymtuneError


def task_vocabulary(name: str) -> seqio.Vocabulary:
  """The vocabulary of a registered SeqIO task or mixture.

  Args:
    name: such as "symtune_symbol_tuning_train_symbols".

  Returns:
    The vocabulary of its inputs, which is also that of its targets.

  Raises:
    SymtuneError: nothing of that name is registered.
  """
  if not seqio_tasks.is_registered(name):
    mine = sorted(n for n in seqio.MixtureRegistry.names() if _is_ours(n))
    raise SymtuneError(
      f"no SeqIO task or mixture {name!r}. Mixtures of symtune: {', '.join(mine)}; "
      f"symtune/bridges/seqio_tasks.py says how tasks are named."
    )
  return seqio.get_mixture_or_task(name).output_features["inputs"].vocabulary


def _is_ours(name: str) -> bool:
  return name.startswith(seqio_tasks.PREFIX)
