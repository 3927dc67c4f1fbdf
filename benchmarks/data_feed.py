"""Prompts and packed rows per second of our feed against SeqIO's, on the same prompts.

  python benchmarks/data_feed.py --data DATA --vocab spiece.model [--workers 2]

DATA holds `<task>.jsonl` of the 22 tuning tasks (data/tasks of the real data folder).
Both tokenize, trim and pack to 2048 + 512 slots with T5's vocabulary. SeqIO is handed
rendered prompts for nothing; ours also draws episodes and symbols in that time. Without
SeqIO it times ours alone. Start-up, caching and the first rows are not counted. SeqIO
has a process of its own, which ends before ours is timed, so that memory is ours alone.
Every figure stands beside its target; that of memory is measured on tasks enlarged to
300,000 rows.
"""

import argparse
import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib
import tempfile
import time

import psutil

from symtune.cards.card import Task
from symtune.cards.load import load_suite
from symtune.data.batches.batch import BatchStream
from symtune.data.batches.feed import prefetched_windows
from symtune.data.batches.windows import BatchShape
from symtune.data.ingredients import Ingredient
from symtune.data.mixture import Mixture
from symtune.data.text.symbols import PoolSplit, make_pool
from symtune.data.text.vocab import SentencePieceVocab
from symtune.data.tokens.stream import TokenStream
from symtune.data.tokens.tokenizer import PromptTokenizer

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


def make_mixture(tasks: tuple[Task, ...]) -> Mixture:
  """The paper's: symbols for labels, 2 to 10 exemplars per class."""
  return Mixture([(Ingredient(), tasks)], make_pool(PoolSplit.TUNING), seed=0)


def time_seqio(
  data: pathlib.Path, vocab: str, seconds: float
) -> dict[str, float] | None:
  """Rates of SeqIO, or None where it is not installed."""
  try:
    import seqio
    import tensorflow as tf
  except ImportError as error:
    print(f"SeqIO is not installed ({error}): timing ours alone.")
    return None
  mixture = make_mixture(load_suite("symbol_tuning_train", data))
  prompts = mixture.prompts(range(SHARED_PROMPTS))
  texts = {
    "inputs": [p.inputs for p in prompts],
    "targets": [p.choices[p.answer] for p in prompts],
  }
  vocabulary = seqio.SentencePieceVocabulary(vocab, extra_ids=100)
  features = {
    name: seqio.Feature(vocabulary, add_eos=True) for name in ("inputs", "targets")
  }
  lengths = {"inputs": SHAPE.input_length, "targets": SHAPE.target_length}
  stream = tf.data.Dataset.from_tensor_slices(texts).repeat()
  stream = seqio.preprocessors.tokenize(stream, features, copy_pretokenized=False)
  stream = seqio.preprocessors.append_eos_after_trim(stream, features, lengths)
  stream = seqio.EncDecFeatureConverter(pack=True)(stream, lengths)
  stream = stream.batch(SHAPE.batch_size).prefetch(tf.data.AUTOTUNE)
  batches = stream.as_numpy_iterator()
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


def time_peer(args: argparse.Namespace) -> dict[str, float] | None:
  """`time_seqio` in a process that ends with it."""
  spawn = multiprocessing.get_context("spawn")
  with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
    return pool.submit(time_seqio, args.data, args.vocab, args.seconds).result()


def time_rows(args: argparse.Namespace, rows: int) -> dict[str, float]:
  """Rates of ours with at least so many rows."""
  tasks = enlarge(load_suite("symbol_tuning_train", args.data), rows)
  tokenizer = PromptTokenizer(
    SentencePieceVocab(args.vocab),
    max_inputs=SHAPE.input_length,
    max_targets=SHAPE.target_length,
    min_exemplars_per_class=1,
  )
  with tempfile.TemporaryDirectory() as cache:
    start = time.perf_counter()
    stream = TokenStream(make_mixture(tasks), tokenizer, cache)
    count = sum(len(task.examples) for task in tasks)
    print(f"{count:,} rows tokenized once in {time.perf_counter() - start:.1f} s")
    del tasks  # what training needs is in the token cache
    return time_ours(stream, args.workers, args.seconds)


def main() -> None:
  """Prints the figures."""
  parser = argparse.ArgumentParser(description=__doc__)
  shared = pathlib.Path(os.environ.get("SYMTUNE_SHARED", "../shared")) / "data"
  parser.add_argument("--data", type=pathlib.Path, default=shared / "tasks")
  parser.add_argument("--vocab", default=str(shared / "t5_tokenizer" / "spiece.model"))
  parser.add_argument("--workers", type=int, default=2)
  parser.add_argument("--seconds", type=float, default=20.0)
  parser.add_argument("--rows", type=int, default=300_000, help="memory is for these")
  parser.add_argument("--skip-seqio", action="store_true")
  args = parser.parse_args()
  if not args.data.is_dir():
    print(f"{args.data} is missing: give the rows with --data; nothing is timed.")
    return
  peer = None if args.skip_seqio else time_peer(args)
  ours = time_rows(args, rows=1)
  many = time_rows(args, args.rows)
  for name, figures in (("symtune", ours), ("seqio", peer), ("many rows", many)):
    if figures:
      line = ", ".join(f"{key} {value:,.3f}" for key, value in figures.items())
      print(f"{name:9} {line}")
  print(f"prompts/s {ours['prompts/s']:,.0f} (target: 40,000)")
  if peer:
    ratio = ours["rows/s"] / peer["rows/s"]
    print(f"rows/s    {ratio:.2f} times SeqIO's (target: 10)")
  print(f"filled    {ours['filled']:.3f} of the encoder's slots (target: 0.97)")
  print(
    f"memory    {many['memory GB']:.2f} GB with {args.rows:,} rows (target: below 2)"
  )


if __name__ == "__main__":
  main()
