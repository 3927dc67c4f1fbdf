"""Running sums, rows, and files that survive a crash."""

import io
import json

import jax
import jax.numpy as jnp
import pytest
import rich.console
from hypothesis import given
from hypothesis import strategies as st

from symtune.errors import SymtuneError
from symtune.train import metrics
from symtune.train.metrics import MetricSums
from symtune.train.progress import Progress
from symtune.train.step import Metrics


def step_metrics(loss=6.0, targets=4.0, rate=0.5, norm=1.0):
  values = dict(
    loss_nats=loss,
    z_loss=0.5,
    loss_weight=targets,
    target_tokens=targets,
    correct_tokens=1.0,
    real_tokens=30.0,
    token_slots=40.0,
    grad_norm=norm,
    learning_rate=rate,
  )
  return Metrics(**{name: jnp.float32(value) for name, value in values.items()})


def test_a_row_divides_the_sums_once():
  """Means are over tokens, not over steps: (6 + 1) / (4 + 1), not (1.5 + 1) / 2."""
  sums = MetricSums.of_step(step_metrics())
  sums = sums.plus(MetricSums.of_step(step_metrics(1.0, 1.0, rate=0.25, norm=2.0)))
  assert sums.row(20) == {
    "step": 20,
    "loss_nats": 1.4,
    "z_loss": 0.2,
    "accuracy": 0.4,
    "grad_norm": 1.5,
    "learning_rate": 0.25,
    "non_padding_share": 0.75,
    "target_tokens": 5,
    "real_tokens": 60,
  }


def test_a_rate_is_written_as_it_was_given():
  row = MetricSums.of_step(step_metrics(rate=0.001)).row(1)
  assert json.dumps(row["learning_rate"]) == "0.001"


def test_empty_sums_divide_by_nothing():
  assert MetricSums().row(0)["loss_nats"] == 0.0


@given(st.lists(st.floats(0.0, 1e6, width=32), min_size=2, max_size=6), st.data())
def test_sums_do_not_depend_on_a_stop_between(losses, data):
  """Stopping after any step, through JSON and back, gives the same bits."""
  steps = [MetricSums(steps=1, loss_nats=loss) for loss in losses]
  stop = data.draw(st.integers(1, len(steps) - 1))
  whole, resumed = MetricSums(), MetricSums()
  for number, step in enumerate(steps):
    whole, resumed = whole.plus(step), resumed.plus(step)
    if number == stop:
      resumed = MetricSums.from_json(json.loads(json.dumps(resumed.to_json())))
  assert resumed == whole


@pytest.mark.parametrize(
  "bad", [dict(loss=float("nan")), dict(loss=float("inf")), dict(norm=float("nan"))]
)
def test_a_number_that_is_none_stops_the_run(bad):
  MetricSums.of_step(step_metrics()).check_finite(7)
  with pytest.raises(SymtuneError, match=r"step 7: .*must be finite"):
    MetricSums.of_step(step_metrics(**bad)).check_finite(7)


def test_rows_are_appended_and_read(tmp_path):
  path = tmp_path / "metrics.jsonl"
  assert metrics.read_rows(path) == []
  for step in (10, 20):
    metrics.append_row(path, {"step": step, "loss_nats": 0.1})
  assert path.read_bytes() == (
    b'{"step": 10, "loss_nats": 0.1}\n{"step": 20, "loss_nats": 0.1}\n'
  )
  assert [row["step"] for row in metrics.read_rows(path)] == [10, 20]


def test_truncation_drops_later_rows_and_a_torn_one(tmp_path):
  path = tmp_path / "metrics.jsonl"
  metrics.truncate_rows(path, 5)
  assert not path.exists()
  kept = b'{"step": 10,  "odd": 1e0}\n{"step": 20}\n'
  path.write_bytes(kept + b'{"step": 30}\n{"step": 4')
  assert [row["step"] for row in metrics.read_rows(path)] == [10, 20, 30]
  metrics.truncate_rows(path, 20)
  assert path.read_bytes() == kept
  path.write_bytes(kept + b'{"step": 20')
  metrics.truncate_rows(path, 20)
  assert path.read_bytes() == kept
  metrics.truncate_rows(path, 0)
  assert path.read_bytes() == b""
  assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("line", ["loss 1.0", "[1]", '{"loss_nats": 1.0}', "NaN"])
def test_a_foreign_file_is_named_and_kept(tmp_path, line):
  path = tmp_path / "metrics.jsonl"
  path.write_text('{"step": 1}\n' + line + "\n")
  with pytest.raises(SymtuneError, match=r"metrics.jsonl, line 2: .*integer `step`"):
    metrics.truncate_rows(path, 0)
  assert path.read_text().endswith(line + "\n")


def show(times, terminal, total=8):
  """Progress of steps 1, 2, ... at the given seconds; returns what was printed."""
  text = io.StringIO()
  console = rich.console.Console(
    file=text, force_terminal=terminal, width=120, color_system=None
  )
  clock = iter(times)
  newest = MetricSums.of_step(step_metrics())
  with Progress(total, console, clock=lambda: next(clock)) as progress:
    for step in range(1, len(times) + 1):
      progress.update(step, newest)
    progress.say("[done] 1")
  return text.getvalue()


def test_plain_lines_come_every_few_seconds_and_at_the_end():
  text = show([0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0], terminal=False)
  assert text.splitlines() == [
    "step 1/8  loss 1.5000 nats/token  75% non-padding",
    "step 6/8  loss 1.5000 nats/token  75% non-padding  15 tokens/s  4s left",
    "step 8/8  loss 1.5000 nats/token  75% non-padding  15 tokens/s  0s left",
    "[done] 1",
  ]


def test_long_times_left_are_minutes_and_hours():
  assert "1m40s left" in show([0.0, 10.0], terminal=False, total=12)
  assert "2h46m left" in show([0.0, 10.0], terminal=False, total=1002)


def test_a_terminal_gets_one_live_line():
  text = show([0.0, 1.0, 2.0], terminal=True)
  assert "3/8" in text
  assert "30 tokens/s" in text
  assert "[done] 1" in text


def test_metrics_of_a_step_match_the_sums_fields():
  names = set(jax.tree.map(float, step_metrics()).__dict__)
  assert names | {"steps"} == set(MetricSums().to_json())
