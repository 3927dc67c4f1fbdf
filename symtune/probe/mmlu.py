"""MMLU: what does tuning cost in knowledge?

Hendrycks et al. 2021 (arXiv 2009.03300), as Wei et al. 2023 report it before and after
symbol tuning (appendix C): five exemplars of the question's own subject, the right one
of A, B, C and D. Rows are those of a task file, `mmlu.jsonl`, with the fields subject,
question, choiceA, choiceB, choiceC and choiceD; exemplars are `train` rows (the
published five per subject), questions `validation` rows.
"""

import collections
import itertools
import pathlib
from collections.abc import Iterator, Sequence

from symtune.cards.card import Example, Source, Task, TaskCard, TaskType
from symtune.cards.examples import read_task
from symtune.data.episodes import Episode
from symtune.data.leaks import text_key
from symtune.data.prompts import PromptFormat, render_prompt
from symtune.data.rng import keyed_generator
from symtune.probe.data_files import find_data
from symtune.probe.probe import ProbeItem, ProbeSettings

CARD = TaskCard(
  name="mmlu",
  title="MMLU: multiple-choice questions of 57 subjects",
  version=1,
  task_type=TaskType.MISCELLANEOUS,
  fields=("subject", "question", "choiceA", "choiceB", "choiceC", "choiceD"),
  template=(
    "{subject} : {question}\nA. {choiceA}\nB. {choiceB}\nC. {choiceC}\nD. {choiceD}"
  ),
  labels=("A", "B", "C", "D"),
  label_names=("A", "B", "C", "D"),
  instruction="Choose the right answer.",
  exemplar_splits=("train",),
  query_splits=("validation",),
  rows="mmlu",
  source=Source(hub="cais/mmlu", config="all", reference="arXiv 2009.03300"),
  licence="MIT",
)


class Mmlu:
  """Accuracy by subject, five exemplars of the same subject."""

  name = "mmlu"

  def __init__(self, data_dir: pathlib.Path | None, shots: int = 5):
    """Says where `mmlu.jsonl` is; exemplars are at most `shots` of the subject."""
    self._data_dir = data_dir
    self.shots = shots

  def subjects(self, tasks: Sequence[Task], settings: ProbeSettings) -> tuple[Task]:
    """The rows of MMLU; the suite's tasks play no part.

    Raises:
      SymtuneError: the file is missing or damaged.
    """
    del tasks, settings
    path = find_data(self._data_dir, f"{CARD.rows}.jsonl", self.name)
    return (read_task(CARD, path.parent),)

  def items(self, subject: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """One item per seed and question, at most `max_queries` per seed in all."""
    by_name = collections.defaultdict(list)
    for example in subject.examples:
      if example.split in CARD.exemplar_splits:
        by_name[example.fields["subject"]].append(example)
    for seed, query in itertools.product(settings.seeds, _draw(subject, settings)):
      rng = keyed_generator(seed, subject.fingerprint, query.row, "exemplars")
      key = text_key(CARD, query)
      others = [e for e in by_name[query.fields["subject"]] if text_key(CARD, e) != key]
      shown = rng.permutation(len(others))[: self.shots]
      episode = Episode(
        card=CARD,
        label_words=CARD.labels,
        demos=tuple(others[int(i)] for i in shown),
        query=query,
      )
      yield ProbeItem(
        probe=self.name,
        setting=f"{self.shots} exemplars",
        task="mmlu",
        seed=seed,
        query=query.row,
        prompt=render_prompt(episode, PromptFormat.QUESTION_ANSWER, instruction=False),
        context=None,
        prior=query.label,
        kind=settings.kind,
        fingerprint=subject.fingerprint,
      )


def _draw(subject: Task, settings: ProbeSettings) -> list[Example]:
  queries = [e for e in subject.examples if e.split in CARD.query_splits]
  rng = keyed_generator(subject.fingerprint, "queries")
  order = rng.permutation(len(queries))[: settings.max_queries]
  return [queries[int(i)] for i in order]
