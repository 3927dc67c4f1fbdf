"""A folder with the answers of two baselines, and its lab report."""

import dataclasses

import pytest

import symtune as st
from symtune.lab.tasks import LabTask
from symtune.probe.results import read_results, to_json

TASKS = (("animal", "fruit"), ("animal", "tool"), ("fruit", "tool"))


@pytest.fixture(scope="session")
def asked(make_task, tmp_path_factory):
  """Three toy tasks, answered by two baselines."""
  return st.ask(
    ["baseline:context", "baseline:prior"],
    [LabTask(task=make_task(labels)) for labels in TASKS],
    ["settings", "flipped_labels"],
    k=2,
    max_queries=6,
    seeds=[0],
    out=tmp_path_factory.mktemp("asked") / "out",
    quiet=True,
  )


@pytest.fixture(scope="session")
def rename():
  """Gives all checkpoints of a folder one name."""

  def rename(folder, name):
    path = folder / "results.jsonl"
    rows = [dataclasses.replace(row, checkpoint=name) for row in read_results(path)]
    path.write_text("".join(to_json(row) + "\n" for row in rows))

  return rename
