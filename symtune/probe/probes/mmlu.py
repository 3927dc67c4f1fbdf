"""MMLU: what does tuning cost in knowledge?

Hendrycks et al. 2021 (arXiv 2009.03300), as Wei et al. 2023 report it before and after
symbol tuning (appendix C): five exemplars of the question's own subject; the answer is
one of A, B, C and D. Rows and wording are those of the card `mmlu`: exemplars are
`train` rows (the published five per subject), questions `validation` rows.
"""

import collections
import itertools
import pathlib
from collections.abc import Iterator, Sequence

from symtune.cards.card import Task
from symtune.cards.examples import read_task
from symtune.cards.load import load_card
from symtune.data.episodes import Episode
from symtune.data.prompts import PromptFormat, render_prompt
from symtune.data.text.leaks import text_keys
from symtune.probe.ask import EVERY_QUERY, question_generator
from symtune.probe.data_files import find_data
from symtune.probe.probe import ProbeItem, ProbeSettings, draw_queries


class Mmlu:
  """Accuracy with five exemplars of the question's own subject."""

  name = "mmlu"

  def __init__(self, data_dir: pathlib.Path | None, shots: int = 5):
    """Stores where `mmlu.jsonl` is; prompts have at most `shots` exemplars."""
    self._data_dir = data_dir
    self.shots = shots

  def subjects(self, tasks: Sequence[Task], settings: ProbeSettings) -> tuple[Task]:
    """The rows of MMLU; the suite's tasks are not used.

    Raises:
      SymtuneError: the file is missing or damaged.
    """
    del tasks, settings
    card = load_card("mmlu")
    path = find_data(self._data_dir, f"{card.rows}.jsonl", self.name)
    return (read_task(card, path.parent),)

  def items(self, subject: Task, settings: ProbeSettings) -> Iterator[ProbeItem]:
    """One item per seed and question, at most `max_queries` per seed in all."""
    card = subject.card
    by_name = collections.defaultdict(list)
    for example in subject.examples:
      if example.split in card.exemplar_splits:
        by_name[example.fields["subject"]].append(example)
    queries = [e for e in subject.examples if e.split in card.query_splits]
    chosen = draw_queries(queries, subject.fingerprint, settings.max_queries)
    for seed, query in itertools.product(settings.seeds, chosen):
      row = EVERY_QUERY if settings.shares_exemplars else query.row
      rng = question_generator(seed, subject.fingerprint, row, "exemplars")
      of_subject = by_name[query.fields["subject"]]
      key, *keys = text_keys([card.input_text(e) for e in (query, *of_subject)])
      others = [e for e, other in zip(of_subject, keys, strict=True) if other != key]
      shown = rng.permutation(len(others))[: self.shots]
      episode = Episode(
        card=card,
        label_words=card.labels,
        exemplars=tuple(others[int(i)] for i in shown),
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
