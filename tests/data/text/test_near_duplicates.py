"""Overlaps are those of sets of word n-grams, computed the slow way."""

import re

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from symtune.data.text.near_duplicates import find_overlaps


def _slow_grams(text: str, words: int) -> set[tuple[str, ...]]:
  found = []
  for word in re.findall(r"\w+", text.casefold()):
    if not found or found[-1] != word:
      found.append(word)
  if 0 < len(found) < words:
    return {tuple(found)}
  return {tuple(found[i : i + words]) for i in range(len(found) - words + 1)} - {()}


def test_the_picture():
  a = "the film is a joy from start to end"
  b = "This film is a joy, from start to finish!"
  found = find_overlaps([a], [b], threshold=0.1, words=4)
  np.testing.assert_allclose(found.share, [4 / 6])
  assert find_overlaps([a], [b], threshold=0.7, words=4).share.size == 0


def test_a_text_inside_a_longer_one_overlaps_whole():
  long = "he said that the plan was good and nobody in the room answered him"
  found = find_overlaps(
    [long], ["the plan was good and nobody"], threshold=1.0, words=4
  )
  np.testing.assert_array_equal(found.share, [1.0])


def test_short_texts_overlap_only_when_equal():
  found = find_overlaps(["An apple."], ["an APPLE", "an apple pie"], threshold=0.1)
  assert found.right.tolist() == [0]


def test_runs_of_one_word_are_no_evidence():
  users = "@user " * 12
  found = find_overlaps([users + "hello there"], [users + "bye now"], threshold=0.1)
  assert found.share.size == 0


@pytest.mark.parametrize("texts", [([], ["a b"]), (["a b"], []), (["..."], ["!"])])
def test_nothing_overlaps_with_nothing(texts):
  assert find_overlaps(*texts, threshold=0.1).share.size == 0


_TEXTS = st.lists(
  st.lists(st.sampled_from("abcde"), max_size=12).map(" ".join), max_size=6
)


@hypothesis.given(_TEXTS, _TEXTS, st.integers(1, 5), st.sampled_from([0.01, 0.5, 1.0]))
def test_shares_are_those_of_sets(left, right, words, threshold):
  found = find_overlaps(left, right, threshold=threshold, words=words)
  expected = {}
  for i, a in enumerate(left):
    for j, b in enumerate(right):
      grams, others = _slow_grams(a, words), _slow_grams(b, words)
      if grams & others:
        share = len(grams & others) / min(len(grams), len(others))
        if share >= threshold:
          expected[i, j] = share
  pairs = zip(found.left.tolist(), found.right.tolist(), strict=True)
  assert dict(zip(pairs, found.share.tolist(), strict=True)) == pytest.approx(expected)
