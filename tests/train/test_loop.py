"""Runs that stop, are killed and go on leave the files of one that never stopped."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from symtune.errors import SymtuneError
from symtune.model.axes import SHARDED_PARAMS_RULES
from symtune.train import checkpoint, loop, metrics, partition
from symtune.train.optim import OptimizerName
from symtune.train.state import abstract_state
from symtune.train.step import jit_train_step
from symtune.train.stop import stop_on_signals

STEPS = 14


def bits(tree):
  def as_bytes(leaf):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    return np.asarray(leaf).tobytes()

  return jax.tree.map(as_bytes, tree)


def saved(tiny, run_dir, step):
  state, _ = tiny.tiny_parts()
  return checkpoint.restore(
    pathlib.Path(run_dir) / loop.CHECKPOINTS, step, abstract_state(state)
  )


@pytest.fixture(scope="module")
def train_step(tiny):
  """One compiled step for all runs of this file."""
  _, parts = tiny.tiny_parts()
  return jit_train_step(**parts)


@pytest.fixture(scope="module")
def whole(tiny, train_step, tmp_path_factory):
  """A run that was never stopped: its folder and its last state's bits."""
  run_dir = tmp_path_factory.mktemp("whole")
  result = tiny.tiny_fit(run_dir, STEPS, train_step=train_step)
  assert (result.step, result.stopped_by) == (STEPS, None)
  return run_dir, bits(result.state)


def assert_like_whole(tiny, run_dir, whole):
  whole_dir, whole_bits = whole
  name = metrics.METRICS_FILE
  assert (run_dir / name).read_bytes() == (whole_dir / name).read_bytes()
  here, there = saved(tiny, run_dir, STEPS), saved(tiny, whole_dir, STEPS)
  assert bits(here.state) == bits(there.state) == whole_bits
  assert here.data_state == there.data_state == {"index": STEPS}
  assert here.metric_sums == there.metric_sums
  directories = [folder / loop.CHECKPOINTS for folder in (run_dir, whole_dir)]
  assert checkpoint.steps(directories[0]) == checkpoint.steps(directories[1])


def test_a_run_writes_rows_and_checkpoints(whole):
  run_dir, _ = whole
  rows = metrics.read_rows(run_dir / metrics.METRICS_FILE)
  assert [row["step"] for row in rows] == [3, 6, 9, 12, 14]
  assert [row["learning_rate"] for row in rows[:2]] == [0.01333333, 0.02]
  assert all(row["loss_nats"] > 0.0 for row in rows)
  timing = metrics.read_rows(run_dir / metrics.TIMING_FILE)
  assert [row["step"] for row in timing] == [3, 6, 9, 12, 14]
  assert all(row["real_tokens_per_second"] > 0.0 for row in timing)
  assert checkpoint.steps(run_dir / loop.CHECKPOINTS) == (12, 14)


class BrokenError(Exception):
  """Stands for whatever ends a process between two steps."""


def break_at(step):
  def hook(now, state):
    if now == step:
      raise BrokenError

  return hook


@pytest.mark.parametrize("stops", [[2], [4], [6], [5, 11], [13]])
def test_a_broken_run_goes_on_bit_for_bit(tiny, train_step, whole, tmp_path, stops):
  """Broken before, at and after checkpoints (every 4) and rows (every 3)."""
  for stop in stops:
    with pytest.raises(BrokenError):
      tiny.tiny_fit(tmp_path, STEPS, hooks=[break_at(stop)], train_step=train_step)
  tiny.tiny_fit(tmp_path, STEPS, train_step=train_step)
  assert_like_whole(tiny, tmp_path, whole)


def test_a_rule_ends_a_run_for_good_at_a_logged_row(tiny, train_step, whole, tmp_path):
  def rule(row):
    return "enough" if row["step"] >= 6 else None

  for _ in range(2):  # a run that has ended ends again at once
    result = tiny.tiny_fit(tmp_path, STEPS, train_step=train_step, stop_when=rule)
    assert (result.step, result.ended_by, result.stopped_by) == (6, "enough", None)
    assert checkpoint.latest_step(tmp_path / loop.CHECKPOINTS) == 6
  rows = metrics.read_rows(tmp_path / metrics.METRICS_FILE)
  assert rows == metrics.read_rows(whole[0] / metrics.METRICS_FILE)[:2]


def test_a_finished_run_is_left_as_it_is(tiny, train_step, whole, tmp_path):
  run_dir, whole_bits = whole
  before = {p: p.read_bytes() for p in run_dir.rglob("*") if p.is_file()}
  result = tiny.tiny_fit(run_dir, STEPS, train_step=train_step)
  assert result.step == STEPS
  assert bits(result.state) == whole_bits
  assert {p: p.read_bytes() for p in run_dir.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_the_run(
  tiny, train_step, whole, tmp_path, capsys, number
):
  def hook(step, state):
    if step == 5:
      signal.raise_signal(number)

  handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  result = tiny.tiny_fit(tmp_path, STEPS, hooks=[hook], train_step=train_step)
  assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
  assert (result.step, result.stopped_by) == (5, number.name)
  assert checkpoint.latest_step(tmp_path / loop.CHECKPOINTS) == 5
  printed = capsys.readouterr().err
  assert f"Stopped by {number.name} after step 5; saved" in printed
  tiny.tiny_fit(tmp_path, STEPS, train_step=train_step)
  rows = metrics.read_rows(tmp_path / metrics.METRICS_FILE)
  assert [row["step"] for row in rows] == [3, 6, 9, 12, 14]
  assert_like_whole(tiny, tmp_path, whole)


def test_a_second_ctrl_c_interrupts_at_once():
  with stop_on_signals() as stop:
    assert not stop
    signal.raise_signal(signal.SIGINT)
    assert stop.signal_name == "SIGINT"
    with pytest.raises(KeyboardInterrupt):
      signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
  """Starts tiny_run.py as a process; compiled steps are shared among them."""
  cache = tmp_path_factory.mktemp("cache")

  def run(run_dir, pause=0.0):
    script = pathlib.Path(__file__).with_name("tiny_run.py")
    return subprocess.Popen(
      [sys.executable, script, run_dir, str(STEPS), "adafactor", str(pause)],
      env={
        "PATH": "",
        "HOME": str(cache),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": os.environ["XLA_FLAGS"],  # same flags, same bits
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
      },
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )

  return run


def wait_for(process, line):
  for got in process.stdout:
    if got.strip() == line:
      return
  raise AssertionError(process.stderr.read())


def test_sigkill_and_sigterm_then_resume_give_the_same_files(
  tiny, start, whole, tmp_path, train_step
):
  """Two processes, killed after step 7 and terminated after 11; the rest is here."""
  with start(tmp_path, pause=0.05) as process:
    wait_for(process, "step 7")
    process.kill()
  assert checkpoint.latest_step(tmp_path / loop.CHECKPOINTS) == 4
  with start(tmp_path, pause=0.3) as process:
    wait_for(process, "step 11")
    process.terminate()
    out, err = process.communicate()
  assert process.returncode == 0
  assert out.splitlines()[-1] in (
    "stopped by SIGTERM at 11",
    "stopped by SIGTERM at 12",
  )
  assert "Resuming at step 4" in err
  assert "Stopped by SIGTERM after step 1" in err
  assert "Warning" not in err
  tiny.tiny_fit(tmp_path, STEPS, train_step=train_step)
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    "checkpoints",
    "metrics.jsonl",
    "timing.jsonl",
  ]
  assert_like_whole(tiny, tmp_path, whole)


def test_a_run_on_two_devices_goes_on_bit_for_bit(tiny, tmp_path):
  mesh = partition.make_mesh(devices=jax.devices()[:2])
  axes = {
    "token_embedder": {"embedding": PartitionSpec("vocab", "embed")},
    "mlp": {"kernel": PartitionSpec("embed", "mlp")},
    "scale": PartitionSpec("embed"),
  }
  state, parts = tiny.tiny_parts()
  by_param = partition.param_shardings(state.params, axes, mesh, SHARDED_PARAMS_RULES)
  shardings = partition.state_shardings(state, by_param, mesh)
  step = jit_train_step(
    **parts, mesh=mesh, rules=SHARDED_PARAMS_RULES, shardings=shardings
  )

  def run(name, hooks=()):
    return tiny.tiny_fit(
      tmp_path / name,
      8,
      hooks=hooks,
      state=jax.device_put(tiny.tiny_parts()[0], shardings),
      train_step=step,
      put_batch=partition.batch_putter(mesh),
    )

  whole = run("whole")
  with pytest.raises(BrokenError):
    run("broken", [break_at(6)])
  resumed = run("broken")
  assert jax.tree.map(lambda leaf: leaf.sharding, resumed.state) == shardings
  assert bits(resumed.state) == bits(whole.state)
  files = [tmp_path / name / metrics.METRICS_FILE for name in ("whole", "broken")]
  assert files[0].read_bytes() == files[1].read_bytes()


def test_batches_do_not_recompile_the_step(tiny, tmp_path):
  _state, parts = tiny.tiny_parts()
  traces = []
  schedule = parts["schedule"]

  def counting(step):
    traces.append(step)  # runs when the step is traced, not when it runs
    return schedule(step)

  step = jit_train_step(**{**parts, "schedule": counting})
  tiny.tiny_fit(tmp_path, 6, train_step=step)
  assert len(traces) == 1


def test_hooks_see_every_step_in_order(tiny, train_step, tmp_path):
  seen = []
  hooks = [
    lambda step, state: seen.append(("a", step, int(state.step))),
    lambda step, state: seen.append(("b", step, int(state.step))),
  ]
  tiny.tiny_fit(tmp_path, 2, hooks=hooks, train_step=train_step)
  assert seen == [("a", 1, 1), ("b", 1, 1), ("a", 2, 2), ("b", 2, 2)]


def test_nan_ends_the_run_at_its_step_and_is_not_saved(tiny, train_step, tmp_path):
  nan = jnp.float32(jnp.nan)

  def poisoned(state, batch):
    state, step_metrics = train_step(state, batch)
    if int(state.step) == 4:
      step_metrics = step_metrics.replace(loss_nats=nan)
    return state, step_metrics

  with pytest.raises(SymtuneError, match="step 4: "):
    tiny.tiny_fit(tmp_path, STEPS, train_step=poisoned)
  assert checkpoint.latest_step(tmp_path / loop.CHECKPOINTS) is None
  rows = metrics.read_rows(tmp_path / metrics.METRICS_FILE)
  assert [row["step"] for row in rows] == [3]


def test_another_configuration_is_not_resumed(tiny, train_step, whole):
  with pytest.raises(
    SymtuneError, match="configuration tiny, expected that of this run, other"
  ):
    tiny.tiny_fit(whole[0], STEPS, train_step=train_step, config_hash="other")


def test_processes_must_see_the_same_newest_checkpoint(
  tiny, train_step, tmp_path, monkeypatch
):
  def gather(mine):
    others = np.frombuffer(b"8".ljust(64, b"\0"), np.uint8)
    return np.stack([mine, others])  # another process sees a checkpoint of step 8

  monkeypatch.setattr(jax, "process_count", lambda: 2)
  monkeypatch.setattr("symtune.train.hosts.multihost_utils.process_allgather", gather)
  with pytest.raises(SymtuneError, match="different values of the newest checkpoint"):
    tiny.tiny_fit(tmp_path, STEPS, train_step=train_step)


def test_a_step_may_not_move_data_unseen(tiny, train_step, tmp_path):
  """A batch left on the host would be copied inside every step."""
  with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
    tiny.tiny_fit(tmp_path, 2, train_step=train_step, put_batch=dict)


def test_batches_that_end_are_an_error(tiny, train_step, tmp_path):
  class Two(tiny.TinyBatches):
    def __next__(self):
      if self.index == 2:
        raise StopIteration
      return super().__next__()

  with pytest.raises(SymtuneError, match="ended after step 2"):
    tiny.tiny_fit(tmp_path, STEPS, train_step=train_step, batches=Two())


@pytest.mark.parametrize("name", ["steps", "log_every", "save_every", "keep"])
def test_settings_are_positive(name):
  with pytest.raises(SymtuneError, match=f"{name} is 0"):
    loop.TrainSettings(**{"steps": 1, name: 0})
  with pytest.raises(SymtuneError, match="keep_every is 0"):
    loop.TrainSettings(steps=1, keep_every=0)


def test_rows_are_json_with_the_agreed_names(whole):
  line = (whole[0] / metrics.METRICS_FILE).read_text().splitlines()[0]
  assert list(json.loads(line)) == [
    "step",
    "loss_nats",
    "z_loss",
    "accuracy",
    "grad_norm",
    "learning_rate",
    "non_padding_share",
    "target_tokens",
    "real_tokens",
  ]


def test_the_optimizers_differ(tiny, tmp_path, whole):
  result = tiny.tiny_fit(tmp_path, 2, OptimizerName.ADAMW)
  assert bits(result.state.params) != whole[1].params


def test_sums_of_another_kind_are_refused(tiny, train_step, tmp_path):
  state, _ = tiny.tiny_parts()
  checkpoint.save(
    tmp_path / loop.CHECKPOINTS,
    state.replace(step=jnp.asarray(5, jnp.int32)),
    {"index": 5},
    config_hash="tiny",
    metric_sums={"new": 1},
  )
  message = r"checkpoints/5: metric_sums\.new is 1; expected numbers"
  with pytest.raises(SymtuneError, match=message):
    tiny.tiny_fit(tmp_path, STEPS, train_step=train_step)
