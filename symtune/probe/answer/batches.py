"""What a scorer asks, and how it asks a model: one question at a time or in batches."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from symtune.data.tokens.tokenizer import TokenizedPrompt
from symtune.model.token_tree import TokenTree, make_tree
from symtune.probe.probe import AnswerKind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
  """A question that is asked once, for all items that share it.

  Attributes:
    key: key of its answer in the cache.
    kind: how it is answered.
    prompt: the prompt and its choices as ids.
  """

  key: bytes
  kind: AnswerKind
  prompt: TokenizedPrompt


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
  """Questions that are asked together.

  Attributes:
    questions: the questions.
    answer: computes their answers, in order: log-likelihoods of the choices, or
      generated ids.
  """

  questions: Sequence[Question]
  answer: Callable[[], list[np.ndarray]]


class Trees:
  """The trees of choices, made once because label words repeat."""

  def __init__(self):
    self._trees: dict[tuple[bytes, ...], TokenTree] = {}

  def of(self, question: Question) -> TokenTree:
    """The tree of a question's choices."""
    choices = question.prompt.choices
    key = tuple(ids.tobytes() for ids in choices)
    tree = self._trees.get(key)
    if tree is None:
      tree = self._trees[key] = make_tree([ids.tolist() for ids in choices])
    return tree


def choice_scores(trees: Sequence[TokenTree], edges: np.ndarray) -> list[np.ndarray]:
  """The log-likelihood of each choice of each question.

  Args:
    trees: of the questions.
    edges: log p(token) of the trees' edges, [prompts, edges]; later prompts are
      padding.
  """
  return [
    # Not a matrix product: 0 times NaN or infinity would spread to other candidates.
    np.array([row[: len(m)][m].sum() for m in tree.members])
    for tree, row in zip(trees, np.asarray(edges, np.float64), strict=False)
  ]
