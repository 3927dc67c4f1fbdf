"""Checkpoints by path, baselines by name; sizes are read from the model."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_models import TINY, write_model

from symtune.convert.convert import Destination, Format, convert
from symtune.convert.source import open_checkpoint
from symtune.convert.tokenizer.read import read_vocab
from symtune.errors import SymtuneError
from symtune.experiment import answerers
from symtune.experiment.answerers import BASELINES, open_answerers
from symtune.experiment.tokens import Reader
from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params
from symtune.probe.answer.native_model import count_parameters
from symtune.probe.probe import ProbeSettings
from symtune.probe.probes.flipped_labels import FlippedLabels
from symtune.train.weights import save_weights


@pytest.fixture
def config(toy_vocab):
  return T5Config(
    vocab_size=toy_vocab.size + 3,
    emb_dim=8,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=4,
    mlp_dim=16,
    mlp_activations=("gelu", "linear"),
  )


@pytest.fixture
def reader(toy_vocab):
  return Reader(vocab=toy_vocab, max_inputs=64, max_targets=8, tokens_per_batch=512)


@pytest.fixture
def weights(tmp_path, config):
  params = init_params(Transformer(config), jax.random.key(0))
  path = tmp_path / "small.safetensors"
  save_weights(path, params, config)
  return path, params


def test_a_weights_file_answers_and_knows_its_size(
  weights, reader, toy_task, toy_pools, tmp_path
):
  path, params = weights
  (opened,) = open_answerers([str(path)], reader, tmp_path)
  assert (opened.label.name, opened.label.step) == ("small.safetensors", 0)
  answerer = opened.read()
  assert answerer.label.parameters == count_parameters(params)
  settings = ProbeSettings(pool=toy_pools[1], max_queries=2)
  items = list(FlippedLabels().items(toy_task, settings))
  scores = answerer.score(items)
  assert all(np.isfinite(s.log_likelihoods).all() for s in scores)
  assert (tmp_path / "scores.sqlite").exists()


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_bfloat16_weights_answer(dtype, weights, reader, toy_task, toy_pools, tmp_path):
  half = tmp_path / "half.safetensors"
  place = Destination(path=half, format=Format.SYMTUNE, dtype="bfloat16")
  convert(open_checkpoint(weights[0]), place)
  (opened,) = open_answerers([str(half)], reader, tmp_path, dtype)
  settings = ProbeSettings(pool=toy_pools[1], max_queries=1)
  scores = opened.read().score(list(FlippedLabels().items(toy_task, settings)))
  assert all(np.isfinite(s.log_likelihoods).all() for s in scores)


def test_a_damaged_weights_file_is_named(weights, reader, tmp_path):
  path, _ = weights
  path.write_bytes(path.read_bytes()[:-40])
  with pytest.raises(SymtuneError, match=path.name):
    open_answerers([str(path)], reader, tmp_path)


@pytest.mark.parametrize(
  ("ids", "message"),
  [(10_000, "expected at most"), (20, "it is another network's vocabulary")],
)
def test_a_vocabulary_of_another_size_is_refused(
  weights, reader, monkeypatch, tmp_path, ids, message
):
  path, _ = weights
  monkeypatch.setattr(reader.vocab, "num_ids", ids)
  with pytest.raises(SymtuneError, match=message):
    open_answerers([str(path)], reader, tmp_path)


def test_another_tokenizer_beside_the_checkpoint_is_refused(
  weights, reader, small_vocab, small_vocab_path, tmp_path
):
  path, _ = weights
  shutil.copyfile(small_vocab_path, path.parent / "spiece.model")
  with pytest.raises(SymtuneError, match=r"its tokenizer, .*--vocab .*spiece\.model"):
    open_answerers([str(path)], reader, tmp_path)
  reader = dataclasses.replace(reader, vocab=small_vocab)
  assert open_answerers([str(path)], reader, tmp_path)


def test_each_decoder_keeps_its_own_ends_of_an_answer(tmp_path):
  """A base and its chat model share a tokenizer, but not what ends an answer."""
  folders = [tmp_path / "base", tmp_path / "chat"]
  for folder, ends in zip(folders, ([2], [0, 2]), strict=True):
    folder.mkdir()
    write_model(folder, TINY, 0.1)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
  shared = read_vocab(folders[0] / "tokenizer.json")
  names = [str(folder) for folder in folders]
  opened = open_answerers(names, Reader(vocab=shared), None)
  assert [sorted(o.vocab.end_ids) for o in opened] == [[2], [0, 2]]
  assert {o.vocab.fingerprint for o in opened} == {shared.fingerprint}


def test_the_type_is_chosen_at_load(weights, reader, tmp_path, monkeypatch):
  path, _ = weights
  made = []
  make = answerers.native_answerer

  def spy(*args):
    made.append((args[2], args[3]))
    return make(*args)

  monkeypatch.setattr(answerers, "native_answerer", spy)
  for dtype in (None, "bfloat16"):
    (opened,) = open_answerers([str(path)], reader, tmp_path, dtype)
    opened.read()
  assert opened.label.name == "small.safetensors (bfloat16)"
  (plain, floats), (rounded, halves) = made
  assert (plain.config.dtype, rounded.config.dtype) == (jnp.float32, jnp.bfloat16)
  assert {leaf.dtype.name for leaf in jax.tree.leaves(floats)} == {"float32"}
  assert {leaf.dtype.name for leaf in jax.tree.leaves(halves)} == {"bfloat16"}
  with pytest.raises(SymtuneError, match="--dtype: got float16"):
    open_answerers([str(path)], reader, tmp_path, "float16")


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_by_name(name, reader, tmp_path):
  (opened,) = open_answerers([f"baseline:{name}"], reader, tmp_path)
  assert opened.label.name == f"baseline:{name}"
  assert opened.read().score is BASELINES[name]
  assert opened.read().label.parameters is None
  assert opened.read().label.identity == f"baseline:{name}"


@pytest.mark.parametrize(
  ("names", "message"),
  [
    (["baseline:best"], "expected one of oracle, prior"),
    (["nowhere"], "no checkpoint at nowhere"),
    (["baseline:oracle", "baseline:oracle"], "expected each once"),
    (["."], "holds no known checkpoint"),
    (["run@5"], "got step 5, expected one of"),
  ],
)
def test_names_that_stand_for_nothing(names, message, reader, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(SymtuneError, match=message):
    open_answerers(names, reader, tmp_path)


def test_titles_are_short_where_that_tells_them_apart():
  assert answerers._titles(["runs/small", "runs/base"]) == ["small", "base"]
  assert answerers._titles(["a/run", "b/run"]) == ["a/run", "b/run"]
  assert answerers._titles(["a/run@5", "a/run@9"]) == ["run", "run"]  # steps differ
  revisions = ["hf://g/t5@main", "hf://g/t5@v2", "hf://g/t5@7"]
  assert answerers._titles(revisions) == ["t5@main", "t5@v2", "t5@7"]


def test_who_answers_is_known_by_the_weights_not_by_the_name(
  weights, config, reader, tmp_path
):
  path, params = weights
  (opened,) = open_answerers([str(path)], reader, tmp_path)
  first = opened.read().label.identity
  assert len(first) == 64
  assert opened.read().label.identity == first
  save_weights(path, jax.tree.map(lambda x: x + 1.0, params), config)
  (opened,) = open_answerers([str(path)], reader, tmp_path)
  assert opened.label.name == path.name
  assert opened.read().label.identity != first
