"""Lessons, teacher and student -> what a distillation costs, before anything is done.

Tokens of prompts are those of the student's vocabulary, because a server does not say
how it cuts a text; those of answers are the most that there can be. Time is that of
multiplications and additions (2 per parameter and token to answer; `planning/costs.py`
to tune) at the share of a slice's peak that `symtune plan` assumes.
"""

import dataclasses
import math
from collections.abc import Sequence

import jax

from symtune.data.text.vocab import Vocab
from symtune.experiment.planning.plan import DEFAULT_MFU, Workload
from symtune.experiment.planning.slices import Slice
from symtune.experiment.recipe import Recipe
from symtune.instruct.questions import Question
from symtune.model.networks import make_network, param_shapes
from symtune.report.tables import Column, Table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
  """What a stage needs.

  Attributes:
    stage: its name.
    units: what it works through, such as "960 answers".
    read: tokens that are read.
    written: most tokens that are written.
    flops: multiplications and additions; None where another machine works.
    price: what a server charges at most, in the currency of its prices.
  """

  stage: str
  units: str
  read: int
  written: int
  flops: float | None
  price: float = 0.0


def answering_cost(
  stage: str,
  questions: Sequence[Question],
  vocab: Vocab,
  max_tokens: int,
  parameters: int | None,
) -> Cost:
  """What it costs to answer questions.

  Args:
    stage: its name.
    questions: what is asked.
    vocab: cuts prompts into tokens.
    max_tokens: longest answer.
    parameters: of the model; None for a server.
  """
  read = sum(len(vocab.encode(question.prompt.inputs)) for question in questions)
  written = len(questions) * max_tokens
  flops = None if parameters is None else 2.0 * parameters * (read + written)
  units = f"{len(questions):,} answers"
  return Cost(stage=stage, units=units, read=read, written=written, flops=flops)


def tuning_cost(recipe: Recipe) -> Cost:
  """What it costs to tune a student; it reads whole rows, padding included."""
  rows, steps = recipe.mixture.batches, recipe.train.steps
  work = Workload(recipe)
  return Cost(
    stage="tune the student",
    units=f"{steps:,} steps",
    read=steps * rows.batch_size * rows.input_length,
    written=steps * rows.batch_size * rows.target_length,
    flops=steps * work.step_flops,
  )


def count_parameters(recipe: Recipe) -> int:
  """The number of parameters of a recipe's network."""
  shapes = param_shapes(make_network(recipe.model))
  return sum(math.prod(shape.shape) for shape in jax.tree.leaves(shapes))


def cost_table(costs: Sequence[Cost], target: Slice | None = None) -> Table:
  """One row per stage.

  Args:
    costs: the stages.
    target: where they run; None leaves time out, so that a report is the same on every
      machine.
  """
  timed = []
  if target is not None:
    title = f"time at {DEFAULT_MFU:.0%} of peak, {target.name}"
    timed.append(Column(title=title))
  return Table(
    title="Planned cost",
    columns=(
      Column(title="stage", is_number=False),
      Column(title="of"),
      Column(title="tokens read"),
      Column(title="tokens written"),
      Column(title="price"),
      *timed,
    ),
    rows=tuple(
      (
        cost.stage,
        cost.units,
        f"{cost.read:,}",
        f"{cost.written:,}",
        f"{cost.price:.2f}" if cost.price else "",
        *([] if target is None else [_show_time(cost, target)]),
      )
      for cost in costs
    ),
  )


def _show_time(cost: Cost, target: Slice) -> str:
  if cost.flops is None:
    return "another machine's"
  minutes = cost.flops / (target.devices * target.flops * DEFAULT_MFU) / 60
  return f"{minutes:.1f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
