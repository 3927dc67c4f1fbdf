"""seqio_cache_tasks stores prompts; training from the cache reads the same tokens."""

import subprocess
import sys

import pytest

from symtune.cards.load import load_suite

pytestmark = pytest.mark.beam
LENGTHS = {"inputs": 160, "targets": 16}


@pytest.fixture
def names():
  train = load_suite("microworld_train", None)
  return [f"symtune_{train[i].card.name}_symbols" for i in (0, -1)]


@pytest.fixture
def cache_dir(seqio, tmp_path):
  """A folder where SeqIO looks for cached tasks, during one test."""
  before = list(seqio.get_global_cache_dirs())
  seqio.set_global_cache_dirs([str(tmp_path)])
  yield tmp_path
  seqio.set_global_cache_dirs(before)


def test_two_tasks_are_cached_and_read_back(
  seqio, tasks, names, cache_dir, monkeypatch
):
  pytest.importorskip("apache_beam", reason="needs Apache Beam (docs/tpu_pods.md)")
  monkeypatch.setenv("SYMTUNE_PROMPTS", "40")
  command = [sys.executable, "-m", "seqio.scripts.cache_tasks_main"]
  command += [f"--tasks={','.join(names)}", f"--output_cache_dir={cache_dir}"]
  command += ["--module_import=symtune.bridges.seqio_tasks"]
  command += ["--pipeline_options=--runner=DirectRunner"]
  done = subprocess.run(command, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  for name in names:
    task = seqio.get_mixture_or_task(name)
    read = {
      use_cached: sorted(
        (row["inputs"].tolist(), row["targets"].tolist())
        for row in task.get_dataset(
          LENGTHS, split="train", shuffle=False, use_cached=use_cached
        ).as_numpy_iterator()
      )
      for use_cached in (False, True)
    }
    assert len(read[True]) > 30
    assert read[True] == read[False]
