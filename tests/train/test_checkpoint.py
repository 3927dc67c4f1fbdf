"""Checkpoints come back bit for bit, are whole whatever happens, and are few."""

import json
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.checksums import write_checksums
from symtune.errors import SymtuneError
from symtune.train import checkpoint
from symtune.train.optim import OptimizerName
from symtune.train.state import TrainState, abstract_state
from symtune.train.step import jit_train_step


def plain_state(step=0, width=4):
  return TrainState(
    step=jnp.int32(step),
    params={"layer": {"kernel": jnp.full((3, width), step, jnp.float32)}},
    opt_state=({"mu": jnp.full((3, width), -step, jnp.float32)},),
    rng=jax.random.key(step),
  )


def save(directory, state, **changes):
  return checkpoint.save(
    directory, state, {"index": int(state.step)}, **{"config_hash": "abc", **changes}
  )


def assert_same_bits(got, wanted):
  assert jax.tree.structure(got) == jax.tree.structure(wanted)
  for left, right in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
    assert left.dtype == right.dtype
    if jnp.issubdtype(left.dtype, jax.dtypes.prng_key):
      left, right = jax.random.key_data(left), jax.random.key_data(right)
    assert np.asarray(left).tobytes() == np.asarray(right).tobytes()


def test_folders_are_named_by_relative_paths_with_two_dots(tmp_path, monkeypatch):
  (tmp_path / "here").mkdir()
  monkeypatch.chdir(tmp_path / "here")
  directory = pathlib.Path("../run/checkpoints")
  state = plain_state(3)
  save(directory, state)
  assert checkpoint.steps(tmp_path / "run" / "checkpoints") == (3,)
  got = checkpoint.restore(directory, 3, abstract_state(state))
  assert_same_bits(got.state, state)
  checkpoint.load_params(directory, 3)


@pytest.mark.parametrize("name", list(OptimizerName))
def test_a_state_comes_back_bit_for_bit(tiny, tmp_path, name):
  state, parts = tiny.tiny_parts(name, seed=3)
  state, _ = jit_train_step(**parts)(state, jax.device_put(tiny.tiny_batch(0)))
  sums = {"loss_nats": 0.1 + 0.2, "steps": 1}
  path = save(tmp_path, state, metric_sums=sums)
  assert path == tmp_path / "1"
  got = checkpoint.restore(tmp_path, 1, abstract_state(state), config_hash="abc")
  assert_same_bits(got.state, state)
  assert got.data_state == {"index": 1}
  assert got.metric_sums == sums
  assert got.config_hash == "abc"


def test_special_numbers_and_key_kinds_come_back(tmp_path):
  odd = jnp.asarray([[-0.0, jnp.inf, 1e-45, jnp.nan]], jnp.float32)
  state = plain_state().replace(
    params={"w": odd, "half": odd.astype(jnp.bfloat16)},
    rng=jax.random.key(2**31, impl="rbg"),
  )
  save(tmp_path, state)
  got = checkpoint.restore(tmp_path, 0, abstract_state(state))
  assert_same_bits(got.state, state)


def test_parameters_are_read_alone(tmp_path):
  state = plain_state(7)
  save(tmp_path, state)
  as_numpy = checkpoint.load_params(tmp_path, 7)
  assert isinstance(as_numpy["layer"]["kernel"], np.ndarray)
  assert_same_bits(as_numpy, state.params)
  as_jax = checkpoint.load_params(tmp_path, 7, abstract_state(state).params)
  assert isinstance(as_jax["layer"]["kernel"], jax.Array)
  assert_same_bits(as_jax, state.params)
  shapes = {"layer": {"kernel": jax.ShapeDtypeStruct((3, 4), jnp.float32)}}
  assert_same_bits(checkpoint.load_params(tmp_path, 7, shapes), state.params)


def test_a_state_moves_to_other_devices(tmp_path):
  state = plain_state(2)
  save(tmp_path, state)
  mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:2]), ("model",))
  sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "model"))
  kernel = jax.ShapeDtypeStruct((3, 4), jnp.float32, sharding=sharding)
  wanted = abstract_state(state).replace(params={"layer": {"kernel": kernel}})
  got = checkpoint.restore(tmp_path, 2, wanted)
  assert got.state.params["layer"]["kernel"].sharding == sharding
  assert_same_bits(got.state, state)
  save(tmp_path / "again", got.state)
  back = checkpoint.restore(tmp_path / "again", 2, abstract_state(state))
  assert_same_bits(back.state, state)
  assert_same_bits(checkpoint.load_params(tmp_path / "again", 2), state.params)


def test_the_newest_are_kept_and_every_kth(tmp_path):
  for step in range(1, 8):
    save(tmp_path, plain_state(step), keep=2, keep_every=3)
  assert checkpoint.steps(tmp_path) == (3, 6, 7)
  save(tmp_path, plain_state(8), keep=1)
  assert checkpoint.steps(tmp_path) == (8,)
  save(tmp_path, plain_state(9))
  assert checkpoint.steps(tmp_path) == (8, 9)
  assert checkpoint.latest_step(tmp_path) == 9
  assert sorted(path.name for path in tmp_path.iterdir()) == ["8", "9"]


def test_saving_a_step_again_leaves_it_as_it_is(tmp_path):
  save(tmp_path, plain_state(1))
  stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
  save(tmp_path, plain_state(1))
  assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == stamps


def test_only_whole_checkpoints_count(tmp_path):
  assert checkpoint.latest_step(tmp_path / "none") is None
  assert checkpoint.latest_step(tmp_path) is None
  save(tmp_path, plain_state(5))
  (tmp_path / "9.orbax-checkpoint-tmp").mkdir()
  (tmp_path / "4.removed").mkdir()
  (tmp_path / "notes").mkdir()
  (tmp_path / "12").touch()
  assert checkpoint.latest_step(tmp_path) == 5


def remove_optimizer(path):
  (path / "optimizer").rename(path.parent / "elsewhere")


def cut_params(path):
  largest = max(
    (path / "params").rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0
  )
  largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


def flip_params(path):
  for file in (path / "params").rglob("d/*"):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(bytes(data))


def lose_params(path):
  next(file for file in (path / "params").rglob("d/*")).unlink()


def cut_checksums(path):
  (path / "checksums.txt").write_text((path / "checksums.txt").read_text()[:-60])


def lose_checksums(path):
  (path / "checksums.txt").unlink()


def write_run(path, content):
  """Another JSON part, with checksums as if it had been written like that."""
  (path / "run" / "metadata").write_text(content)
  write_checksums(path)


def change_run(**changes):
  def damage(path):
    run = json.loads((path / "run" / "metadata").read_text())
    write_run(path, json.dumps({**run, **changes}))

  return damage


def make_foreign(path):
  for part in ("params", "optimizer", "run"):
    (path / part).rename(path.parent / f"old_{part}")
  (path / "checkpoint").write_bytes(b"msgpack")


@pytest.mark.parametrize(
  ("damage", "message"),
  [
    (remove_optimizer, "has no optimizer/"),
    (cut_params, "is damaged: got [0-9]+ bytes, expected"),
    (flip_params, "is damaged: its checksum is"),
    (lose_params, "is missing"),
    (cut_checksums, "its last line is not the checksum of the others"),
    (lose_checksums, r"has no checksums\.txt: .* or an earlier symtune"),
    (lambda path: write_run(path, "{}"), "lacks format, step"),
    (lambda path: write_run(path, "{"), "cannot be read"),
    (lambda path: write_run(path, "[1]"), "expected an object"),
    (change_run(step=6), "saved at step 6"),
    (change_run(step=2**40), "saved at step 1099511627776"),
    (change_run(step="5"), "step is '5', expected int"),
    (change_run(format=1), "got a checkpoint of format 1, expected 2"),
    (change_run(format=99), "got a checkpoint of format 99, expected 2"),
    (change_run(rng={}), "rng is {}, expected the data and impl"),
    (change_run(rng=[1]), r"rng is \[1\], expected dict"),
    (change_run(rng={"impl": "x", "data": [0, 1]}), "rng is .*expected the data"),
    (change_run(rng={"impl": "threefry2x32", "data": [0, -1]}), "rng is .*expected"),
    (change_run(rng={"impl": "threefry2x32", "data": "a"}), "rng is .*expected"),
    (change_run(data_state=None), "data_state is None, expected dict"),
    (change_run(metric_sums=3), "metric_sums is 3, expected dict"),
    (change_run(metric_sums={"steps": "1"}), r"metric_sums\.steps is '1'"),
    (make_foreign, "has no params/"),
  ],
)
def test_damaged_and_foreign_folders_are_named(tmp_path, damage, message):
  state = plain_state(5)
  path = save(tmp_path, state)
  damage(path)
  with pytest.raises(SymtuneError, match=message) as caught:
    checkpoint.restore(tmp_path, 5, abstract_state(state))
  assert str(path) in str(caught.value)


def test_a_damaged_checkpoint_names_the_step_before_it(tmp_path):
  for step in (3, 5):
    save(tmp_path, plain_state(step))
  flip_params(tmp_path / "5")
  with pytest.raises(SymtuneError, match="goes on from step 3, the newest before it"):
    checkpoint.restore(tmp_path, 5, abstract_state(plain_state()))
  flip_params(tmp_path / "3")
  with pytest.raises(SymtuneError, match="training would start from the beginning"):
    checkpoint.restore(tmp_path, 3, abstract_state(plain_state()))


def test_a_flipped_bit_of_any_file_is_named(tmp_path):
  """Also in bytes that Orbax never looks at, or reads without a check of its own."""
  state = plain_state(5)
  path = save(tmp_path, state)
  bits = random.Random(0)
  for file in [file for file in path.rglob("*") if file.is_file()]:
    whole = file.read_bytes()
    bit = bits.randrange(8 * len(whole))
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    file.write_bytes(damaged)
    with pytest.raises(SymtuneError, match=re.escape(f"{file} is damaged")):
      checkpoint.restore(tmp_path, 5, abstract_state(state))
    file.write_bytes(whole)
  assert_same_bits(checkpoint.restore(tmp_path, 5, abstract_state(state)).state, state)


def test_a_full_disk_leaves_nothing_and_the_next_save_succeeds(tmp_path, capfd):
  """The largest size of a file stands for a disk that turns out to be full."""
  state = random_state(1)
  save(tmp_path, random_state(0))
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
  try:
    with pytest.raises(SymtuneError, match=r"/1 cannot be written: .* needs 1\.5 MB"):
      save(tmp_path, state)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert capfd.readouterr().err == ""
  assert [path.name for path in tmp_path.iterdir()] == ["0"]
  save(tmp_path, state)
  assert_same_bits(checkpoint.restore(tmp_path, 1, abstract_state(state)).state, state)


def test_the_space_is_looked_at_before_anything_is_written(tmp_path, monkeypatch):
  usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
  monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
  with pytest.raises(SymtuneError, match=r"10\.0 kB are free; it needs 1\.5 MB"):
    save(tmp_path, random_state(1))
  assert list(tmp_path.iterdir()) == []


def random_state(step):
  numbers = np.random.default_rng(step).normal(size=(256, 256)).astype(np.float32)
  return TrainState(
    step=jnp.int32(step),
    params={"kernel": jnp.asarray(numbers)},
    opt_state={"mu": jnp.asarray(numbers)},
    rng=jax.random.key(step),
  )


def test_another_network_or_configuration_is_refused(tmp_path):
  state = plain_state(5)
  save(tmp_path, state)
  with pytest.raises(SymtuneError, match=r"layer/kernel is float32\[3,4\].*32\[3,5\]"):
    checkpoint.restore(tmp_path, 5, abstract_state(plain_state(5, width=5)))
  other = abstract_state(state.replace(params={"other": jnp.zeros((3, 4))}))
  with pytest.raises(SymtuneError, match=r"layer/kernel is float32.*no such"):
    checkpoint.restore(tmp_path, 5, other)
  adam = abstract_state(state.replace(opt_state={"nu": jnp.zeros((3, 4))}))
  with pytest.raises(SymtuneError, match="this run's network and optimizer"):
    checkpoint.restore(tmp_path, 5, adam)
  with pytest.raises(
    SymtuneError, match="configuration abc, expected that of this run, xyz"
  ):
    checkpoint.restore(tmp_path, 5, abstract_state(state), config_hash="xyz")
  with pytest.raises(SymtuneError, match=r"4 does not exist.*steps in .*: 5"):
    checkpoint.load_params(tmp_path, 4)


def test_saving_prints_nothing(tmp_path, capfd, caplog):
  state = plain_state(1)
  save(tmp_path, state)
  checkpoint.restore(tmp_path, 1, abstract_state(state))
  checkpoint.load_params(tmp_path, 1)
  assert capfd.readouterr() == ("", "")
  assert [record for record in caplog.records if record.levelname != "INFO"] == []


WRITER = """
import pathlib, sys
import jax, jax.numpy as jnp
from symtune.train import checkpoint
from symtune.train.state import TrainState

directory = pathlib.Path(sys.argv[1])
step = (checkpoint.latest_step(directory) or 0) + 1
while True:
  full = {str(i): jnp.full((128, 64), step, jnp.float32) for i in range(20)}
  state = TrainState(
    step=jnp.int32(step), params=full, opt_state=full, rng=jax.random.key(step)
  )
  checkpoint.save(directory, state, {"index": step}, config_hash="", keep=2)
  print(step, flush=True)
  step += 1
"""


def test_sigkill_leaves_only_whole_checkpoints(tmp_path):
  """Kills a process that does nothing but save, at random moments."""
  full = {str(i): jnp.zeros((128, 64), jnp.float32) for i in range(20)}
  wanted = abstract_state(
    TrainState(step=jnp.int32(0), params=full, opt_state=full, rng=jax.random.key(0))
  )
  moments = random.Random(0)
  told = 0
  for _ in range(4):
    with subprocess.Popen(
      [sys.executable, "-c", WRITER, str(tmp_path)],
      cwd=pathlib.Path(__file__).parents[2],
      stdout=subprocess.PIPE,
      text=True,
    ) as process:
      told = int(process.stdout.readline())
      time.sleep(moments.uniform(0.0, 0.3))
      process.send_signal(signal.SIGKILL)
      told = int((process.stdout.read().split() or [told])[-1])
    newest = checkpoint.latest_step(tmp_path)
    assert newest in (told, told + 1)  # the rename comes before the print
    for step in checkpoint.steps(tmp_path):
      got = checkpoint.restore(tmp_path, step, wanted)
      assert got.data_state == {"index": step}
      for leaf in jax.tree.leaves((got.state.params, got.state.opt_state)):
        np.testing.assert_array_equal(leaf, np.full((128, 64), step, np.float32))
  assert len(checkpoint.steps(tmp_path)) <= 3
