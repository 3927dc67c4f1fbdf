"""Best-of-n: the answer of n that a reward model likes most; what it gains and costs.

All is computed from one set of N answers per prompt, as if n of them were drawn with
replacement: with F the share of answers whose reward is at most that of answer y, the
best of n has this reward with probability F(y)^n - F(y-)^n.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from symtune.errors import SymtuneError


@dataclasses.dataclass(frozen=True, kw_only=True)
class BestOf:
  """The best of n answers, prompt by prompt.

  Attributes:
    n: how many answers are compared.
    proxy: expected reward by which they are compared.
    gold: expected gold reward of the answer that is taken.
    kl: KL from the distribution of the N answers, in nats, an estimate; answers with
      the same reward are taken to be the same answer, so it is not too large.
  """

  n: int
  proxy: Float[np.ndarray, " prompts"]
  gold: Float[np.ndarray, " prompts"]
  kl: Float[np.ndarray, " prompts"]


def kl_bound(n: int) -> float:
  """Log n - (n - 1) / n, in nats: an upper bound of the KL of best-of-n.

  It is reached only where no two answers are alike (arXiv 2401.01879).

  Raises:
    SymtuneError: n is below 1.
  """
  if n < 1:
    raise SymtuneError(f"best-of-n: n is {n}; expected 1 or more.")
  return math.log(n) - (n - 1) / n


def choose_best(proxy: Float[np.ndarray, "prompts samples"]) -> np.ndarray:
  """The number of the best answer to each prompt; the first of those that are equal.

  Raises:
    SymtuneError: a reward is NaN.
  """
  _check_numbers(proxy)
  return proxy.argmax(axis=1)


def best_of(
  proxy: Float[np.ndarray, "prompts samples"],
  gold: Float[np.ndarray, "prompts samples"],
  n: int,
) -> BestOf:
  """What the best of n answers is expected to be.

  Args:
    proxy: the reward by which answers are compared.
    gold: their gold rewards.
    n: how many are compared; far fewer than there are samples.

  Raises:
    SymtuneError: n is below 1, or a reward is NaN.
  """
  kl_bound(n)
  _check_numbers(proxy)
  found = np.array(
    [_best_of(p, g, n) for p, g in zip(proxy, gold, strict=True)], np.float64
  )
  return BestOf(n=n, proxy=found[:, 0], gold=found[:, 1], kl=found[:, 2])


def _best_of(
  proxy: Float[np.ndarray, " samples"], gold: Float[np.ndarray, " samples"], n: int
) -> tuple[float, float, float]:
  """Reward, gold reward and KL of one prompt."""
  levels, place = np.unique(proxy, return_inverse=True)
  counts = np.bincount(place)
  share = counts / counts.sum()
  upto = np.cumsum(counts) / counts.sum()
  chance = upto**n - (upto - share).clip(min=0.0) ** n
  golds = np.bincount(place, weights=gold) / counts
  is_taken = chance > 0.0
  ratios = np.log(chance[is_taken] / share[is_taken])
  return (
    float(chance @ levels),
    float(chance @ golds),
    max(float(chance[is_taken] @ ratios), 0.0),
  )


def _check_numbers(proxy: Float[np.ndarray, "prompts samples"]) -> None:
  if np.isnan(proxy).any():
    row, column = np.argwhere(np.isnan(proxy))[0]
    raise SymtuneError(
      f"best-of-n: the reward of answer {column} to prompt {row} is NaN, expected a "
      "number. The reward model is damaged, or its training diverged."
    )
