"""Prompts that a decoder-only model scores per second: ours and lm-evaluation-harness.

  python benchmarks/score_decoder.py FOLDER --data ROWS [--prompts 40]
    [--peer-prompts 8] [--batches 4] [--repeats 2]

FOLDER is a Transformers model with its tokenizer, such as SmolLM2-135M; ROWS holds
`subj.jsonl` and `trec.jsonl`. Prompts show four exemplars of each class of these tasks,
which have two and six labels. Both sides get the same ids and compute in float32:

- symtune, exemplars per query and per seed (one set of exemplars for all prompts);
- lm-eval: lm-evaluation-harness's causal model, the log-likelihood of every label, at
  its default batch size (1) and at each of --batches.

Each side runs in a process of its own, whose largest memory is that of the scoring, not
of the loading. lm-eval is slower, so it gets fewer prompts of the same kind. The first
pass, which compiles, is left out, and the best of the repeats counts.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

TASKS = {2: "subj", 6: "trec"}
SHOTS = 4


def main() -> None:
  """Runs both sides and prints the figures."""
  parser = argparse.ArgumentParser(description="Scores per second, ours and lm-eval's.")
  parser.add_argument("folder", type=pathlib.Path)
  parser.add_argument("--data", type=pathlib.Path, required=True)
  parser.add_argument("--prompts", type=int, default=40)
  parser.add_argument("--peer-prompts", type=int, default=8)
  parser.add_argument("--batches", type=int, nargs="*", default=[4])
  parser.add_argument("--repeats", type=int, default=2)
  parser.add_argument("--labels", type=int, nargs="*", default=list(TASKS))
  parser.add_argument("--tokens", type=int, default=2048, help="of a batch of ours")
  parser.add_argument("--side", choices=("symtune", "lm-eval"))
  args = parser.parse_args()
  if args.side == "symtune":
    print(json.dumps(score_ours(args)))
  elif args.side == "lm-eval":
    print(json.dumps(score_theirs(args)))
  else:
    report(args, *(run_side(name) for name in ("symtune", "lm-eval")))


def run_side(name: str) -> dict:
  """Runs this script for one side; the last line that it prints is the result."""
  command = [sys.executable, *sys.argv, "--side", name]
  done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
  return json.loads(done.stdout.splitlines()[-1])


def make_items(args: argparse.Namespace, labels: int, exemplars: str) -> list:
  """Questions about a real task with its own label words."""
  from symtune.cards.examples import read_task
  from symtune.cards.load import load_card
  from symtune.data.draw.index import Shots
  from symtune.data.text.symbols import ALL_CATEGORIES, PoolSplit, make_pool
  from symtune.probe.ask import Asker, Question
  from symtune.probe.probe import ExemplarSets, ProbeSettings

  task = read_task(load_card(TASKS[labels]), args.data)
  settings = ProbeSettings(
    pool=make_pool(PoolSplit.EVALUATION, ALL_CATEGORIES, 50),
    shots=Shots(minimum=SHOTS, maximum=SHOTS),
    max_queries=args.prompts,
    seeds=(0,),
    exemplars=ExemplarSets(exemplars),
  )
  asker = Asker("speed", task, settings)
  return [
    asker.item(
      0,
      Question(
        setting="speed", episode=asker.episode(0, query), context=None, prior=None
      ),
    )
    for query in asker.queries
  ]


def score_ours(args: argparse.Namespace) -> dict:
  """Seconds, memory and log-likelihoods by labels and kind of exemplars."""
  from symtune.convert.decoder.folder import read_decoder
  from symtune.convert.load import load_params
  from symtune.convert.tokenizer.causal import read_causal_vocab
  from symtune.data.tokens.causal import CausalTokenizer
  from symtune.model.decoder.network import Decoder
  from symtune.probe.answer.model_scorer import ModelScorer
  from symtune.probe.answer.native_decoder import NativeDecoder

  tokenizer = CausalTokenizer(read_causal_vocab(args.folder))
  checkpoint = read_decoder(args.folder)
  model = NativeDecoder(Decoder(checkpoint.config), load_params(checkpoint))
  found = {}
  forget_peak()
  for labels in args.labels:
    for exemplars in ("per_query", "per_seed"):
      items = make_items(args, labels, exemplars)

      def score(items=items):
        return ModelScorer(model, tokenizer, tokens_per_batch=args.tokens)(items)

      timing = best_time(score, args.repeats)
      found[f"{labels} {exemplars}"] = {
        "seconds": timing.seconds,
        "processor_seconds": timing.processor_seconds,
        "compiling": timing.first_seconds - timing.seconds,
        "prompts": len(items),
        "scores": [score.log_likelihoods for score in timing.result],
      }
  return {"found": found, "megabytes": peak_megabytes()}


def score_theirs(args: argparse.Namespace) -> dict:
  """The same of lm-evaluation-harness, by labels, kind of exemplars and batch size."""
  import torch
  from lm_eval.models.huggingface import HFLM

  from symtune.convert.tokenizer.causal import read_causal_vocab
  from symtune.data.tokens.causal import CausalTokenizer

  tokenizer = CausalTokenizer(read_causal_vocab(args.folder))
  harness = HFLM(
    pretrained=str(args.folder), device="cpu", dtype=torch.float32, batch_size=1
  )
  found = {}
  forget_peak()
  for labels in args.labels:
    for exemplars in ("per_query", "per_seed"):
      items = make_items(args, labels, exemplars)[: args.peer_prompts]
      prompts = [tokenizer.tokenize(item.prompt) for item in items]
      asked = [
        (("", f"{number}"), prompt.inputs.tolist(), choice.tolist())
        for number, prompt in enumerate(prompts)
        for choice in prompt.choices
      ]
      for batch in (1, *args.batches):
        harness.batch_size_per_gpu = batch

        def score(asked=asked):
          return harness._loglikelihood_tokens(asked, disable_tqdm=True)

        # Nothing is compiled, so that the first pass counts, too.
        timing = best_time(score, args.repeats - 1)
        values = iter(timing.result)
        found[f"{labels} {exemplars} {batch}"] = {
          "seconds": timing.seconds,
          "processor_seconds": timing.processor_seconds,
          "prompts": len(items),
          "scores": [[next(values)[0] for _ in p.choices] for p in prompts],
        }
  return {"found": found, "megabytes": peak_megabytes()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
  """What a work took: the best time, that of the processors, and its result."""

  seconds: float
  processor_seconds: float
  first_seconds: float
  result: Any


def best_time(work: Callable[[], Any], repeats: int) -> Timing:
  """Does it once more than the repeats; the first time counts if there are none."""
  times = []
  for _ in range(repeats + 1):
    start = time.perf_counter(), time.process_time()
    result = work()
    times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
  counted = times[1:] or times
  return Timing(
    seconds=min(wall for wall, _ in counted),
    processor_seconds=min(processor for _, processor in counted),
    first_seconds=times[0][0],
    result=result,
  )


def forget_peak() -> None:
  """Starts the measurement of the largest memory (Linux)."""
  pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes() -> float:
  """The largest memory since then."""
  status = pathlib.Path("/proc/self/status").read_text()
  (kilobytes,) = re.findall(r"VmHWM:\s+(\d+)", status)
  return int(kilobytes) / 1e3


def report(args: argparse.Namespace, ours: dict, theirs: dict) -> None:
  """Prints a block for each number of labels, then the memory."""
  for labels in args.labels:
    print(f"{labels} labels ({TASKS[labels]}), {SHOTS} exemplars per class")
    for exemplars in ("per_query", "per_seed"):
      show(labels, exemplars, (1, *args.batches), ours["found"], theirs["found"])
  print(
    f"largest memory while scoring: symtune {ours['megabytes']:.0f} MB, lm-eval "
    f"{theirs['megabytes']:.0f} MB"
  )


def show(labels: int, exemplars: str, batches: tuple[int, ...], ours, theirs) -> None:
  """Prints the speeds of both sides at one kind of exemplars."""
  mine = ours[f"{labels} {exemplars}"]
  print(
    f"  {exemplars}: symtune {speeds(mine)}; {mine['compiling']:.1f} s of compiling"
  )
  peers = [theirs[f"{labels} {exemplars} {batch}"] for batch in batches]
  for batch, peer in zip(batches, peers, strict=True):
    print(f"    lm-eval, batch size {batch}: {speeds(peer)}")
  wall, processor = (
    min(peer[key] / peer["prompts"] for peer in peers) * mine["prompts"] / mine[key]
    for key in ("seconds", "processor_seconds")
  )
  worst = max(
    np.abs(np.subtract(a, b)).max()
    for peer in peers
    for a, b in zip(mine["scores"], peer["scores"], strict=False)
  )
  print(
    f"    symtune is {wall:.1f}x ({processor:.1f}x by the processors' time); "
    f"log-likelihoods differ by at most {worst:.1e}"
  )
  assert worst < 1e-3, "the scores differ: these are not the same numbers"


def speeds(side: dict[str, Any]) -> str:
  """Prompts per second, and the seconds that they are from."""
  speed = side["prompts"] / side["seconds"]
  return (
    f"{speed:.2f} prompts/s ({side['prompts']} in {side['seconds']:.2f} s, "
    f"{side['processor_seconds']:.2f} s of the processors)"
  )


if __name__ == "__main__":
  main()
