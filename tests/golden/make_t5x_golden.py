"""Makes t5x_checkpoints.tar.xz: tiny checkpoints that T5X itself wrote.

Run it where T5X is installed (see CONTRIBUTING.md), from the repository root:

  python tests/golden/make_t5x_golden.py

plain/msgpack, plain/orbax    T5X's `t5` network with Adafactor state, both layouts
scanned/msgpack               T5X's `scalable_t5` network, layers stacked; relative
                              biases are the same in every layer, as T5 shares them
{plain,scanned}/arrays.npz    the parameters, tokens and T5X's logits for them
versions.json                 what made them
"""

import importlib.metadata
import io
import json
import pathlib
import tarfile
import tempfile

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax.core import freeze, unfreeze
from t5x import adafactor, checkpoints, partitioning, train_state
from t5x.examples.scalable_t5 import network as scalable
from t5x.examples.t5 import network

GOLDEN = pathlib.Path(__file__).parent / "t5x_checkpoints.tar.xz"
T5X_COMMIT = "cc342d4"
STEP = 1000
SIZES = {
  "vocab_size": 128,  # the fewest that a vocabulary of ours asks of a network
  "emb_dim": 8,
  "num_heads": 2,
  "num_encoder_layers": 2,
  "num_decoder_layers": 2,
  "head_dim": 4,
  "mlp_dim": 16,
  "mlp_activations": ("gelu", "linear"),
}
INPUTS = jnp.asarray([[5, 6, 7, 8, 1, 0], [9, 10, 1, 0, 0, 0]], jnp.int32)
TARGETS = jnp.asarray([[3, 4, 1, 0], [5, 6, 7, 1]], jnp.int32)
DECODER_INPUTS = jnp.asarray([[0, 3, 4, 1], [0, 5, 6, 7]], jnp.int32)


def make_state(module) -> train_state.FlaxOptimTrainState:
  """A train state whose norm scales and optimizer state are not constant."""
  variables = unfreeze(
    module.init(
      jax.random.key(0), INPUTS, DECODER_INPUTS, TARGETS, enable_dropout=False
    )
  )
  flat = flax.traverse_util.flatten_dict(variables["params"], sep="/")
  keys = jax.random.split(jax.random.key(1), len(flat))
  for key, (path, leaf) in zip(keys, list(flat.items()), strict=True):
    if path.endswith("scale"):
      flat[path] = leaf * jax.random.uniform(key, leaf.shape, minval=0.5, maxval=1.5)
    if "/relpos_bias/" in path and leaf.ndim == 3:
      flat[path] = jnp.broadcast_to(leaf[:, :1], leaf.shape)
  variables["params"] = flax.traverse_util.unflatten_dict(flat, sep="/")
  optimizer = adafactor.Adafactor(
    decay_rate=0.8,
    step_offset=0,
    logical_factor_rules=adafactor.standard_logical_factor_rules(),
  )
  state = train_state.FlaxOptimTrainState.create(optimizer, freeze(variables))
  gradients = jax.tree.map(jnp.sin, state.params)
  state = state.apply_gradient(gradients, learning_rate=1e-3)
  return state.replace_step(jnp.int32(STEP))


def write(folder: pathlib.Path, module, layouts: tuple[str, ...]) -> None:
  state = make_state(module)
  partitioner = partitioning.PjitPartitioner(num_partitions=1)
  for layout in layouts:
    (folder / layout).mkdir(parents=True)
    if layout == "msgpack":
      checkpoints.Checkpointer(state, partitioner, str(folder / layout)).save(state)
      continue
    manager = checkpoints.OrbaxCheckpointManagerInterface(
      str(folder / layout), state, partitioner
    )
    manager.save(state)
    manager.wait_until_finished()
    manager.close()
  logits = module.apply(
    {"params": state.params}, INPUTS, DECODER_INPUTS, TARGETS, enable_dropout=False
  )
  flat = flax.traverse_util.flatten_dict(unfreeze(state.params), sep="/")
  arrays = {f"params/{path}": np.asarray(leaf) for path, leaf in flat.items()}
  states = flax.traverse_util.flatten_dict(state.state_dict()["state"], sep="/")
  arrays |= {f"state/{path}": np.asarray(leaf) for path, leaf in states.items()}
  np.savez_compressed(
    folder / "arrays.npz",
    **arrays,
    logits=np.asarray(logits),
    inputs=np.asarray(INPUTS),
    decoder_inputs=np.asarray(DECODER_INPUTS),
    targets=np.asarray(TARGETS),
  )


def pack(folder: pathlib.Path) -> None:
  """One compressed file, without owners, times and the name of the folder."""
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
      if path.name == "commit_success.txt":
        continue
      info = archive.gettarinfo(path, str(path.relative_to(folder)))
      info.uid = info.gid = info.mtime = 0
      info.uname = info.gname = ""
      with path.open("rb") as file:
        archive.addfile(info, file)
  GOLDEN.write_bytes(buffer.getvalue())


def main() -> None:
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    config = network.T5Config(**SIZES)
    write(folder / "plain", network.Transformer(config), ("msgpack", "orbax"))
    scanned = scalable.Transformer(scalable.T5Config(**SIZES))
    write(folder / "scanned", scanned, ("msgpack",))
    names = ("flax", "jax", "numpy", "orbax-checkpoint", "tensorstore")
    versions = {name: importlib.metadata.version(name) for name in names}
    about = json.dumps({**versions, "t5x": T5X_COMMIT}, indent=2)
    (folder / "versions.json").write_text(about + "\n")
    pack(folder)


if __name__ == "__main__":
  main()
