"""AlignRecipe -> Setup: data, network and start, read and checked before any work."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from symtune.align.answers import Policy
from symtune.align.gold import PromptStream
from symtune.align.pairs import pairs_checksum
from symtune.align.settings import SEEDS, AlignRecipe, config_hash
from symtune.cards.card import Task
from symtune.cards.load import load_suite
from symtune.data.ingredients import Ingredient
from symtune.data.mixture import Mixture
from symtune.data.text.causal_vocab import CausalVocab
from symtune.data.text.symbols import SymbolPool
from symtune.data.text.vocab import Vocab
from symtune.errors import SymtuneError
from symtune.experiment.build import check_rows, load_vocab, make_mixture, make_pools
from symtune.experiment.recipe import Recipe
from symtune.experiment.start import Start, find_start
from symtune.experiment.tokens import Reader, Tokenizer, check_kinds
from symtune.model.decoder.config import DecoderConfig
from symtune.model.decoder.generate import Ends
from symtune.model.networks import make_network
from symtune.probe.answer import decoder_batches

# Seeds, and uses under one seed, draw prompts from parts of the stream of their own.
_SEED_GAP = (1 << 63) // SEEDS
_PAIRS = _SEED_GAP // 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
  """A recipe with its data.

  Attributes:
    recipe: all settings.
    tokenizer: vocabulary and lengths.
    mixture: the prompts of training.
    held_out: those of measuring: other tasks, with other symbols.
    policy: the network, without parameters.
    start: where its parameters come from; None draws them.
    config_hash: identifies settings, data, a file of pairs, and vocabulary.
  """

  recipe: AlignRecipe
  tokenizer: Tokenizer
  mixture: Mixture
  held_out: Mixture
  policy: Policy
  start: Start | None
  config_hash: str

  def training_prompts(self, batch_size: int, *, pairs: bool = False) -> PromptStream:
    """Prompts of training under the recipe's seed, from the first.

    Args:
      batch_size: prompts of a batch.
      pairs: whether preference rows are made of them; these are other prompts.
    """
    first = self.recipe.seed * _SEED_GAP + _PAIRS * pairs
    return self._prompts(self.mixture, batch_size, first)

  def held_out_prompts(self, batch_size: int, *, pairs: bool = False) -> PromptStream:
    """Held-out prompts, the same under every seed; arguments as above."""
    return self._prompts(self.held_out, batch_size, _PAIRS * pairs)

  def _prompts(self, mixture: Mixture, batch_size: int, first: int) -> PromptStream:
    return PromptStream(
      mixture, self.tokenizer, self.recipe.gold, batch_size=batch_size, first=first
    )


def build_setup(
  recipe: AlignRecipe,
  *,
  data_dir: str | os.PathLike[str] | None,
  vocab_path: pathlib.Path | None,
) -> Setup:
  """Reads and checks everything that a run needs.

  Args:
    recipe: all settings.
    data_dir: folder with `<rows>.jsonl` files; the microworld needs none.
    vocab_path: the vocabulary; None takes the recipe's own, or the one that lies beside
      its checkpoint.

  Raises:
    SymtuneError: data, vocabulary or settings are missing, damaged or do not fit.
  """
  _check_positions(recipe)
  base = recipe.base
  start = None if base.checkpoint is None else find_start(base.checkpoint)
  vocab = load_vocab(base, vocab_path, start)
  check_kinds(base, vocab)
  check_rows(base, vocab, start)
  tuning, evaluation = make_pools(base, vocab)
  tasks = load_suite(base.probe.suite, data_dir)
  mixture, _ = make_mixture(base, tuning, vocab, tasks, data_dir)
  fingerprints = [*mixture.fingerprints, *(task.fingerprint for task in tasks)]
  fingerprints += [] if start is None else [start.fingerprint]
  if recipe.pairs.path is not None:
    fingerprints.append(pairs_checksum(pathlib.Path(recipe.pairs.path)))
  reader = Reader(
    vocab=vocab, max_inputs=recipe.prompt_length, max_targets=recipe.answer_length
  )
  setup = Setup(
    recipe=recipe,
    tokenizer=reader.tokenizer,
    mixture=mixture,
    held_out=_hold_out(base, tasks, evaluation),
    policy=Policy(
      network=make_network(base.model),
      ends=answer_ends(vocab),
      max_length=recipe.answer_length,
    ),
    start=start,
    config_hash=config_hash(recipe, [*fingerprints, vocab.fingerprint]),
  )
  # A prompt that cannot be asked fails now, not after an hour of training.
  next(setup.training_prompts(recipe.evaluation.batch_size))
  next(setup.held_out_prompts(recipe.evaluation.batch_size))
  return setup


def _check_positions(recipe: AlignRecipe) -> None:
  model, both = recipe.base.model, recipe.prompt_length + recipe.answer_length
  if isinstance(model, DecoderConfig) and both > model.max_positions:
    raise SymtuneError(
      f"AlignRecipe.prompt_length and answer_length are {recipe.prompt_length} and "
      f"{recipe.answer_length}, expected at most {model.max_positions} together, the "
      "positions that the model was made for. Lower prompt_length."
    )


def answer_ends(vocab: Vocab) -> Ends:
  """What ends an answer: EOS, and for decoder-only models more than that."""
  if not isinstance(vocab, CausalVocab):
    return Ends(vocab.eos_id)
  return decoder_batches.answer_ends(vocab)


def _hold_out(base: Recipe, tasks: Sequence[Task], pool: SymbolPool) -> Mixture:
  """The mixture's ingredients of classification, made of the probe tasks."""
  settings = [
    dataclasses.replace(ingredient, num_tasks=None)
    for ingredient in base.mixture.ingredients
    if isinstance(ingredient, Ingredient)
  ]
  if not settings:
    raise SymtuneError(
      "mixture.ingredients has no Ingredient, expected one: answers are rewarded for "
      "label words, which skills and instruction data do not have."
    )
  return Mixture(
    [(ingredient, tasks) for ingredient in settings],
    pool,
    seed=base.seed,
    mixing=base.mixture.mixing,
    formats=base.mixture.formats,
  )
