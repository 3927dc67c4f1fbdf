"""Teacher settings -> OpenTeacher: who answers, asked as a teacher and as a peer."""

import dataclasses
import pathlib
from collections.abc import Sequence

from symtune.convert.tokenizer.read import read_vocab
from symtune.experiment.answerers import open_answerers
from symtune.experiment.tokens import Reader
from symtune.instruct.answerers import Answerer, Ready
from symtune.instruct.distil.settings import Teacher
from symtune.instruct.generate.generators import Generator
from symtune.instruct.generate.models.open import make_generator, open_generator
from symtune.probe.probe import ProbeItem, Score
from symtune.probe.run import CheckpointLabel


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenTeacher:
  """A teacher with its weights, or a server.

  Attributes:
    label: its name, identity and size, if that is known.
    generator: continues prompts.
  """

  label: CheckpointLabel
  generator: Generator

  def as_answerer(self, settings: Teacher, max_tokens: int) -> Answerer:
    """The teacher as one of those that an evaluation asks, always greedily.

    Args:
      settings: how it is asked.
      max_tokens: longest answer.
    """
    greedy = dataclasses.replace(
      settings.sampling, max_tokens=max_tokens, temperature=0.0, top_p=1.0
    )

    def answer(items: Sequence[ProbeItem]) -> list[Score]:
      prompts = [item.prompt.inputs for item in items]
      return [
        Score(text=found.text.strip(), exemplars=len(item.prompt.exemplar_labels))
        for item, found in zip(
          items, self.generator.complete(prompts, greedy, 0), strict=True
        )
      ]

    ready = Ready(label=self.label, model=answer)
    return Answerer(name=self.label.name, vocab=None, read=lambda: ready)


def open_teacher(settings: Teacher) -> OpenTeacher:
  """Opens a teacher, and reads its weights.

  Raises:
    SymtuneError: it is unknown, a baseline, or cannot be read.
  """
  vocab = None if settings.vocab is None else read_vocab(pathlib.Path(settings.vocab))
  reader = Reader(vocab=vocab)
  if settings.model.startswith(("http://", "https://", "baseline:")):
    generator = open_generator(settings.model, settings.server, reader)
    label = CheckpointLabel(name=generator.name, step=0, identity=generator.identity)
  else:
    (opened,) = open_answerers([settings.model], reader, None, settings.dtype)
    answerer = opened.read()
    generator, label = make_generator(answerer), answerer.label
  label = dataclasses.replace(label, name=f"teacher ({label.name})", step=0)
  return OpenTeacher(label=label, generator=generator)
