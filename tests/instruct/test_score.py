"""Exact match and ROUGE-L: hand-computed cases, the package, and a second way."""

import random
import re

import pytest

from symtune.instruct.score import exact_match, normalize, rouge_l


@pytest.mark.parametrize(
  ("answer", "references", "exact", "f_measure"),
  [
    ("The cat.", ["the cat"], True, 1.0),
    ("the cat", ["cat"], False, 2 / 3),  # articles stay: P 1/2, R 1
    ("a b c d", ["a x c d e"], False, 2 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5)),
    ("no", ["yes", "No!"], True, 1.0),  # the best of the references
    ("running dogs", ["dog runs"], False, 0.5),  # stems: run dog, dog run
    ("", [""], True, 0.0),
    ("", ["x"], False, 0.0),
    ("日本", ["日本"], True, 0.0),  # no Latin letters, no words
    ("don't  stop", ["dont stop"], True, 2 / 5),  # words: don t stop, dont stop
    ("“yes”", ["yes"], False, 1.0),  # only ASCII punctuation goes
  ],
)
def test_hand_computed(answer, references, exact, f_measure):
  assert exact_match(answer, references) is exact
  assert rouge_l(answer, references) == pytest.approx(f_measure)


_WORDS = ["The", "cats", "running", "don't", "e-mail", "naïve", "ÜBER", "3.5", "(a)"]
_WORDS += ["dogs", "is", "…", "“yes”", "日本", "no!", "İ", "ß", "u.s.", "happily", "_"]
_SPACES = [" ", "  ", "\n", "\t", "\u00a0", "\u2009", ", ", " - "]


def _pairs():
  rng = random.Random(3)

  def text():
    parts = [rng.choice(_WORDS) + rng.choice(_SPACES) for _ in range(rng.randrange(9))]
    return "".join(rng.choice([str, str.upper, str.title])(part) for part in parts)

  for _ in range(300):
    left = text()
    # Half of the pairs differ only in case and punctuation, or share most words.
    yield left, rng.choice([text(), left.swapcase() + ".", left[: len(left) // 2]])


def _normalize_again(text):
  """Character by character, without the tables of `string`."""
  kept = [c for c in text.lower() if not (c.isascii() and re.match(r"[^\w\s]|_", c))]
  return re.sub(r"\s+", " ", "".join(kept)).strip()


def _rouge_again(answer, reference):
  """The F-measure from a table of all prefixes, with nltk's stemmer alone."""
  from nltk.stem.porter import PorterStemmer

  stem = PorterStemmer().stem
  words = [
    [stem(w) if len(w) > 3 else w for w in re.findall("[a-z0-9]+", text.lower())]
    for text in (answer, reference)
  ]
  longest = {(i, j): 0 for i in range(-1, 99) for j in range(-1, 99) if -1 in (i, j)}
  for i, left in enumerate(words[0]):
    for j, right in enumerate(words[1]):
      shorter = (longest[i - 1, j], longest[i, j - 1])
      longest[i, j] = longest[i - 1, j - 1] + 1 if left == right else max(shorter)
  common = longest[len(words[0]) - 1, len(words[1]) - 1]
  return 2 * common / (len(words[0]) + len(words[1])) if common else 0.0


def test_generated_pairs_agree_with_the_package_and_a_second_way():
  from rouge_score.rouge_scorer import RougeScorer

  scorer = RougeScorer(["rougeL"], use_stemmer=True)
  exact, between = 0, 0
  for answer, reference in _pairs():
    assert normalize(answer) == _normalize_again(answer)
    same = _normalize_again(answer) == _normalize_again(reference)
    assert exact_match(answer, [reference]) is same
    found = rouge_l(answer, [reference])
    assert found == scorer.score(reference, answer)["rougeL"].fmeasure
    assert found == pytest.approx(_rouge_again(answer, reference))
    exact, between = exact + same, between + (0 < found < 1)
  assert exact > 30
  assert between > 60
