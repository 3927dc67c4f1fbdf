"""Each rule rejects one example and just keeps another."""

import pytest

from symtune.instruct.generate import filters
from symtune.instruct.generate.filters import Instance, Reason, judge_instances

_GOOD = "Name three rivers of Africa."


@pytest.mark.parametrize(
  ("rule", "rejected", "kept"),
  [
    (filters.is_too_short, "Name three rivers.", "Name three African rivers."),
    (filters.is_too_long, " ".join(["word"] * 151), " ".join(["word"] * 150)),
    (filters.has_keyword, "Describe the Image below.", "Imagine an imagery of maple."),
    (filters.has_keyword, "Please go to the shop.", "Please go on to the shop."),
    (filters.has_keyword, "List the files.", "List the profiles."),
    (filters.asks_for_program, "Write a program in C.", "First, Write a program."),
    (filters.starts_with_punctuation, "(a) name a river", "a) name a river"),
    (filters.starts_outside_ascii, "Écris un poème ici.", "Create a poem, please, é."),
  ],
)
def test_rules_for_instructions(rule, rejected, kept):
  assert rule(rejected)
  assert not rule(kept)


def test_alpacas_keywords_are_more():
  text = "Describe a video of a river."
  assert not filters.has_keyword(text)
  assert filters.has_keyword(text, filters.KEYWORDS + filters.ALPACA_KEYWORDS)


@pytest.mark.parametrize(
  ("text", "reason"),
  [
    (_GOOD, None),
    ("", Reason.EMPTY),
    ("Name a river.", Reason.TOO_SHORT),
    ("word " * 151, Reason.TOO_LONG),
    ("Draw a river of Africa.", Reason.KEYWORD),
    ("Write a program for rivers.", Reason.PROGRAM),
    ("- Name a river of Africa.", Reason.PUNCTUATION),
    ("«Name» a river of Africa.", Reason.NOT_ASCII),
  ],
)
def test_an_instruction_is_judged_by_the_first_rule_that_it_breaks(text, reason):
  assert filters.judge_instruction(text) is reason


@pytest.mark.parametrize(
  ("rule", "rejected", "kept"),
  [
    (filters.has_no_output, ("a", " \n"), ("a", ".")),
    (filters.repeats_input, ("a pear", " a pear\n"), ("a pear", "A pear")),
    (filters.ends_with_colon, ("Sentence 1:", "good"), ("Sentence 1: x", "good")),
    (filters.ends_with_colon, ("x", "The answer is: "), ("x", "The answer: is")),
  ],
)
def test_rules_for_instances(rule, rejected, kept):
  assert rule(Instance(input=rejected[0], output=rejected[1]))
  assert not rule(Instance(input=kept[0], output=kept[1]))


def _judge(*pairs, is_truncated=False):
  instances = [Instance(input=x, output=y) for x, y in pairs]
  return judge_instances(instances, is_truncated=is_truncated)


def test_two_outputs_for_one_input_reject_the_whole_task():
  rejected = _judge(("x", "a"), ("y", "b"), ("x", "c"), ("z", ""))
  assert rejected == (*[Reason.CONTRADICTION] * 3, Reason.NO_OUTPUT)
  # Not so without an input, or if one of the two is no instance anyway.
  assert _judge(("", "a"), ("", "c")) == (None, None)
  assert _judge(("x", "a"), ("x", "c:")) == (None, Reason.COLON)


def test_the_first_of_equal_instances_is_kept():
  assert _judge(("x", "a"), ("y", "a"), ("x", "a ")) == (None, None, Reason.DUPLICATE)


def test_five_instances_are_kept():
  pairs = [(str(i), "a") for i in range(6)]
  assert _judge(*pairs) == (*[None] * 5, Reason.TOO_MANY)
  # A duplicate takes no place.
  assert _judge(*pairs[:3], pairs[0], *pairs[3:5])[-1] is None


def test_only_the_last_instance_of_a_truncated_text_is_dropped():
  pairs = [("x", "a"), ("y", "b")]
  assert _judge(*pairs, is_truncated=True) == (None, Reason.TRUNCATED)
  assert _judge(*pairs) == (None, None)
  assert _judge(is_truncated=True) == ()
