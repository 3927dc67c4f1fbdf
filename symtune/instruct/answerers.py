"""Who answers instructions: models of every kind, and rules that need no model.

  baseline:copy_input     repeats the instance's input (without one, the instruction)
  baseline:copy_example   gives the output of the task's first positive example
  baseline:reference      gives the first reference: the most that any model can reach

Anything else is a model, as `symtune ask --model` takes it.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

from symtune.data.text.vocab import Vocab
from symtune.errors import SymtuneError, did_you_mean
from symtune.experiment.answerers import Opened, open_answerers
from symtune.experiment.tokens import Reader
from symtune.instruct.questions import Question
from symtune.probe.probe import Score, ScoreFn
from symtune.probe.run import CheckpointLabel

Rule = Callable[[Question], str]
BASELINE = "baseline:"
BASELINES: dict[str, Rule] = {
  "copy_input": lambda question: question.input.strip() or question.instruction,
  "copy_example": lambda question: question.example,
  "reference": lambda question: question.references[0],
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ready:
  """An answerer that can be asked.

  Attributes:
    label: its name, size and identity.
    model: answers items; None for a rule.
    rule: answers a question without a model; None for a model.
  """

  label: CheckpointLabel
  model: ScoreFn | None = None
  rule: Rule | None = None

  def answer(self, questions: Sequence[Question]) -> list[Score]:
    """The answers, as generated text.

    Raises:
      SymtuneError: a question is too long for the model.
    """
    if self.model is not None:
      return self.model([question.to_item() for question in questions])
    assert self.rule is not None, "a model or a rule"
    return [
      Score(text=self.rule(q), exemplars=len(q.prompt.exemplar_labels))
      for q in questions
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answerer:
  """An answerer whose weights are not read yet.

  Attributes:
    name: its name in tables.
    vocab: its vocabulary; None if it has none, or brings a tokenizer of its own.
    read: reads the weights.
  """

  name: str
  vocab: Vocab | None
  read: Callable[[], Ready]


def open_all(
  names: Sequence[str], reader: Reader, out: pathlib.Path, dtype: str | None
) -> list[Answerer]:
  """Checks every name before any weights are read.

  Args:
    names: models and baselines, in the order of the tables.
    reader: the vocabulary, if all models share one, and lengths.
    out: folder of the results, which holds the cache of answers.
    dtype: as `open_answerers` takes it.

  Raises:
    SymtuneError: an unknown name, or two names for one answerer.
  """
  if len(set(names)) < len(names):
    raise SymtuneError(f"--model: got {list(names)}, expected each once.")
  rules = [name for name in names if name.startswith(BASELINE)]
  models = [name for name in names if name not in rules]
  found = {name: _rule(name) for name in rules}
  opened = open_answerers(models, reader, out, dtype)
  found |= {name: _model(one) for name, one in zip(models, opened, strict=True)}
  return [found[name] for name in names]


def _rule(name: str) -> Answerer:
  kind = name.removeprefix(BASELINE)
  if kind not in BASELINES:
    raise SymtuneError(
      f"--model {name}: expected one of {', '.join(BASELINE + b for b in BASELINES)}."
      f"{did_you_mean(kind, BASELINES)}"
    )
  label = CheckpointLabel(name=name, step=0, identity=name)
  return Answerer(
    name=name, vocab=None, read=lambda: Ready(label=label, rule=BASELINES[kind])
  )


def _model(opened: Opened) -> Answerer:
  """A model, whose step, if it has one, is part of its name."""
  step = f"@{opened.label.step}" if opened.label.step else ""
  name = f"{opened.label.name}{step}"

  def read() -> Ready:
    answerer = opened.read()
    label = dataclasses.replace(answerer.label, name=name)
    return Ready(label=label, model=answerer.score)

  return Answerer(name=name, vocab=opened.vocab, read=read)
