"""Small decoder-only models with random weights, as Transformers would save them."""

import json
import pathlib

import numpy as np
from family_tokenizers import make_files

from symtune.convert.decoder.folder import DecoderCheckpoint, write_decoder
from symtune.convert.decoder.read_config import SpecialIds
from symtune.convert.tensors import LazyTensor, expected_shapes
from symtune.model.decoder.config import DecoderConfig

TINY = DecoderConfig(
  vocab_size=512,
  emb_dim=16,
  num_layers=1,
  num_heads=2,
  num_kv_heads=1,
  head_dim=8,
  mlp_dim=16,
  max_positions=512,
  logits_via_embedding=True,
)


def write_model(folder: pathlib.Path, config: DecoderConfig, deviation: float) -> None:
  """Writes a model with the tokenizer of SmolLM2's shape into an empty folder."""
  rng = np.random.default_rng(0)

  def tensor(shape: tuple[int, ...]) -> LazyTensor:
    values = rng.normal(0.0, deviation, shape).astype(np.float32)
    return LazyTensor(shape=shape, dtype=values.dtype, read=lambda: values)

  for name, content in make_files("smollm2").items():
    (folder / name).write_text(json.dumps(content))
  checkpoint = DecoderCheckpoint(
    where="random",
    config=config,
    tensors={path: tensor(shape) for path, shape in expected_shapes(config).items()},
    ids=SpecialIds(eos=(2,)),
  )
  list(write_decoder(folder, checkpoint, dtype=np.dtype(np.float32)))
