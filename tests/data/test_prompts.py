"""Prompts read as the paper's, in ten formats."""

import dataclasses
import itertools

import pytest

from symtune.data.episodes import Episode
from symtune.data.prompts import ALL_FORMATS, PromptFormat, render_prompt
from symtune.data.remap import LabelMap, remap_labels


@pytest.fixture
def episode(toy_task):
  cat, apple, dog = (toy_task.examples[i] for i in (0, 12, 1))
  return remap_labels(
    Episode(
      card=toy_task.card,
      label_words=toy_task.card.labels,
      exemplars=(apple, dog),
      query=cat,
    ),
    LabelMap(symbols=("4921", "QX")),
  )


def test_prompt_without_instruction(episode):
  prompt = render_prompt(episode, PromptFormat.INPUT_OUTPUT, instruction=False)
  assert prompt.inputs == (
    "Input: apple\nOutput: QX\n\nInput: dog\nOutput: 4921\n\nInput: cat\nOutput:"
  )
  assert prompt.choices == ("4921", "QX")
  assert prompt.answer == 0
  assert prompt.exemplar_labels == (1, 0)


def test_prompt_with_instruction_is_question_and_answer(episode):
  prompt = render_prompt(episode, PromptFormat.ARROW, instruction=True)
  assert prompt.inputs == (
    "Question: What is it?\napple\nAnswer: QX\n\n"
    "Question: What is it?\ndog\nAnswer: 4921\n\n"
    "Question: What is it?\ncat\nAnswer:"
  )


def test_ten_formats_as_in_the_paper(episode):
  one = dataclasses.replace(episode, exemplars=episode.exemplars[1:])
  rendered = [render_prompt(one, f, instruction=False).inputs for f in ALL_FORMATS]
  assert rendered == [
    "Input: dog\nOutput: 4921\n\nInput: cat\nOutput:",
    "Input: dog\nTarget: 4921\n\nInput: cat\nTarget:",
    "Input: dog\nSymbol: 4921\n\nInput: cat\nSymbol:",
    "Input: dog\nLabel: 4921\n\nInput: cat\nLabel:",
    "Question: dog\nAnswer: 4921\n\nQuestion: cat\nAnswer:",
    "Student: dog\nTeacher: 4921\n\nStudent: cat\nTeacher:",
    "X = dog\nY = 4921\n\nX = cat\nY =",
    "Q: dog\nA: 4921\n\nQ: cat\nA:",
    "dog -> 4921\n\ncat ->",
    "Sentences: dog\nMapped To: 4921\n\nSentences: cat\nMapped To:",
  ]


def test_label_words_inside_text_stay(toy_task):
  example = dataclasses.replace(
    toy_task.examples[0], fields={"text": "an animal {label} of fruit"}
  )
  episode = Episode(
    card=toy_task.card, label_words=("1", "2"), exemplars=(example,), query=example
  )
  prompt = render_prompt(episode, PromptFormat.Q_A, instruction=False)
  assert prompt.inputs.count("an animal {label} of fruit") == 2


def test_parts_meet_at_white_space(episode):
  for prompt_format in ALL_FORMATS:
    for instruction in (False, True):
      prompt = render_prompt(episode, prompt_format, instruction=instruction)
      for turn in prompt.turns:
        for left, right in itertools.pairwise(turn):
          assert left[-1].isspace() or right[0].isspace()
