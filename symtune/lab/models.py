"""Load anything that can answer, and ask it directly."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from symtune.convert.tokenizer.read import read_vocab
from symtune.data.prompts import Prompt
from symtune.data.text.vocab import Vocab, unknown_words
from symtune.errors import SymtuneError
from symtune.experiment.answerers import Answerer, Opened, open_answerers
from symtune.experiment.tokens import Reader
from symtune.lab.scores import ScoreRow, Scores, as_tuple
from symtune.probe.probe import AnswerKind, ProbeItem
from symtune.report.outcomes import judge
from symtune.report.results import checkpoint_title

if TYPE_CHECKING:
  from symtune.lab.episodes import LabEpisode

_BASELINE = "baseline:"
# Prompts that a notebook asks about have no other name.
_DIRECT = "direct"


class LabModel:
  """Something that answers: a checkpoint, a Transformers model or a baseline.

  Attributes:
    name: what it is called in tables.
  """

  def __init__(self, opened: Opened, name: str | None = None):
    """Wraps an opened answerer; its weights are read when it is first asked.

    Args:
      opened: from `open_answerers`.
      name: what to call it in tables; None takes the checkpoint's own name.
    """
    label = opened.label
    label = label if name is None else dataclasses.replace(label, name=name)
    self._opened = dataclasses.replace(opened, label=label)
    self.name = label.name

  @property
  def opened(self) -> Opened:
    """The answerer, whose weights may not be read yet."""
    return self._opened

  @property
  def vocab(self) -> Vocab | None:
    """Its vocabulary; None if it has none, or brings a tokenizer of its own."""
    return self._opened.vocab

  @functools.cached_property
  def answerer(self) -> Answerer:
    """The answerer with its weights, under the name in tables."""
    read = self._opened.read()
    label = dataclasses.replace(read.label, name=self.name)
    return dataclasses.replace(read, label=label)

  def score(
    self, prompts: "str | Sequence[str] | LabEpisode", labels: Sequence[str] = ()
  ) -> Scores:
    """How likely each label is after each prompt.

    Args:
      prompts: one prompt or several, without the space after the last cue; or an
        episode, which has labels of its own.
      labels: the labels, at least one.

    Returns:
      log p(label and its end | prompt) in nats, one row per prompt.

    Raises:
      SymtuneError: no text or no label, two labels that the model cannot tell apart, a
        prompt that is too long, or a baseline, which answers episodes only.
    """
    if not isinstance(prompts, str | Sequence):
      return prompts.ask(self)
    words = as_tuple(labels, "labels")
    items = [
      self._item(prompt, words, AnswerKind.RANK)
      for prompt in as_tuple(prompts, "prompts")
    ]
    return self.score_items(items)

  def generate(self, prompts: str | Sequence[str]) -> str | list[str]:
    """Greedily generated text after a prompt, up to the end that the model gives it.

    Args:
      prompts: one prompt or several.

    Returns:
      The text, or a list of texts; at most `max_targets` tokens each (see `load`).

    Raises:
      SymtuneError: as for `score`.
    """
    texts = as_tuple(prompts, "prompts")
    items = [self._item(text, ("",), AnswerKind.GENERATE) for text in texts]
    answers = [score.text or "" for score in self.answerer.score(items)]
    return answers[0] if isinstance(prompts, str) else answers

  def score_items(self, items: Sequence[ProbeItem]) -> Scores:
    """The scores of ranked questions with the same choices, one row each."""
    rows = []
    for item, score in zip(items, self.answerer.score(items), strict=True):
      prompt, vocab = item.prompt, self.vocab
      texts = (prompt.inputs, *prompt.choices)
      rows.append(
        ScoreRow(
          model=self.name,
          prompt=prompt.inputs,
          log_likelihoods=score.log_likelihoods,
          tokens=score.tokens,
          unknown=() if vocab is None else unknown_words(texts, vocab),
          outcome=judge(
            int(np.argmax(score.log_likelihoods)), item.context, item.prior
          ),
        )
      )
    return Scores(labels=items[0].prompt.choices, rows=tuple(rows))

  def _item(self, text: str, choices: tuple[str, ...], kind: AnswerKind) -> ProbeItem:
    if self.name.startswith(_BASELINE):
      raise SymtuneError(
        f"{self.name}: a baseline needs exemplars and a query. Ask it an episode: "
        "task.episode().ask(model)."
      )
    return ProbeItem(
      probe=_DIRECT,
      setting=_DIRECT,
      task=_DIRECT,
      seed=0,
      query=0,
      prompt=Prompt(
        turns=((text.rstrip(),),), exemplar_labels=(), choices=choices, answer=0
      ),
      context=None,
      prior=None,
      kind=kind,
      fingerprint="",
    )

  def __repr__(self) -> str:
    return f"LabModel({checkpoint_title(self._opened.label)!r})"


def load(
  name: str | os.PathLike[str],
  *,
  vocab: str | os.PathLike[str] | None = None,
  dtype: str | None = None,
  called: str | None = None,
  max_inputs: int = 2048,
  max_targets: int = 64,
  cache: str | os.PathLike[str] | None = None,
) -> LabModel:
  """Opens anything that can answer; its weights are read when it is first asked.

  Args:
    name: a run folder, RUN@STEP, a weights file, hf://ORG/MODEL, gs://..., a folder of
      Transformers or T5X, transformers:PATH (extra [hf]), or baseline:NAME.
    vocab: the vocabulary, where none lies beside the checkpoint: a SentencePiece model
      or its folder.
    dtype: float32 or bfloat16; None takes what the checkpoint says.
    called: its name in tables; needed where two models have one name.
    max_inputs: longest prompt in tokens; longer episodes lose exemplars.
    max_targets: longest label or generated text in tokens.
    cache: a folder that keeps answers for later; None keeps them in memory.

  Returns:
    The model.

  Raises:
    SymtuneError: there is no such checkpoint, or no vocabulary is known.
  """
  reader = Reader(
    vocab=None if vocab is None else read_vocab(pathlib.Path(vocab)),
    max_inputs=max_inputs,
    max_targets=max_targets,
  )
  folder = None if cache is None else pathlib.Path(cache)
  (opened,) = open_answerers([os.fspath(name)], reader, folder, dtype)
  return LabModel(opened, called)
