"""Rows made by hand: who answered what."""

import json
import zlib
from collections.abc import Callable, Sequence

import pytest

from symtune.probe.results import SCHEMA_VERSION, ResultRow, to_json


def _make_rows(
  checkpoint: str,
  step: int,
  task: str,
  correct: Sequence[int],
  probe: str = "settings",
  setting: str = "neither",
  num_classes: int = 2,
  seed: int = 0,
  parameters: int | None = None,
  prior: int | None = None,
  family: str | None = None,
  shares: tuple[str, ...] = (),
  group: str | None = None,
  asked_as: tuple[str, str] | None = None,
) -> list[ResultRow]:
  """One row per query 0, 1, ...; `correct` is 1 for right and 0 for wrong answers.

  `asked_as` names the probe and setting whose prompts are asked, if not the row's own.
  """
  prompts = asked_as or (probe, setting)
  choices = tuple("abcdef"[:num_classes])
  return [
    ResultRow(
      schema_version=SCHEMA_VERSION,
      checkpoint=checkpoint,
      step=step,
      identity=checkpoint,
      parameters=parameters,
      family=family,
      dtype=None,
      probe=probe,
      setting=setting,
      task=task,
      seed=seed,
      query=query,
      prompt_hash=zlib.crc32(f"{prompts} {task} {seed} {query}".encode()),
      shares=shares,
      group=group,
      kind="rank",
      num_classes=num_classes,
      label=0,
      context=0,
      prior=prior,
      prediction=0 if right else 1,
      correct=bool(right),
      chance=1.0 / num_classes,
      text=None,
      log_likelihoods=tuple(
        -1.0 if i == (0 if right else 1) else -2.0 for i in range(num_classes)
      ),
      tokens=(2,) * num_classes,
      null_log_likelihoods=(),
      content_free_log_prior=(),
      domain_log_prior=(),
      choices=choices,
      references=(),
      natural=(),
      exemplars=4 * num_classes,
      exemplars_asked=4 * num_classes,
      config_hash="c" * 16,
      data_fingerprint="f" * 64,
      vocab_hash="v" * 16,
      symtune_version="0.1.0",
      git_commit=None,
    )
    for query, right in enumerate(correct)
  ]


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., list[ResultRow]]:
  return _make_rows


@pytest.fixture
def both_checkpoints() -> list[ResultRow]:
  """Two tasks before and after: all settings of the paper, and flipped labels.

  neither: ten gets nine better and one worse, four stays as it was.
  """
  rows = []
  for name, step, ten, four in (
    ("before", 0, [0] * 9 + [1], [1, 1, 1, 0]),
    ("after", 40, [1] * 9 + [0], [1, 1, 1, 0]),
  ):
    rows += _make_rows(name, step, "ten", ten[::-1], "flipped_labels", "flipped")
    for setting in ("neither", "labels", "instruction+labels", "instruction"):
      rows += _make_rows(name, step, "ten", ten, setting=setting)
      rows += _make_rows(name, step, "four", four, setting=setting, num_classes=4)
  return rows


@pytest.fixture
def run_dir(tmp_path, both_checkpoints):
  """A run folder as a run leaves it."""
  write_rows(tmp_path, both_checkpoints)
  about = {"recipe": "toy_recipe", "config_hash": "c0ffee", "config": {}}
  (tmp_path / "run.json").write_text(json.dumps(about))
  data = {
    "prompts": {"prompts": 800, "shortened": 7, "exemplars_dropped": 12, "skipped": 3},
    "leaks_dropped": [{"tuning": "old", "evaluation": "ten", "rows": 5}],
  }
  (tmp_path / "data.json").write_text(json.dumps(data))
  return tmp_path


def write_rows(folder, rows):
  (folder / "results.jsonl").write_text("".join(to_json(row) + "\n" for row in rows))


@pytest.fixture(name="write_rows")
def _write_rows():
  """Writes rows into a folder's results.jsonl."""
  return write_rows
