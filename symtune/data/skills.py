"""Prompts that teach a base model to read, not to classify.

A classification task asks what a text is about. A skill asks only what the prompt
says, so a model can learn to look things up, to copy and to know its language without
ever seeing symbols stand for classes:

  look_up   dog -> 4921, oak -> 17, oak ->          17
  miss      dog -> 4921, oak -> 17, cat ->          17
  find      dog, oak, which is a tree?              oak
  describe  dog -> 4921, oak -> 17, tree ->         17
  copy      4921 17 360                             4921 17 360
  fill_in   the <extra_id_0> was here               <extra_id_0> dog

In a look-up every text has its own symbol and the query repeats one of the texts:
symbols name texts, never classes, and the texts' labels are not used. If the text is
missing, the answer is the last symbol, no matter how similar another text is: language
models with nothing else to go by repeat what they saw last (Zhao et al. 2021, section
4). When find and describe ask for a class, they use its natural label word.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from symtune.cards.card import Task
from symtune.data.draw.label_words import LabelWords, WordSource, draw_symbols
from symtune.data.ingredients import Skill, SkillKind
from symtune.data.prompts import Prompt, PromptFormat
from symtune.data.text.symbols import SymbolPool
from symtune.errors import SymtuneError

# Raffel et al. 2020 (section 3.1.4): spans of 3 tokens on average, 15% in all. Our
# texts are a few words long, so each blank is one word, with at least one per text.
_BLANK_SHARE = 0.15


class SkillMaker:
  """Draws prompts of one skill."""

  def __init__(
    self,
    skill: Skill,
    tasks: Sequence[Task],
    pool: SymbolPool,
    formats: Sequence[PromptFormat],
  ):
    """Renders every text once.

    Args:
      skill: the skill and its settings.
      tasks: tasks that the texts come from.
      pool: symbols that look-ups and copies use.
      formats: one of these is drawn for each look-up.

    Raises:
      SymtuneError: the tasks have fewer different texts than a prompt may need.
    """
    self._skill, self._tasks = skill, tuple(tasks)
    # Symbols stand for texts here, so no label word has to be avoided.
    self._symbols = LabelWords([WordSource(labels=(), pool=pool)])
    self._formats = tuple(formats)
    groups = [self._tasks] if not skill.one_task else [(t,) for t in self._tasks]
    self._texts = [
      tuple(dict.fromkeys(t.card.input_text(e) for t in group for e in t.examples))
      for group in groups
    ]
    fewest = min(len(texts) for texts in self._texts)
    if fewest <= skill.max_items:
      raise SymtuneError(
        f"skill {skill.kind}: got {fewest} different texts, expected more than "
        f"max_items, {skill.max_items}. Lower max_items, or add tasks."
      )

  def prompt(self, rng: np.random.Generator) -> Prompt:
    """One prompt, which depends on `rng` alone.

    Args:
      rng: a generator for this prompt alone.

    Returns:
      A prompt with a single turn and a single choice, its target.
    """
    skill = self._skill
    count = int(rng.integers(skill.min_items, skill.max_items + 1))
    prompt_format = self._formats[int(rng.integers(len(self._formats)))]
    if skill.kind is SkillKind.COPY:
      symbols = draw_symbols(rng, self._symbols, count)
      return _one_turn(tuple(f"{s} " for s in symbols), " ".join(symbols))
    if skill.kind in (SkillKind.FIND, SkillKind.DESCRIBE):
      texts, right, name = self._draw_odd_one(rng, count)
      if skill.kind is SkillKind.FIND:
        return _find(texts, right, name, prompt_format)
      return _look_up(
        texts, draw_symbols(rng, self._symbols, count), right, name, prompt_format
      )
    is_miss = skill.kind is SkillKind.MISS
    texts = self._draw_texts(rng, count + is_miss)
    if skill.kind is SkillKind.FILL_IN:
      return _fill_in(rng, texts)
    symbols = draw_symbols(rng, self._symbols, count)
    asked = count if is_miss else int(rng.integers(count))
    answer = min(asked, count - 1)
    return _look_up(texts[:count], symbols, answer, texts[asked], prompt_format)

  def _draw_texts(self, rng: np.random.Generator, count: int) -> list[str]:
    """Distinct texts, from all tasks or from one."""
    texts = self._texts[0]
    if len(self._texts) > 1:
      texts = self._texts[int(rng.integers(len(self._texts)))]
    return [texts[int(i)] for i in rng.choice(len(texts), size=count, replace=False)]

  def _draw_odd_one(
    self, rng: np.random.Generator, count: int
  ) -> tuple[list[str], int, str]:
    """Texts of which only one is in a class; also its index and the class's name."""
    task = self._tasks[int(rng.integers(len(self._tasks)))]
    label = int(rng.integers(len(task.card.labels)))
    right = [e for e in task.examples if e.label == label]
    wrong = [e for e in task.examples if e.label != label]
    chosen = [
      wrong[int(i)] for i in rng.choice(len(wrong), size=count - 1, replace=False)
    ]
    place = int(rng.integers(count))
    chosen.insert(place, right[int(rng.integers(len(right)))])
    return [task.card.input_text(e) for e in chosen], place, task.card.labels[label]


def _look_up(
  texts: Sequence[str],
  symbols: Sequence[str],
  asked: int,
  question: str,
  prompt_format: PromptFormat,
) -> Prompt:
  """Every text with its symbol, then the question."""
  input_cue, label_cue = prompt_format.value
  parts: list[str] = []
  for text, symbol in zip(texts, symbols, strict=False):
    parts += [input_cue, text, label_cue + " ", symbol + "\n\n"]
  parts += [input_cue, question, label_cue]
  return _one_turn(tuple(part for part in parts if part), symbols[asked])


def _find(
  texts: Sequence[str], right: int, name: str, prompt_format: PromptFormat
) -> Prompt:
  """The texts, then the class of one of them."""
  input_cue, label_cue = prompt_format.value
  parts = (*(text + "\n" for text in texts), input_cue, name, label_cue)
  return _one_turn(tuple(part for part in parts if part), texts[right])


def _fill_in(rng: np.random.Generator, texts: Sequence[str]) -> Prompt:
  """Replaces single words by blanks, numbered in order as in span corruption."""
  words = " ".join(texts).split()
  blanks = max(1, round(_BLANK_SHARE * len(words)))
  places = sorted(rng.choice(len(words), size=blanks, replace=False).tolist())
  targets = []
  for number, place in enumerate(places):
    targets.append(f"<extra_id_{number}> {words[place]}")
    words[place] = f"<extra_id_{number}>"
  prompt = _one_turn(tuple(f"{word} " for word in words), " ".join(targets))
  return dataclasses.replace(prompt, has_sentinels=True)


def _one_turn(parts: tuple[str, ...], target: str) -> Prompt:
  return Prompt(turns=(parts,), exemplar_labels=(), choices=(target,), answer=0)
