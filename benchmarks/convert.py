"""Our reading and converting of a 3B checkpoint against Transformers' reading of it.

  python benchmarks/convert.py [--size xl] [--dtype float32] [--repeats 2]

Makes a synthetic Flan-T5 of that size in Hugging Face format (xl: 2.85 billion numbers,
11.4 GB in float32, written once and removed at the end), then times, each in a process
of its own with its peak memory:

  load          symtune: all tensors onto the first device
  transformers  T5ForConditionalGeneration.from_pretrained, same files, same type, until
                every page of the files, which it maps to memory, has been read
  convert t5x   symtune convert to msgpack + zarr, reading and writing tensor by tensor
  convert hf    symtune convert to Hugging Face format again

Files are on the disk alone when a process starts, as after a download by another job.
Both readers read twice: the first time is a whole start, with imports, the disk, and
what a virtual machine takes to be given memory by its host; the second finds the files
in memory, where Transformers need not copy them: it maps them. The ratios are
Transformers' time over ours. Conversions have a bound on memory: 1.3 times the largest
tensor plus 1 GB. Without Transformers ours run alone.
"""

import argparse
import functools
import importlib.util
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

PAGE_BYTES = 4096


def make_checkpoint(folder: pathlib.Path, size: str, dtype: str) -> int:
  """Writes the synthetic checkpoint; returns the bytes of its largest tensor."""
  import jax.numpy as jnp

  from symtune.convert.huggingface import write_huggingface
  from symtune.convert.tensors import LazyTensor, SourceCheckpoint, expected_shapes
  from symtune.model.config import PublishedSize, published_config

  config = published_config(PublishedSize(size))
  block = np.random.default_rng(0).normal(size=2**20).astype(jnp.dtype(dtype)) * 0.02

  def tensor(shape: tuple[int, ...]) -> LazyTensor:
    return LazyTensor(
      shape=shape, dtype=block.dtype, read=lambda: np.resize(block, shape)
    )

  tensors = {name: tensor(shape) for name, shape in expected_shapes(config).items()}
  source = SourceCheckpoint(where="synthetic", config=config, tensors=tensors)
  for _ in write_huggingface(folder, source, dtype=np.dtype(jnp.dtype(dtype))):
    pass
  return max(int(np.prod(t.shape)) for t in tensors.values()) * block.dtype.itemsize


def run_mode(mode: str, folder: pathlib.Path, dtype: str) -> None:
  """Does the work in this process and prints its seconds and peak memory as JSON."""
  work = WORK[mode]
  seconds = []
  for _ in range(2 if mode in READERS else 1):
    start = time.perf_counter()
    work(folder, dtype)
    seconds.append(time.perf_counter() - start)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  print(json.dumps({"seconds": seconds[0], "again": seconds[-1], "peak": peak}))


def load(folder: pathlib.Path, dtype: str) -> None:
  """All tensors onto the first device."""
  from symtune.convert.load import load_params
  from symtune.convert.source import open_checkpoint

  assert load_params(open_checkpoint(folder), dtype=dtype)


def load_transformers(folder: pathlib.Path, dtype: str) -> None:
  """Transformers' own reading, until all of it has been read."""
  import torch
  import transformers

  kind = getattr(torch, dtype)
  model = transformers.T5ForConditionalGeneration.from_pretrained(folder, dtype=kind)
  for parameter in model.parameters():
    assert parameter.device.type == "cpu"
    # A file mapped to memory is not read yet: one number of every page is.
    numbers = PAGE_BYTES // parameter.element_size()
    assert torch.isfinite(parameter.detach().reshape(-1)[::numbers].sum())


def convert_to(format_name: str, folder: pathlib.Path, dtype: str) -> None:
  """One conversion, written beside the model."""
  from symtune.convert.convert import Destination, Format, convert
  from symtune.convert.source import open_checkpoint

  place = folder.with_name("converted")
  destination = Destination(path=place, format=Format(format_name), dtype=dtype)
  convert(open_checkpoint(folder), destination)


WORK = {
  "load": load,
  "transformers": load_transformers,
  "convert t5x": functools.partial(convert_to, "t5x"),
  "convert hf": functools.partial(convert_to, "huggingface"),
}
READERS = ("load", "transformers")


def leave_cache(folder: pathlib.Path) -> None:
  """Takes the files out of memory, where they are since they were written or read."""
  for path in folder.iterdir():
    with path.open("rb") as file:
      os.fsync(file.fileno())
      os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(mode: str, folder: pathlib.Path, dtype: str) -> dict[str, float]:
  """One run in a fresh process, with files that are on the disk alone."""
  leave_cache(folder)
  shutil.rmtree(folder.with_name("converted"), ignore_errors=True)
  command = [sys.executable, __file__, "--mode", mode, "--folder", str(folder)]
  done = subprocess.run(
    [*command, "--dtype", dtype], check=True, stdout=subprocess.PIPE, text=True
  )
  return json.loads(done.stdout.splitlines()[-1])


def compare(folder: pathlib.Path, dtype: str, repeats: int, largest: int) -> None:
  """Measures every mode in turn and prints the best of the repeats."""
  modes = [m for m in WORK if m != "transformers" or has_transformers()]
  best: dict[str, dict[str, float]] = {mode: {} for mode in modes}
  for _ in range(repeats):
    for mode in modes:
      for key, value in measure(mode, folder, dtype).items():
        best[mode][key] = min(value, best[mode].get(key, value))
  for mode, found in best.items():
    again = f", again {found['again']:6.1f} s" if mode in READERS else ""
    peak = f"peak {found['peak'] / 1e9:6.2f} GB"
    print(f"{mode:14} {found['seconds']:7.1f} s  {peak}{again}")
  bound = 1.3 * largest + 1e9
  for mode in ("convert t5x", "convert hf"):
    share = best[mode]["peak"] / bound
    holds = "holds" if share <= 1 else "DOES NOT HOLD"
    print(f"{mode}: peak / bound {share:.2f} of {bound / 1e9:.2f} GB, {holds}")
  if "transformers" in best:
    for name, key in (("first", "seconds"), ("again", "again")):
      ratio = best["transformers"][key] / best["load"][key]
      print(f"ratio {ratio:.2f} (Transformers' time / load, {name})")


def has_transformers() -> bool:
  """Whether the peer is installed; says so when it is not."""
  found = all(importlib.util.find_spec(m) for m in ("torch", "transformers"))
  if not found:
    print("Transformers is not installed: timing ours alone.")
  return found


def main() -> None:
  """Prints the figures."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--size", default="xl")
  parser.add_argument("--dtype", default="float32")
  parser.add_argument("--repeats", type=int, default=2)
  parser.add_argument("--mode", help=argparse.SUPPRESS)
  parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.mode:
    run_mode(args.mode, args.folder, args.dtype)
    return
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name) / "model"
    folder.mkdir()
    largest = make_checkpoint(folder, args.size, args.dtype)
    print(f"{args.size}, {args.dtype}, largest tensor {largest / 1e9:.3f} GB")
    compare(folder, args.dtype, args.repeats, largest)


if __name__ == "__main__":
  main()
