"""Two processes train as one: the same losses, one folder, one writer."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.usefixtures("compile_cache")

SETTINGS = [
  "--gin.TrainSettings.log_every=1",
  "--gin.TrainSettings.save_every=4",
  "--gin.mixture.batch_size=8",
  "--gin.mixture.window=128",
  "--gin.probe.max_queries=1",
  "--gin.symbols.tuning_size=100",
  "--gin.symbols.evaluation_size=100",
  "--gin.T5Config.dropout_rate=0.1",
  "--gin.T5Config.num_encoder_layers=1",
  "--gin.T5Config.emb_dim=32",
  "--gin.T5Config.mlp_dim=32",
  "--gin.Recipe.checkpoint=None",
]
FAST_COMPILE = (
  "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)


def start(out: pathlib.Path, steps: int, *, index=0, count=1, port=0, options=()):
  """One process of a run; together they always have two devices."""
  flags = f"{FAST_COMPILE} --xla_force_host_platform_device_count={2 // count}"
  environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
  command = [sys.executable, "-m", "symtune", "train", "microworld", "--out", str(out)]
  command += [*SETTINGS, f"--gin.TrainSettings.steps={steps}", *options]
  if count > 1:
    environment["JAX_COORDINATOR_ADDRESS"] = f"127.0.0.1:{port}"
    environment["JAX_NUM_PROCESSES"] = str(count)
    environment["JAX_PROCESS_ID"] = str(index)
    command.append("--distributed")
  return subprocess.Popen(
    command,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def start_two(out, steps, **options):
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  return [start(out, steps, index=i, count=2, port=port, **options) for i in (0, 1)]


def finish(*processes):
  for process in processes:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output


def losses(out):
  rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
  return {row["step"]: row["loss_nats"] for row in rows}


def test_two_processes_give_the_losses_of_one(tmp_path):
  one, two = tmp_path / "one", tmp_path / "two"
  finish(start(one, 6))
  finish(*start_two(two, 6))
  assert (one / "metrics.jsonl").read_bytes() == (two / "metrics.jsonl").read_bytes()
  assert (one / "data.json").read_bytes() == (two / "data.json").read_bytes()
  # The later half again, from a checkpoint that two processes wrote, in one process.
  shutil.rmtree(two / "checkpoints" / "6")
  finish(start(two, 6))
  assert losses(two) == losses(one)


def test_a_signal_to_one_process_stops_both(tmp_path):
  processes = start_two(tmp_path / "run", 10_000)
  metrics = tmp_path / "run" / "metrics.jsonl"
  while not metrics.exists() or not metrics.read_text():
    assert all(process.poll() is None for process in processes)
    time.sleep(0.2)
  processes[1].send_signal(signal.SIGTERM)
  outputs = [process.communicate(timeout=300)[0] for process in processes]
  assert [process.returncode for process in processes] == [130, 143], outputs
  last = max(losses(tmp_path / "run"))
  assert (tmp_path / "run" / "checkpoints" / str(last)).is_dir()


def test_when_one_process_dies_the_other_says_which(tmp_path):
  victim = 0  # the one that coordinates the others
  processes = start_two(tmp_path / "run", 10_000)
  metrics = tmp_path / "run" / "metrics.jsonl"
  while not metrics.exists() or not metrics.read_text():
    assert all(process.poll() is None for process in processes)
    time.sleep(0.2)
  processes[victim].kill()
  output, _ = processes[1 - victim].communicate(timeout=60)
  processes[victim].communicate()
  assert processes[1 - victim].returncode == 1, output
  said = f"error: training process {victim} (pid {processes[victim].pid} on "
  (line,) = [line for line in output.splitlines() if line.startswith("error:")]
  assert line.startswith(said)
  assert "Traceback" not in output
  assert "stack trace" not in output
  assert "Terminating process" not in output  # JAX's C++ may be the first to notice


def test_a_process_that_finds_no_other_is_told_how():
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  variables = {
    "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
    "JAX_NUM_PROCESSES": "2",
    "JAX_PROCESS_ID": "1",
  }
  script = (
    "import functools, jax; from symtune.train import hosts; "
    "jax.distributed.initialize = functools.partial("
    "jax.distributed.initialize, initialization_timeout=1); hosts.join()"
  )
  told = subprocess.run(
    [sys.executable, "-c", script],
    env={**os.environ, **variables},
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert told.returncode == 1, told
  assert told.stderr.startswith("error: --distributed: the processes did not find")
  assert told.stderr.count("\n") == 1


def test_processes_that_do_not_find_each_other_are_told_how():
  from symtune.errors import SymtuneError
  from symtune.train import hosts

  with pytest.raises(SymtuneError, match="set JAX_COORDINATOR_ADDRESS"):
    hosts.join({})


@pytest.mark.parametrize("name", ["JAX_NUM_PROCESSES", "JAX_PROCESS_ID"])
def test_a_bad_number_names_its_variable(name):
  from symtune.errors import SymtuneError
  from symtune.train import hosts

  with pytest.raises(SymtuneError, match=name):
    hosts.join({name: "two"})


def test_a_folder_that_cannot_be_opened_stops_every_process(monkeypatch, tmp_path):
  from symtune.cli import experiments

  def full(*_):
    raise OSError("no space left on device")

  asked = []
  blank = object.__new__(experiments.Experiment)  # what it holds is not looked at
  monkeypatch.setattr(experiments, "claim", full)
  monkeypatch.setattr(experiments.hosts, "any_of_all", lambda f: asked.append(f) or f)
  with (
    pytest.raises(OSError, match="no space left"),
    experiments._claim_once(blank, "", tmp_path),
  ):
    pass
  assert asked == [True]  # the others are told, and do not wait
