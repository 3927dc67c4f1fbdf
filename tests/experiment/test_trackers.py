"""Metrics in TensorBoard's files, and what is said where a package is missing."""

import importlib.machinery
import importlib.util
import struct
import sys
import types

import pytest

from symtune.errors import SymtuneError
from symtune.experiment.trackers import (
  TENSORBOARD_FOLDER,
  TrackerKind,
  check_tracker,
  open_tracker,
)

pytest.importorskip("tensorboardX", reason="needs tensorboardX: pip install [track]")


def _events(folder):
  """(tag, step, value) of every event file, in the order of writing."""
  from tensorboardX.proto import event_pb2

  found = []
  for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
    content, start = path.read_bytes(), 0
    while start < len(content):
      (length,) = struct.unpack("<Q", content[start : start + 8])
      event = event_pb2.Event.FromString(content[start + 12 : start + 12 + length])
      start += 12 + length + 4
      found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
  return found


def _fake_wandb(init):
  spec = importlib.machinery.ModuleSpec("wandb", None)
  return types.SimpleNamespace(init=init, __spec__=spec)


def test_tensorboard_gets_the_rows_under_their_steps(tmp_path):
  with open_tracker(TrackerKind.TENSORBOARD, tmp_path, "a", {}) as track:
    track({"step": 5, "loss": 0.5, "seconds": 2})
    track({"step": 10, "loss": 0.25, "seconds": 1})
  assert _events(tmp_path / TENSORBOARD_FOLDER) == [
    ("loss", 5, 0.5),
    ("seconds", 5, 2.0),
    ("loss", 10, 0.25),
    ("seconds", 10, 1.0),
  ]


def test_wandb_gets_the_rows_and_the_configuration(tmp_path, monkeypatch):
  logged, started = [], {}

  def init(**about):
    started.update(about)
    return types.SimpleNamespace(
      log=lambda row, step: logged.append((step, row)), finish=lambda: None
    )

  monkeypatch.setitem(sys.modules, "wandb", _fake_wandb(init))
  with open_tracker(TrackerKind.WANDB, tmp_path / "demo", "abc", {"seed": 1}) as track:
    track({"step": 5, "loss": 0.5})
  assert logged == [(5, {"loss": 0.5})]
  assert started["id"] == "demo-abc"
  assert started["config"] == {"seed": 1}


def test_a_wandb_that_does_not_start_is_one_message(tmp_path, monkeypatch):
  def init(**about):
    raise RuntimeError("no API key")

  monkeypatch.setitem(sys.modules, "wandb", _fake_wandb(init))
  with (
    pytest.raises(SymtuneError, match=r"--track wandb: .*no API key.*wandb login"),
    open_tracker(TrackerKind.WANDB, tmp_path, "abc", {}),
  ):
    pass


def test_a_missing_package_names_the_extra(monkeypatch):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(SymtuneError, match=r"tensorboardX: pip .*\[track\]"):
    check_tracker(TrackerKind.TENSORBOARD)
