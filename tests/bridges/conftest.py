"""SeqIO, or a skip that names the extra; settings that a test leaves behind nowhere."""

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture
def seqio():
  return pytest.importorskip("seqio", reason="needs SeqIO: pip install symtune[seqio]")


@pytest.fixture
def tasks(seqio, monkeypatch):
  """The registered tasks, with the defaults for every setting."""
  from symtune.bridges import seqio_tasks

  for name in [name for name in os.environ if name.startswith("SYMTUNE_")]:
    if name != "SYMTUNE_SHARED":
      monkeypatch.delenv(name)
  return seqio_tasks


@pytest.fixture
def real_tasks(tasks, shared_data, monkeypatch):
  """The same, with real rows and T5's vocabulary."""
  monkeypatch.setenv("SYMTUNE_DATA", str(shared_data / "tasks"))
  vocab = shared_data / "t5_tokenizer" / "spiece.model"
  monkeypatch.setenv("SYMTUNE_VOCAB", str(vocab))
  from symtune.bridges import seqio_settings

  if not vocab.is_file():
    pytest.skip(f"needs T5's vocabulary: {vocab} is missing")
  # A feature names its vocabulary when it is registered, before this fixture.
  monkeypatch.setattr(seqio_settings, "T5_VOCAB", str(vocab))
  return tasks
