"""Prompts and packed rows per second of our feed against SeqIO's, on the same prompts.

  python benchmarks/data_feed.py --data DATA --vocab spiece.model [--workers 2]

DATA holds `<task>.jsonl` of the 22 tuning tasks (data/tasks of the real data folder).
Both tokenize, trim and pack to 2048 + 512 slots with T5's vocabulary. SeqIO is handed
rendered prompts for nothing; ours also draws episodes and symbols in that time. Without
SeqIO it times ours alone. Start-up, caching and the first rows are not counted.
"""

import argparse
import dataclasses
import os
import pathlib
import tempfile
import time

import psutil

from symtune.cards.card import Task
from symtune.cards.load import load_suite
from symtune.data.batches import BatchStream
from symtune.data.feed import prefetched_windows
from symtune.data.mixture import Ingredient, Mixture
from symtune.data.symbols import PoolSplit, make_pool
from symtune.data.token_stream import TokenStream
from symtune.data.tokens import PromptTokenizer
from symtune.data.vocab import SentencePieceVocab
from symtune.data.windows import BatchShape

SHAPE = BatchShape(batch_size=32, input_length=2048, target_length=512)
SHARED_PROMPTS = 20_000  # what SeqIO is handed, again and again


def enlarge(tasks: tuple[Task, ...], rows: int) -> tuple[Task, ...]:
  """The tasks with as many rows in all; those added are copies with a number."""
  total = sum(len(task.examples) for task in tasks)
  factor = -(-rows // total)
  return tuple(
    dataclasses.replace(
      task,
      examples=tuple(
        dataclasses.replace(
          e,
          row=copy * len(task.examples) + e.row,
          fields={k: f"{v} {copy}" if copy else v for k, v in e.fields.items()},
        )
        for copy in range(factor)
        for e in task.examples
      ),
    )
    for task in tasks
  )


def time_ours(stream: TokenStream, workers: int, seconds: float) -> dict[str, float]:
  """Rates of the feed as a training loop sees it, whole batches."""
  windows = (
    prefetched_windows(stream, SHAPE, seed=0, workers=workers) if workers else None
  )
  batches = BatchStream(stream, SHAPE, seed=0, windows=windows)
  for _ in range(40):  # windows built ahead while processes started are not counted
    next(batches)
  usage, before = Usage(), batches.counts
  start, rows, filled = time.perf_counter(), 0, 0
  while time.perf_counter() - start < seconds:
    batch = next(batches)
    rows += SHAPE.batch_size
    filled += int((batch["encoder_segment_ids"] > 0).sum())
  spent = time.perf_counter() - start
  prompts = batches.counts.prompts - before.prompts
  return {
    "prompts/s": prompts / spent,
    "rows/s": rows / spent,
    "filled": filled / (rows * SHAPE.input_length),
    "CPU ms/row": 1e3 * usage.cpu_seconds() / rows,
    "memory GB": usage.memory_gb(),
  }


def time_seqio(mixture: Mixture, vocab: str, seconds: float) -> dict[str, float] | None:
  """Rates of SeqIO, or None where it is not installed."""
  try:
    import seqio
    import tensorflow as tf
  except ImportError as error:
    print(f"SeqIO is not installed ({error}): timing ours alone.")
    return None
  prompts = [mixture.prompt(i) for i in range(SHARED_PROMPTS)]
  texts = {
    "inputs": [p.inputs for p in prompts],
    "targets": [p.choices[p.answer] for p in prompts],
  }
  vocabulary = seqio.SentencePieceVocabulary(vocab, extra_ids=100)
  features = {
    name: seqio.Feature(vocabulary, add_eos=True) for name in ("inputs", "targets")
  }
  lengths = {"inputs": SHAPE.input_length, "targets": SHAPE.target_length}
  data = tf.data.Dataset.from_tensor_slices(texts).repeat()
  data = seqio.preprocessors.tokenize(data, features, copy_pretokenized=False)
  data = seqio.preprocessors.append_eos_after_trim(data, features, lengths)
  data = seqio.EncDecFeatureConverter(pack=True)(data, lengths)
  data = data.batch(SHAPE.batch_size).prefetch(tf.data.AUTOTUNE)
  batches = data.as_numpy_iterator()
  next(batches)
  usage = Usage()
  start, rows, packed, filled = time.perf_counter(), 0, 0, 0
  while time.perf_counter() - start < seconds:
    batch = next(batches)
    rows += SHAPE.batch_size
    packed += int(batch["encoder_segment_ids"].max(axis=1).sum())
    filled += int((batch["encoder_segment_ids"] > 0).sum())
  spent = time.perf_counter() - start
  return {
    "prompts/s": packed / spent,
    "rows/s": rows / spent,
    "filled": filled / (rows * SHAPE.input_length),
    "CPU ms/row": 1e3 * usage.cpu_seconds() / rows,
    "memory GB": usage.memory_gb(),
  }


class Usage:
  """Processor time and memory of this process and its children."""

  def __init__(self):
    self._before = self._cpu()

  def cpu_seconds(self) -> float:
    """Processor time since the start, of all threads and processes."""
    return self._cpu() - self._before

  def memory_gb(self) -> float:
    """Memory now; pages that processes share count once."""
    return sum(p.memory_full_info().pss for p in self._processes()) / 1e9

  def _cpu(self) -> float:
    return sum(sum(p.cpu_times()[:2]) for p in self._processes())

  def _processes(self) -> list[psutil.Process]:
    process = psutil.Process()
    return [process, *process.children(recursive=True)]


def main() -> None:
  """Prints the figures."""
  parser = argparse.ArgumentParser(description=__doc__)
  shared = pathlib.Path(os.environ.get("SYMTUNE_SHARED", "../shared")) / "data"
  parser.add_argument("--data", type=pathlib.Path, default=shared / "tasks")
  parser.add_argument("--vocab", default=str(shared / "t5_tokenizer" / "spiece.model"))
  parser.add_argument("--workers", type=int, default=2)
  parser.add_argument("--seconds", type=float, default=20.0)
  parser.add_argument("--rows", type=int, default=0, help="enlarge the tasks to this")
  parser.add_argument("--skip-seqio", action="store_true")
  args = parser.parse_args()
  if not args.data.is_dir():
    print(f"{args.data} is missing: give the rows with --data; nothing is timed.")
    return
  tasks = load_suite("symbol_tuning_train", args.data)
  if args.rows:
    tasks = enlarge(tasks, args.rows)
  mixture = Mixture([Ingredient(tasks=tasks)], make_pool(PoolSplit.TUNING), seed=0)
  tokenizer = PromptTokenizer(
    SentencePieceVocab(args.vocab),
    max_inputs=SHAPE.input_length,
    max_targets=SHAPE.target_length,
    min_demos_per_class=1,
  )
  with tempfile.TemporaryDirectory() as cache:
    start = time.perf_counter()
    stream = TokenStream(mixture, tokenizer, cache)
    rows = sum(len(task.examples) for task in tasks)
    print(f"{rows:,} rows tokenized once in {time.perf_counter() - start:.1f} s")
    peer = None
    if args.skip_seqio:
      del mixture, tasks  # what training needs is in the token cache
    else:
      peer = time_seqio(mixture, args.vocab, args.seconds)
    ours = time_ours(stream, args.workers, args.seconds)
  for name, figures in (("symtune", ours), ("seqio", peer)):
    if figures:
      line = ", ".join(f"{key} {value:,.3f}" for key, value in figures.items())
      print(f"{name:8} {line}")
  if peer:
    print(f"ratio    {ours['rows/s'] / peer['rows/s']:.2f} (our rows/s / SeqIO's)")


if __name__ == "__main__":
  main()
