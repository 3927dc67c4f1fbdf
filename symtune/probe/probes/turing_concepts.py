"""Simple Turing concepts: which program turned these inputs into these outputs?

After BIG-bench's simp_turing_concept (Telle et al. 2019), subtask additional_set_2, as
Wei et al. 2023 use it (arXiv 2305.08298, section 5): programs of at most three
instructions; a prompt shows the concept's witness set and five more examples, in one of
the ten formats; the generated answer must equal the output, and accuracy is averaged
over concepts. Outputs are quoted, so that an empty one is visible.

BIG-bench's files are not at hand. `cards/p3.py` defines the language, enumerates the
programs and finds the witness sets. So the concepts may not be the paper's, and the
further examples and the queries are drawn here, per seed and question.
"""

from collections.abc import Iterator, Sequence

from symtune.cards.card import Task
from symtune.cards.p3 import all_concepts, all_inputs, witness_sets
from symtune.data.rng import keyed_generator
from symtune.probe.made import draw_format, fingerprint, fixed_rules, open_prompt
from symtune.probe.probe import AnswerKind, ProbeItem, ProbeSettings


class TuringConcepts:
  """Share of exact outputs, by concept."""

  name = "turing_concepts"

  def __init__(self, further: int = 5, queries: int = 5):
    """Sets how many examples follow the witness set, and questions per concept."""
    self.further = further
    self.queries = queries

  def subjects(
    self, tasks: Sequence[Task], settings: ProbeSettings
  ) -> tuple[tuple[str, ...], ...]:
    """One subject: the programs of all concepts; the tasks are not used."""
    del tasks, settings
    return (tuple(all_concepts()),)

  def items(
    self, subject: tuple[str, ...], settings: ProbeSettings
  ) -> Iterator[ProbeItem]:
    """Per program and seed, `queries` items."""
    for number, program in enumerate(subject):
      for seed in settings.seeds:
        for turn in range(min(self.queries, settings.max_queries)):
          shown, asked = self._draw(seed, program, turn)
          yield ProbeItem(
            probe=self.name,
            setting="exact output",
            task=f"turing_{number:03d}",
            seed=seed,
            query=turn,
            prompt=open_prompt(
              shown, *asked, draw_format(seed, self.name, program, turn)
            ),
            context=0,
            prior=None,
            kind=AnswerKind.GENERATE,
            fingerprint=fingerprint(self.name, program, self.further),
            references=fixed_rules(shown, _quoted(asked[0])),
          )

  def _draw(
    self, seed: int, program: str, turn: int
  ) -> tuple[list[tuple[str, str]], tuple[str, str]]:
    """The pairs of a question: those shown, and the one asked about."""
    outputs = all_concepts()[program]
    pairs = [(i, _quoted(o)) for i, o in zip(all_inputs(), outputs, strict=True)]
    witnesses = witness_sets()[program]
    others = [place for place in range(len(pairs)) if place not in witnesses]
    rng = keyed_generator(seed, self.name, program, turn)
    query, *drawn = (int(i) for i in rng.permutation(others)[: self.further + 1])
    return [pairs[i] for i in (*witnesses, *drawn)], pairs[query]


def _quoted(output: str) -> str:
  """How a prompt shows an output."""
  return f"'{output}'"
