"""Overlaps are shares of words in common runs; one edit does not hide a copy."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from symtune.data.text.near_duplicates import find_overlaps, plain_texts

LONG = "he said that the plan was good and nobody in the room answered him"


def test_the_picture():
  a = "the film is a joy from start to the very end"
  b = "This film is a joy, from start to the very end!"
  found = find_overlaps([a], [b], threshold=0.1)
  np.testing.assert_allclose(found.share, [10 / 11])
  assert find_overlaps([a], [b], threshold=0.95).share.size == 0


def test_the_marks_of_tokenized_text_do_not_count():
  texts = [
    "It does n't -LRB- really -RRB- work , he 's told .",
    "it doesn’t (really) work, he's told",
  ]
  assert plain_texts(texts) == ["it doesnt really work hes told"] * 2
  assert plain_texts(["a\0b", "", "½ №１"]) == ["a b", "", "1 2 no1"]
  assert plain_texts([]) == []


def test_a_text_inside_a_longer_one_overlaps_whole():
  found = find_overlaps([LONG], ["The plan was good, and nobody"], threshold=0.5)
  np.testing.assert_array_equal(found.share, [1.0])


def test_short_texts_overlap_only_with_what_contains_them():
  asked = "who was the first president of Peru"
  others = [asked.replace("first", "third"), f"{asked}, and when?", "who was the first"]
  assert find_overlaps([asked], others, threshold=0.1).right.tolist() == [1]


def test_runs_of_one_word_are_no_evidence():
  users = "@user " * 12
  found = find_overlaps([users + "hello there"], [users + "bye now"], threshold=0.1)
  assert found.share.size == 0


def test_boilerplate_is_no_evidence():
  start = "please read these general terms of our service before you go on with number"
  texts = [f"{start} {number}" for number in range(150)]
  assert find_overlaps(texts, None, threshold=0.5).share.size == 0
  assert len(find_overlaps(texts[:50], None, threshold=0.5).share) == 50 * 49


@pytest.mark.parametrize("texts", [([], ["a b"]), (["a b"], []), (["..."], ["!"])])
def test_nothing_overlaps_with_nothing(texts):
  assert find_overlaps(*texts, threshold=0.1).share.size == 0


@hypothesis.given(st.integers(12, 60), st.integers(0, 2**32))
def test_an_edited_word_in_the_middle_does_not_hide_a_copy(length, seed):
  words = [f"w{n}" for n in np.random.default_rng(seed).integers(0, 500, size=length)]
  edited = [*words]
  edited[length // 2] = "edited"
  found = find_overlaps([" ".join(words)], [" ".join(edited)], threshold=0.5)
  assert found.share.size == 1


def _slow_covered(words, others):
  runs = {tuple(others[i : i + 4]) for i in range(len(others) - 3)}
  covered = set()
  for i in range(len(words) - 3):
    if tuple(words[i : i + 4]) in runs:
      covered |= set(range(i, i + 4))
  return len(covered)


_WORDS = st.lists(st.sampled_from("abcd"), max_size=30)


@hypothesis.given(st.lists(_WORDS, max_size=5), st.lists(_WORDS, max_size=5))
def test_shares_are_those_of_the_slow_way(left, right):
  once = [
    [[w for i, w in enumerate(t) if t[i - 1 : i] != [w]] for t in side]
    for side in (left, right)
  ]
  found = find_overlaps(
    [" ".join(t) for t in left], [" ".join(t) for t in right], threshold=0.5
  )
  expected = {}
  for i, a in enumerate(once[0]):
    for j, b in enumerate(once[1]):
      size = min(len(a), len(b))
      covered = min(_slow_covered(a, b), _slow_covered(b, a))
      needed = size if size < 9 else max(0.5 * size, min(0.8 * size, 20))
      if size >= 5 and covered >= needed:
        expected[i, j] = covered / size
  pairs = zip(found.left.tolist(), found.right.tolist(), strict=True)
  assert dict(zip(pairs, found.share.tolist(), strict=True)) == pytest.approx(expected)


@pytest.mark.shared
def test_edited_copies_of_real_rows_are_found(shared_data):
  from symtune.cards.load import load_suite

  texts = [
    task.card.input_text(example)
    for task in load_suite("symbol_tuning_eval", shared_data / "tasks")
    for example in task.examples
  ]
  edited = []
  for text in texts[::50]:
    words = text.split()
    words[len(words) // 2] = "edited"
    edited.append(" ".join(words))
  found = find_overlaps(edited, texts[::50], threshold=0.5)
  assert (found.left == found.right).sum() >= 0.85 * len(edited)
