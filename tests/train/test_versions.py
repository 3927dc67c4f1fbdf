"""Processes with other versions are refused, with one message that says which."""

import importlib.metadata
import platform

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

import symtune
from symtune.errors import SymtuneError
from symtune.train import versions


def test_versions_are_those_installed():
  found = versions.versions()
  assert found["python"] == platform.python_version()
  assert found["numpy"] == np.__version__
  assert found["jax"] == jax.__version__
  assert found["libtpu"] == "not installed"
  assert found["symtune"].startswith(symtune.__version__)
  for package in ("jaxlib", "flax", "orbax-checkpoint"):
    assert found[package] == importlib.metadata.version(package)


def test_differences_name_process_package_and_both_versions():
  same = {"python": "3.11.9", "jax": "0.10.2", "numpy": "2.4.6"}
  assert versions.describe_differences([same, dict(same)]) is None
  others = [same, same, same | {"jax": "0.11.0"}, same | {"numpy": "2.5.0"}]
  assert versions.describe_differences(others) == (
    "process 2 has jax 0.11.0, process 0 has 0.10.2; "
    "process 3 has numpy 2.5.0, process 0 has 2.4.6"
  )


def second_process_with(monkeypatch, change):
  """Makes this process the first of two; the other one's versions are changed."""

  def gather(mine):
    if mine.ndim == 1:  # where the process runs
      return np.stack([mine, mine])
    own = {
      name: row.tobytes() for name, row in zip(versions.versions(), mine, strict=True)
    }
    other = [change.get(name, row).ljust(64, b"\0") for name, row in own.items()]
    return np.stack([mine, [np.frombuffer(row, np.uint8) for row in other]])

  monkeypatch.setattr(jax, "process_count", lambda: 2)
  monkeypatch.setattr(multihost_utils, "process_allgather", gather)


def test_processes_with_the_same_versions_may_start(monkeypatch):
  second_process_with(monkeypatch, {})
  versions.check_versions()


@pytest.mark.parametrize(
  "package", ["python", "symtune", "jax", "jaxlib", "numpy", "flax", "orbax-checkpoint"]
)
def test_a_process_with_another_version_is_refused(monkeypatch, package):
  second_process_with(monkeypatch, {package: b"9.9.9"})
  mine = versions.versions()[package]
  with pytest.raises(SymtuneError) as refused:
    versions.check_versions()
  assert f"process 1 has {package} 9.9.9, process 0 has {mine}. " in str(refused.value)


def test_training_refuses_before_anything_is_built(monkeypatch, tmp_path):
  from symtune.cli import experiments
  from symtune.train.partition import Layout

  second_process_with(monkeypatch, {"jax": b"9.9.9"})
  monkeypatch.setattr(jax.distributed, "initialize", lambda **_: None)
  inputs = experiments.Inputs(
    recipe="there is none", overrides=[], data=None, vocab=None, out=tmp_path / "run"
  )
  with pytest.raises(SymtuneError, match=r"process 1 has jax 9\.9\.9"):
    experiments.train(inputs, Layout(), distributed=True)
  assert not (tmp_path / "run").exists()
