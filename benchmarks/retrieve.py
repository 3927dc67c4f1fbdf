"""Speed and memory of `symtune.retrieve`, beside bm25s' own search on the same index.

  python benchmarks/retrieve.py [--passages 1000000] [--queries 400] [--threads 2]

Words follow Zipf's law, and the most frequent ones are English stop words, as in real
text. Time to index includes reading, cutting and writing; queries have 32 words, as
many as the last 32 tokens of a prefix have at most. The first 20 queries check that
both find the same scores.
"""

import argparse
import json
import pathlib
import resource
import tempfile
import time

import bm25s
import numpy as np

from symtune.retrieve.bm25 import STOP_WORDS, index_words
from symtune.retrieve.index import build_index

_WORDS, _PER_PASSAGE, _PER_QUERY, _K = 200_000, 100, 32, 16


def write_texts(file: pathlib.Path, count: int) -> list[str]:
  """Writes passages as a JSONL file and returns queries of the same words."""
  rng = np.random.default_rng(0)
  rates = 1 / np.arange(1, _WORDS + 1)
  cumulative = np.cumsum(rates / rates.sum())
  rare = [f"w{number:x}" for number in range(_WORDS - len(STOP_WORDS))]
  words = np.asarray([*sorted(STOP_WORDS), *rare])

  def texts(number: int, length: int) -> list[str]:
    drawn = np.searchsorted(cumulative, rng.random((number, length)))
    return [" ".join(row) for row in words[np.minimum(drawn, _WORDS - 1)].tolist()]

  with file.open("w") as opened:
    for _ in range(0, count, 1000):
      lines = (json.dumps({"text": text}) for text in texts(1000, _PER_PASSAGE))
      opened.write("\n".join(lines) + "\n")
  return texts(2000, _PER_QUERY)


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--passages", type=int, default=1_000_000)
  parser.add_argument("--queries", type=int, default=400)
  parser.add_argument("--threads", type=int, default=2)
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    queries = write_texts(folder / "texts.jsonl", args.passages)[: args.queries]
    start, cpu = time.perf_counter(), time.process_time()
    index = build_index([folder / "texts.jsonl"], folder / "index")
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{index.count:,} passages: {seconds:.0f} s, {cpu:.0f} s of processor time")
    print(f"largest memory: {memory:.2f} GiB")
    index.search_all(queries[:20], _K)  # reads the files into the system's cache
    start, cpu = time.perf_counter(), time.process_time()
    found = index.search_all(queries, _K, threads=args.threads)
    ours = len(queries) / (time.perf_counter() - start)
    cpu = 1000 * (time.process_time() - cpu) / len(queries)
    print(f"processor time of a query: {cpu:.1f} ms")
    peer = bm25s.BM25.load(str(folder / "index" / "bm25"), mmap=True)
    words = [index_words(query) for query in queries]
    start = time.perf_counter()
    _, scores = peer.retrieve(
      words,
      k=_K,
      show_progress=False,
      n_threads=args.threads,
      backend_selection="numpy",
    )
    theirs = len(queries) / (time.perf_counter() - start)
    for mine, other in zip(found[:20], scores, strict=False):
      np.testing.assert_allclose([f.score for f in mine], other, rtol=1e-4)
    print("| symtune, queries/s | bm25s, queries/s | symtune / bm25s |\n|---|---|---|")
    print(f"| {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} |")


if __name__ == "__main__":
  main()
