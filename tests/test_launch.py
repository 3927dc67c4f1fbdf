"""Launch scripts: a dry run prints every command and runs none."""

import os
import pathlib
import shlex
import shutil
import subprocess

import pytest

LAUNCH = pathlib.Path(__file__).parents[1] / "docs" / "launch"
SETTINGS = {
  "PROJECT": "my-project",
  "ZONE": "us-central2-b",
  "NAME": "tune",
  "SLICE": "v4-32",
  "BUCKET": "gs://my-bucket",
  "CLUSTER": "pods",
  "IMAGE": "registry/symtune",
  "COMMAND": "symtune train flan_t5_xl --out '/mnt/runs/xl' --distributed",
}
ACTIONS = {
  "tpu_queued.sh": ["create", "wait", "install", "run", "collect", "delete"],
  "gke_xpk.sh": ["image", "run", "status", "delete"],
  "slurm.sh": [],
}


@pytest.fixture
def launch(tmp_path):
  """Runs a script where gcloud, xpk, docker and sbatch betray that they were called."""
  for name in ("gcloud", "xpk", "docker", "sbatch", "python3", "rm"):
    fake = tmp_path / name
    fake.write_text(f"#!{shutil.which('bash')}\ntouch {tmp_path}/called\n")
    fake.chmod(0o755)

  def run(script, *arguments, without=(), **settings):
    values = {k: v for k, v in {**SETTINGS, **settings}.items() if k not in without}
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
      ["bash", str(LAUNCH / script), *arguments],
      capture_output=True,
      text=True,
      env={"PATH": path, **values},
    )
    lines = [
      shlex.split(line[2:]) for line in done.stdout.splitlines() if line[:2] == "+ "
    ]
    return done, lines, (tmp_path / "called").exists()

  return run


@pytest.mark.parametrize("script", ACTIONS)
def test_dry_run_prints_and_runs_nothing(launch, script):
  done, lines, was_called = launch(script, "--dry-run", *ACTIONS[script])
  assert done.returncode == 0, done.stderr
  assert len(lines) >= max(len(ACTIONS[script]), 1)
  assert not was_called


def test_a_tpu_slice_is_made_used_and_deleted(launch):
  _, lines, _ = launch(
    "tpu_queued.sh", "--dry-run", *ACTIONS["tpu_queued.sh"], EXTRA="[t5x]"
  )
  verbs = [" ".join(line[:5]) for line in lines]
  assert verbs[0] == "gcloud compute tpus queued-resources create"
  assert "--accelerator-type=v4-32" in lines[0]
  assert verbs[-1] == "gcloud compute tpus queued-resources delete"
  # Wheels of other versions, here and there, would make two of the one below.
  assert lines[2] == ["rm", "-rf", "dist"]
  assert lines[4][-1] == "--command=rm -rf ~/dist"
  install, run = lines[6], lines[7]
  assert "--worker=all" in install
  assert "[t5x]" in install[-1]
  assert run[-1].endswith(SETTINGS["COMMAND"])
  assert lines[0][5] == lines[-1][5] == "tune"


def test_slurm_starts_one_process_a_gpu(launch):
  _, (line,), _ = launch("slurm.sh", "--dry-run", NODES="2", GPUS="4", PARTITION="big")
  assert {"--nodes=2", "--ntasks-per-node=4", "--gpus-per-node=4"} < set(line)
  assert "--partition=big" in line
  assert f"--wait=60 {SETTINGS['COMMAND']}" in line[-1]
  assert "--cpus-per-task=8" in line  # of the job, and of srun, which asks for itself
  assert "srun --cpus-per-task=8" in line[-1]


@pytest.mark.parametrize(("status", "is_queued"), [(130, True), (0, False), (1, False)])
def test_slurm_queues_a_stopped_run_again(launch, tmp_path, status, is_queued):
  _, (line,), _ = launch("slurm.sh", "--dry-run")
  folder = tmp_path / "slurm"
  folder.mkdir()
  for name, text in (("srun", f"exit {status}"), ("scontrol", f"echo $@ > {folder}/q")):
    (folder / name).write_text(f"#!{shutil.which('bash')}\n{text}\n")
    (folder / name).chmod(0o755)
  done = subprocess.run(
    ["sh", "-c", line[-1].removeprefix("--wrap=")],
    env={"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "17"},
  )
  assert done.returncode == status
  assert (folder / "q").exists() is is_queued
  if is_queued:
    assert (folder / "q").read_text() == "requeue 17\n"


def test_without_dry_run_the_commands_run(launch):
  done, _, was_called = launch("gke_xpk.sh", "status")
  assert done.returncode == 0
  assert was_called


@pytest.mark.parametrize(
  ("script", "arguments", "without", "message"),
  [
    ("tpu_queued.sh", ["--dry-run", "create"], ["BUCKET"], "BUCKET"),
    ("tpu_queued.sh", ["--dry-run"], [], "Give one or more of"),
    ("tpu_queued.sh", ["--dry-run", "fly"], [], "Unknown action 'fly'"),
    ("gke_xpk.sh", ["--dry-run", "run"], ["CLUSTER"], "CLUSTER"),
    ("gke_xpk.sh", ["--dry-run", "fly"], [], "Unknown action 'fly'"),
    ("slurm.sh", ["--dry-run"], ["COMMAND"], "COMMAND"),
    ("slurm.sh", ["fly"], [], "Unknown argument 'fly'"),
  ],
)
def test_what_is_missing_is_named(launch, script, arguments, without, message):
  done, _, was_called = launch(script, *arguments, without=without)
  assert done.returncode != 0
  assert message in done.stderr
  assert not was_called
