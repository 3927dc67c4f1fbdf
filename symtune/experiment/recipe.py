"""The content of a recipe file: one frozen value for a whole experiment.

A `.gin` file binds numbers and names to the functions and dataclasses here. They turn
names into enums; all other code sees typed values only.
"""

import dataclasses
from collections.abc import Sequence

from symtune.checks import parse_choice
from symtune.data.batches.windows import BatchShape
from symtune.data.draw.index import Shots
from symtune.data.ingredients import (
  Ingredient,
  Instructions,
  Mixing,
  Skill,
)
from symtune.data.limits import DEFAULT_OVERLAP
from symtune.data.prompts import ALL_FORMATS, PromptFormat
from symtune.data.text.leaks import LeakPolicy
from symtune.data.text.symbols import ALL_CATEGORIES, SymbolCategory, SymbolRules
from symtune.data.tokens.causal import LossOn
from symtune.errors import SymtuneError
from symtune.experiment.settings import MixtureSettings, ProbePlan, SymbolSettings
from symtune.model.loss import LossNormalizer
from symtune.model.networks import Config
from symtune.probe.answer.calibrate import Calibration
from symtune.probe.probe import MANY_SHOTS, AnswerKind, ExemplarSets
from symtune.train.loop import TrainSettings
from symtune.train.optim import OptimizerName, OptimSettings, ScheduleName
from symtune.train.step import LossSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
  """One experiment: tune a network on a mixture, probe it before and after.

  Attributes:
    name: name of the recipe, used in reports.
    seed: root seed of all random data choices; `train.seed` is that of the weights.
    vocab: SentencePiece model inside `tasks/`; None requires --vocab, or a checkpoint
      that has its vocabulary beside it.
    checkpoint: what the network starts from: hf://..., gs://..., a folder of
      Transformers, T5X or another run, or a weights file, which may lie inside `tasks/`
      (symtune/convert/source.py); None initialises the parameters at random.
    model: settings of the network, an encoder-decoder's or those of a decoder-only
      model; its `vocab_size` must cover the vocabulary.
    mixture: tuning data.
    symbols: tuning and evaluation symbols.
    optimizer: optimizer and schedule.
    loss: z-loss and label smoothing.
    train: steps, logging, checkpoints.
    probe: evaluation tasks and their prompts; with the suite "" nothing is asked.
  """

  name: str
  seed: int = 0
  vocab: str | None = None
  checkpoint: str | None = None
  model: Config
  mixture: MixtureSettings
  symbols: SymbolSettings
  optimizer: OptimSettings
  loss: LossSettings
  train: TrainSettings
  probe: ProbePlan

  @property
  def asks(self) -> bool:
    """Whether questions are asked before and after tuning."""
    return bool(self.probe.suite)


def mixture(
  *,
  ingredients: Sequence[Ingredient | Skill | Instructions],
  batch_size: int,
  input_length: int,
  target_length: int,
  pack: bool = True,
  window: int = 1024,
  mixing: str = "proportional",
  formats: Sequence[str] = tuple(f.name for f in ALL_FORMATS),
  min_exemplars_per_class: int = 1,
  leaks: str = "refuse",
  leak_overlap: float | None = DEFAULT_OVERLAP,
  loss_on: str = "last",
) -> MixtureSettings:
  """The tuning data; the paper packs batches of 32 with lengths 2048 and 512.

  Args:
    ingredients: what is mixed.
    batch_size: packed rows per global batch.
    input_length: input tokens per packed row; for a decoder-only model, all tokens of
      a row: prompts with their labels.
    target_length: target tokens per packed row; for a decoder-only model, the tokens of
      a row that the loss may score.
    pack: whether prompts share rows.
    window: number of consecutive prompts that are packed together.
    mixing: "proportional" to each task's rows, or "uniform".
    formats: names of `PromptFormat`, one drawn for each prompt.
    min_exemplars_per_class: exemplars per class that a too long prompt must keep.
    leaks: what to do with tuning rows whose text is also in a probe task: "refuse" or
      "drop" them.
    leak_overlap: lowest share of common word n-grams at which two texts count as the
      same; None takes equal texts only.
    loss_on: for decoder-only models: the loss scores the "last" label of each prompt,
      as in the paper, or "every" label, those of the exemplars too.

  Returns:
    The typed settings.

  Raises:
    SymtuneError: a value is out of range or not among the choices.
  """
  return MixtureSettings(
    ingredients=tuple(ingredients),
    batches=BatchShape(
      batch_size=batch_size,
      input_length=input_length,
      target_length=target_length,
      pack=pack,
      window=window,
    ),
    mixing=parse_choice(Mixing, mixing, "mixture.mixing"),
    formats=tuple(_parse_format(name) for name in formats),
    min_exemplars_per_class=min_exemplars_per_class,
    leaks=parse_choice(LeakPolicy, leaks, "mixture.leaks"),
    leak_overlap=leak_overlap,
    loss_on=parse_choice(LossOn, loss_on, "mixture.loss_on"),
  )


def symbols(
  *,
  categories: Sequence[str] = tuple(ALL_CATEGORIES),
  tuning_size: int | None = None,
  evaluation_size: int | None = None,
  prefix_free: bool = False,
  same_length: bool = False,
  synonyms: str | None = None,
  match_lengths: bool = False,
) -> SymbolSettings:
  """The symbol pools; the defaults are the paper's 3 x 10,000 and 3 x 90,000.

  Args:
    categories: some of "integers", "combinations", "words", "nonce".
    tuning_size: symbols per category for tuning prompts.
    evaluation_size: symbols per category held out for probes.
    prefix_free: no symbol of a prompt starts with the tokens of another.
    same_length: the symbols of a prompt have the same number of tokens.
    synonyms: a file like `tasks/symbols/synonyms.yaml`, whose words are added to it.
    match_lengths: only evaluation symbols that are as long in tokens as the tuning
      symbols, category by category; the paper takes them as they come.

  Returns:
    The typed settings.

  Raises:
    SymtuneError: an unknown category.
  """
  parsed = (parse_choice(SymbolCategory, c, "symbols.categories") for c in categories)
  return SymbolSettings(
    categories=tuple(parsed),
    tuning_size=tuning_size,
    evaluation_size=evaluation_size,
    rules=SymbolRules(prefix_free=prefix_free, same_length=same_length),
    synonyms=synonyms,
    match_lengths=match_lengths,
  )


def optimizer(
  *,
  name: str = "adafactor",
  learning_rate: float,
  schedule: str = "constant",
  warmup_steps: int = 0,
  total_steps: int | None = None,
  weight_decay: float = 0.0,
  clip_global_norm: float | None = None,
  trainable: str = ".*",
) -> OptimSettings:
  """Optimizer and schedule by name; see `OptimSettings` for what each setting means.

  Raises:
    SymtuneError: a value is out of range or not among the choices.
  """
  return OptimSettings(
    name=parse_choice(OptimizerName, name, "optimizer.name"),
    learning_rate=learning_rate,
    schedule=parse_choice(ScheduleName, schedule, "optimizer.schedule"),
    warmup_steps=warmup_steps,
    total_steps=total_steps,
    weight_decay=weight_decay,
    clip_global_norm=clip_global_norm,
    trainable=trainable,
  )


def loss(
  *,
  normalizer: str = "num_real_target_tokens",
  z_loss: float = 1e-4,
  label_smoothing: float = 0.0,
) -> LossSettings:
  """The loss that is minimised; see `LossSettings`.

  Raises:
    SymtuneError: the normalizer is not among the choices.
  """
  return LossSettings(
    normalizer=parse_choice(LossNormalizer, normalizer, "loss.normalizer"),
    z_loss=z_loss,
    label_smoothing=label_smoothing,
  )


def probe(
  *,
  suite: str,
  probes: Sequence[str] = ("settings", "flipped_labels"),
  shots: int = 4,
  many_shots: int = MANY_SHOTS,
  max_queries: int = 100,
  seeds: Sequence[int] = (0, 1, 2),
  answers: str = "rank",
  also_generate: bool = True,
  calibration: Sequence[str] = (),
  max_inputs: int,
  max_targets: int = 64,
  tokens_per_batch: int = 8192,
  exemplars: str = "per_query",
  balanced: bool = True,
) -> ProbePlan:
  """The probes; 4 exemplars per class and 100 queries per task as in the paper.

  Args:
    suite: name of a suite in `tasks/suites`; "" asks nothing, for recipes whose models
      are evaluated by `symtune instruct eval`.
    probes: names of `probe.catalog.PROBES`, or "all".
    shots: exemplars per class.
    many_shots: exemplars per class of the probes of arXiv 2303.03846: flip_share,
      unrelated_labels and nonce_words.
    max_queries: queries per task, drawn at random.
    seeds: each seed draws its own exemplars, formats and symbols.
    answers: "rank" takes the likeliest choice, "generate" decodes an answer.
    also_generate: whether flip_share and unrelated_labels also decode answers where
      `answers` ranks them, as their paper did.
    calibration: calibration prompts for the rules "pmi", "contextual" and "domain";
      each rule costs up to five more prompts per question.
    max_inputs: longest prompt in tokens, for a decoder-only model with its longest
      label word; longer ones lose exemplars.
    max_targets: longest label word in tokens, EOS included.
    tokens_per_batch: input tokens scored at once; bounds the memory. Accelerators need
      many; a CPU scores 2,048 a quarter faster than 4,096 thanks to its caches.
    exemplars: "per_query" draws exemplars, their order, the format and the symbols anew
      for each query, as in the paper. "per_seed" draws them once for all queries of a
      task and seed; a decoder-only model then reads them once, which is several times
      as fast. "similar" and "dissimilar" look them up with each query (BM25), the most
      similar one last; "random" is another name of "per_query".
    balanced: whether exemplars that are looked up are as many of every class.

  Returns:
    The typed settings.

  Raises:
    SymtuneError: a value is not among the choices.
  """
  parsed = (
    parse_choice(Calibration, name, "probe.calibration") for name in calibration
  )
  return ProbePlan(
    suite=suite,
    probes=tuple(probes),
    shots=Shots(minimum=shots, maximum=shots),
    many_shots=many_shots,
    max_queries=max_queries,
    seeds=tuple(seeds),
    answers=parse_choice(AnswerKind, answers, "probe.answers"),
    also_generate=also_generate,
    calibration=tuple(parsed),
    max_inputs=max_inputs,
    max_targets=max_targets,
    tokens_per_batch=tokens_per_batch,
    exemplars=parse_choice(ExemplarSets, exemplars, "probe.exemplars"),
    balanced=balanced,
  )


def _parse_format(name: str) -> PromptFormat:
  try:
    return PromptFormat[name]
  except KeyError as error:
    choices = ", ".join(f.name for f in ALL_FORMATS)
    raise SymtuneError(
      f"recipe: mixture.formats has {name!r}, expected some of {choices}."
    ) from error
