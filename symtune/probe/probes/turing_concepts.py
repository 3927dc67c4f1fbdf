"""Simple Turing concepts: which program turned these inputs into these outputs?

After BIG-bench's simp_turing_concept (Telle et al. 2019) as Wei et al. 2023 use it
(arXiv 2305.08298, section 5): programs of at most three instructions and four exemplars
per prompt; the generated answer must equal the output, and accuracy is averaged over
concepts. `p3.py` defines the language and enumerates the programs. Outputs are quoted,
so that an empty one is visible.
"""

from collections.abc import Iterator, Sequence

from symtune.cards.card import Task
from symtune.cards.p3 import all_concepts, all_inputs
from symtune.data.rng import keyed_generator
from symtune.probe.made import fingerprint, open_prompt
from symtune.probe.probe import AnswerKind, ProbeItem, ProbeSettings


class TuringConcepts:
  """Share of exact outputs, by concept."""

  name = "turing_concepts"

  def __init__(self, shots: int = 4, queries: int = 5):
    """Sets exemplars per prompt and questions per concept; defaults are the paper's."""
    self.shots = shots
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
    inputs = all_inputs()
    for number, program in enumerate(subject):
      outputs = all_concepts()[program]
      pairs = [(i, f"'{o}'") for i, o in zip(inputs, outputs, strict=True)]
      for seed in settings.seeds:
        for turn in range(min(self.queries, settings.max_queries)):
          rng = keyed_generator(seed, self.name, program, turn)
          query, *shown = (int(i) for i in rng.permutation(len(pairs)))
          yield ProbeItem(
            probe=self.name,
            setting="exact output",
            task=f"turing_{number:03d}",
            seed=seed,
            query=turn,
            prompt=open_prompt([pairs[i] for i in shown[: self.shots]], *pairs[query]),
            context=0,
            prior=None,
            kind=AnswerKind.GENERATE,
            fingerprint=fingerprint(self.name, program, self.shots),
          )
