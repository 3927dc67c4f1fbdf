"""A checkpoint that somebody else made reaches no file outside of its folder."""

import json
import os
import shutil

import pytest

from symtune.cards.resources import resource_dir
from symtune.checksums import write_checksums
from symtune.convert.convert import Destination, Format, convert
from symtune.convert.source import open_checkpoint
from symtune.errors import SymtuneError


def _moved(path, target, link=None):
  """Moves a file, and leaves a link in its place."""
  target.parent.mkdir(parents=True, exist_ok=True)
  shutil.move(path, target)
  path.symlink_to(target if link is None else link)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "spiece.model"])
def test_links_that_lead_out_of_a_model_are_refused(
  file, huggingface_golden, small_vocab_path, tmp_path
):
  folder = huggingface_golden / "t5_1_1"
  shutil.copyfile(small_vocab_path, folder / "spiece.model")
  _moved(folder / file, tmp_path / "elsewhere" / file)
  with pytest.raises(
    SymtuneError, match=rf"{file} is a link to .*outside of the check"
  ):
    open_checkpoint(folder)


def test_links_inside_a_model_and_inside_the_cache_of_the_hub_are_followed(
  huggingface_golden, tmp_path
):
  model = tmp_path / "hub" / "models--org--tiny"
  folder = model / "snapshots" / "0123"
  shutil.copytree(huggingface_golden / "t5_1_1", folder)
  for name in ("config.json", "model.safetensors"):
    _moved(folder / name, model / "blobs" / name, f"../../blobs/{name}")
  assert open_checkpoint(folder).config.vocab_size
  plain = huggingface_golden / "t5_1_0"
  _moved(plain / "model.safetensors", plain / "w" / "real", "w/real")
  assert open_checkpoint(plain).config.vocab_size
  # A link to the folder or the file itself is the user's own.
  (tmp_path / "mine").symlink_to(plain)
  assert open_checkpoint(tmp_path / "mine").config.vocab_size
  written = convert(
    open_checkpoint(plain),
    Destination(path=tmp_path / "w.safetensors", format=Format.SYMTUNE),
  )
  (tmp_path / "at").mkdir()
  (tmp_path / "at" / "mine.safetensors").symlink_to(written)
  assert open_checkpoint(tmp_path / "at" / "mine.safetensors").config.vocab_size


@pytest.mark.parametrize("layout", ["msgpack", "orbax"])
def test_links_out_of_a_t5x_checkpoint_are_refused(layout, t5x_golden, tmp_path):
  folder = t5x_golden.folder("plain", layout)
  path = next(p for p in sorted(folder.rglob("*")) if p.is_file())
  _moved(path, tmp_path / "elsewhere" / "file")
  with pytest.raises(SymtuneError, match="outside of the checkpoint's folder"):
    open_checkpoint(folder)


@pytest.mark.parametrize("layout", ["msgpack", "orbax"])
def test_a_pipe_in_a_t5x_checkpoint_is_refused_and_not_waited_for(layout, t5x_golden):
  folder = t5x_golden.folder("plain", layout)
  path = next(p for p in sorted(folder.rglob("*")) if p.is_file())
  path.unlink()
  os.mkfifo(path)
  with pytest.raises(SymtuneError, match="got a pipe, socket or device"):
    open_checkpoint(folder)


def _rewrite(step, edit):
  """Changes a run's metadata as its author can: the checksums are right."""
  about = step / "run" / "metadata"
  content = json.loads(about.read_text())
  edit(content)
  about.write_text(json.dumps(content))
  write_checksums(step)


@pytest.mark.parametrize("how", ["absolute", "upwards", "shipped"])
def test_a_run_names_only_vocabularies_that_are_shipped(how, small_run, tmp_path):
  secret = tmp_path / "secret.model"
  shutil.copyfile(resource_dir("tasks") / "microworld" / "vocab.model", secret)
  tasks = resource_dir("tasks")
  vocab = {
    "absolute": str(secret),
    "upwards": os.path.relpath(secret, tasks),
    "shipped": "microworld/vocab.model",
  }[how]
  assert (tasks / vocab).is_file()
  _rewrite(small_run, lambda content: content["config"].update(vocab=vocab))
  source = open_checkpoint(small_run)
  if how == "shipped":
    assert source.vocab == tasks / vocab
  else:
    assert source.vocab is None
    assert source.left_out[-1] == f"its vocabulary, {vocab}: give it with --vocab"


@pytest.mark.parametrize(
  ("edit", "message"),
  [
    (lambda c: c["config"].update(vocab=5), "metadata cannot be read"),
    (lambda c: c["config"].update(model=[]), "metadata cannot be read"),
    (lambda c: c.update(config="x"), "metadata cannot be read"),
    (lambda c: c["config"]["model"].update(num_heads="2"), "settings are damaged"),
    (lambda c: c["config"]["model"].update(num_encoder_layers=10**9), "at most 1,000"),
    (lambda c: c["config"]["model"].update(mlp_dim=10**30), "expected at most"),
    (lambda c: c["config"]["model"].update(dropout_rate="x"), "settings are damaged"),
  ],
)
def test_damaged_settings_of_a_run_are_named(edit, message, small_run):
  _rewrite(small_run, edit)
  with pytest.raises(SymtuneError, match=message):
    open_checkpoint(small_run)
