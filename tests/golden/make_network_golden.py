"""Makes network_tree.json and network_logits.npz from T5X's own network.

Run it where T5X is installed (see CONTRIBUTING.md), from the repository root:

  python tests/golden/make_network_golden.py

network_tree.json     per published size: path -> [shape, axes]; the layers of a stack
                      are all alike, so they are stored once, as layers_*
network_logits.npz    tiny networks with their parameters: case/params/path,
                      case/packed and case/unpacked logits, and the tokens
Both hold the versions that made them.
"""

import importlib.metadata
import json
import pathlib
import re

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.partitioning import get_axis_names
from t5x.examples.t5 import network

GOLDEN_DIR = pathlib.Path(__file__).parent
# The commit of the T5X checkout that made the committed files.
T5X_COMMIT = "cc342d4"

# t5x/examples/t5/t5_1_1/*.gin: emb_dim, num_heads, layers, mlp_dim.
SIZES = {
  "small": (512, 6, 8, 1024),
  "base": (768, 12, 12, 2048),
  "large": (1024, 16, 24, 2816),
  "xl": (2048, 32, 24, 5120),
  "xxl": (4096, 64, 24, 10240),
}
CASES = {
  "gated_untied": {
    "mlp_activations": ("gelu", "linear"),
    "logits_via_embedding": False,
  },
  "plain_tied": {"mlp_activations": ("relu",), "logits_via_embedding": True},
}
# Two rows; the first holds two examples. Lengths 7 and 5, with padding.
TOKENS = {
  "encoder_input_tokens": [[5, 6, 1, 7, 8, 1, 0], [9, 10, 11, 12, 13, 1, 0]],
  "encoder_segment_ids": [[1, 1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 1, 1, 0]],
  "decoder_target_tokens": [[3, 1, 4, 1, 0], [5, 6, 7, 1, 0]],
  "decoder_input_tokens": [[0, 3, 0, 4, 0], [0, 5, 6, 7, 0]],
  "decoder_segment_ids": [[1, 1, 2, 2, 0], [1, 1, 1, 1, 0]],
}


def versions() -> dict[str, str]:
  names = ("flax", "jax", "numpy")
  return {
    **{name: importlib.metadata.version(name) for name in names},
    "t5x": T5X_COMMIT,
  }


def init(module: network.Transformer, key: jax.Array) -> dict:
  token = jnp.ones((1, 1), jnp.int32)
  return module.init(key, token, token, token, enable_dropout=False)


def tree_of(config: network.T5Config) -> dict[str, list]:
  """Path -> [shape, axes], with the equal layers of a stack folded into one."""
  variables = jax.eval_shape(
    lambda: init(network.Transformer(config), jax.random.key(0))
  )
  shapes = flax.traverse_util.flatten_dict(variables["params"], sep="/")
  axes = flax.traverse_util.flatten_dict(
    flax.core.unfreeze(get_axis_names(variables["params_axes"])), sep="/"
  )
  assert shapes.keys() == axes.keys()
  folded = {}
  for path, leaf in shapes.items():
    entry = [list(leaf.shape), list(axes[path])]
    name = re.sub(r"layers_\d+", "layers_*", path)
    assert folded.setdefault(name, entry) == entry, path
  return dict(sorted(folded.items()))


def write_trees() -> None:
  trees = {}
  for size, (emb_dim, num_heads, layers, mlp_dim) in SIZES.items():
    config = network.T5Config(
      vocab_size=32128,
      emb_dim=emb_dim,
      num_heads=num_heads,
      num_encoder_layers=layers,
      num_decoder_layers=layers,
      head_dim=64,
      mlp_dim=mlp_dim,
      mlp_activations=("gelu", "linear"),
    )
    trees[size] = {"num_layers": layers, "params": tree_of(config)}
  lines = [f'  "versions": {json.dumps(versions())}']
  for size, tree in trees.items():
    params = ",\n".join(
      f"      {json.dumps(path)}: {json.dumps(entry)}"
      for path, entry in tree["params"].items()
    )
    lines.append(
      f'  "{size}": {{\n    "num_layers": {tree["num_layers"]},\n'
      f'    "params": {{\n{params}\n    }}\n  }}'
    )
  text = "{\n" + ",\n".join(lines) + "\n}\n"
  json.loads(text)
  (GOLDEN_DIR / "network_tree.json").write_text(text)


def scaled(params: dict, key: jax.Array) -> dict[str, np.ndarray]:
  """Flat parameters, with norm scales that are not all 1."""
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  keys = jax.random.split(key, len(flat))
  return {
    path: np.asarray(
      leaf * jax.random.uniform(k, leaf.shape, minval=0.5, maxval=1.5)
      if path.endswith("scale")
      else leaf
    )
    for k, (path, leaf) in zip(keys, flat.items(), strict=True)
  }


def write_logits() -> None:
  tokens = {name: jnp.asarray(rows, jnp.int32) for name, rows in TOKENS.items()}
  arrays = {f"tokens/{name}": np.asarray(rows) for name, rows in tokens.items()}
  for case, settings in CASES.items():
    config = network.T5Config(
      vocab_size=32,
      emb_dim=8,
      num_heads=2,
      num_encoder_layers=2,
      num_decoder_layers=2,
      head_dim=4,
      mlp_dim=16,
      **settings,
    )
    module = network.Transformer(config)
    params = scaled(init(module, jax.random.key(0))["params"], jax.random.key(1))
    arrays |= {f"{case}/params/{path}": leaf for path, leaf in params.items()}
    nested = flax.traverse_util.unflatten_dict(params, sep="/")
    for packed in (True, False):
      kwargs = {
        name: ids for name, ids in tokens.items() if packed or "segment" not in name
      }
      logits = module.apply({"params": nested}, **kwargs, enable_dropout=False)
      arrays[f"{case}/{'packed' if packed else 'unpacked'}"] = np.asarray(logits)
  arrays["versions"] = np.asarray(json.dumps(versions()))
  np.savez_compressed(GOLDEN_DIR / "network_logits.npz", **arrays)


if __name__ == "__main__":
  write_trees()
  write_logits()
