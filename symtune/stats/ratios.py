"""Ratios of sums over independent things, such as nats over tokens of documents."""

import dataclasses

import numpy as np
from jaxtyping import Float

from symtune.data.rng import keyed_generator
from symtune.stats.means import CONFIDENCE, RESAMPLES

_BLOCK = 1000  # resamples at once; bounds the memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ratio:
  """A ratio of sums and its interval.

  Attributes:
    value: sum of the numerators over sum of the denominators.
    low: lower end of the 95% interval; NaN if there is one thing only.
    high: upper end.
  """

  value: float
  low: float
  high: float


def ratio(
  numerators: Float[np.ndarray, " things"], denominators: Float[np.ndarray, " things"]
) -> Ratio:
  """A ratio of sums, whose interval resamples the things (percentile bootstrap).

  The same resamples are drawn for the same number of things, so that ratios of the same
  things can be compared.

  Args:
    numerators: of each thing; at least one.
    denominators: of each thing, above 0.
  """
  value = float(numerators.sum() / denominators.sum())
  count = len(numerators)
  if count < 2:
    return Ratio(value=value, low=float("nan"), high=float("nan"))
  rng = keyed_generator("ratio", count)
  drawn = []
  for _ in range(RESAMPLES // _BLOCK):
    counts = rng.multinomial(count, np.full(count, 1 / count), size=_BLOCK)
    drawn.append((counts @ numerators) / (counts @ denominators))
  tail = (1 - CONFIDENCE) / 2
  low, high = np.quantile(np.concatenate(drawn), [tail, 1 - tail])
  # Rounding may put the ends of an interval without width on one side of the value.
  return Ratio(value=value, low=min(float(low), value), high=max(float(high), value))
