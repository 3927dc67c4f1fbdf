"""Linear classification in N dimensions: can exemplars of numbers teach a hyperplane?

Algorithm 1 of Wei et al. 2023 (arXiv 2303.03846, section 5). For each prompt:

  1. draw coefficients a and a pivot p, integers from 1 to 999 in each of N dimensions;
     the threshold is t = <a, p>;
  2. k times, draw an x with <a, x> > t (Bar) and one with <a, x> <= t (Foo);
  3. draw the query's x unconditionally; Bar if <a, x> > t, else Foo.

The paper's `np.random.randint(1, 1000)` stops at 999. Inputs are drawn in blocks until
both sides have k. If a hundred thousand draws are not enough because p is at an edge
(if all its values are 999, nothing is above), a and p are drawn again. Exemplars are
shuffled. The baseline to compare with is a support vector machine with a polynomial
kernel (`baselines.score_by_svm`).
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from symtune.cards.card import Task
from symtune.data.rng import keyed_generator
from symtune.probe.made import fingerprint, labelled_prompt
from symtune.probe.probe import ProbeItem, ProbeSettings

LABELS = ("Foo", "Bar")
_LOWEST, _END = 1, 1_000
_BLOCK, _MOST_BLOCKS = 1_000, 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearProblem:
  """The numbers of one prompt.

  Attributes:
    coefficients: a, [dimensions].
    pivot: p, [dimensions]; the threshold is <a, p>.
    inputs: x of the exemplars, then of the query, [exemplars + 1, dimensions].
    labels: 1 where <a, x> exceeds the threshold.
  """

  coefficients: np.ndarray
  pivot: np.ndarray
  inputs: np.ndarray
  labels: tuple[int, ...]


class LinearClassification:
  """Accuracy by number of dimensions."""

  name = "linear_classification"

  def __init__(self, dimensions: tuple[int, ...] = (2, 4, 8, 16), shots: int = 16):
    """Chooses the problems.

    Args:
      dimensions: the paper has 16 in its main text and goes up to 64, whose prompts
        exceed most input lengths.
      shots: exemplars per class; 16 in the paper.
    """
    self.dimensions = dimensions
    self.shots = shots

  def subjects(self, tasks: Sequence[Task], settings: ProbeSettings) -> tuple[int, ...]:
    """The numbers of dimensions; the tasks are not used."""
    del tasks, settings
    return self.dimensions

  def items(self, subject: int, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """One item per seed and query, each with a hyperplane of its own."""
    for seed, query in itertools.product(settings.seeds, range(settings.max_queries)):
      problem = draw_problem(seed, subject, query, self.shots)
      texts = [", ".join(map(str, x)) for x in problem.inputs.tolist()]
      exemplars = list(zip(texts[:-1], problem.labels[:-1], strict=True))
      answer = problem.labels[-1]
      yield ProbeItem(
        probe=self.name,
        setting=f"{subject:02d} dimensions",
        task=f"linear_{subject}",
        seed=seed,
        query=query,
        prompt=labelled_prompt(exemplars, texts[-1], LABELS, answer),
        context=answer,
        prior=None,
        kind=settings.kind,
        fingerprint=fingerprint(self.name, subject, self.shots),
      )


def draw_problem(seed: int, dimensions: int, query: int, shots: int) -> LinearProblem:
  """The problem of (seed, dimensions, query): the same wherever it is drawn."""
  rng = keyed_generator(seed, "linear classification", dimensions, query, shots)
  while True:
    coefficients = rng.integers(_LOWEST, _END, dimensions)
    pivot = rng.integers(_LOWEST, _END, dimensions)
    sides = _draw_sides(rng, coefficients, pivot, shots)
    if sides is not None:
      break
  exemplars = np.concatenate(sides)
  labels = np.repeat([0, 1], shots)
  order = rng.permutation(2 * shots)
  asked = rng.integers(_LOWEST, _END, (1, dimensions))
  answer = int((asked @ coefficients)[0] > coefficients @ pivot)
  return LinearProblem(
    coefficients=coefficients,
    pivot=pivot,
    inputs=np.concatenate([exemplars[order], asked]),
    labels=(*(int(i) for i in labels[order]), answer),
  )


def _draw_sides(
  rng: np.random.Generator, coefficients: np.ndarray, pivot: np.ndarray, shots: int
) -> tuple[np.ndarray, np.ndarray] | None:
  """The first inputs below (or on) and above the plane, [shots, dimensions] each."""
  sides = [np.empty((0, len(pivot)), np.int64) for _ in range(2)]
  for _ in range(_MOST_BLOCKS):
    drawn = rng.integers(_LOWEST, _END, (_BLOCK, len(pivot)))
    above = drawn @ coefficients > coefficients @ pivot
    for i, found in enumerate((drawn[~above], drawn[above])):
      sides[i] = np.concatenate([sides[i], found])[:shots]
    if min(map(len, sides)) == shots:
      return sides[0], sides[1]
  return None
