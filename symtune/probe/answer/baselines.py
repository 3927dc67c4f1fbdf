"""What can be learned from the exemplars of one prompt alone: scikit-learn as a model.

Each prompt is treated as a data set: the exemplars' texts and their label words are the
training rows, the query's text is the test row. There is no prior knowledge.

- Nearest neighbours over TF-IDF vectors: what word overlap achieves.
- A support vector machine with a polynomial kernel over the numbers in the texts: the
  counterpart of linear classification (Wei et al. 2023, arXiv 2303.03846, section 5).
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

from symtune.errors import SymtuneError
from symtune.probe.answer.scorers import answer_word
from symtune.probe.probe import ProbeItem, Score

NEIGHBOURS = 5
_NUMBER = re.compile(r"-?\d+")

_Fit = Callable[[list[str], list[int], str], int]


def score_by_neighbours(items: Sequence[ProbeItem]) -> list[Score]:
  """Takes the class with the largest summed similarity of the 5 nearest exemplars."""
  return [_score(item, _nearest) for item in items]


def score_by_svm(items: Sequence[ProbeItem]) -> list[Score]:
  """Classifies the query's numbers with a support vector machine.

  Raises:
    SymtuneError: the texts do not all hold the same count of numbers.
  """
  return [_score(item, _svm) for item in items]


def _score(item: ProbeItem, fit: _Fit) -> Score:
  texts = [turn[-3] for turn in item.prompt.turns[:-1]]
  words = [turn[-1] for turn in item.prompt.turns[:-1]]
  if not words:
    return answer_word(item, None)
  shown = sorted(set(words))
  labels = [shown.index(word) for word in words]
  return answer_word(item, shown[fit(texts, labels, item.prompt.turns[-1][-2])])


def _nearest(texts: list[str], labels: list[int], query: str) -> int:
  from sklearn.feature_extraction.text import TfidfVectorizer
  from sklearn.metrics.pairwise import linear_kernel

  # Symbols and single letters count as words too.
  vectorizer = TfidfVectorizer(token_pattern=r"\S+")
  if not any(text.split() for text in texts):
    return labels[-1]
  vectors = vectorizer.fit_transform(texts)
  similarity = linear_kernel(vectors, vectorizer.transform([query]))[:, 0]
  nearest = np.argsort(-similarity, kind="stable")[:NEIGHBOURS]
  votes = np.bincount(np.asarray(labels)[nearest], weights=similarity[nearest] + 1e-9)
  return int(votes.argmax())


def _svm(texts: list[str], labels: list[int], query: str) -> int:
  from sklearn.svm import SVC

  rows = [[float(n) for n in _NUMBER.findall(text)] for text in (*texts, query)]
  if len({len(row) for row in rows}) != 1 or not rows[0]:
    raise SymtuneError(
      f"support vector machine: got texts with {sorted({len(r) for r in rows})} "
      f"numbers, expected as many in each. Use it only for linear_classification."
    )
  if len(set(labels)) == 1:
    return labels[0]
  machine = SVC(kernel="poly").fit(np.asarray(rows[:-1]), labels)
  return int(machine.predict(np.asarray(rows[-1:]))[0])
