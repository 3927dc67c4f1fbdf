"""The same card and seed give the same tokens through SeqIO and natively."""

import itertools

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


def native_tuning(task, labels, instruction, vocab, categories):
  ingredient = (Ingredient(labels=labels, instruction=instruction), (task,))
  mixture = Mixture([ingredient], make_pool(PoolSplit.TUNING, categories), seed=0)
  tokenizer = PromptTokenizer(
    vocab, max_inputs=1024, max_targets=64, min_exemplars_per_class=1
  )
  return [tokenizer.tokenize(mixture.prompt(i)).pair for i in range(COUNT)]


def native_questions(task, probe, setting, vocab, categories):
  settings = ProbeSettings(
    pool=make_pool(PoolSplit.EVALUATION, categories), shots=EVALUATION_SHOTS
  )
  items = (i for i in probe.items(task, settings) if i.setting == setting)
  tokenizer = PromptTokenizer(
    vocab, max_inputs=1024, max_targets=64, min_exemplars_per_class=0
  )
  return [tokenizer.tokenize(i.prompt) for i in itertools.islice(items, COUNT)]


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
  for setting in (Setting.NEITHER, Setting.INSTRUCTION_AND_LABELS):
    labels = LabelStyle.NATURAL if setting.has_labels else LabelStyle.SYMBOLS
    seqio_name = tasks.task_name(name, labels, instruction=setting.has_instruction)
    asked = native_questions(task, FourSettings(), setting, vocab, categories)
    assert_pairs(read(seqio, seqio_name, "validation"), [q.pair for q in asked])
  if len(task.card.labels) == 2:
    flipped = FlippedLabels()
    asked = native_questions(task, flipped, "flipped", vocab, categories)
    rows = read(seqio, tasks.task_name(name, LabelStyle.FLIPPED), "validation")
    assert_pairs(rows, [q.pair for q in asked])


@pytest.mark.shared
@pytest.mark.parametrize("name", list_cards())
def test_every_card_has_the_same_tokens(seqio, real_tasks, shared_data, name):
  data = shared_data / "tasks"
  card = load_card(name)
  if not (data / f"{card.rows}.jsonl").exists():
    pytest.skip(f"the data folder has no rows of {card.rows}")
  task = read_task(card, data)
  held_out = load_suite("symbol_tuning_eval", data)
  tuning_task = None
  if name not in {t.card.name for t in held_out}:
    leaks = find_leaks([task], held_out, overlap=0.5)  # as in the recipes
    tuning_task = apply_policy([task], leaks, LeakPolicy.DROP)[0]
  vocab = SentencePieceVocab(shared_data / "t5_tokenizer" / "spiece.model")
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
