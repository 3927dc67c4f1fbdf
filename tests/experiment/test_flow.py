"""Stages joined: packer to network, scorer to loss."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.data.batches.batch import BatchShape, BatchStream
from symtune.data.draw.index import Shots
from symtune.data.ingredients import Ingredient
from symtune.data.mixture import Mixture
from symtune.data.tokens.stream import TokenStream
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.model.config import T5Config
from symtune.model.loss import sum_losses
from symtune.model.network import Transformer, init_params
from symtune.probe.answer.model_scorer import ModelScorer
from symtune.probe.answer.native_model import NativeModel
from symtune.probe.probe import ProbeSettings
from symtune.probe.probes.settings import FourSettings


@pytest.fixture(scope="module")
def network():
  return Transformer(
    config=T5Config(
      vocab_size=256,
      emb_dim=32,
      num_heads=2,
      num_encoder_layers=2,
      num_decoder_layers=2,
      head_dim=16,
      mlp_dim=64,
      mlp_activations=("gelu", "linear"),
      dropout_rate=0.1,
    )
  )


@pytest.fixture(scope="module")
def params(network):
  return init_params(network, jax.random.key(0))


@pytest.fixture
def tokenizer(toy_vocab):
  assert toy_vocab.size <= 256
  return PromptTokenizer(
    toy_vocab, max_inputs=64, max_targets=16, min_exemplars_per_class=1
  )


@functools.partial(jax.jit, static_argnums=0)
def _logits(network, params, batch):
  return network.apply(
    {"params": params},
    batch["encoder_input_tokens"],
    batch["decoder_input_tokens"],
    batch["decoder_target_tokens"],
    encoder_segment_ids=batch["encoder_segment_ids"],
    decoder_segment_ids=batch["decoder_segment_ids"],
    encoder_positions=batch["encoder_positions"],
    decoder_positions=batch["decoder_positions"],
    enable_dropout=False,
  )


def test_logits_of_packed_rows_equal_those_of_the_prompts_alone(
  toy_task, toy_pools, tokenizer, network, params, pack_row
):
  mixture = Mixture(
    [(Ingredient(min_shots=1, max_shots=2), (toy_task,))],
    toy_pools[0],
    seed=0,
  )
  shape = BatchShape(batch_size=4, input_length=64, target_length=16, window=16)
  batch = next(BatchStream(TokenStream(mixture, tokenizer), shape, seed=0))
  packed = np.asarray(_logits(network, params, batch))
  by_input = {}
  for position in range(16):
    pair = tokenizer.tokenize(mixture.prompt(position)).pair
    row = pack_row([pair], 64, 16)
    alone = {name: np.stack([value] * 4) for name, value in row.items()}
    logits = np.asarray(_logits(network, params, alone))[0, : len(pair.targets)]
    by_input[pair.inputs.tobytes()] = logits
  compared = 0
  for row in range(4):
    segments = batch["encoder_segment_ids"][row]
    for segment in range(1, segments.max() + 1):
      inputs = batch["encoder_input_tokens"][row][segments == segment]
      own = packed[row][batch["decoder_segment_ids"][row] == segment]
      np.testing.assert_allclose(own, by_input[inputs.tobytes()], atol=1e-5, rtol=1e-5)
      compared += 1
  assert compared > 8


def test_scores_equal_minus_the_training_loss_of_the_answer(
  toy_task, toy_pools, tokenizer, network, params, pack_row
):
  settings = ProbeSettings(
    pool=toy_pools[1],
    shots=Shots(minimum=2, maximum=2),
    max_queries=3,
    seeds=(0,),
  )
  items = list(FourSettings().items(toy_task, settings))
  model = NativeModel(network, params)
  scores = ModelScorer(model, tokenizer, tokens_per_batch=512)(items)
  for item, answer in zip(items, scores, strict=True):
    pair = tokenizer.tokenize(item.prompt).pair
    row = pack_row([pair], 64, 16)
    batch = {name: np.stack([value] * 4) for name, value in row.items()}
    logits = _logits(network, params, batch)[:1]
    loss = sum_losses(logits, jnp.asarray(batch["decoder_target_tokens"][:1])).loss
    expected = answer.log_likelihoods[item.prompt.answer]
    np.testing.assert_allclose(-float(loss), expected, atol=1e-5, rtol=1e-5)
