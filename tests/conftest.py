"""Strict numerics, CPU devices and the small fixtures that every test shares."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Two devices for sharding tests; little optimisation, because compiling is what takes
# the time of tests this small.
os.environ.setdefault(
  "XLA_FLAGS",
  "--xla_force_host_platform_device_count=2"
  " --xla_backend_optimization_level=0"
  " --xla_llvm_disable_expensive_passes=true",
)

import gc
import json
import pathlib
from collections.abc import Callable

import first_calls  # before any module whose shapes are checked
import hypothesis
import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from symtune.cards.card import Example, Source, Task, TaskCard, TaskType
from symtune.cards.resources import resource_dir
from symtune.cards.strict_yaml import read_yaml
from symtune.convert.tensors import LazyTensor
from symtune.data.batches.batch import lay_out
from symtune.data.batches.packing import PackedRow
from symtune.data.prompts import PromptFormat
from symtune.data.text.symbols import PoolSplit, SymbolCategory, SymbolPool, make_pool
from symtune.data.text.vocab import SentencePieceVocab, ToyVocab
from symtune.probe.probes.list_functions import SELECTION

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# The same examples every time, and no time limit on a busy machine.
hypothesis.settings.register_profile("symtune", deadline=None, derandomize=True)
hypothesis.settings.load_profile("symtune")

# Until all tests are collected, nothing is garbage; what exists then stays.
gc.disable()


def pytest_collection_modifyitems(items):
  """Files beside this one run whole experiments: they come first, so that no worker is
  left alone with them at the end.
  """
  items.sort(key=lambda item: item.path.parent != pathlib.Path(__file__).parent)


def pytest_runtest_setup():
  """Functions are checked anew in each test."""
  first_calls.forget()


def pytest_collection_finish():
  """Garbage is looked for among what tests make, not in half a million objects more."""
  gc.freeze()
  gc.set_threshold(20_000, 20, 20)
  gc.enable()


@pytest.fixture(autouse=True, scope="module")
def _freeze_what_stays():
  """What a file's tests leave behind, JAX's programs above all, is not looked through
  for garbage again and again.
  """
  yield
  gc.collect()
  gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
  """The real data folder, or a skip that says what is missing."""
  default = pathlib.Path(__file__).parents[1] / ".." / "shared"
  root = pathlib.Path(os.environ.get("SYMTUNE_SHARED", default)).resolve()
  if not (root / "data" / "tasks").is_dir():
    pytest.skip(f"needs the real data folder: {root}/data/tasks is missing")
  return root / "data"


@pytest.fixture(scope="module")
def compile_cache(tmp_path_factory):
  """Commands that a module's tests start compile the same program once."""
  with pytest.MonkeyPatch.context() as patch:
    folder = tmp_path_factory.mktemp("compiled")
    patch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
    patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    yield


@pytest.fixture(scope="session")
def held_tensors():
  """Makes parameters in memory the tensors of a checkpoint, by slash-joined path."""

  def held(leaf):
    return LazyTensor(
      shape=tuple(leaf.shape), dtype=np.dtype(leaf.dtype), read=lambda: np.asarray(leaf)
    )

  def hold(params):
    return {name: held(leaf) for name, leaf in flatten_dict(params, sep="/").items()}

  return hold


@pytest.fixture(scope="session")
def pack_row():
  """Lays token pairs side by side in a batch of one row, and returns that row."""

  def pack(pairs, input_length, target_length):
    row = PackedRow(
      inputs=np.concatenate([pair.inputs for pair in pairs]),
      input_lengths=np.asarray([len(pair.inputs) for pair in pairs], np.int32),
      targets=np.concatenate([pair.targets for pair in pairs]),
      target_lengths=np.asarray([len(pair.targets) for pair in pairs], np.int32),
    )
    batch = lay_out([row], input_length, target_length)
    return {name: rows[0] for name, rows in batch.items()}

  return pack


TOY_WORDS = {
  "animal": [
    "cat",
    "dog",
    "horse",
    "cow",
    "sheep",
    "goat",
    "pig",
    "hen",
    "duck",
    "fox",
    "wolf",
    "bear",
  ],
  "fruit": [
    "apple",
    "pear",
    "plum",
    "grape",
    "melon",
    "lemon",
    "lime",
    "peach",
    "cherry",
    "fig",
    "kiwi",
    "date",
  ],
  "tool": [
    "hammer",
    "saw",
    "drill",
    "axe",
    "spade",
    "rake",
    "chisel",
    "file",
    "plane",
    "wrench",
    "pliers",
    "level",
  ],
}


def make_toy_task(
  labels: tuple[str, ...] = ("animal", "fruit"), copies: int = 1
) -> Task:
  """A task whose examples are single words; `copies` repeats each text."""
  card = TaskCard(
    name="toy_" + "_".join(labels),
    title="Toy",
    version=1,
    task_type=TaskType.MISCELLANEOUS,
    fields=("text",),
    template="{text}",
    labels=labels,
    label_names=labels,
    instruction="What is it?",
    exemplar_splits=("train",),
    query_splits=("train",),
    rows="toy",
    source=Source(hub=None, config=None, reference="made for tests"),
    licence="none",
  )
  rows = [(word, i) for i, label in enumerate(labels) for word in TOY_WORDS[label]]
  examples = tuple(
    Example(row=row, fields={"text": word}, label=label, split="train")
    for row, (word, label) in enumerate(rows * copies)
  )
  return Task(card=card, examples=examples, fingerprint="f" * 64)


@pytest.fixture(scope="session")
def toy_task() -> Task:
  """Two classes, 12 one-word rows each."""
  return make_toy_task()


@pytest.fixture(scope="session")
def make_task() -> Callable[..., Task]:
  """The maker of toy tasks: other labels, repeated texts."""
  return make_toy_task


@pytest.fixture(scope="session")
def toy_pools() -> tuple[SymbolPool, SymbolPool]:
  """Tuning and evaluation integers, 50 each."""
  categories = (SymbolCategory.INTEGERS,)
  return (
    make_pool(PoolSplit.TUNING, categories, 50),
    make_pool(PoolSplit.EVALUATION, categories, 50),
  )


@pytest.fixture(scope="session")
def toy_vocab(toy_pools) -> ToyVocab:
  """One id per word of the toy tasks, their prompts and their symbols."""
  cues = " ".join("".join(f.value) for f in PromptFormat).split()
  words = [w for group in TOY_WORDS.values() for w in group]
  symbols = [s for pool in toy_pools for s in pool.all_symbols()]
  return ToyVocab([*cues, *words, *TOY_WORDS, *["What", "is", "it?"], *symbols])


@pytest.fixture(scope="session")
def small_vocab_path(tmp_path_factory) -> pathlib.Path:
  """A SentencePiece model with T5's ids and normaliser, trained on toy text."""
  import sentencepiece

  folder = tmp_path_factory.mktemp("vocab")
  words = " ".join(w for group in TOY_WORDS.values() for w in group)
  cues = " ".join("".join(f.value) for f in PromptFormat)
  text = [f"a {words}", f"{cues} and", "0 1 2 3 4 5 6 7 8 9", "A B C D E"] * 20
  (folder / "text.txt").write_text("\n".join(text))
  sentencepiece.SentencePieceTrainer.train(
    input=str(folder / "text.txt"),
    model_prefix=str(folder / "small"),
    vocab_size=150,
    pad_id=0,
    eos_id=1,
    unk_id=2,
    bos_id=-1,
    hard_vocab_limit=False,
    minloglevel=2,
  )
  return folder / "small.model"


@pytest.fixture(scope="session")
def small_vocab(small_vocab_path) -> SentencePieceVocab:
  """That model as a vocabulary."""
  return SentencePieceVocab(small_vocab_path)


@pytest.fixture(scope="session")
def question_files(tmp_path_factory) -> pathlib.Path:
  """Hand-made data files of probes, in the layout of the real ones."""
  folder = tmp_path_factory.mktemp("questions")
  numbers = [1, 2, 3, *(int(c[1:]) for some in SELECTION.values() for c in some)]
  functions = [
    {
      "concept": f"c{i:03d}",
      "program": "(lambda $0)",
      "examples": [{"input": [i, n], "output": [n]} for n in range(6)],
    }
    for i in numbers
  ]
  lines = [json.dumps(f) for f in functions]
  (folder / "list_functions.jsonl").write_text("\n".join(lines) + "\n")
  rows = [
    {
      "subject": subject,
      "question": f"what is {subject} {i}?",
      **{f"choice{c}": f"{c} of {i}" for c in "ABCD"},
      "label": i % 4,
      "label_name": "ABCD"[i % 4],
      "split": "train" if i < 5 else "validation",
      "src": "made",
    }
    for subject in ("law", "logic")
    for i in range(9)
  ]
  (folder / "mmlu.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
  (folder / "bbh").mkdir()
  tasks = {
    "navigate": [(f"Go {i}?\nOptions:\n- Yes\n- No", "YN"[i % 2]) for i in range(8)],
    "date_understanding": [
      (f"When {i}?\nOptions:\n(A) x\n(B) y\n(C) z", "(B)") for i in range(8)
    ],
    "web_of_lies": [(f"Does {i} lie?", ("Yes", "No")[i % 2]) for i in range(8)],
    "object_counting": [(f"{i} + 11 =", str(i + 11)) for i in range(8)],
  }
  words = {"Y": "Yes", "N": "No"}
  listed = read_yaml(resource_dir("tasks") / "questions" / "bbh.yaml").section("tasks")
  others = {key: [(f"Q{i}?", f"A{i}") for i in range(8)] for key in listed.values}
  for name, pairs in (others | tasks).items():
    examples = [{"input": x, "target": words.get(y, y)} for x, y in pairs]
    (folder / "bbh" / f"{name}.json").write_text(json.dumps({"examples": examples}))
  return folder
