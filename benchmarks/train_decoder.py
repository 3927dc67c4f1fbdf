"""A training step of a decoder-only model, against Transformers with the same weights.

  python benchmarks/train_decoder.py [FOLDER] [--rows 2] [--length 512]
    [--steps 3] [--turns 2] [--scored labels all]

FOLDER is a Transformers model; without one, a Llama of SmolLM2's size with random
weights is used. A step is the forward and backward pass and the update of AdamW, in
float32, on packed rows of four sequences. First only the last six tokens of each
sequence are scored, as in symbol tuning, then all tokens. Both sides compute logits for
the scored tokens alone. Each side has a process of its own, so that its memory can be
measured; the two take turns, and the best step counts. The script checks that the
losses of the first step are equal.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from decoder import HAS_PEER, model_folder

from symtune.data.batches.causal_batch import CausalBatch, lay_out_sequences
from symtune.data.batches.packing import PackedRow

SEQUENCES = 4  # of a row
LABEL = 6  # tokens of a label with its blank line
RATE = 1e-5


def make_batch(vocab: int, rows: int, length: int, *, scores_all: bool) -> CausalBatch:
  """Packed rows of random tokens."""
  rng = np.random.default_rng(0)
  size = length // SEQUENCES
  first = 1 if scores_all else size - LABEL
  places = np.arange(first, size, dtype=np.int32)
  packed = [
    PackedRow(
      inputs=rng.integers(3, vocab, SEQUENCES * size, dtype=np.int32),
      input_lengths=np.full(SEQUENCES, size, np.int32),
      targets=np.tile(places, SEQUENCES),
      target_lengths=np.full(SEQUENCES, len(places), np.int32),
    )
    for _ in range(rows)
  ]
  return lay_out_sequences(packed, length, SEQUENCES * len(places))


def our_step(folder: pathlib.Path, batch: CausalBatch) -> Callable[[], float]:
  """A step of symtune, which returns the mean loss before it."""
  import jax

  from symtune.convert.decoder.folder import read_decoder
  from symtune.convert.load import load_params
  from symtune.model.decoder.network import Decoder
  from symtune.train.optim import OptimSettings, make_optimizer, make_schedule
  from symtune.train.state import create_state
  from symtune.train.step import LossSettings, jit_train_step

  checkpoint = read_decoder(folder)
  settings = OptimSettings(name="adamw", learning_rate=RATE)
  params = load_params(checkpoint)
  optimizer = make_optimizer(settings, params)
  step = jit_train_step(
    network=Decoder(checkpoint.config),
    optimizer=optimizer,
    schedule=make_schedule(settings),
    loss_settings=LossSettings(z_loss=0.0),
  )
  held = [create_state(params, optimizer, 0)]
  del params
  on_device = jax.device_put(dict(batch))

  def run() -> float:
    state, metrics = step(held.pop(), on_device)
    held.append(jax.block_until_ready(state))
    return float(metrics.loss_nats) / float(metrics.loss_weight)

  return run


def their_step(folder: pathlib.Path, batch: CausalBatch) -> Callable[[], float]:
  """The same step of Transformers and PyTorch."""
  import torch
  import transformers

  model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
  model.train()
  optimizer = torch.optim.AdamW(
    model.parameters(), lr=RATE, weight_decay=0.0, fused=True
  )
  tensors = {name: torch.from_numpy(array).long() for name, array in batch.items()}
  segments = tensors["decoder_segment_ids"]
  same = segments[:, None, :, None] == segments[:, None, None, :]
  mask = same & torch.ones(same.shape[-2:], dtype=torch.bool).tril()
  is_scored = tensors["decoder_loss_weights"] > 0
  targets = tensors["decoder_target_tokens"][is_scored]

  def run() -> float:
    optimizer.zero_grad(set_to_none=True)
    vectors = model.base_model(
      input_ids=tensors["decoder_input_tokens"],
      position_ids=tensors["decoder_positions"],
      attention_mask=mask,
      use_cache=False,
    ).last_hidden_state
    logits = model.get_output_embeddings()(vectors[is_scored])
    loss = torch.nn.functional.cross_entropy(logits, targets)
    loss.backward()
    optimizer.step()
    return float(loss.detach())

  return run


SIDES = {"symtune": our_step, "transformers": their_step}
SCORED = {"labels": [], "all": ["--scores-all"]}  # and the options of a side


def measure(side: str, folder: pathlib.Path, args: argparse.Namespace) -> None:
  """Prints the figures of one side as JSON, without the step that compiles."""
  config = json.loads((folder / "config.json").read_text())
  batch = make_batch(
    config["vocab_size"], args.rows, args.length, scores_all=args.scores_all
  )
  step = SIDES[side](folder, batch)
  first, times = step(), []
  for _ in range(args.steps):
    start = time.perf_counter()
    step()
    times.append(time.perf_counter() - start)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # KiB to about GB
  print(json.dumps({"loss": first, "seconds": min(times), "peak_gb": round(peak, 2)}))


def in_own_process(side: str, folder: pathlib.Path, options: list[str]) -> Any:
  """The figures of one side."""
  command = [sys.executable, __file__, str(folder), "--side", side, *options]
  done = subprocess.run(command, capture_output=True, text=True)
  if done.returncode:
    sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
  return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
  """Measures both sides in turn."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("folder", nargs="?")
  parser.add_argument("--rows", type=int, default=2)
  parser.add_argument("--length", type=int, default=512)
  parser.add_argument("--steps", type=int, default=3)
  parser.add_argument("--turns", type=int, default=2)
  parser.add_argument("--scored", nargs="+", choices=SCORED, default=list(SCORED))
  parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
  parser.add_argument("--scores-all", action="store_true", help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.side is not None:
    measure(args.side, pathlib.Path(args.folder), args)
    return
  sides = [side for side in SIDES if HAS_PEER or side != "transformers"]
  shape = [f"--rows={args.rows}", f"--length={args.length}", f"--steps={args.steps}"]
  with model_folder(args.folder) as folder:
    for scored in args.scored:
      found: dict[str, list[Any]] = {side: [] for side in sides}
      for _ in range(args.turns):
        for side in sides:
          found[side].append(in_own_process(side, folder, shape + SCORED[scored]))
      report(scored, found, args.rows * args.length)


def report(scored: str, found: dict[str, list[Any]], tokens: int) -> None:
  """Prints a line per side and the ratio of speeds; losses have to be equal."""
  speeds = {}
  for side, turns in found.items():
    speeds[side] = tokens / min(turn["seconds"] for turn in turns)
    peak = max(turn["peak_gb"] for turn in turns)
    loss = turns[0]["loss"]
    print(
      f"{scored:6} scored, {side:12}: {speeds[side]:7.1f} tokens/s, peak {peak:.2f} GB,"
      f" first loss {loss:.5f}",
      flush=True,
    )
  if len(found) == 2:
    ours, theirs = (found[side][0]["loss"] for side in SIDES)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    ratio = speeds["symtune"] / speeds["transformers"]
    print(f"{scored:6} scored, symtune / transformers: {ratio:.2f}", flush=True)


if __name__ == "__main__":
  main()
