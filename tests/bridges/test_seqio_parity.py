"""The same card and seed give the same tokens through SeqIO and natively."""

import functools

import numpy as np
import pytest

from symtune.cards.examples import read_task
from symtune.cards.load import list_cards, load_card, load_suite
from symtune.data.draw.index import EVALUATION_SHOTS
from symtune.data.ingredients import Ingredient, LabelStyle
from symtune.data.mixture import Mixture
from symtune.data.text.leaks import LeakPolicy, apply_policy, find_leaks
from symtune.data.text.symbols import (
  ALL_CATEGORIES,
  PoolSplit,
  SymbolCategory,
  make_pool,
)
from symtune.data.text.vocab import SentencePieceVocab
from symtune.data.tokens.tokenizer import PromptTokenizer
from symtune.probe.probe import ProbeSettings
from symtune.probe.probes.flipped_labels import FlippedLabels
from symtune.probe.probes.settings import FourSettings, Setting

LENGTHS = {"inputs": 1024, "targets": 64}
COUNT = 3
MICRO = (SymbolCategory.NONCE,)


# A pool of 300,000 symbols takes half a second, and every card uses the same ones.
pool_of = functools.cache(make_pool)


@functools.cache
def read_vocab(path):
  return SentencePieceVocab(path)


@functools.cache
def evaluation_tasks(data):
  return load_suite("symbol_tuning_eval", data)


def native_tuning(task, labels, instruction, vocab, categories):
  ingredient = (Ingredient(labels=labels, instruction=instruction), (task,))
  mixture = Mixture([ingredient], pool_of(PoolSplit.TUNING, categories), seed=0)
  tokenizer = PromptTokenizer(
    vocab, max_inputs=1024, max_targets=64, min_exemplars_per_class=1
  )
  return [tokenizer.tokenize(mixture.prompt(i)).pair for i in range(COUNT)]


def native_questions(task, probe, settings, vocab, categories):
  """The first questions of each setting, in one pass over the probe's items."""
  asked = ProbeSettings(
    pool=pool_of(PoolSplit.EVALUATION, categories), shots=EVALUATION_SHOTS
  )
  tokenizer = PromptTokenizer(
    vocab, max_inputs=1024, max_targets=64, min_exemplars_per_class=0
  )
  found = {setting: [] for setting in settings}
  for item in probe.items(task, asked):
    pairs = found.get(item.setting)
    if pairs is not None and len(pairs) < COUNT:
      pairs.append(tokenizer.tokenize(item.prompt).pair)
    if all(len(pairs) == COUNT for pairs in found.values()):
      break
  return found


def read(seqio, name, split):
  task = seqio.get_mixture_or_task(name)
  dataset = task.get_dataset(LENGTHS, split=split, shuffle=False)
  return list(dataset.take(COUNT).as_numpy_iterator())


def assert_pairs(rows, pairs):
  assert len(rows) == len(pairs) == COUNT
  for row, pair in zip(rows, pairs, strict=True):
    np.testing.assert_array_equal(row["inputs"], pair.inputs)
    np.testing.assert_array_equal(row["targets"], pair.targets)


def assert_card(seqio, tasks, task, tuning_task, vocab, categories):
  name = task.card.name
  if tuning_task is not None:
    for labels, instruction in (
      (LabelStyle.SYMBOLS, False),
      (LabelStyle.NATURAL, True),
    ):
      rows = read(
        seqio, tasks.task_name(name, labels, instruction=instruction), "train"
      )
      pairs = native_tuning(tuning_task, labels, instruction, vocab, categories)
      assert_pairs(rows, pairs)
  settings = (Setting.NEITHER, Setting.INSTRUCTION_AND_LABELS)
  asked = native_questions(task, FourSettings(), settings, vocab, categories)
  for setting in settings:
    labels = LabelStyle.NATURAL if setting.has_labels else LabelStyle.SYMBOLS
    seqio_name = tasks.task_name(name, labels, instruction=setting.has_instruction)
    assert_pairs(read(seqio, seqio_name, "validation"), asked[setting])
  if len(task.card.labels) == 2:
    asked = native_questions(task, FlippedLabels(), ("flipped",), vocab, categories)
    rows = read(seqio, tasks.task_name(name, LabelStyle.FLIPPED), "validation")
    assert_pairs(rows, asked["flipped"])


@pytest.mark.shared
@pytest.mark.parametrize("name", list_cards())
def test_every_card_has_the_same_tokens(seqio, real_tasks, shared_data, name):
  data = shared_data / "tasks"
  card = load_card(name)
  if not (data / f"{card.rows}.jsonl").exists():
    pytest.skip(f"the data folder has no rows of {card.rows}")
  task = read_task(card, data)
  held_out = evaluation_tasks(data)
  tuning_task = None
  if name not in {t.card.name for t in held_out}:
    leaks = find_leaks([task], held_out, overlap=0.5)  # as in the recipes
    tuning_task = apply_policy([task], leaks, LeakPolicy.DROP)[0]
  vocab = read_vocab(shared_data / "t5_tokenizer" / "spiece.model")
  assert_card(seqio, real_tasks, task, tuning_task, vocab, ALL_CATEGORIES)


@pytest.mark.parametrize("suite", ["microworld_train", "microworld_eval"])
def test_the_microworld_has_the_same_tokens(seqio, tasks, suite):
  from symtune.cards.resources import resource_dir

  vocab = SentencePieceVocab(resource_dir("tasks") / "microworld" / "vocab.model")
  world = load_suite(suite, None)
  for task in (world[0], world[-1]):
    tuning_task = task if suite == "microworld_train" else None
    assert_card(seqio, tasks, task, tuning_task, vocab, MICRO)


@pytest.mark.shared
def test_seqios_own_tokenizer_gives_the_same_tokens(seqio, real_tasks, shared_data):
  model = str(shared_data / "t5_tokenizer" / "spiece.model")
  vocabulary = seqio.SentencePieceVocabulary(model, extra_ids=100)
  for name in ("mnli", "trec", "tweet_eval_offensive"):
    task = seqio.get_mixture_or_task(f"symtune_{name}_symbols")
    for row in task.get_dataset(None, split="train", shuffle=False).take(5):
      for feature in ("inputs", "targets"):
        text = row[f"{feature}_pretokenized"].numpy().decode()
        assert row[feature].numpy().tolist() == [*vocabulary.encode(text), 1]


@pytest.mark.shared
def test_t5s_vocabulary_and_ours_have_one_size(seqio, real_tasks, shared_data):
  from symtune.bridges.seqio_settings import CardKey, make_vocabulary

  ours = SentencePieceVocab(shared_data / "t5_tokenizer" / "spiece.model")
  theirs = make_vocabulary(CardKey(name="rte"))
  assert theirs.vocab_size == 32_100
  assert ours.size == 32_128
