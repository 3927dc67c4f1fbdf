"""`symtune convert` from the command line: what it says, and how it refuses."""

import json
import shutil
import sys

import jax
import pytest

from symtune.cards.resources import resource_dir
from symtune.cli.main import main
from symtune.convert.convert import Destination, Format, convert
from symtune.convert.source import open_checkpoint
from symtune.convert.tensors import SourceCheckpoint
from symtune.convert.tokenizer.read import read_vocab
from symtune.errors import SymtuneError
from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params

CONFIG = T5Config(
  vocab_size=256,
  emb_dim=4,
  num_heads=2,
  num_encoder_layers=1,
  num_decoder_layers=1,
  head_dim=2,
  mlp_dim=4,
)


@pytest.fixture(scope="module")
def weights(held_tensors, tmp_path_factory):
  params = init_params(Transformer(CONFIG), jax.random.key(0))
  source = SourceCheckpoint(where="x", config=CONFIG, tensors=held_tensors(params))
  path = tmp_path_factory.mktemp("weights") / "w.safetensors"
  return convert(source, Destination(path=path, format=Format.SYMTUNE))


@pytest.fixture
def run_cli(monkeypatch, capsys):
  """Runs a command; its exit code and what it printed to stderr, on one line."""

  def run(*arguments):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["symtune", "convert", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
      main()
    return stop.value.code or 0, " ".join(capsys.readouterr().err.split())

  return run


def test_a_folder_is_a_transformers_model_with_its_tokenizer(
  weights, small_vocab_path, run_cli, tmp_path
):
  code, printed = run_cli(weights, tmp_path / "hf", "--vocab", small_vocab_path)
  assert code == 0
  assert "27 tensors" in printed
  assert f"written: {tmp_path / 'hf'}" in printed
  names = {path.name for path in (tmp_path / "hf").iterdir()}
  assert {"config.json", "README.md", "spiece.model", "tokenizer_config.json"} <= names
  assert open_checkpoint(tmp_path / "hf").vocab == tmp_path / "hf" / "spiece.model"


def test_without_a_tokenizer_it_says_so(weights, run_cli, tmp_path):
  code, printed = run_cli(weights, tmp_path / "hf")
  assert code == 0
  assert "no tokenizer was found" in printed


def test_t5x_gets_the_tokenizer_and_weights_say_that_they_hold_none(
  weights, small_vocab_path, run_cli, tmp_path
):
  options = ("--to", "t5x", "--vocab", small_vocab_path)
  assert run_cli(weights, tmp_path / "t5x", *options)[0] == 0
  found = open_checkpoint(tmp_path / "t5x").vocab
  assert found.read_bytes() == small_vocab_path.read_bytes()
  code, printed = run_cli(tmp_path / "t5x", tmp_path / "again.safetensors")
  assert code == 0
  assert "a weights file holds no tokenizer" in printed


def test_t5x_gets_added_tokens_and_says_what_it_does_not_record(
  weights, small_vocab_path, small_vocab, run_cli, tmp_path, held_tensors
):
  folder = tmp_path / "vocab"
  folder.mkdir()
  shutil.copyfile(small_vocab_path, folder / "spiece.model")
  added = {"[TAG]": small_vocab.num_ids}
  (folder / "added_tokens.json").write_text(json.dumps(added))
  code, printed = run_cli(weights, tmp_path / "t5x", "--to", "t5x", "--vocab", folder)
  assert code == 0
  assert f"added tokens '[TAG]' = {small_vocab.num_ids}; symtune reads them" in printed
  assert run_cli(tmp_path / "t5x", tmp_path / "hf")[0] == 0
  found = read_vocab(tmp_path / "hf")
  assert found.encode("[TAG]").tolist() == [small_vocab.num_ids]
  # Without them, texts would have other ids.
  code, printed = run_cli(tmp_path / "hf", tmp_path / "x", "--vocab", small_vocab_path)
  assert code == 2
  assert "its ids are not those of" in printed
  config = CONFIG.replace(mlp_activations=("silu", "linear"))
  params = init_params(Transformer(config), jax.random.key(0))
  source = SourceCheckpoint(where="x", config=config, tensors=held_tensors(params))
  path = convert(
    source, Destination(path=tmp_path / "silu.safetensors", format=Format.SYMTUNE)
  )
  code, printed = run_cli(path, tmp_path / "silu", "--to", "t5x")
  assert code == 0
  assert (
    "does not record activations: read it with --activations silu,linear" in printed
  )


def test_t5x_with_a_step(weights, run_cli, tmp_path):
  code, _ = run_cli(weights, tmp_path / "t5x", "--to", "t5x", "--step", "7")
  assert code == 0
  assert open_checkpoint(tmp_path / "t5x" / "checkpoint_7").step == 7


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("--to", "pytorch"), "--to: got 'pytorch', expected one of 'huggingface', 't5x'"),
    (("--dtype", "float16"), "exceed float16's 65,504"),
    (("--vocab", "none.model"), "no file at none.model"),
  ],
)
def test_bad_options(arguments, message, weights, run_cli, tmp_path):
  code, printed = run_cli(weights, tmp_path / "out", *arguments)
  assert code == 2
  assert message in printed
  assert not (tmp_path / "out").exists()


def test_a_vocabulary_of_a_larger_network_is_refused(weights, run_cli, tmp_path):
  vocab = resource_dir("tasks") / "microworld" / "vocab.model"
  code, printed = run_cli(weights, tmp_path / "out", "--vocab", vocab)
  assert code == 2
  assert "ids with the sentinels, expected at most" in printed
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dest", ["gs://bucket/model", "hf://org/model"])
def test_only_local_places_are_written_to(
  dest, weights, run_cli, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  code, printed = run_cli(weights, dest)
  assert code == 2
  assert "expected a local path" in printed
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ("error", "message"),
  [
    (OSError("the network is down"), "error: the network is down"),
    (OSError(28, "No space left on device"), "error: [Errno 28] No space left"),
    (FileNotFoundError(2, "No such file", "a.txt"), "error: a.txt: No such file"),
  ],
)
def test_errors_of_the_system_say_what_they_know(
  error, message, weights, run_cli, tmp_path, monkeypatch
):
  def fail(*_args, **_kwargs):
    raise error

  monkeypatch.setattr("mmap.mmap", fail)  # tensors are read by it, one by one
  code, printed = run_cli(weights, tmp_path / "hf")
  assert code == 2
  assert message in printed


def test_a_stopped_conversion_says_that_nothing_is_there(
  weights, run_cli, tmp_path, monkeypatch
):
  def stop(*_args, **_kwargs):
    raise KeyboardInterrupt

  monkeypatch.setattr("mmap.mmap", stop)  # tensors are read by it, one by one
  code, printed = run_cli(weights, tmp_path / "hf")
  assert code == 130
  assert "Nothing of the new checkpoint is kept" in printed
  assert not list(tmp_path.iterdir())


def test_a_gguf_file_names_the_extra_that_it_needs(run_cli, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "gguf", None)  # as where it is not installed
  file = tmp_path / "tiny.gguf"
  file.write_bytes(b"GGUF")
  for source in (file, tmp_path):
    code, printed = run_cli(source, tmp_path / "out")
    assert code == 2
    assert f"error: {file}: GGUF files need PyTorch, Transformers and gguf" in printed
    assert "pip install 'symtune[hf]'" in printed
  assert {path.name for path in tmp_path.iterdir()} == {"tiny.gguf"}


def test_gguf_files_that_cannot_be_meant(run_cli, tmp_path):
  for name in ("a.gguf", "b.gguf"):
    (tmp_path / name).write_bytes(b"GGUF")
  for arguments, message in (
    ((tmp_path, tmp_path / "out"), "several GGUF files, expected one: a.gguf; b.gguf"),
    ((tmp_path / "c.gguf", tmp_path / "out"), "c.gguf; expected a GGUF file"),
    ((tmp_path / "a.gguf", tmp_path / "w.safetensors"), "got --to symtune"),
    ((tmp_path / "a.gguf", tmp_path), "exists already"),
  ):
    code, printed = run_cli(*arguments)
    assert code == 2
    assert message in printed
  with pytest.raises(SymtuneError, match=r"symtune convert .*a\.gguf FOLDER"):
    open_checkpoint(tmp_path / "a.gguf")
