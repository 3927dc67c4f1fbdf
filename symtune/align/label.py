"""Sampled answers -> preference rows, labelled by a gold reward, with noise."""

import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from symtune.align.answers import sample
from symtune.align.gold import gold_rewards, is_whole
from symtune.align.learn.devices import Devices
from symtune.align.pairs import (
  PairArrays,
  PreferenceRow,
  encode_answer,
  encode_pairs,
  read_pairs,
  write_pairs,
)
from symtune.align.settings import Gold
from symtune.align.setup import Setup
from symtune.data.prompts import Prompt
from symtune.data.rng import keyed_generator
from symtune.errors import SymtuneError
from symtune.progress import Progress

PAIRS, TEST_PAIRS = "pairs.jsonl", "test_pairs.jsonl"
_STREAM = 13  # of random keys
_MOST = 100  # prompts that may be asked for each pair


def training_pairs(
  setup: Setup, run_dir: pathlib.Path, devices: Devices
) -> tuple[PairArrays, pathlib.Path]:
  """The recipe's pairs: those of its file, or made once and kept in pairs.jsonl.

  Raises:
    SymtuneError: the file is no file of pairs, a row does not fit, or the start's
      answers give too few pairs.
  """
  settings = setup.recipe.pairs
  path = run_dir / PAIRS if settings.path is None else pathlib.Path(settings.path)
  if settings.path is None and not path.exists():
    write_pairs(path, make_pairs(setup, devices, is_test=False))
  return _read(setup, path), path


def held_out_pairs(setup: Setup, run_dir: pathlib.Path, devices: Devices) -> PairArrays:
  """Pairs of held-out prompts without noise, made once and kept in test_pairs.jsonl.

  Raises:
    SymtuneError: as `training_pairs`.
  """
  path = run_dir / TEST_PAIRS
  if not path.exists():
    write_pairs(path, make_pairs(setup, devices, is_test=True))
  return _read(setup, path)


def _read(setup: Setup, path: pathlib.Path) -> PairArrays:
  rows = read_pairs(path)
  return encode_pairs(rows, setup.tokenizer, setup.policy.ends, str(path))


def make_pairs(setup: Setup, devices: Devices, *, is_test: bool) -> list[PreferenceRow]:
  """Samples answers of the start and labels pairs of them.

  Of each prompt's whole answers, the first two with different gold rewards become a
  pair. Rows keep texts, so an answer whose text is read as other tokens than those that
  were sampled, such as a sentinel's, is in no pair. Prompts without a pair, and those
  that lose exemplars, are passed over.

  Args:
    setup: the recipe and its data.
    devices: where to compute.
    is_test: whether the pairs are of held-out prompts, without noise.

  Raises:
    SymtuneError: the answers of the start differ too rarely.
  """
  settings, seed = setup.recipe.pairs, setup.recipe.seed
  count = settings.test if is_test else settings.count
  noise = 0.0 if is_test else settings.noise
  flips = keyed_generator(seed, "label noise").random(count) < noise
  rows: list[PreferenceRow] = []
  with Progress("making pairs", count, unit="pairs") as progress:
    for row in _pairs(setup, devices, is_test=is_test, most=_MOST * count):
      rows.append(_labelled(row, setup.recipe.gold, noise, bool(flips[len(rows)])))
      progress.advance()
      if len(rows) == count:
        return rows
  raise SymtuneError(
    f"pairs: got {len(rows)} pairs from {_MOST * count} prompts, expected {count}: the "
    "start's answers to a prompt hardly differ in gold reward. Raise "
    "PairSettings.samples, choose another gold reward, or give a file with "
    "PairSettings.path."
  )


def _labelled(
  pair: tuple[str, str, str], gold: Gold, noise: float, is_flipped: bool
) -> PreferenceRow:
  prompt, better, worse = pair
  chosen, rejected = (worse, better) if is_flipped else (better, worse)
  source = f"gold {gold}, noise {noise:g}"
  return PreferenceRow(prompt=prompt, chosen=chosen, rejected=rejected, source=source)


def _pairs(
  setup: Setup, devices: Devices, *, is_test: bool, most: int
) -> Iterator[tuple[str, str, str]]:
  """(prompt, better answer, worse answer), prompt by prompt."""
  recipe, policy = setup.recipe, setup.policy
  size, samples = recipe.evaluation.batch_size, recipe.pairs.samples
  stream = (setup.held_out_prompts if is_test else setup.training_prompts)(
    size, pairs=True
  )
  params = devices.load(setup.start, policy.network, recipe.seed)
  ask = devices.jit(functools.partial(_sample, policy, recipe.gold, samples=samples))
  key = jax.random.fold_in(jax.random.key(recipe.seed), _STREAM + is_test)
  for number in range(-(-most // size)):
    batch, prompts = stream.next_with_prompts()
    answers, gold, whole = jax.device_get(
      ask(params, devices.put(batch), jax.random.fold_in(key, number))
    )
    for place, prompt in enumerate(prompts):
      part = slice(place * samples, (place + 1) * samples)
      if len(set(gold[part][whole[part]])) < 2:
        continue
      rows = zip(answers.tokens[part], answers.contents[part], strict=True)
      texts = [_text(setup, row[:content]) for row, content in rows]
      found = _first_two(texts, gold[part], whole[part])
      if found is not None and _fits(setup, prompt):
        yield (prompt.inputs, *found)


def _text(setup: Setup, ids: Int[np.ndarray, "_tokens"]) -> str:
  """The text of an answer without its end; empty if it is read as other ids."""
  text = setup.tokenizer.vocab.decode(ids).strip()
  try:
    found = encode_answer(text, setup.tokenizer, setup.policy.ends)
  except SymtuneError:  # a token covers the answer and its surroundings, say
    return ""
  return text if found == ids.tolist() else ""


def _first_two(
  texts: list[str], gold: np.ndarray, whole: np.ndarray
) -> tuple[str, str] | None:
  """The better and the worse of the first two answers that differ, or None."""
  usable = [i for i, text in enumerate(texts) if whole[i] and text]
  for i, first in enumerate(usable):
    for second in usable[:i]:
      if gold[first] != gold[second] and texts[first] != texts[second]:
        better, worse = sorted((first, second), key=lambda n: -gold[n])
        return texts[better], texts[worse]
  return None


def _fits(setup: Setup, prompt: Prompt) -> bool:
  return setup.tokenizer.tokenize(prompt).exemplars_dropped == 0


def _sample(
  policy: Any, gold: Gold, params: Any, batch: Any, key: Any, *, samples: int
) -> Any:
  """Answers, their gold rewards, and whether they end and say something."""
  answers = sample(policy, params, batch["prompts"], batch["lengths"], key, samples)
  expected = jax.numpy.repeat(batch["expected"], samples, axis=0)
  found = gold_rewards(gold, answers, expected, policy.ends)
  return answers, found, is_whole(answers)
