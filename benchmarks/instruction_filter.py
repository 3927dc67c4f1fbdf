"""Speed of the ROUGE-L filter, beside scoring pair by pair as the public script does.

  python benchmarks/instruction_filter.py [--texts 50000] [--queries 100] [--peer 2]

Self-Instruct's `bootstrap_instructions.py` calls rouge-score once for each pair of a
candidate and an earlier instruction, in four processes; here one process makes the same
calls, and processor time is compared. Texts have the lengths of the paper's
instructions (16 words on average) and words by Zipf's law. The peer scores the first
queries only; the numbers of both must be equal to the last bit.
"""

import argparse
import time

import numpy as np
from rouge_score.rouge_scorer import RougeScorer

from symtune.instruct.generate.overlap import OverlapIndex

_WORDS = 20_000


def make_texts(count: int) -> list[str]:
  """Texts of 4 to 150 words, 16 on average."""
  rng = np.random.default_rng(0)
  rates = 1 / np.arange(1, _WORDS + 1)
  cumulative = np.cumsum(rates / rates.sum())
  lengths = np.clip(rng.gamma(3.0, 4.2, count).astype(int) + 4, 4, 150)
  return [
    " ".join(f"w{i:x}" for i in np.searchsorted(cumulative, rng.random(length)))
    for length in lengths
  ]


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--texts", type=int, default=50_000)
  parser.add_argument("--queries", type=int, default=100)
  parser.add_argument("--peer", type=int, default=2)
  args = parser.parse_args()
  texts = make_texts(args.texts + args.queries)
  texts, queries = texts[: args.texts], texts[args.texts :]
  index = OverlapIndex()
  start = (time.perf_counter(), time.process_time())
  for text in texts:
    index.add(text)
  building = time.process_time() - start[1]
  found = []
  start = (time.perf_counter(), time.process_time())
  for query in queries:
    found.append(index.rouge_l(query))
  ours = np.subtract((time.perf_counter(), time.process_time()), start) / args.queries
  scorer = RougeScorer(["rougeL"], use_stemmer=False)
  start = (time.perf_counter(), time.process_time())
  expected = [
    [scorer.score(query, text)["rougeL"].fmeasure for text in texts]
    for query in queries[: args.peer]
  ]
  theirs = np.subtract((time.perf_counter(), time.process_time()), start) / args.peer
  assert np.array_equal(found[: args.peer], expected), "other numbers than rouge-score"
  words = np.mean([len(text.split()) for text in texts])
  print(f"{args.texts:,} texts of {words:.1f} words; indexed in {building:.1f} s")
  print("| time of a candidate | symtune | rouge-score | ratio |\n|---|---|---|---|")
  for what, mine, other in zip(("wall", "processor"), ours, theirs, strict=True):
    print(
      f"| {what} | {1000 * mine:.1f} ms | {1000 * other:.0f} ms | {other / mine:.0f} |"
    )


if __name__ == "__main__":
  main()
