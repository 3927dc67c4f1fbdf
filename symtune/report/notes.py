"""PairedResults -> remarks: what to know of these answers, and where they deviate.

Every remark is derived from the result rows: a report names the deviations from the
papers' protocols that its own probes have, and no others.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from symtune.probe.probe import MANY_SHOTS, AnswerKind
from symtune.probe.probes.flip_share import FlipShare
from symtune.probe.probes.flipped_labels import FlippedLabels
from symtune.probe.probes.label_semantics import LabelSemantics
from symtune.probe.probes.list_functions import ListFunctions
from symtune.probe.probes.nonce_words import NonceWords
from symtune.probe.probes.settings import FourSettings
from symtune.probe.probes.shots import NumberOfShots
from symtune.probe.probes.turing_concepts import TuringConcepts
from symtune.probe.probes.unrelated_labels import UnrelatedLabels
from symtune.probe.results import Results
from symtune.probe.run import CheckpointLabel
from symtune.report.results import checkpoint_title
from symtune.report.rules import Rule, is_baseline

_TASK_PROBES = (FourSettings, FlippedLabels, FlipShare, UnrelatedLabels)
_SYMBOL_PROBES = (FourSettings, LabelSemantics, NumberOfShots)
# Of Wei et al. 2023, arXiv 2303.03846, with MANY_SHOTS exemplars per class.
_LARGER_MODELS = (FlipShare, UnrelatedLabels, NonceWords)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Version:
  """What asked the questions of a checkpoint."""

  symtune: str
  commit: str | None
  config: str

  def __str__(self) -> str:
    commit = "no commit" if self.commit is None else f"commit {self.commit}"
    return f"symtune {self.symtune}, {commit}, configuration {self.config}"


def write_notes(
  results: Results, checkpoints: Sequence[CheckpointLabel], rule: Rule
) -> list[str]:
  """The remarks on some results, as sentences.

  Args:
    results: rows of all checkpoints.
    checkpoints: the checkpoints in the report's order.
    rule: the rule that the answers follow.
  """
  return [
    *_versions(results, checkpoints),
    *_ties(results, checkpoints),
    *_rules(results, rule),
    *_deviations(results),
  ]


def _versions(
  results: Results, checkpoints: Sequence[CheckpointLabel]
) -> Iterator[str]:
  """Names versions if the answers come from several."""
  names = ("symtune_version", "git_commit", "config_hash")
  codes = np.stack([results.words(name).codes for name in names], axis=1)
  firsts, group = np.unique(codes, axis=0, return_index=True, return_inverse=True)[1:]
  if len(firsts) < 2:
    return
  shown = []
  for label in checkpoints:
    mine = _of_checkpoint(results, label)
    for first in firsts[np.unique(group.reshape(-1)[mine])].tolist():
      row = results[first]
      version = Version(
        symtune=row.symtune_version, commit=row.git_commit, config=row.config_hash
      )
      shown.append(f"{checkpoint_title(label)} from {version}")
  yield (
    f"The answers come from {len(firsts)} versions or configurations, whose code may "
    f"differ; the prompts are equal. {'; '.join(shown)}."
  )


def _ties(results: Results, checkpoints: Sequence[CheckpointLabel]) -> Iterator[str]:
  """Counts answers whose likeliest choices are equal to the last bit."""
  scores = results.lists("log_likelihoods")
  is_tied = np.zeros(len(results), bool)
  for width in np.unique(scores.counts[scores.counts > 1]).tolist():
    rows = np.flatnonzero(scores.counts == width)
    values = scores.matrix(rows, width)
    is_tied[rows] = (values == values.max(axis=1, keepdims=True)).sum(axis=1) > 1
  for label in checkpoints:
    mine = _of_checkpoint(results, label)
    if (is_tied & mine).any():
      ranked = (scores.counts[mine] > 1).sum()
      yield (
        f"{checkpoint_title(label)}: in {is_tied[mine].sum()} of {ranked} ranked "
        f"answers the likeliest choices are exactly equal, and the first of them "
        f"counts. More than a few mean that the model is broken or computes in a type "
        f"that is too coarse for these choices."
      )


def _rules(results: Results, rule: Rule) -> Iterator[str]:
  if rule is not Rule.SUM and is_baseline(results).any():
    yield (
      f"The rule `{rule}` is not applied to baselines, which keep `sum`: their scores "
      f"are not likelihoods of text, so there is nothing to calibrate."
    )


def _deviations(results: Results) -> Iterator[str]:
  is_ranked = results.words("kind").mapped(lambda kind: kind == AnswerKind.RANK)
  asked = _of_probes(results, *_TASK_PROBES)
  if (is_ranked & asked & ~is_baseline(results)).any():
    yield (
      "Choices are ranked by their log-likelihood, so every answer is one of them. The "
      "figures of Wei et al. for PaLM and Flan-PaLM rest on generated answers, which "
      "may be none; `--gin.probe.answers='generate'` asks for those."
    )
  if _of_probes(results, *_SYMBOL_PROBES).any():
    yield (
      "Symbols that are words come from wordfreq's list of frequent words, which "
      "stands in for the two word lists of Wei et al. 2023 (arXiv 2305.08298)."
    )
  if asked.any():
    yield (
      "A blank line separates exemplars, and exemplars and queries come from the "
      "splits that the task's card names: the papers do not state either fully."
    )
  yield from _other_shots(results)
  yield from _algorithmic(results)


def _other_shots(results: Results) -> Iterator[str]:
  per_class = results.numbers("exemplars_asked") / results.numbers("num_classes")
  tasks = results.words("task").codes
  probes: dict[str, list[str]] = {}  # that show the same
  for probe in _LARGER_MODELS:
    asked = _of_probes(results, probe)
    is_other = asked & (per_class != MANY_SHOTS)
    if is_other.any():
      found = np.unique(per_class[is_other])
      shown = " to ".join(f"{count:g}" for count in sorted({found[0], found[-1]}))
      others, count = len(np.unique(tasks[is_other])), len(np.unique(tasks[asked]))
      what = f"{shown} exemplars per class in {others} of {count} tasks"
      probes.setdefault(what, []).append(probe.name)
  for what, names in probes.items():
    yield (
      f"{', '.join(names)}: {what}, where Wei et al. 2023 (arXiv 2303.03846) show "
      f"{MANY_SHOTS}. These tasks have too few rows, or `--gin.probe.many_shots` is "
      f"not {MANY_SHOTS}."
    )


def _algorithmic(results: Results) -> Iterator[str]:
  if _of_probes(results, ListFunctions).any():
    yield (
      "The list functions are a selection of our own, in five categories, or all 250: "
      "Wei et al. 2023 (arXiv 2305.08298) ask about 20 that they do not name."
    )
  if _of_probes(results, TuringConcepts).any():
    yield (
      "The simple Turing concepts are all programs of at most three instructions of a "
      "language defined here, each with its witness set and five more examples: the "
      "files of BIG-bench, whose concepts Wei et al. 2023 use, are not at hand."
    )


def _of_checkpoint(results: Results, label: CheckpointLabel) -> np.ndarray:
  """Which rows one checkpoint answered, a mask."""
  mine = results.words("checkpoint").mapped(lambda name: name == label.name)
  return mine & (results.numbers("step") == label.step)


def _of_probes(results: Results, *probes: type) -> np.ndarray:
  """Which rows some probes asked, a mask."""
  names = {probe.name for probe in probes}
  return results.words("probe").mapped(lambda name: name in names)
