"""Stage 5 of an experiment, for an encoder-decoder's vocabulary or a decoder-only's."""

import dataclasses
import functools
from collections.abc import Iterable

from symtune.data.batches.batch import LayOut, lay_out
from symtune.data.batches.causal_batch import lay_out_sequences
from symtune.data.batches.windows import PromptsAt, build_window
from symtune.data.ingredients import Instructions
from symtune.data.mixture import Mixture
from symtune.data.prompts import TURN_SEPARATOR
from symtune.data.text.causal_vocab import CausalVocab
from symtune.data.text.instructions import InstructionForm
from symtune.data.text.vocab import Vocab
from symtune.data.tokens.causal import CausalStream, CausalTokenizer, LossOn
from symtune.data.tokens.stream import TokenStream
from symtune.data.tokens.tokenizer import NO_LIMIT, PromptTokenizer
from symtune.errors import SymtuneError
from symtune.experiment.recipe import Recipe
from symtune.model.decoder.config import DecoderConfig, PromptAttention
from symtune.model.loss import LossNormalizer

Tokenizer = PromptTokenizer | CausalTokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reader:
  """How models read the questions that they are asked.

  Attributes:
    vocab: the vocabulary that all of them share; None takes each model's own.
    max_inputs: longest prompt in tokens, for a decoder-only model with its longest
      label word; longer ones lose exemplars.
    max_targets: longest label word or generated text in tokens, with its end.
    max_positions: tokens that a decoder-only model has positions for; None: no limit.
    tokens_per_batch: tokens scored at once; bounds the memory.
  """

  vocab: Vocab | None = None
  max_inputs: int = 2048
  max_targets: int = 64
  max_positions: int | None = None
  tokens_per_batch: int = 4096

  @functools.cached_property
  def tokenizer(self) -> Tokenizer:
    """The tokenizer of the shared vocabulary, which remembers the ids of texts."""
    assert self.vocab is not None, "each model has a vocabulary of its own"
    if isinstance(self.vocab, CausalVocab):
      return CausalTokenizer(
        self.vocab,
        max_inputs=self.max_inputs,
        max_targets=self.max_targets,
        max_positions=self.max_positions or NO_LIMIT,
      )
    return PromptTokenizer(
      self.vocab, max_inputs=self.max_inputs, max_targets=self.max_targets
    )


def check_kinds(recipe: Recipe, vocab: Vocab) -> None:
  """Refuses a vocabulary or settings of the other kind of network.

  Raises:
    SymtuneError: names the setting.
  """
  model, loss_on = recipe.model, recipe.mixture.loss_on
  is_decoder = isinstance(model, DecoderConfig)
  if is_decoder != isinstance(vocab, CausalVocab):
    kinds = ("a decoder-only model", "a T5")
    of_model, of_vocab = kinds if is_decoder else kinds[::-1]
    raise SymtuneError(
      f"recipe {recipe.name} tunes {of_model}, but the vocabulary is of {of_vocab}. "
      "Give the model's own with --vocab."
    )
  if not is_decoder and loss_on is not LossOn.LAST:
    raise SymtuneError(
      f"mixture.loss_on is {loss_on.value!r}, expected 'last': the exemplars' labels "
      "are in the encoder of a T5, which predicts none of them. Only decoder-only "
      "models can learn from every label."
    )
  if is_decoder and recipe.loss.normalizer is LossNormalizer.NUM_TOTAL_TARGET_TOKENS:
    raise SymtuneError(
      f"loss.normalizer is {recipe.loss.normalizer.value!r}, expected "
      f"{LossNormalizer.NUM_REAL_TARGET_TOKENS.value!r}: a row of a decoder-only model "
      "has no target tokens apart from its input."
    )
  is_prefix = is_decoder and model.attention is PromptAttention.PREFIX
  if is_prefix and loss_on is LossOn.EVERY:
    raise SymtuneError(
      "mixture.loss_on is 'every' and DecoderConfig.attention is 'prefix', expected "
      "only one of them: in a prompt that is read in both directions, each label sees "
      "itself. Use loss_on 'last', or attention 'causal'."
    )
  ingredients = recipe.mixture.ingredients
  shows_turns = any(
    isinstance(i, Instructions) and i.form is InstructionForm.SUPER_NI
    for i in ingredients
  )
  if shows_turns and loss_on is LossOn.EVERY:
    raise SymtuneError(
      "mixture.loss_on is 'every', expected 'last': Super-NI's prompts show "
      "definitions and explanations, and only the answer to the instance is to be "
      "learned."
    )


def make_stream(
  recipe: Recipe, mixture: Mixture, vocab: Vocab, cache_dir: str | None
) -> PromptsAt:
  """The tuning prompts as ids, by position; packs one window as a trial.

  Args:
    recipe: lengths of rows, and which labels are scored.
    mixture: the tuning prompts.
    vocab: the vocabulary.
    cache_dir: folder of the token cache; decoder-only models use none, because their
      texts are tokenized together with the cue behind them.

  Raises:
    SymtuneError: prompts cannot be tokenized, or no prompt of a window fits.
  """
  settings = recipe.mixture
  rows = settings.batches
  stream: PromptsAt
  if isinstance(vocab, CausalVocab):
    assert isinstance(recipe.model, DecoderConfig), "check_kinds was not called"
    tokenizer = CausalTokenizer(
      vocab,
      max_inputs=min(rows.input_length, recipe.model.max_positions),
      max_targets=rows.target_length,
      min_exemplars_per_class=settings.min_exemplars_per_class,
      loss_on=settings.loss_on,
    )
    stream = CausalStream(mixture, tokenizer)
  else:
    tokenizer = PromptTokenizer(
      vocab,
      max_inputs=rows.input_length,
      max_targets=rows.target_length,
      min_exemplars_per_class=settings.min_exemplars_per_class,
    )
    stream = TokenStream(mixture, tokenizer, cache_dir)
  build_window(stream, settings.batches, seed=recipe.seed, number=0)
  return stream


def layout_of(vocab: Vocab) -> LayOut:
  """What lays out the batches: stage 7 of this kind of network."""
  return lay_out_sequences if isinstance(vocab, CausalVocab) else lay_out


def check_targets(words: Iterable[str], vocab: Vocab, recipe: Recipe) -> None:
  """Refuses label words that would stop tuning when their turn comes.

  Raises:
    SymtuneError: names the word and its number of tokens.
  """
  limit = recipe.mixture.batches.target_length
  end = 1
  if isinstance(vocab, CausalVocab):
    end = len(vocab.encode_between("a", TURN_SEPARATOR, "a"))
  for word in words:
    tokens = len(vocab.encode_label(word)) + end
    if tokens > limit:
      raise SymtuneError(
        f"recipe {recipe.name}: label word {word!r} has {tokens} tokens with its end, "
        f"expected at most target_length, {limit}. Raise mixture.target_length."
      )
