"""Test tasks that are nearly the same as a training task, by definition or instances.

A test task is no new task if a training task has nearly the same definition, or nearly
the same inputs in at least half of its instances (`data/text/near_duplicates.py` says
what "nearly the same" is). One shared passage is no evidence: many tasks ask different
things about the same data set.
"""

import collections
import dataclasses
from collections.abc import Sequence

from symtune.data.text.instructions import InstructionTask
from symtune.data.text.leaks import text_keys
from symtune.data.text.near_duplicates import find_overlaps

THRESHOLD = 0.8  # shared words of two texts that are nearly the same
ENOUGH_INSTANCES = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class NearDuplicate:
  """A test task and a training task that are nearly the same.

  Attributes:
    test: name of the test task.
    train: name of the training task.
    definition: shared words of the definitions, 0 to 1; 0 below the threshold.
    instances: share of the test task's instances whose input the training task has,
      too, 0 to 1.
  """

  test: str
  train: str
  definition: float
  instances: float


def find_near_duplicates(
  test: Sequence[InstructionTask], train: Sequence[InstructionTask]
) -> tuple[NearDuplicate, ...]:
  """Every pair of a test and a training task that are nearly the same.

  Args:
    test: the tasks of the evaluation.
    train: the tasks that models were tuned on.

  Returns:
    The pairs, in the order of the test tasks.
  """
  definitions = _same_definitions(test, train)
  shared = _shared_instances(test, train)
  sizes = {task.name: len(task.rows) for task in test}
  found = [
    NearDuplicate(
      test=test_name,
      train=train_name,
      definition=definitions.get((test_name, train_name), 0.0),
      instances=len(shared.get((test_name, train_name), ())) / sizes[test_name],
    )
    for test_name, train_name in dict.fromkeys([*definitions, *shared])
  ]
  order = {task.name: place for place, task in enumerate(test)}
  return tuple(
    sorted(
      (f for f in found if f.definition > 0.0 or f.instances >= ENOUGH_INSTANCES),
      key=lambda f: (order[f.test], f.train),
    )
  )


def _same_definitions(
  test: Sequence[InstructionTask], train: Sequence[InstructionTask]
) -> dict[tuple[str, str], float]:
  """Shared words of the definitions of (test, train), where they are nearly the same.

  Definitions of a few words, which `find_overlaps` does not judge, have to be equal.
  """
  left, right = [[task.rows[0].instruction for task in side] for side in (test, train)]
  found = {}
  same = collections.defaultdict(list)
  for task, key in zip(train, text_keys(right), strict=True):
    same[key].append(task.name)
  for task, key in zip(test, text_keys(left), strict=True):
    found |= {(task.name, name): 1.0 for name in same[key] if key}
  near = find_overlaps(left, right, threshold=THRESHOLD)
  for i, j, share in zip(near.left, near.right, near.share, strict=True):
    found.setdefault((test[i].name, train[j].name), float(share))
  return found


def _shared_instances(
  test: Sequence[InstructionTask], train: Sequence[InstructionTask]
) -> dict[tuple[str, str], set[int]]:
  """Numbers of the instances of a test task whose input a training task has, too."""
  left = [(task.name, i, r.input) for task in test for i, r in enumerate(task.rows)]
  right = [(task.name, row.input) for task in train for row in task.rows]
  near = find_overlaps(
    [text for _, _, text in left], [text for _, text in right], threshold=THRESHOLD
  )
  found = collections.defaultdict(set)
  for i, j in zip(near.left, near.right, strict=True):
    name, number, _ = left[i]
    found[name, right[j][0]].add(number)
  return found
