"""The commands on data folders and symbols, as a user calls them."""

import sys

import pytest

from symtune.cards import resources
from symtune.cards.load import load_card
from symtune.cards.resources import data_path, path_in_data
from symtune.cli import experiments
from symtune.cli.main import main
from symtune.data.text import symbols
from symtune.data.text.instructions import InstructionForm, read_instructions
from symtune.errors import SymtuneError

SST2 = load_card("sst2")


@pytest.fixture
def run_cli(monkeypatch, capsys):
  """Runs a command; returns its exit code and what it printed."""

  def run(*arguments):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["symtune", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
      main()
    printed = capsys.readouterr()
    return stop.value.code or 0, " ".join((printed.out + printed.err).split())

  return run


@pytest.fixture
def hub(tmp_path, monkeypatch):
  """A folder in place of the hub with SST-2, four rows a split."""
  datasets = pytest.importorskip("datasets", reason="needs the extra [data]")
  monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
  root = tmp_path / "hub"
  names = datasets.ClassLabel(names=["negative", "positive"])
  for split in ("train", "validation"):
    texts = [f"{split} {i}" for i in range(4)]
    data = datasets.Dataset.from_dict({"sentence": texts, "label": [0, 1, 0, 1]})
    folder = root / f"{SST2.source.hub}@refs%2Fconvert%2Fparquet" / "default" / split
    folder.mkdir(parents=True)
    data.cast_column("label", names).to_parquet(str(folder / "0000.parquet"))
  return root


def test_get_verify_and_stats(hub, run_cli, capsys, tmp_path):
  capsys.readouterr()  # what writing the Parquet files printed
  data = tmp_path / "data"
  get = ("data", "get", "symbol_tuning_train", "--to", data, "--task", "sst2")
  code, printed = run_cli(*get, "--hub", hub)
  assert (code, printed) == (0, "[1/1] sst2: 8 rows")
  assert "already there" in run_cli(*get, "--hub", hub)[1]
  code, printed = run_cli("data", "verify", data)
  assert code == 0
  assert printed.startswith("ok sst2: 8 rows, hash as downloaded")
  code, printed = run_cli("data", "stats", data)
  assert code == 0
  assert "negative 4, positive 4" in printed
  (data / "sst2.jsonl").write_text("{}\n")
  code, printed = run_cli("data", "verify", data)
  assert code == 1
  assert "BAD sst2" in printed
  assert "sst2.jsonl, line 1: key 'split' is missing" in printed
  (data / "sst2.jsonl").unlink()
  code, printed = run_cli("data", "verify", data)
  assert code == 1
  assert "no such file, but provenance.json lists it" in printed
  code, printed = run_cli("data", "stats", data)
  assert "holds no row file of a known card" in printed


def test_get_refuses_a_task_that_the_suite_lacks(run_cli, tmp_path):
  get = ("data", "get", "symbol_tuning_train", "--to", tmp_path, "--task", "subj")
  code, printed = run_cli(*get)
  assert code
  assert "suite symbol_tuning_train has no task subj" in printed


def test_leaks_are_reported_with_an_exit_code(run_cli, tmp_path):
  def write(name, labels, texts):
    lines = [
      f'{{"text": "{text}", "label": {i % 2}, "label_name": "{labels[i % 2]}", '
      f'"split": "{split}"}}\n'
      for split in ("train", "validation")
      for i, text in enumerate(texts)
    ]
    (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    suite = tmp_path / f"only_{name}.yaml"
    suite.write_text(
      f"name: only_{name}\nversion: 1\ndescription: one\ntasks: [{name}]\n"
    )
    return suite

  long = "one two three four five six seven eight nine ten"
  train = write("sst2", ("negative", "positive"), ["same", long, "mine", "own"])
  near = write("subj", ("subjective", "objective"), ["SAME", long + " x", "y", "z"])
  code, printed = run_cli("data", "leaks", train, near, "--data", tmp_path)
  assert code == 1
  assert "sst2 │ subj │ 2 │ 4" in printed
  assert "4 tuning rows are in an evaluation task (n-gram overlap of at" in printed
  apart = write("subj", ("subjective", "objective"), ["a", "b", "c", "d"])
  code, printed = run_cli("data", "leaks", train, apart, "--data", tmp_path)
  assert (code, printed[:15]) == (0, "no shared texts")


def test_symbols_check_says_whether_the_contract_holds(run_cli, monkeypatch):
  vocab = resources.resource_dir("tasks") / "microworld" / "vocab.model"
  check = ("symbols", "check", "--vocab", vocab, "--size", "50")
  code, printed = run_cli(*check, "--category", "nonce")
  assert code == 0
  assert "the contract holds" in printed
  code, printed = run_cli(*check, "--category", "emoji")
  assert code == 2
  assert "got ['emoji'], expected some of integers" in printed

  def both_alike(split, *_, **__):
    kinds = {symbols.SymbolCategory.INTEGERS: ("7", "8")}
    return symbols.SymbolPool(split=split, symbols=kinds)

  monkeypatch.setattr(symbols, "make_pool", both_alike)
  code, printed = run_cli(*check)
  assert code == 1
  assert "symbols in both pools: 2 '7', '8'" in printed
  assert "the contract is broken" in printed


def test_an_address_of_a_bucket_reaches_the_commands_whole(run_cli, monkeypatch):
  asked = []

  def build(recipe, *, data_dir, **_):
    asked.append(data_dir)
    raise SymtuneError("far enough")

  monkeypatch.setattr(experiments, "build_experiment", build)
  run_cli("run", "microworld", "--out", "unused", "--data", "gs://bucket/rows")
  assert asked == ["gs://bucket/rows"]


def test_a_bucket_without_its_package_names_what_to_install(monkeypatch):
  class Path:
    def __init__(self, path):
      self.path = path

    def exists(self):
      raise ImportError("no gcsfs")

  monkeypatch.setattr(resources.epath, "Path", Path)
  with pytest.raises(SymtuneError, match=r"gs://bucket.*no gcsfs.*etils\[epath-gcs\]"):
    data_path("gs://bucket/rows")


def test_instruction_files_lie_in_the_data_folder(tmp_path):
  (tmp_path / "a.jsonl").write_text('{"inputs": "x", "targets": "y"}\n')
  form = InstructionForm.PAIRS
  for folder in (str(tmp_path), tmp_path):
    (task,) = read_instructions(path_in_data(folder, "a.jsonl"), form)
    assert task.rows[0].outputs == ("y",)
  absolute = path_in_data(None, str(tmp_path / "a.jsonl"))
  assert len(read_instructions(absolute, form)) == 1
