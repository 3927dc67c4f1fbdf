"""Plans: known sizes, work by hand, memory beside the compiler's, refusals."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import pytest

from symtune.cli.gin_config import load_recipe
from symtune.cli.plan import layout_options
from symtune.data.batches.windows import BatchShape
from symtune.errors import SymtuneError
from symtune.experiment.planning.costs import row_activation_bytes
from symtune.experiment.planning.plan import Workload, find_layout, make_plan
from symtune.experiment.planning.slices import find_slice
from symtune.model.config import T5Config
from symtune.model.decoder.config import DecoderConfig
from symtune.model.decoder.network import Decoder
from symtune.model.decoder.network import param_shapes as decoder_shapes
from symtune.model.forward import score_batch
from symtune.model.loss import sum_losses
from symtune.model.network import Transformer, param_shapes
from symtune.train.optim import OptimizerName
from symtune.train.partition import Layout

TINY = T5Config(
  vocab_size=64,
  emb_dim=16,
  num_heads=2,
  num_encoder_layers=1,
  num_decoder_layers=1,
  head_dim=4,
  mlp_dim=32,
  mlp_activations=("gelu", "linear"),
)

DECODER = DecoderConfig(
  vocab_size=64,
  emb_dim=16,
  num_layers=2,
  num_heads=2,
  num_kv_heads=1,
  head_dim=4,
  mlp_dim=32,
)


def make_recipe(model=TINY, batch=8, enc=12, dec=6, steps=100):
  recipe, _ = load_recipe("real_text_tiny")
  shape = BatchShape(batch_size=batch, input_length=enc, target_length=dec)
  return dataclasses.replace(
    recipe,
    model=model,
    mixture=dataclasses.replace(recipe.mixture, batches=shape),
    train=dataclasses.replace(recipe.train, steps=steps),
  )


def test_a_slice_is_its_devices():
  assert find_slice("v4-32").devices == 16  # TensorCores, two a device
  assert find_slice("v3-8").devices == 8
  assert find_slice("v5e-16").devices == 16
  assert find_slice("h100-8").memory == 80 * 10**9


@pytest.mark.parametrize("name", ["v4", "v4-3", "v4-0", "v9-8", "32"])
def test_an_unknown_slice_is_refused(name):
  with pytest.raises(SymtuneError, match="--slice"):
    find_slice(name)


def test_flops_of_a_step_by_hand():
  # Per row: encoder attention 4 kernels of 16x8 and mlp 3 of 16x32 at 12 positions;
  # decoder self-attention, mlp and output 16x64 at 6; cross query and out at 6, key and
  # value at 12. Attention: 4 * pairs * 8.
  enc = 2 * 12 * (4 * 128 + 3 * 512)
  dec = 2 * 6 * (4 * 128 + 3 * 512 + 2 * 128 + 1024) + 2 * 12 * (2 * 128)
  pairs = 4 * 8 * (12 * 12 + 6 * (6 + 12))
  assert Workload(make_recipe()).step_flops == 3 * 8 * (enc + dec + pairs)


def test_flops_of_a_decoders_step_by_hand():
  # Per row of 12 slots, 6 of them scored: query and out 16x8, key and value 16x4, mlp 3
  # of 16x32; the output, 16x64, at the scored slots alone. Two layers.
  for is_tied in (False, True):
    model = dataclasses.replace(DECODER, logits_via_embedding=is_tied)
    layer = 2 * 12 * (2 * 16 * 8 + 2 * 16 * 4 + 3 * 16 * 32) + 4 * 8 * 12 * 12
    output = 2 * 6 * 16 * 64
    work = Workload(make_recipe(model=model))
    assert work.step_flops == 3 * 8 * (2 * layer + output)


def test_time_is_work_over_peak():
  work = Workload(make_recipe(batch=8, steps=3600))
  plan = make_plan(work, find_slice("v5e-4"), Layout(), mfu=0.5)
  assert plan.step_seconds == pytest.approx(work.step_flops / (4 * 197e12 * 0.5))
  assert plan.hours == pytest.approx(plan.step_seconds)
  assert plan.rows_per_device == 2


def test_t5_small_has_its_parameters_and_checkpoint():
  recipe, _ = load_recipe("flan_t5_small", ["mixture.input_length=64"])
  plan = make_plan(Workload(recipe), find_slice("v4-8"), Layout())
  assert plan.parameters == 76_961_152
  assert plan.param_bytes == 4 * 76_961_152
  # Factored moments are about a row and a column of each matrix.
  assert 4 * 76_961_152 < plan.checkpoint_bytes < 4.05 * 76_961_152


def test_cuts_divide_parameters_and_activations():
  recipe = make_recipe(batch=8)
  target = find_slice("v5e-4")
  whole = make_plan(Workload(recipe), target, Layout())
  cut = make_plan(Workload(recipe), target, Layout(shard_params=True))
  halves = make_plan(Workload(recipe), target, Layout(microbatches=2))
  pairs = make_plan(Workload(recipe), target, Layout(model_devices=2))
  assert cut.param_bytes < 0.35 * whole.param_bytes
  assert halves.activation_bytes * 2 == whole.activation_bytes
  assert pairs.param_bytes < 0.6 * whole.param_bytes
  assert pairs.step_flops == whole.step_flops


def test_moments_are_cut_as_their_parameters():
  recipe = make_recipe(batch=8)
  adamw = dataclasses.replace(recipe.optimizer, name=OptimizerName.ADAMW)
  work = Workload(dataclasses.replace(recipe, optimizer=adamw))
  target = find_slice("v5e-4")
  for layout in (Layout(), Layout(shard_params=True), Layout(model_devices=2)):
    plan = make_plan(work, target, layout)
    counts = plan.optimizer_bytes - 2 * plan.param_bytes
    assert 0 < counts <= 16  # two moments a parameter, and the step
  whole = make_plan(work, target, Layout(shard_params=True))
  assert whole.checkpoint_bytes == 3 * 4 * whole.parameters + counts


@pytest.mark.parametrize("layout", [Layout(shard_params=True), Layout(model_devices=2)])
def test_plans_cut_a_state_as_training_does(layout):
  from symtune.train.optim import make_optimizer
  from symtune.train.partition import (
    layout_rules,
    make_mesh,
    param_shardings,
    state_shardings,
  )
  from symtune.train.state import create_state

  recipe = make_recipe()
  target = dataclasses.replace(find_slice("v5e-4"), devices=jax.device_count())
  for name in OptimizerName:
    settings = dataclasses.replace(recipe.optimizer, name=name)
    work = Workload(dataclasses.replace(recipe, optimizer=settings))
    create = functools.partial(
      create_state, optimizer=make_optimizer(settings, work.shapes), seed=0
    )
    state = jax.eval_shape(create, work.shapes)
    mesh = make_mesh(model_devices=layout.model_devices)
    params = param_shardings(state.params, work.axes, mesh, layout_rules(layout))
    shardings = state_shardings(state, params, mesh)

    def local_bytes(leaf, sharding):
      return math.prod(sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize

    plan = make_plan(work, target, layout)
    for found, shapes, cut in (
      (plan.param_bytes, state.params, params),
      (plan.optimizer_bytes, state.opt_state, shardings.opt_state),
    ):
      assert found == sum(jax.tree.leaves(jax.tree.map(local_bytes, shapes, cut)))


def test_micro_batches_hold_a_sum_beside_the_newest_gradient():
  work, target = Workload(make_recipe()), find_slice("v5e-4")
  one = make_plan(work, target, Layout())
  two = make_plan(work, target, Layout(microbatches=2))
  assert one.gradient_bytes == one.param_bytes
  assert two.gradient_bytes == 2 * two.param_bytes


@pytest.mark.parametrize("rows", [4, 8])
def test_activations_are_near_what_the_compiler_sets_aside(rows):
  config = TINY.replace(emb_dim=64, mlp_dim=256, num_encoder_layers=2, head_dim=16)
  network = Transformer(config=config)
  inputs = jax.ShapeDtypeStruct((rows, 64), jnp.int32)
  targets = jax.ShapeDtypeStruct((rows, 16), jnp.int32)

  def loss(params, inputs, targets):
    rngs = {"dropout": jax.random.key(0)}
    logits = network.apply({"params": params}, inputs, targets, targets, rngs=rngs)
    return sum_losses(logits, targets, targets, targets).loss

  shapes = param_shapes(network)
  compiled = jax.jit(jax.grad(loss)).lower(shapes, inputs, targets).compile()
  temporary = compiled.memory_analysis().temp_size_in_bytes
  estimate = rows * row_activation_bytes(config, 64, 16)
  assert 0.4 < temporary / estimate < 2.5


@pytest.mark.parametrize("rows", [4, 8])
def test_activations_of_a_decoder_are_near_what_the_compiler_sets_aside(rows):
  config = dataclasses.replace(DECODER, emb_dim=64, mlp_dim=256, head_dim=16)
  network = Decoder(config)
  tokens = jax.ShapeDtypeStruct((rows, 64), jnp.int32)
  slots = jax.ShapeDtypeStruct((rows, 16), jnp.int32)
  features = (
    *("input_tokens", "target_tokens", "loss_weights"),
    *("segment_ids", "positions", "causal_attention"),
  )
  batch = {**{f"decoder_{name}": tokens for name in features}, "scored_slots": slots}

  def loss(params, batch):
    found = score_batch(network, params, batch, jax.random.key(0))
    return sum_losses(found.logits, found.targets, found.weights).loss

  shapes = decoder_shapes(network)
  compiled = jax.jit(jax.grad(loss)).lower(shapes, batch).compile()
  temporary = compiled.memory_analysis().temp_size_in_bytes
  estimate = rows * row_activation_bytes(config, 64, 16)
  assert 0.4 < temporary / estimate < 2.5


def test_what_cannot_fit_is_refused_with_a_layout_that_does(capsys):
  from symtune.cli.plan import plan

  huge = ["T5Config.num_encoder_layers=1", "T5Config.num_decoder_layers=1"]
  huge = [f"--gin.{line}" for line in [*huge, "mixture.input_length=512"]]
  with pytest.raises(
    SymtuneError, match=r"which has 14\.72 GiB to use\. It fits with --"
  ):
    plan(
      "flan_t5_xxl", [*huge, "--gin.T5Config.mlp_dim=262144"], "v5e-8", Layout(), 0.3
    )
  assert "parameters, per device" in capsys.readouterr().out


def test_a_slice_that_is_too_small_in_any_layout_is_said_to_be():
  from symtune.cli.plan import plan

  options = [
    "--gin.T5Config.num_encoder_layers=1",
    "--gin.T5Config.num_decoder_layers=1",
  ]
  options += ["--gin.T5Config.mlp_dim=4194304", "--gin.mixture.input_length=64"]
  with pytest.raises(SymtuneError, match="choose a larger slice"):
    plan("flan_t5_xxl", options, "v5e-1", Layout(), 0.3)


@pytest.mark.parametrize(
  ("layout", "message"),
  [
    (Layout(model_devices=3), "do not divide into groups of 3"),
    (Layout(model_devices=4), "num_heads, 2, does not divide"),
    (Layout(microbatches=4), "does not divide into 16 parts"),
  ],
)
def test_a_layout_that_does_not_divide_is_refused(layout, message):
  with pytest.raises(SymtuneError, match=message):
    make_plan(Workload(make_recipe()), find_slice("v5e-4"), layout)


def test_the_layout_found_fits_and_is_named():
  recipe, target = make_recipe(), find_slice("v5e-4")
  layout = find_layout(Workload(recipe), target)
  assert make_plan(Workload(recipe), target, layout).fits
  assert layout_options(Layout()) == "the defaults"
  named = layout_options(Layout(model_devices=2, shard_params=True, microbatches=4))
  assert named == "--model-devices 2 --shard-params --microbatches 4"


def test_cores_of_this_machine_are_one_device():
  two, four = find_slice("cpu-2"), find_slice("cpu-4")
  assert two.devices == four.devices == 1
  assert four.flops == 2 * two.flops
  assert make_plan(Workload(make_recipe()), two, Layout()).fits
  with pytest.raises(SymtuneError, match="Did you mean 'h100'"):
    find_slice("h10-8")
