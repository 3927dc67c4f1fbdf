"""A folder with the answers of two baselines, and its lab report."""

import pytest

import symtune as st
from symtune.lab.tasks import LabTask

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
