"""SeqIO tasks as SeqIO and T5X use them: sharded, packed, mixed, evaluated."""

import collections

import numpy as np
import pytest

from symtune.data.tokens.tokenizer import TokenPair
from symtune.errors import SymtuneError

LENGTHS = {"inputs": 160, "targets": 16}


@pytest.fixture
def name():
  """A tuning task of the microworld."""
  from symtune.cards.load import load_suite

  return load_suite("microworld_train", None)[0].card.name


@pytest.fixture
def eval_name():
  """An evaluation task of the microworld, of two classes."""
  from symtune.cards.load import load_suite

  return load_suite("microworld_eval", None)[0].card.name


def inputs_of(dataset):
  return [tuple(row["inputs"]) for row in dataset.as_numpy_iterator()]


def test_shards_are_the_whole_and_disjoint(seqio, tasks, name, monkeypatch):
  monkeypatch.setenv("SYMTUNE_PROMPTS", "20")
  task = seqio.get_mixture_or_task(f"symtune_{name}_symbols")

  def shard(index, count):
    info = seqio.ShardInfo(index=index, num_shards=count)
    dataset = task.get_dataset(LENGTHS, split="train", shuffle=False, shard_info=info)
    return inputs_of(dataset)

  whole = shard(0, 1)
  assert len(whole) == 20
  parts = [shard(i, 3) for i in range(3)]
  assert [row for i in range(20) for row in parts[i % 3][i // 3 : i // 3 + 1]] == whole


def test_a_seed_repeats_the_order_and_passes_repeat_the_prompts(
  seqio, tasks, name, monkeypatch
):
  monkeypatch.setenv("SYMTUNE_PROMPTS", "12")
  task = seqio.get_mixture_or_task(f"symtune_{name}_symbols")

  def read(seed):
    return inputs_of(task.get_dataset(LENGTHS, split="train", shuffle=True, seed=seed))

  assert read(1) == read(1)
  assert read(1) != read(2)
  assert collections.Counter(read(1)) == collections.Counter(read(2))


def test_root_seed_changes_the_prompts(seqio, tasks, name, monkeypatch):
  task = seqio.get_mixture_or_task(f"symtune_{name}_symbols")
  dataset = task.get_dataset(LENGTHS, split="train", shuffle=False).take(5)
  before = inputs_of(dataset)
  monkeypatch.setenv("SYMTUNE_SEED", "1")
  assert inputs_of(dataset) != before


def test_packed_rows_have_the_fields_of_native_ones(seqio, tasks, name, pack_row):
  task = seqio.get_mixture_or_task(f"symtune_{name}_symbols")
  dataset = task.get_dataset(LENGTHS, split="train", shuffle=False).take(24)
  pairs = {
    tuple(row["inputs"]): TokenPair(inputs=row["inputs"], targets=row["targets"])
    for row in dataset.as_numpy_iterator()
  }
  lengths = {"inputs": 400, "targets": 32}
  packed = seqio.EncDecFeatureConverter(pack=True)(dataset, lengths)
  found = 0
  for row in packed.as_numpy_iterator():
    segments = range(1, row["encoder_segment_ids"].max() + 1)
    tokens = [
      row["encoder_input_tokens"][row["encoder_segment_ids"] == s] for s in segments
    ]
    ours = pack_row([pairs[tuple(ids)] for ids in tokens], 400, 32)
    assert row.keys() == ours.keys()
    for field, value in row.items():
      np.testing.assert_array_equal(value, ours[field], err_msg=field)
    found += len(tokens)
  assert found == 24


def test_a_long_prompt_loses_exemplars_not_its_query(seqio, tasks, name):
  task = seqio.get_mixture_or_task(f"symtune_{name}_symbols")
  whole = task.get_dataset(None, split="train", shuffle=False).take(30)
  limit = {"inputs": 60, "targets": 16}
  short = task.get_dataset(limit, split="train", shuffle=False)
  cut = {
    tuple(row["inputs"][-8:]): row["inputs"]
    for row in short.take(30).as_numpy_iterator()
  }
  lost = 0
  for row in whole.as_numpy_iterator():
    kept = cut.get(tuple(row["inputs"][-8:]))
    if kept is not None:
      assert len(kept) <= 60
      lost += len(kept) < len(row["inputs"])
  assert lost > 5


def test_a_question_that_cannot_fit_is_an_error(seqio, tasks, eval_name):
  task = seqio.get_mixture_or_task(f"symtune_{eval_name}_symbols")
  dataset = task.get_dataset({"inputs": 4, "targets": 16}, split="validation")
  with pytest.raises(Exception, match="Raise the input length"):
    next(iter(dataset))


def test_a_target_that_cannot_fit_is_an_error(seqio, tasks, eval_name):
  task = seqio.get_mixture_or_task(f"symtune_{eval_name}_symbols")
  dataset = task.get_dataset({"inputs": 200, "targets": 1}, split="validation")
  with pytest.raises(Exception, match="Raise the target length"):
    next(iter(dataset))


def test_evaluation_tasks_are_not_tuned_on(seqio, tasks, eval_name):
  task = seqio.get_mixture_or_task(f"symtune_{eval_name}_symbols")
  with pytest.raises(Exception, match="evaluation suite microworld_eval"):
    next(iter(task.get_dataset(LENGTHS, split="train")))


def test_a_suite_is_a_mixture_with_rows_for_rates(seqio, tasks):
  from symtune.cards.load import load_suite

  mixture = seqio.get_mixture_or_task("symtune_microworld_train_symbols")
  rows = {
    f"symtune_{t.card.name}_symbols": sum(
      e.split in t.card.query_splits for e in t.examples
    )
    for t in load_suite("microworld_train", None)
  }
  assert {t.name: mixture.get_rate(t) for t in mixture.tasks} == rows
  flipped = seqio.get_mixture_or_task("symtune_microworld_train_flipped")
  assert len(flipped.tasks) < len(mixture.tasks)  # tasks of two classes only


def test_parts_are_mixed_in_their_shares(seqio, tasks, name):
  parts = [
    ("symtune_microworld_train_symbols", 3.0),
    ("symtune_microworld_train_natural_instruction", 1.0),
  ]
  mixture = tasks.mix("symbols_and_instructions", parts)
  names = {task.name: task for task in mixture.tasks}
  symbols = mixture.get_rate(names[f"symtune_{name}_symbols"])
  natural = mixture.get_rate(names[f"symtune_{name}_natural_instruction"])
  assert symbols / natural == pytest.approx(3.0)
  with pytest.raises(SymtuneError, match="expected a registered name"):
    tasks.mix("wrong", [("symtune_no_such_task", 1.0)])
  with pytest.raises(SymtuneError, match="share above 0"):
    tasks.mix("wrong", [("symtune_microworld_train_symbols", 0.0)])


@pytest.mark.parametrize("is_right", [True, False])
def test_evaluator_judges_answers_and_scores(
  seqio, tasks, eval_name, monkeypatch, is_right
):
  monkeypatch.setenv("SYMTUNE_MAX_QUERIES", "7")
  names = [f"symtune_{eval_name}_symbols", f"symtune_{eval_name}_symbols_rank"]
  results = {}
  for task_name in names:
    evaluator = seqio.Evaluator(
      task_name, seqio.EncDecFeatureConverter(pack=False), logger_cls=[]
    )
    task = evaluator.eval_tasks[0]
    examples = list(evaluator.cached_task_datasets[task.name].as_numpy_iterator())

    def predict(dataset, task=task):
      vocabulary = task.output_features["targets"].vocabulary
      answers = list(dataset.as_numpy_iterator())
      tokens = [row["decoder_target_tokens"] for _, row in answers]
      return list(
        enumerate(tokens if is_right else [vocabulary.encode("no")] * len(tokens))
      )

    def score(dataset, examples=examples):
      right = [float(e["choice"] == e["answer"]) for e in examples]
      return list(enumerate(right if is_right else [-r for r in right]))

    metrics, _ = evaluator.evaluate(
      compute_metrics=True, predict_fn=predict, score_fn=score, step=0
    )
    results[task_name] = metrics.result()[task.name]
  assert results[names[0]] == {"exact_match": 100.0 * is_right, "queries": 7.0}
  rank = results[names[1]]
  assert rank == {"rank_accuracy": 100.0 * is_right, "chance": 50.0, "queries": 7.0}


def test_rank_tasks_show_every_choice_of_the_same_questions(seqio, tasks, eval_name):
  whole = seqio.get_mixture_or_task(f"symtune_{eval_name}_symbols")
  rank = seqio.get_mixture_or_task(f"symtune_{eval_name}_symbols_rank")
  asked = list(whole.get_dataset(LENGTHS, split="validation", shuffle=False).take(5))
  rows = list(rank.get_dataset(LENGTHS, split="validation", shuffle=False).take(10))
  for i, question in enumerate(asked):
    for choice in (0, 1):
      row = rows[2 * i + choice]
      assert int(row["choice"]) == choice
      assert row["inputs"].numpy().tolist() == question["inputs"].numpy().tolist()
      same = row["targets"].numpy().tolist() == question["targets"].numpy().tolist()
      assert same == (choice == int(question["answer"]))


@pytest.mark.parametrize(
  ("variable", "value"),
  [("SYMTUNE_SEED", "x"), ("SYMTUNE_PROMPTS", "0"), ("SYMTUNE_MAX_QUERIES", "-1")],
)
def test_a_bad_setting_names_its_variable(seqio, variable, value):
  from symtune.bridges.seqio_settings import read_settings

  with pytest.raises(SymtuneError, match=variable):
    read_settings({variable: value})


def test_missing_rows_name_the_variable(seqio, tasks):
  task = seqio.get_mixture_or_task("symtune_rte_symbols")
  with pytest.raises(SymtuneError, match="set SYMTUNE_DATA"):
    task.get_dataset(LENGTHS, split="validation")


def test_a_file_in_a_bucket_is_copied_again_when_it_changes(
  seqio, tasks, tmp_path, monkeypatch
):
  import tensorflow as tf

  from symtune.bridges import seqio_settings

  monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
  path = "ram://bucket/rows.jsonl"  # TensorFlow's file system in memory
  for text in ("old", "newer"):
    if tf.io.gfile.exists(path):
      tf.io.gfile.remove(path)  # this file system appends
    with tf.io.gfile.GFile(path, "w") as file:
      file.write(text)
    assert seqio_settings._local_copy(path).read_text() == text
  copy = seqio_settings._local_copy(path)
  copy.write_text("kept")
  assert seqio_settings._local_copy(path).read_text() == "kept"
  with pytest.raises(SymtuneError, match="cannot be read"):
    seqio_settings._local_copy("ram://bucket/gone.jsonl")


def test_sentinels_are_asked_of_the_pieces_not_of_the_name(
  seqio, tasks, small_vocab_path, tmp_path, monkeypatch
):
  from sentencepiece import sentencepiece_model_pb2

  from symtune.bridges.seqio_settings import CardKey, make_vocabulary

  model = sentencepiece_model_pb2.ModelProto.FromString(small_vocab_path.read_bytes())
  count = len(model.pieces)
  for folder, added in (("100extra", 100), ("other", 0)):
    path = tmp_path / folder / "spiece.model"
    path.parent.mkdir()
    path.write_bytes(model.SerializeToString())
    monkeypatch.setenv("SYMTUNE_VOCAB", str(path))
    vocabulary = make_vocabulary(CardKey(name="rte"))
    assert (vocabulary.extra_ids, vocabulary.vocab_size) == (added, count + 100)
    for number in reversed(range(100)):
      kind = model.SentencePiece.USER_DEFINED
      model.pieces.add(piece=f"<extra_id_{number}>", score=0.0, type=kind)
