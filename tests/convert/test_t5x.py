"""T5X's own checkpoints are read to equal bits; damage is named; ours are read back."""

import json
import pathlib
import re
import shutil

import flax.serialization
import jax
import ml_dtypes
import numpy as np
import orbax.checkpoint
import pytest
import tensorstore
from flax.traverse_util import unflatten_dict

from symtune.convert.load import load_params
from symtune.convert.t5x.read import open_t5x
from symtune.convert.t5x.tree import t5x_source
from symtune.convert.t5x.write import write_t5x
from symtune.convert.tensors import LazyTensor
from symtune.errors import SymtuneError
from symtune.model.network import Transformer

LAYOUTS = ("msgpack", "orbax")
KEY = "target.encoder.layers_0.mlp.wi_0.kernel"
NAME = "target/encoder/layers_0/mlp/wi_0/kernel"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_are_bit_equal(layout, t5x_golden):
  found = open_t5x(str(t5x_golden.folder("plain", layout)))
  assert found.step == 1000
  for prefix, tensors in (("params/", found.params), ("state/", found.optimizer)):
    wanted = t5x_golden.arrays("plain", prefix)
    wanted.pop("step", None)
    read = {name.removeprefix("state/"): t.read() for name, t in tensors.items()}
    assert read.keys() == wanted.keys()
    for name, value in wanted.items():
      assert read[name].dtype == value.dtype
      np.testing.assert_array_equal(read[name], value, err_msg=name)


@pytest.mark.parametrize(
  ("network", "layout"),
  [("plain", "msgpack"), ("plain", "orbax"), ("scanned", "msgpack")],
)
def test_logits_are_those_of_t5x(network, layout, t5x_golden):
  source = t5x_source(str(t5x_golden.folder(network, layout)))
  assert source.step == 1000
  assert source.left_out[0].startswith("optimizer state")
  tokens = t5x_golden.arrays(network, "")
  logits = jax.jit(Transformer(source.config).apply, static_argnames="enable_dropout")(
    {"params": load_params(source)},
    tokens["inputs"],
    tokens["decoder_inputs"],
    tokens["targets"],
    enable_dropout=False,
  )
  np.testing.assert_allclose(logits, tokens["logits"], atol=1e-5, rtol=0)


def test_a_model_folder_gives_its_newest_step_and_the_file_its_folder(t5x_golden):
  folder = t5x_golden.folder("plain", "msgpack")
  older = folder.with_name("checkpoint_20")
  older.mkdir()
  (older / "checkpoint").write_bytes(b"not looked at")
  (folder.with_name("checkpoint_3000.tmp-1")).mkdir()
  assert open_t5x(str(folder.parent)).where.endswith("checkpoint_1000")
  assert open_t5x(str(folder / "checkpoint")).step == 1000


def _edit_msgpack(folder: pathlib.Path, edit) -> None:
  file = folder / "checkpoint"
  content = flax.serialization.msgpack_restore(file.read_bytes())
  edit(content)
  file.write_bytes(flax.serialization.msgpack_serialize(content))


def _spec(content):
  return content["optimizer"]["target"]["encoder"]["layers_0"]["mlp"]["wi_0"]["kernel"]


def test_buckets_named_in_the_file_are_not_followed(t5x_golden):
  """A checkpoint that was written to gs:// is read from where it was copied to."""
  folder = t5x_golden.folder("plain", "msgpack")

  def edit(content):
    spec = _spec(content)
    path = spec["kvstore"]["path"]
    spec["kvstore"] = {"driver": "gcs", "bucket": "t5x-dummy-bucket", "path": path}
    # TensorStore before 0.1.14.
    other = content["optimizer"]["target"]["encoder"]["encoder_norm"]["scale"]
    other["path"] = other["kvstore"].pop("path")
    other["kvstore"]["driver"] = "gfile"

  _edit_msgpack(folder, edit)
  found, wanted = open_t5x(str(folder)), t5x_golden.arrays("plain", "params/")
  for name in ("encoder/layers_0/mlp/wi_0/kernel", "encoder/encoder_norm/scale"):
    np.testing.assert_array_equal(found.params[name].read(), wanted[name])


@pytest.mark.parametrize("path", ["../other/", "/etc/", "a/../../b/"])
def test_paths_that_leave_the_folder_are_refused(path, t5x_golden):
  folder = t5x_golden.folder("plain", "msgpack")

  def edit(content):
    _spec(content)["kvstore"]["path"] = path

  _edit_msgpack(folder, edit)
  with pytest.raises(SymtuneError, match="outside the folder"):
    open_t5x(str(folder))


def _read_all(folder: pathlib.Path) -> None:
  for tensor in open_t5x(str(folder)).params.values():
    tensor.read()


def _damage_chunk(folder: pathlib.Path, damage: str) -> None:
  chunk = folder / KEY / "0.0"
  data = chunk.read_bytes()
  if damage == "absent":
    chunk.unlink()
  elif damage == "truncated":
    chunk.write_bytes(data[: len(data) // 2])
  elif damage == "flipped":
    middle = len(data) // 2
    chunk.write_bytes(data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :])
  elif damage == "no array":
    (folder / KEY / ".zarray").unlink()


@pytest.mark.parametrize("damage", ["absent", "truncated", "flipped", "no array"])
def test_damage_names_the_tensor(damage, t5x_golden):
  folder = t5x_golden.folder("plain", "msgpack")
  _damage_chunk(folder, damage)
  with pytest.raises(SymtuneError, match=re.escape(NAME)):
    _read_all(folder)


def test_a_shape_that_the_file_does_not_say_names_the_tensor(t5x_golden):
  folder = t5x_golden.folder("plain", "msgpack")
  file = folder / KEY / ".zarray"
  metadata = json.loads(file.read_text())
  file.write_text(json.dumps({**metadata, "shape": [8, 12]}))
  with pytest.raises(SymtuneError, match=rf"{re.escape(NAME)} has shape \[8, 12\]"):
    open_t5x(str(folder))


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_orbax_data_names_a_tensor(damage, t5x_golden):
  """So small a database keeps all arrays in one block, and none survives."""
  folder = t5x_golden.folder("plain", "orbax")
  for file in (folder / "state").glob("**/d/*"):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data if damage == "flipped" else data[:50])
  with pytest.raises(
    SymtuneError, match="tensor target/decoder/decoder_norm/scale cannot be read"
  ):
    _read_all(folder)


def _as_folders(folder: pathlib.Path) -> pathlib.Path:
  """The same Orbax checkpoint without a database: one folder for each array."""
  state = folder / "state"
  store = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{state}/"}}
  database = tensorstore.KvStore.open(store).result()
  plain = folder.with_name("folders") / folder.name / "state"
  for key in database.list().result():
    file = plain / key.decode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(database.read(key).result().value)
  (plain / "_METADATA").write_bytes((state / "_METADATA").read_bytes())
  return plain.parent


def test_orbax_as_folders_is_bit_equal(t5x_golden):
  found = open_t5x(str(_as_folders(t5x_golden.folder("plain", "orbax"))))
  wanted = t5x_golden.arrays("plain", "params/")
  assert found.step == 1000
  assert found.params.keys() == wanted.keys()
  for name, value in wanted.items():
    np.testing.assert_array_equal(found.params[name].read(), value, err_msg=name)


def _scanned_orbax(folder: pathlib.Path, t5x_golden, dtype) -> dict[str, np.ndarray]:
  """Writes the scanned golden's parameters with Orbax itself, as T5X's manager does."""
  arrays = t5x_golden.arrays("scanned", "params/")
  arrays = {name: value.astype(dtype) for name, value in arrays.items()}
  tree = unflatten_dict({f"target/{n}": v for n, v in arrays.items()}, sep="/")
  with orbax.checkpoint.PyTreeCheckpointer() as checkpointer:
    checkpointer.save(folder / "state", {**tree, "state": {"step": np.int32(7)}})
  return arrays


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_stacked_layers_in_orbax_are_bit_equal(dtype, t5x_golden, tmp_path):
  arrays = _scanned_orbax(tmp_path / "checkpoint_7", t5x_golden, dtype)
  found = open_t5x(str(tmp_path))
  assert found.step == 7
  assert found.params.keys() == arrays.keys()
  for name, value in arrays.items():
    read = found.params[name].read()
    assert found.params[name].dtype == read.dtype == dtype
    np.testing.assert_array_equal(read, value, err_msg=name)
  source = t5x_source(str(tmp_path))
  kernel = arrays["decoder/decoder/self_attention/query/kernel"][:, 1]
  np.testing.assert_array_equal(
    source.tensors["decoder/layers_1/self_attention/query/kernel"].read(),
    kernel.reshape(len(kernel), -1),
  )


@pytest.mark.parametrize("record", ["metadata", "optimizer"])
def test_lost_folders_are_named_and_give_no_other_network(record, t5x_golden):
  """Without them the rest would be a whole network of one layer with tied outputs."""
  folder = _as_folders(t5x_golden.folder("plain", "orbax"))
  lost = ["target.decoder.logits_dense.kernel", "target.encoder.layers_1."]
  if record == "metadata":  # either record of what was written is enough
    lost.append("state.param_states.")
  else:
    about = folder / "state" / "_METADATA"
    about.write_text(json.dumps({**json.loads(about.read_text()), "tree_metadata": {}}))
  for path in list((folder / "state").iterdir()):
    if path.name.startswith(tuple(lost)):
      shutil.rmtree(path)
  with pytest.raises(SymtuneError, match="lacks tensors that it should hold") as error:
    open_t5x(str(folder))
  assert "target/decoder/logits_dense/kernel" in str(error.value)
  assert "target/encoder/layers_1/mlp/wo/kernel" in str(error.value)


def test_damaged_orbax_metadata_is_named(t5x_golden):
  folder = t5x_golden.folder("plain", "orbax")
  (folder / "state" / "_METADATA").write_text("{")
  with pytest.raises(SymtuneError, match="state/_METADATA cannot be read"):
    open_t5x(str(folder))


def test_the_file_in_its_own_folder_is_the_checkpoint(t5x_golden, monkeypatch):
  monkeypatch.chdir(t5x_golden.folder("plain", "msgpack"))
  assert open_t5x("checkpoint").step == 1000


@pytest.mark.parametrize("cut", [0, 10, 3000])
def test_a_truncated_msgpack_file_is_named(cut, t5x_golden):
  folder = t5x_golden.folder("plain", "msgpack")
  file = folder / "checkpoint"
  file.write_bytes(file.read_bytes()[:cut])
  with pytest.raises(SymtuneError, match="checkpoint cannot be read"):
    open_t5x(str(folder))


def test_missing_and_unknown_tensors_are_all_named(t5x_golden):
  folder = t5x_golden.folder("plain", "msgpack")

  def edit(content):
    encoder = content["optimizer"]["target"]["encoder"]
    encoder["layers_1"]["extra"] = encoder["layers_1"]["mlp"].pop("wo")

  _edit_msgpack(folder, edit)
  with pytest.raises(SymtuneError) as error:
    t5x_source(str(folder))
  assert "encoder/layers_1/mlp/wo/kernel is missing" in str(error.value)
  assert "encoder/layers_1/extra/kernel is unknown" in str(error.value)


def test_other_folders_are_no_checkpoint(tmp_path):
  with pytest.raises(SymtuneError, match="is not a T5X checkpoint"):
    open_t5x(str(tmp_path))
  with pytest.raises(SymtuneError, match="is not a folder"):
    open_t5x(str(tmp_path / "none"))


def test_relative_biases_of_each_layer_are_refused(t5x_golden):
  folder = t5x_golden.folder("scanned", "msgpack")
  found = open_t5x(str(folder))
  tensors = {name: tensor.read() for name, tensor in found.params.items()}
  own = np.array(tensors["decoder/decoder/relpos_bias/rel_embedding"])
  own[0, 1, 0] += 1
  tensors["decoder/decoder/relpos_bias/rel_embedding"] = own
  other = folder.with_name("checkpoint_2000")
  other.mkdir()
  lazy = {
    k: LazyTensor(shape=v.shape, dtype=v.dtype, read=lambda v=v: v)
    for k, v in tensors.items()
  }
  list(write_t5x(other, lazy, step=2000))
  with pytest.raises(SymtuneError, match="separate relative bias"):
    t5x_source(str(other))


@pytest.mark.parametrize("dtype", [None, np.dtype(ml_dtypes.bfloat16)])
def test_what_we_write_is_read_back(dtype, t5x_golden, tmp_path):
  found = open_t5x(str(t5x_golden.folder("plain", "msgpack")))
  folder = tmp_path / "checkpoint_5"
  folder.mkdir()
  written = write_t5x(
    folder, found.params, step=5, dtype=dtype, optimizer=found.optimizer
  )
  assert {f"target/{name}" for name in found.params} <= set(written)
  back = open_t5x(str(folder))
  assert back.step == 5
  assert back.optimizer.keys() == found.optimizer.keys()
  for name, tensor in found.params.items():
    wanted = tensor.read().astype(dtype or np.float32)
    assert back.params[name].dtype == wanted.dtype
    np.testing.assert_array_equal(back.params[name].read(), wanted)
  for name, tensor in found.optimizer.items():
    np.testing.assert_array_equal(back.optimizer[name].read(), tensor.read())


def test_until_the_last_file_a_folder_is_no_checkpoint(t5x_golden, tmp_path):
  found = open_t5x(str(t5x_golden.folder("plain", "msgpack")))
  writing = write_t5x(tmp_path, found.params, step=5)
  next(writing)
  with pytest.raises(SymtuneError, match="is not a T5X checkpoint"):
    open_t5x(str(tmp_path))


def test_large_arrays_are_cut_into_chunks(held_tensors, tmp_path):
  value = np.arange(5 * 2**20 * 3, dtype=np.float32).reshape(15, 2**20)
  tensors = held_tensors({"a": {"kernel": value}})
  list(write_t5x(tmp_path, tensors, step=0))
  assert len(list((tmp_path / "target.a.kernel").glob("[0-9]*"))) > 1
  np.testing.assert_array_equal(
    open_t5x(str(tmp_path)).params["a/kernel"].read(), value
  )
