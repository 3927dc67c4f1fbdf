"""A toy world for learning from preferences: two networks of 30 words, one task."""

import dataclasses
from types import SimpleNamespace

import jax
import pytest

from symtune.align.answers import Policy
from symtune.align.settings import (
  AlignRecipe,
  DpoSettings,
  Gold,
  HeldOutSettings,
  PairSettings,
  RewardSettings,
  RlooSettings,
)
from symtune.align.setup import Setup
from symtune.cards.resources import resource_dir
from symtune.cli.gin_config import load_recipe
from symtune.data.ingredients import Ingredient, LabelStyle
from symtune.data.mixture import Mixture
from symtune.data.prompts import PromptFormat
from symtune.data.text.symbols import PoolSplit, SymbolCategory, SymbolPool
from symtune.data.text.vocab import ToyVocab
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.model.config import T5Config
from symtune.model.decoder.config import DecoderConfig
from symtune.model.decoder.generate import Ends
from symtune.model.networks import init_params, make_network
from symtune.train.loop import TrainSettings
from symtune.train.optim import OptimizerName, OptimSettings

LENGTH = 3  # tokens of an answer
T5 = T5Config(
  vocab_size=32,
  emb_dim=8,
  num_heads=2,
  num_encoder_layers=1,
  num_decoder_layers=1,
  head_dim=4,
  mlp_dim=8,
  dropout_rate=0.1,
  logits_via_embedding=True,
)
DECODER = DecoderConfig(
  vocab_size=32,
  emb_dim=8,
  num_layers=1,
  num_heads=2,
  num_kv_heads=1,
  head_dim=4,
  mlp_dim=8,
  max_positions=64,
)
SYMBOLS = SymbolPool(
  split=PoolSplit.TUNING, symbols={SymbolCategory.WORDS: ("foo", "bar")}
)
OPTIMIZER = OptimSettings(name=OptimizerName.ADAMW, learning_rate=0.02)


def train(steps: int) -> TrainSettings:
  return TrainSettings(steps=steps, log_every=1, save_every=2)


@pytest.fixture(scope="session", params=["t5", "decoder"])
def world(request):
  """A policy of each kind, its parameters, and a padded batch of two prompts."""
  network = make_network(T5 if request.param == "t5" else DECODER)
  ends = Ends(1) if request.param == "t5" else Ends(1, ((6, 7),))
  policy = Policy(network=network, ends=ends, max_length=4)
  prompts = jax.numpy.array([[3, 4, 5, 1, 0], [8, 9, 1, 0, 0]], jax.numpy.int32)
  params = init_params(network, jax.random.key(1))
  # Farther from uniform than at the start, so that positions and words matter.
  params = jax.tree.map(lambda leaf: 2.0 * leaf if leaf.ndim > 1 else leaf, params)
  return SimpleNamespace(
    policy=policy,
    params=params,
    prompts=prompts,
    lengths=jax.numpy.array([4, 3], jax.numpy.int32),
  )


@pytest.fixture(scope="session")
def base_recipe():
  """The microworld's recipe; the toy setups use its settings of networks only."""
  return load_recipe(str(resource_dir("gin_configs") / "recipes" / "microworld.gin"))[0]


@pytest.fixture(scope="session")
def toy_setup(make_task, base_recipe):
  """Makes setups of a toy T5, which answers "animal" or "fruit"; settings replace."""
  task = make_task(("animal", "fruit"))
  words = ["->", "animal", "fruit", "foo", "bar"]
  words += [example.fields["text"] for example in task.examples]
  tokenizer = PromptTokenizer(ToyVocab(words), max_inputs=16, max_targets=LENGTH)

  def make(labels=LabelStyle.NATURAL, **changes) -> Setup:
    ingredient = Ingredient(labels=labels, min_shots=1, max_shots=2)
    mixture, held_out = (
      Mixture([(ingredient, [task])], SYMBOLS, seed=seed, formats=[PromptFormat.ARROW])
      for seed in (0, 1)
    )
    recipe = AlignRecipe(
      name="toy",
      base=dataclasses.replace(base_recipe, model=T5),
      gold=Gold.FOLLOW,
      prompt_length=16,
      answer_length=LENGTH,
      pairs=PairSettings(count=8, test=4),
      reward=RewardSettings(
        members=2, batch_size=4, optimizer=OPTIMIZER, train=train(2)
      ),
      rloo=RlooSettings(
        prompts=4, samples=2, ensembles=(1,), optimizer=OPTIMIZER, train=train(4)
      ),
      dpo=DpoSettings(batch_size=4, optimizer=OPTIMIZER, train=train(2)),
      evaluation=HeldOutSettings(prompts=6, samples=1, every=2, batch_size=4),
    )
    return Setup(
      recipe=dataclasses.replace(recipe, **changes),
      tokenizer=tokenizer,
      mixture=mixture,
      held_out=held_out,
      policy=Policy(network=make_network(T5), ends=Ends(1), max_length=LENGTH),
      start=None,
      config_hash="0" * 16,
    )

  return make
