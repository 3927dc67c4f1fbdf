"""(answer, references) -> exact match and ROUGE-L, as Super-NI's evaluation has them.

Exact match (SQuAD's, but articles stay): lower case, no ASCII punctuation, single
spaces. ROUGE-L: the F-measure of the package rouge-score with Porter's stemmer, the
largest over the references. Its words are runs of ASCII letters and digits, so it is 0
for texts in other scripts. (Wang et al. 2022, arXiv 2204.07705, appendix D, and
`compute_metrics.py` of Tk-Instruct.)
"""

import functools
import string
from collections.abc import Sequence
from typing import Any

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
  """A text as exact match compares it."""
  return " ".join(text.lower().translate(_WITHOUT_PUNCTUATION).split())


def exact_match(answer: str, references: Sequence[str]) -> bool:
  """Whether the normalised answer equals any normalised reference."""
  given = normalize(answer)
  return any(given == normalize(reference) for reference in references)


def rouge_l(answer: str, references: Sequence[str]) -> float:
  """The largest ROUGE-L F-measure over the references, from 0 to 1."""
  scorer = _scorer()
  return max(
    float(scorer.score(reference, answer)["rougeL"].fmeasure)
    for reference in references
  )


@functools.cache
def _scorer() -> Any:
  # Imported here: nltk, which it needs for the stemmer, takes a second.
  from rouge_score.rouge_scorer import RougeScorer

  return RougeScorer(["rougeL"], use_stemmer=True)
