"""A decoder-only model's logits and speed, against Transformers with the same weights.

  python benchmarks/decoder.py [FOLDER] [--length 512] [--rows 1] [--repeats 3]
    [--data ROWS] [--queries 5]

FOLDER is a Transformers model with its tokenizer; without one, a Llama of SmolLM2's
size with random weights is used. The script compares the logits of a few prompts, whole
and through the cache, and times the forward pass in float32, with logits for every
token and for the last one only. The two take turns, and the best time counts.

With --data, which holds the rows of the paper's evaluation tasks, nothing is timed:
logits and eight greedy tokens are compared after few-shot prompts of these tasks. Where
the two differ by more than 1e-3, Transformers with float64 weights tells how exact each
is; its norms and angles stay float32.
"""

import argparse
import contextlib
import copy
import functools
import importlib.util
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from symtune.convert.decoder.folder import (
  DecoderCheckpoint,
  read_decoder,
  write_decoder,
)
from symtune.convert.load import load_params
from symtune.convert.tensors import LazyTensor, expected_shapes
from symtune.model.decoder.cache import empty_cache
from symtune.model.decoder.config import DecoderConfig
from symtune.model.decoder.generate import NO_TOKEN, Ends, generate_greedy
from symtune.model.decoder.network import Decoder

PROMPTS = (
  "Input: the plot is thin and the jokes are old\nOutput: bad\n\n"
  "Input: a warm, funny film\nOutput: good\n\nInput: I left after an hour\nOutput:",
  "Question: is a hammer a fruit or a tool?\nAnswer: a tool\n\n"
  "Question: is a plum a fruit or a tool?\nAnswer:",
  "The quick brown fox jumps over the lazy dog. " * 60,  # longer than a window of 512
)
SMOLLM2 = DecoderConfig(
  vocab_size=49152,
  emb_dim=576,
  num_layers=30,
  num_heads=9,
  num_kv_heads=3,
  head_dim=64,
  mlp_dim=1536,
  max_positions=8192,
  logits_via_embedding=True,
)
LONGEST, ROUND, GREEDY = 1024, 128, 8  # tokens: prompts, padding, answers
LARGE = 1e-3  # of a difference of logits
HAS_PEER = importlib.util.find_spec("transformers") and importlib.util.find_spec(
  "torch"
)


@contextlib.contextmanager
def model_folder(given: str | None) -> Iterator[pathlib.Path]:
  """The folder that was given, or one with random weights."""
  if given is not None:
    yield pathlib.Path(given)
    return

  def tensor(shape: tuple[int, ...]) -> LazyTensor:
    rng, scale = np.random.default_rng(0), 0.04 if len(shape) > 1 else 0.0
    return LazyTensor(
      shape=shape,
      dtype=np.dtype(np.float32),
      read=lambda: 1.0 - bool(scale) + scale * rng.normal(size=shape),
    )

  with tempfile.TemporaryDirectory() as name:
    tensors = {path: tensor(shape) for path, shape in expected_shapes(SMOLLM2).items()}
    made = DecoderCheckpoint(where="random", config=SMOLLM2, tensors=tensors)
    for _ in write_decoder(pathlib.Path(name), made, dtype=np.dtype(np.float32)):
      pass
    yield pathlib.Path(name)


def token_rows(folder: pathlib.Path, vocab_size: int) -> list[np.ndarray]:
  """The prompts as ids, or random ids where there is no tokenizer."""
  if HAS_PEER and (folder / "tokenizer.json").is_file():
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return [np.asarray([tokenizer(text)["input_ids"]], np.int32) for text in PROMPTS]
  rng = np.random.default_rng(0)
  return [rng.integers(0, vocab_size, (1, n), dtype=np.int32) for n in (40, 30, 600)]


class Ours:
  """The model in symtune."""

  def __init__(self, folder: pathlib.Path):
    """Reads the folder."""
    checkpoint = read_decoder(folder)
    self.network = Decoder(checkpoint.config)
    eos, *others = checkpoint.ids.eos or (NO_TOKEN,)
    self.ends = Ends(eos, tuple((i,) for i in others))
    self.params = load_params(checkpoint)
    self.apply = jax.jit(self.network.apply)
    self.write = jax.jit(generate_greedy, static_argnums=(0, 4, 5))
    self.extend = jax.jit(functools.partial(self.network.apply, method="extend"))

  def logits(self, tokens: np.ndarray, *, only_last: bool = False) -> np.ndarray:
    """Logits of a whole row."""
    last = np.full((len(tokens), 1), tokens.shape[1] - 1, np.int32)
    about = {"select": jnp.asarray(last)} if only_last else {}
    return np.asarray(self.apply({"params": self.params}, jnp.asarray(tokens), **about))

  def last_logits_in_steps(self, tokens: np.ndarray) -> np.ndarray:
    """Logits of the last token, read alone after all others."""
    length = tokens.shape[1]
    cache = empty_cache(self.network.config, batch=1, slots=length)
    places = np.arange(length, dtype=np.int32)[None]
    for part in (np.s_[:, :-1], np.s_[:, -1:]):
      logits, cache = self.extend(
        {"params": self.params}, tokens[part], cache, places[part]
      )
    return np.asarray(logits)

  def greedy(self, padded: np.ndarray, length: int) -> list[int]:
    """The most likely tokens after the first `length` of a row, until the end."""
    lengths = np.asarray([length], np.int32)
    row = self.write(self.network, self.params, padded, lengths, self.ends, GREEDY)[0]
    return row[row != NO_TOKEN].tolist()


class Theirs:
  """The model in Transformers."""

  def __init__(self, folder: pathlib.Path):
    """Reads the folder."""
    import torch
    import transformers

    self.model = transformers.AutoModelForCausalLM.from_pretrained(
      folder, dtype=torch.float32
    ).eval()

  def logits(self, tokens: np.ndarray, *, only_last: bool = False) -> np.ndarray:
    """Logits of a whole row."""
    import torch

    with torch.inference_mode():
      ids = torch.from_numpy(tokens).long()
      return self.model(ids, logits_to_keep=int(only_last)).logits.numpy()

  def exact(self, tokens: np.ndarray) -> np.ndarray:
    """Logits of a whole row, whose matrix products are float64."""
    import torch

    with torch.inference_mode():
      model = copy.deepcopy(self.model).double()
      return model(torch.from_numpy(tokens).long()).logits.numpy()

  def greedy(self, tokens: np.ndarray) -> list[int]:
    """The most likely tokens after a row, until the model ends."""
    import torch

    ids = torch.from_numpy(tokens).long()
    found = self.model.generate(
      ids,
      attention_mask=torch.ones_like(ids),
      max_new_tokens=GREEDY,
      do_sample=False,
    )
    return found[0, ids.shape[1] :].tolist()


def best_times(works: list[Callable[[], object]], repeats: int) -> list[float]:
  """Seconds of each work, which take turns; the first turn is not counted."""
  times: list[list[float]] = [[] for _ in works]
  for _ in range(repeats + 1):
    for work, found in zip(works, times, strict=True):
      start = time.perf_counter()
      work()
      found.append(time.perf_counter() - start)
  return [min(found[1:]) for found in times]


def compare(ours: Ours, theirs: Theirs, rows: list[np.ndarray]) -> None:
  """Prints the largest differences of logits."""
  for tokens in rows:
    expected = theirs.logits(tokens)
    whole = np.abs(ours.logits(tokens) - expected).max()
    step = np.abs(ours.last_logits_in_steps(tokens)[0, 0] - expected[0, -1]).max()
    print(
      f"{tokens.shape[1]:5} tokens: logits up to {np.abs(expected).max():.1f}, largest "
      f"difference {whole:.1e}, last token through the cache {step:.1e}"
    )


def real_prompts(
  folder: pathlib.Path, data: pathlib.Path, queries: int
) -> list[np.ndarray]:
  """Prompts of the evaluation tasks as ids, with two exemplars per class."""
  from symtune.cards.load import load_suite
  from symtune.convert.tokenizer.causal import read_causal_vocab
  from symtune.data.draw.index import Shots
  from symtune.data.text.symbols import ALL_CATEGORIES, PoolSplit, make_pool
  from symtune.data.tokens.causal import CausalTokenizer
  from symtune.probe.ask import Asker, Question
  from symtune.probe.probe import ProbeSettings

  tokenizer = CausalTokenizer(read_causal_vocab(folder), max_inputs=LONGEST)
  settings = ProbeSettings(
    pool=make_pool(PoolSplit.EVALUATION, ALL_CATEGORIES, 50),
    shots=Shots(minimum=2, maximum=2),
    max_queries=queries,
    seeds=(0,),
  )
  rows = []
  for task in load_suite("symbol_tuning_eval", data):
    asker = Asker("real", task, settings)
    for query in asker.queries:
      episode = asker.episode(0, query)
      asked = Question(setting="real", episode=episode, context=None, prior=None)
      rows.append(tokenizer.tokenize(asker.item(0, asked).prompt).inputs[None])
  return rows


def largest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """The largest difference of logits at each place of a row."""
  return np.abs(a - b).max(axis=1)


def show_large(both: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> None:
  """Prints where the two sides differ much, and how far each is from `exact`."""
  for place in np.flatnonzero(both > LARGE):
    print(
      f"place {place}: the two differ by {both[place]:.1e}; from Transformers with "
      f"float64 weights symtune by {ours[place]:.1e} and Transformers by "
      f"{theirs[place]:.1e}"
    )


def compare_real(ours: Ours, theirs: Theirs, rows: list[np.ndarray]) -> None:
  """Prints the largest difference of logits, and how many greedy answers are equal."""
  differences, same = [], 0
  for tokens in rows:
    length = tokens.shape[1]
    padded = np.zeros((1, -(-length // ROUND) * ROUND), np.int32)  # compiled per length
    padded[:, :length] = tokens
    found, expected = ours.logits(padded)[0, :length], theirs.logits(tokens)[0]
    differences.append(largest(found, expected))
    if (differences[-1] > LARGE).any():
      exact = theirs.exact(tokens)[0]
      show_large(differences[-1], largest(found, exact), largest(expected, exact))
    same += ours.greedy(padded, length) == theirs.greedy(tokens)
  lengths, every = sorted(t.shape[1] for t in rows), np.concatenate(differences)
  print(
    f"{len(rows)} prompts of {lengths[0]} to {lengths[-1]} tokens: largest difference "
    f"of logits {max(d[-1] for d in differences):.1e} where the answer is predicted, "
    f"{every.max():.1e} anywhere; {np.mean(every > LARGE):.3%} of {len(every)} places "
    f"differ by more than {LARGE:.0e}; up to {GREEDY} greedy tokens equal after {same}"
  )


def main() -> None:
  """Compares, then times."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("folder", nargs="?")
  parser.add_argument("--length", type=int, default=512)
  parser.add_argument("--rows", type=int, default=1)
  parser.add_argument("--repeats", type=int, default=3)
  parser.add_argument("--data", type=pathlib.Path)
  parser.add_argument("--queries", type=int, default=5, help="of each task of --data")
  args = parser.parse_args()
  if args.data is not None and not (args.folder and HAS_PEER):
    parser.error("--data needs FOLDER, and Transformers to compare with")
  with model_folder(args.folder) as folder:
    ours = Ours(folder)
    if args.data is not None:
      rows = real_prompts(folder, args.data, args.queries)
      compare_real(ours, Theirs(folder), rows)
      return
    sides: list[Ours | Theirs] = [ours]
    vocab_size = ours.network.config.vocab_size
    if HAS_PEER:
      sides.append(Theirs(folder))
      compare(ours, sides[1], token_rows(folder, vocab_size))
    shape = (args.rows, args.length)
    tokens = np.random.default_rng(0).integers(0, vocab_size, shape, dtype=np.int32)
    for only_last in (False, True):
      works = [
        functools.partial(side.logits, tokens, only_last=only_last) for side in sides
      ]
      speeds = [tokens.size / t for t in best_times(works, args.repeats)]
      names = [type(side).__name__.lower() for side in sides]
      shown = ", ".join(f"{n} {s:.0f}" for n, s in zip(names, speeds, strict=True))
      ratio = f", ratio {speeds[0] / speeds[1]:.2f}" if HAS_PEER else ""
      print(f"tokens/s, {'last' if only_last else 'all'} logits: {shown}{ratio}")


if __name__ == "__main__":
  main()
