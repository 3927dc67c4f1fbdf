"""BIG-Bench Hard: what does tuning cost in reasoning?

Suzgun et al. 2022 (arXiv 2210.09261), as Wei et al. 2023 report it before and after
symbol tuning (appendix C): three exemplars of the same task, answered directly. The
published exemplars come with reasoning and are not in the data files, so ours are drawn
from the task's other questions, per seed and question.

A question that offers choices is answered by ranking them; any other answer is
generated and must match exactly. T5's vocabulary has no braces or angle brackets, so a
T5 model cannot answer `dyck_languages`: the task stays in, and counts as wrong.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Sequence

from symtune.cards.card import Task
from symtune.cards.questions import QuestionTask, load_questions
from symtune.data.prompts import PromptFormat
from symtune.errors import SymtuneError
from symtune.probe.ask import EVERY_QUERY, question_generator
from symtune.probe.data_files import find_data
from symtune.probe.made import fixed_rules, open_prompt
from symtune.probe.probe import (
  AnswerKind,
  ProbeItem,
  ProbeSettings,
  draw_queries,
)


class Bbh:
  """Accuracy by task."""

  name = "bbh"

  def __init__(self, data_dir: pathlib.Path | None, shots: int = 3):
    """Stores where the folder `bbh` is, and how many exemplars are shown."""
    self._data_dir = data_dir
    self.shots = shots

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[QuestionTask, ...]:
    """The tasks that `tasks/questions/bbh.yaml` lists; the suite's are not used.

    Raises:
      SymtuneError: a file is missing, damaged, or has too few questions.
    """
    del tasks, settings
    folder = find_data(self._data_dir, "bbh", self.name)
    found = load_questions(folder.parent, "bbh")
    for task in found:
      if len({question.input for question in task.questions}) <= self.shots:
        raise SymtuneError(
          f"{folder / task.name}.json: got {len(task.questions)} questions, expected "
          f"more than {self.shots} different ones."
        )
    return found

  def items(
    self, subject: QuestionTask, settings: ProbeSettings
  ) -> Iterator[ProbeItem]:
    """One item per seed and question."""
    questions = subject.questions
    chosen = draw_queries(questions, subject.fingerprint, settings.max_queries)
    for seed, asked in itertools.product(settings.seeds, chosen):
      is_shared = settings.shares_exemplars
      row = EVERY_QUERY if is_shared else asked.row
      rng = question_generator(seed, subject.fingerprint, row, "exemplars")
      hidden = {q.input for q in (chosen if is_shared else (asked,))}
      others = [(q.input, q.target) for q in questions if q.input not in hidden]
      if len(others) < self.shots:
        raise SymtuneError(
          f"bbh_{subject.name}: got {len(others)} questions that are not asked, "
          f"expected {self.shots}, the exemplars of all others. Ask fewer "
          "(--gin.probe.max_queries), or draw exemplars for each query "
          "(--gin.probe.exemplars per_query)."
        )
      shown = [others[int(i)] for i in rng.permutation(len(others))[: self.shots]]
      prompt = open_prompt(shown, asked.input, asked.target, PromptFormat.Q_A)
      if asked.choices:
        prompt = dataclasses.replace(
          prompt, choices=asked.choices, answer=asked.choices.index(asked.target)
        )
      yield ProbeItem(
        probe=self.name,
        setting=f"{self.shots} exemplars",
        task=f"bbh_{subject.name}",
        seed=seed,
        query=asked.row,
        prompt=prompt,
        context=None,
        prior=prompt.answer,
        kind=settings.kind if asked.choices else AnswerKind.GENERATE,
        fingerprint=subject.fingerprint,
        references=() if asked.choices else fixed_rules(shown, asked.input),
      )
