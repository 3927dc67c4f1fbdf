"""Seed tasks and a generator -> new instructions, request by request, resumable.

Requests are sent in groups. All prompts of a group are drawn from what was known before
it, by (seed, number of the request), and what they bring is judged in order. So the
file of a resumed run equals that of an uninterrupted one, and what a request shows
follows from the lines before it.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import rich.console

from symtune.data.rng import keyed_generator, stream_key
from symtune.instruct.generate.filters import Reason, judge_instruction
from symtune.instruct.generate.generators import Completion, Ended, Generator
from symtune.instruct.generate.overlap import OverlapIndex
from symtune.instruct.generate.parse import parse_instructions
from symtune.instruct.generate.rows import Candidate, Log, ProposalRow
from symtune.instruct.generate.seeds import Seeds
from symtune.instruct.generate.settings import SelfInstructRecipe
from symtune.instruct.generate.templates import Templates
from symtune.progress import Progress

FILE = "1_proposals.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workplace:
  """What all stages work with.

  Attributes:
    recipe: how a generator is asked, and its answers are judged.
    seeds: the seed tasks.
    templates: the prompts.
    generator: continues them.
    folder: of the stages' files, which are continued.
    console: shows progress.
  """

  recipe: SelfInstructRecipe
  seeds: Seeds
  templates: Templates
  generator: Generator
  folder: pathlib.Path
  console: rich.console.Console


def seed_of(recipe: SelfInstructRecipe, stage: str, number: int) -> int:
  """The seed of a group of prompts: 31 bits that depend on what they are for."""
  return stream_key(recipe.seed, "self_instruct", stage, number) % 2**31


def propose(work: Workplace) -> list[ProposalRow]:
  """Asks for new instructions until there are enough, or no more come.

  Returns:
    All rows of the file.

  Raises:
    SymtuneError: the file is damaged, or the generator fails.
  """
  recipe, log = work.recipe, Log(work.folder / FILE, ProposalRow)
  search = Search(recipe, work.seeds)
  with Progress(
    "proposing", recipe.instructions, unit="instructions", console=work.console
  ) as progress:
    while not search.is_over:
      first = search.requests
      shown = [search.draw(first + place) for place in range(recipe.requests)]
      known = log.rows[first : first + recipe.requests]
      for place, row in enumerate(known):
        if (row.request, list(row.shown)) != (first + place, shown[place]):
          raise log.damage(first + place, f"request {first + place}, after its prompt")
        search.take(row)
        progress.skip(_count_kept(row))
      if len(known) < recipe.requests:
        completions = _ask(work, shown, first)
        fresh = [
          search.judge(shown[place], completions[place], work.generator.writes_lines)
          for place in range(len(known), recipe.requests)
        ]
        log.append(fresh)
        progress.advance(sum(map(_count_kept, fresh)))
  if len(log.rows) > search.requests:
    raise log.damage(search.requests, "no more requests")
  return log.rows


def kept_instructions(rows: Sequence[ProposalRow]) -> list[str]:
  """The new instructions, in the order in which they were found."""
  return [c.instruction for row in rows for c in row.candidates if c.reason is None]


class Search:
  """What is known after some requests.

  Attributes:
    requests: number of requests.
    kept: the new instructions.
  """

  def __init__(self, recipe: SelfInstructRecipe, seeds: Seeds):
    """Knows the seed tasks."""
    self._recipe, self._seeds = recipe, seeds.instructions
    self.requests = 0
    self.kept: list[str] = []
    self._index = OverlapIndex()
    for text in self._seeds:
      self._index.add(text)
    self._in_vain = 0  # requests in a row that brought nothing

  @property
  def is_over(self) -> bool:
    """Whether there are enough instructions, or too many requests brought none."""
    is_enough = len(self.kept) >= self._recipe.instructions
    return is_enough or self._in_vain >= self._recipe.patience

  def draw(self, request: int) -> list[str]:
    """The instructions of a request's prompt: new ones and seeds, mixed."""
    rng = keyed_generator(self._recipe.seed, "self_instruct", "shown", request)
    new = min(self._recipe.shown_new, len(self.kept))
    old = min(self._recipe.shown - new, len(self._seeds))
    drawn = [
      *(self.kept[i] for i in rng.permutation(len(self.kept))[:new]),
      *(self._seeds[i] for i in rng.permutation(len(self._seeds))[:old]),
    ]
    return [drawn[i] for i in rng.permutation(len(drawn))]

  def judge(
    self, shown: Sequence[str], completion: Completion, is_list: bool
  ) -> ProposalRow:
    """Judges what the next request brought, and keeps what is new.

    Args:
      shown: the instructions in its prompt.
      completion: what was written.
      is_list: whether that is a numbered list, or one instruction.
    """
    text = completion.text
    parts = parse_instructions(text if is_list else " ".join(text.split()))
    is_cut = completion.ended is Ended.LENGTH
    row = ProposalRow(
      request=self.requests,
      shown=tuple(shown),
      text=text,
      ended=completion.ended.value,
      prompt_tokens=completion.prompt_tokens,
      tokens=completion.tokens,
      candidates=tuple(self._judge(part, is_cut) for part in parts),
    )
    self._count(row)
    return row

  def take(self, row: ProposalRow) -> None:
    """Keeps what an earlier run found new."""
    for candidate in row.candidates:
      if candidate.reason is None:
        self._keep(candidate.instruction)
    self._count(row)

  def _judge(self, text: str, is_cut: bool) -> Candidate:
    reason = Reason.TRUNCATED if is_cut else None
    reason = reason or judge_instruction(text, self._recipe.keywords)
    if reason is None and len(self.kept) >= self._recipe.instructions:
      reason = Reason.ENOUGH
    if reason is not None:
      return Candidate(instruction=text, reason=reason.value)
    scores = self._index.rouge_l(text)
    nearest = int(np.argmax(scores))
    is_similar = scores[nearest] > self._recipe.most_alike
    candidate = Candidate(
      instruction=text,
      reason=Reason.SIMILAR.value if is_similar else None,
      rouge_l=float(scores[nearest]),
      nearest=self._text(nearest),
    )
    if not is_similar:
      self._keep(text)
    return candidate

  def _text(self, number: int) -> str:
    """The text with a number of the index: seeds come first."""
    known = len(self._seeds)
    return self._seeds[number] if number < known else self.kept[number - known]

  def _keep(self, text: str) -> None:
    self.kept.append(text)
    self._index.add(text)

  def _count(self, row: ProposalRow) -> None:
    self.requests += 1
    self._in_vain = 0 if _count_kept(row) else self._in_vain + 1


def _count_kept(row: ProposalRow) -> int:
  return sum(candidate.reason is None for candidate in row.candidates)


def _ask(
  work: Workplace, shown: Sequence[Sequence[str]], first: int
) -> list[Completion]:
  """What the generator writes after a group of prompts."""
  prompts = [_prompt(work, some) for some in shown]
  seed = seed_of(work.recipe, "propose", first)
  return work.generator.complete(prompts, work.recipe.propose, seed)


def _prompt(work: Workplace, shown: Sequence[str]) -> str:
  """Instructions as a numbered list, which the generator goes on with if it can."""
  texts = [" ".join(text.split()).rstrip(":") for text in shown]
  tasks = "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))
  if not work.generator.writes_lines:
    return work.templates.fill("propose_one", tasks=tasks)
  is_limited = work.recipe.classification_only
  name = "propose_classification" if is_limited else "propose"
  return work.templates.fill(name, tasks=f"{tasks}\n{len(texts) + 1}.")
