"""Speed on one GPU: training tokens and scored prompts per second. No network needed.

  python benchmarks/gpu.py [--out gpu.json] [--minutes 7.5] [--rehearse]

Trains T5 1.1 large and xl (rows of 2,048 + 512 tokens) and a Llama of 1B parameters
(rows of 2,048 tokens) with Adafactor: activations in bfloat16, parameters in float32,
random weights and random packed rows of four sequences without padding. Where T5X can
be imported, its network does the same work. Then each model of ours scores prompts of
512 tokens with two labels.

The number of rows and what the backward pass recomputes are the first of a short list
that fits the memory, by the bytes that the backward pass keeps, and then by trying. The
JSON file is written after every measurement, so a script that is stopped keeps what it
has; a measurement that the time no longer allows is left out. One step of each training
is profiled, and the three kinds of kernels that take most of its time are named.

MFU is the share of the card's nominal bfloat16 speed. Operations are counted from
shapes: 6 per parameter of a dense layer and token it is applied to (2 forward, 4
backward), and in attention 12 per pair of tokens, masked or not, and unit of width.
Recomputed operations and other work do not count.
"""

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from kernel_costs import largest_costs

from symtune.data.batches.batch import lay_out
from symtune.data.batches.causal_batch import lay_out_sequences
from symtune.data.batches.packing import PackedRow
from symtune.experiment.planning.costs import (
  row_activation_bytes,
  step_flops,
  tree_bytes,
)
from symtune.model.config import PublishedSize, T5Config, published_config
from symtune.model.decoder.cache import empty_cache
from symtune.model.decoder.config import DecoderConfig
from symtune.model.decoder.network import Decoder
from symtune.model.decoder.score import row_length, score_rows, tree_rows
from symtune.model.networks import make_network, param_shapes
from symtune.model.score import score_trees
from symtune.model.token_tree import batch_trees, make_tree, padded_nodes
from symtune.train.optim import OptimSettings, make_optimizer, make_schedule
from symtune.train.state import create_state
from symtune.train.step import LossSettings, jit_train_step

# Dense bfloat16 operations per second, from the makers' data sheets.
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
SEQUENCES = 4  # of a packed row
# Remat policy and rows of a batch, the fastest first.
TRIES = (
  *(("none", 32), ("none", 16), ("minimal", 32), ("none", 8), ("minimal", 16)),
  *(("full", 32), ("minimal", 8), ("full", 16), ("none", 4), ("full", 8), ("full", 2)),
)
GRACE = 15  # seconds after --minutes, when the script ends at once, with status 3
LEAST_SECONDS = {"train": 75, "score": 40}  # that a measurement may take
LLAMA_1B = DecoderConfig(
  vocab_size=128256,
  emb_dim=2048,
  num_layers=16,
  num_heads=32,
  num_kv_heads=8,
  head_dim=64,
  mlp_dim=8192,
  max_positions=2048,
  logits_via_embedding=True,
  dtype="bfloat16",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """What is measured.

  Attributes:
    models: settings by name.
    input_length: input slots of a row; of a decoder-only model, all slots.
    target_length: target slots of a row; of a decoder-only model, those scored.
    tries: remat policies and rows.
    prompts: prompts scored at once.
    prompt_length: tokens of each.
    seconds: time that steps are repeated for.
  """

  models: dict[str, T5Config | DecoderConfig]
  input_length: int
  target_length: int
  tries: tuple[tuple[str, int], ...]
  prompts: int
  prompt_length: int
  seconds: float


def full_plan() -> Plan:
  """The measurements on a GPU."""
  t5 = functools.partial(published_config, dtype=jnp.bfloat16, dropout_rate=0.0)
  return Plan(
    models={
      "t5_large": t5(PublishedSize.LARGE),
      "llama_1b": LLAMA_1B,
      "t5_xl": t5(PublishedSize.XL),
    },
    input_length=2048,
    target_length=512,
    tries=TRIES,
    prompts=64,
    prompt_length=512,
    seconds=5.0,
  )


def rehearsal_plan() -> Plan:
  """The same with tiny shapes, for a CPU."""
  small = {"vocab_size": 256, "emb_dim": 16, "num_heads": 2, "head_dim": 8}
  t5 = T5Config(
    **small,
    mlp_dim=16,
    num_encoder_layers=1,
    num_decoder_layers=1,
    mlp_activations=("gelu", "linear"),
    dropout_rate=0.0,
  )
  decoder = DecoderConfig(
    **small, mlp_dim=16, num_layers=1, num_kv_heads=1, max_positions=64
  )
  return Plan(
    models={"t5_tiny": t5, "llama_tiny": decoder},
    input_length=64,
    target_length=32,
    tries=(("minimal", 2),),
    prompts=2,
    prompt_length=32,
    seconds=0.1,
  )


def make_batch(config: Any, plan: Plan, rows: int) -> dict[str, np.ndarray]:
  """Rows of random tokens; a decoder-only model's sequences end with their labels."""
  rng = np.random.default_rng(0)
  size, scored = plan.input_length // SEQUENCES, plan.target_length // SEQUENCES
  is_decoder = isinstance(config, DecoderConfig)
  places = np.tile(np.arange(size - scored, size, dtype=np.int32), SEQUENCES)

  def ids(count: int) -> np.ndarray:
    return rng.integers(3, config.vocab_size, count, dtype=np.int32)

  packed = [
    PackedRow(
      inputs=ids(SEQUENCES * size),
      input_lengths=np.full(SEQUENCES, size, np.int32),
      targets=places if is_decoder else ids(SEQUENCES * scored),
      target_lengths=np.full(SEQUENCES, scored, np.int32),
    )
    for _ in range(rows)
  ]
  lay = lay_out_sequences if is_decoder else lay_out
  return dict(lay(packed, plan.input_length, plan.target_length))


def t5x_network(config: T5Config) -> Any:
  """T5X's network with the same sizes; raises ImportError without T5X."""
  from t5x.examples.t5 import network

  names = network.T5Config.__dataclass_fields__
  return network.Transformer(
    network.T5Config(**{name: getattr(config, name) for name in names})
  )


def fitting_tries(config: Any, plan: Plan, memory: float) -> Iterator[tuple[Any, int]]:
  """Settings and rows whose arrays leave a tenth of the memory free."""
  fixed = 2 * tree_bytes(param_shapes(make_network(config)))  # parameters, gradients
  for policy, rows in plan.tries:
    tried = dataclasses.replace(config, remat_policy=policy)
    kept = row_activation_bytes(tried, plan.input_length, plan.target_length)
    if fixed + rows * kept < 0.9 * memory:
      yield tried, rows


def train_seconds(
  network: Any, config: Any, plan: Plan, rows: int
) -> tuple[float, list[str]]:
  """Seconds per step after those that compile, and its three largest costs."""
  settings = OptimSettings(learning_rate=1e-3)
  params = draw_params(config)
  optimizer = make_optimizer(settings, params)
  step = jit_train_step(
    network=network,
    optimizer=optimizer,
    schedule=make_schedule(settings),
    loss_settings=LossSettings(),
  )
  batch = jax.device_put(make_batch(config, plan, rows))
  held = [create_state(params, optimizer, 0)]
  del params

  def run() -> Any:
    state, metrics = step(held.pop(), batch)
    held.append(state)
    return metrics.loss_nats

  seconds = seconds_of(run, plan.seconds)
  try:
    return seconds, largest_costs(run)
  except Exception as error:  # a failed profile must not cost the speed
    return seconds, [f"not profiled: {error!r:.100}"]


def seconds_of(run: Callable[[], Any], budget: float) -> float:
  """Mean seconds of a call; the first two do not count. Raises on a loss of NaN."""
  for _ in range(2):
    first = np.asarray(jax.block_until_ready(run()))
    assert np.isfinite(first).all(), "not a finite result"
  start, count = time.perf_counter(), 0
  while count < 3 or time.perf_counter() - start < budget:
    jax.block_until_ready(run())
    count += 1
  return (time.perf_counter() - start) / count


def draw_params(config: Any) -> Any:
  """Random parameters in float32, made on the device."""
  leaves, tree = jax.tree.flatten(param_shapes(make_network(config)))
  keys = jax.random.split(jax.random.key(0), len(leaves))

  @functools.partial(jax.jit, static_argnums=1)
  def draw(key, shape):
    return 0.02 * jax.random.normal(key, shape, jnp.float32)

  drawn = [draw(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
  return jax.tree.unflatten(tree, drawn)


def measure_training(
  name: str, side: str, plan: Plan, memory: float, peak: float | None, end: float
) -> dict[str, Any]:
  """A row of the table: the first try that fits, if it is begun before `end`."""
  config = plan.models[name]
  for tried, rows in fitting_tries(config, plan, memory):
    if time.monotonic() > end:
      return {"measured": f"train {name}, {side}", "error": "no time left"}
    if side == "t5x" and tried.remat_policy != "none":
      continue  # this network of T5X recomputes nothing
    network = make_network(tried) if side == "symtune" else t5x_network(tried)
    try:
      seconds, costs = train_seconds(network, tried, plan, rows)
    except jax.errors.JaxRuntimeError as error:
      if "RESOURCE_EXHAUSTED" not in str(error):
        raise
      continue
    targets = 0 if isinstance(config, DecoderConfig) else plan.target_length
    batches = types.SimpleNamespace(
      batch_size=rows, input_length=plan.input_length, target_length=plan.target_length
    )
    work: Any = types.SimpleNamespace(
      mixture=types.SimpleNamespace(batches=batches), model=tried
    )
    flops = step_flops(work, param_shapes(make_network(tried)))
    return {
      "measured": f"train {name}, {side}",
      "remat": tried.remat_policy,
      "rows": rows,
      "seconds": seconds,
      "tokens_per_second": rows * (plan.input_length + targets) / seconds,
      "tflops": flops / seconds / 1e12,
      "mfu": flops / seconds / peak if peak else None,
      "largest_costs": costs,
    }
  return {"measured": f"train {name}, {side}", "error": "nothing fits the memory"}


def measure_scoring(name: str, plan: Plan) -> dict[str, Any]:
  """A row of the table: prompts with two labels of three tokens."""
  config = plan.models[name]
  params, network = draw_params(config), make_network(config)
  tree = make_tree([[5, 6, 1], [7, 8, 1]])
  trees, nodes = [tree] * plan.prompts, padded_nodes([tree])
  shape = (plan.prompts, plan.prompt_length)
  inputs = np.random.default_rng(0).integers(3, config.vocab_size, shape, np.int32)
  score: Callable[[], Any]
  if isinstance(config, DecoderConfig):
    rows = tree_rows(
      list(inputs),
      trees,
      start=0,
      row_of=range(plan.prompts),
      shape=(plan.prompts, row_length(inputs[0], tree)),
      prompts=plan.prompts,
      nodes=nodes,
    )
    prefix = empty_cache(config, batch=1, slots=0)
    decoder = jax.jit(functools.partial(score_rows, Decoder(config)))
    score = functools.partial(decoder, params, prefix, jax.device_put(rows))
  else:
    batch = batch_trees(trees, plan.prompts, nodes)
    encoder = jax.jit(functools.partial(score_trees, network))
    score = functools.partial(encoder, params, jax.device_put(inputs), batch)
  seconds = seconds_of(score, plan.seconds)
  return {
    "measured": f"score {name}, symtune",
    "rows": plan.prompts,
    "seconds": seconds,
    "prompts_per_second": plan.prompts / seconds,
  }


def has_t5x() -> bool:
  """Whether T5X's network can be imported here."""
  try:
    import t5x.examples.t5.network  # noqa: F401

    return True
  except Exception as error:  # its dependencies fail in many ways
    print(f"T5X is left out: {error!r:.200}")
    return False


def measurements(
  plan: Plan, memory: float, peak: float | None, end: float, with_t5x: bool
) -> Iterator[tuple[str, str, Callable[[], dict[str, Any]]]]:
  """Kind, name and work of each measurement, the most wanted first."""
  last = end - LEAST_SECONDS["train"]
  known = {"plan": plan, "memory": memory, "peak": peak, "end": last}
  train = functools.partial(measure_training, **known)
  for name in plan.models:
    yield "train", name, functools.partial(train, name, "symtune")
  for name, config in plan.models.items():
    if with_t5x and isinstance(config, T5Config):
      yield "train", f"{name} of T5X", functools.partial(train, name, "t5x")
    yield "score", name, functools.partial(measure_scoring, name, plan)


def show(row: dict[str, Any]) -> None:
  """Prints a row of the table."""
  if "error" in row:
    print(f"{row['measured']:28} {row['error']}", flush=True)
    return
  speed = row.get("tokens_per_second") or row["prompts_per_second"]
  unit = "tokens/s" if "tokens_per_second" in row else "prompts/s"
  mfu = f", {row['tflops']:.1f} TFLOP/s" if "tflops" in row else ""
  mfu += f", MFU {row['mfu']:.1%}" if row.get("mfu") else ""
  about = f"{row['rows']} rows" + (f", remat {row['remat']}" if "remat" in row else "")
  print(f"{row['measured']:28} {speed:10.1f} {unit}{mfu} ({about})", flush=True)
  if "largest_costs" in row:
    print(f"{'':28} most time: {'; '.join(row['largest_costs'])}", flush=True)


def main() -> None:
  """Measures, prints and writes."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu.json"))
  parser.add_argument("--minutes", type=float, default=7.5)
  parser.add_argument("--rehearse", action="store_true", help="tiny shapes, any device")
  args = parser.parse_args()
  end = time.monotonic() + (60 * args.minutes if not args.rehearse else 3600)
  if not args.rehearse:  # the file has what was measured until then
    watch = threading.Timer(60 * args.minutes + GRACE, os._exit, [3])
    watch.daemon = True  # it does not keep a script that is done
    watch.start()
  device = jax.devices()[0]
  if device.platform == "cpu" and not args.rehearse:
    parser.error("no GPU was found; --rehearse runs tiny shapes on a CPU")
  plan = rehearsal_plan() if args.rehearse else full_plan()
  memory = (device.memory_stats() or {}).get("bytes_limit", 4e9)
  peak = next((p for n, p in PEAK.items() if n in device.device_kind), None)
  report: dict[str, Any] = {
    "device": device.device_kind,
    "jax": jax.__version__,
    "memory_gb": memory / 1e9,
    "peak_tflops": peak and peak / 1e12,
    "results": [],
  }
  print(f"{device.device_kind}, {memory / 1e9:.0f} GB, jax {jax.__version__}")
  for kind, name, work in measurements(plan, memory, peak, end, has_t5x()):
    if end - time.monotonic() < LEAST_SECONDS[kind]:
      row = {"measured": f"{kind} {name}", "error": "no time left"}
    else:
      try:
        row = work()
      except Exception as error:  # one failure must not cost the other figures
        row = {"measured": f"{kind} {name}", "error": f"{error!r:.500}"}
    show(row)
    report["results"].append(row)
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
  main()
