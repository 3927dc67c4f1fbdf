"""Makes huggingface_models.tar.xz: tiny T5s that Transformers saved, and their answers.

Run it where PyTorch and Transformers are installed (the extra [hf]), from the
repository root:

  python tests/golden/make_huggingface_golden.py

<variant>/           the folder that save_pretrained wrote
<variant>/arrays.npz tokens, logits, loss, greedy output, for rows with padding that are
                     longer than 128 tokens, so that the last distance buckets are used
versions.json        what made them
"""

import importlib.metadata
import io
import json
import pathlib
import tarfile
import tempfile

import numpy as np
import torch
import transformers

GOLDEN = pathlib.Path(__file__).parent / "huggingface_models.tar.xz"
SIZES = {"vocab_size": 40, "d_model": 12, "d_ff": 20, "num_layers": 2, "num_heads": 3}
# Settings beside SIZES; d_kv is 4 (heads x d_kv = d_model), narrower or wider.
VARIANTS = {
  "t5_1_0": {"d_kv": 4, "feed_forward_proj": "relu", "tie_word_embeddings": True},
  "t5_1_1": {
    "d_kv": 8,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
  },
  "gated_tied": {
    "d_kv": 2,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": True,
  },
  "relu_untied": {
    "d_kv": 4,
    "feed_forward_proj": "relu",
    "tie_word_embeddings": False,
    "num_decoder_layers": 1,
  },
}
ENCODER_LENGTH, DECODER_LENGTH, NEW_TOKENS = 300, 160, 40


def make_model(settings: dict, seed: int) -> transformers.T5ForConditionalGeneration:
  """A network with random weights whose norms and outputs are not trivial."""
  torch.manual_seed(seed)
  config = transformers.T5Config(
    **SIZES, **settings, decoder_start_token_id=0, eos_token_id=1, pad_token_id=0
  )
  model = transformers.T5ForConditionalGeneration(config).eval()
  # Building a model ties the output layer, whatever the config says.
  if not settings["tie_word_embeddings"]:
    # T5X's initial values; those of Transformers are sqrt(d_model) wider.
    rows = torch.randn(SIZES["vocab_size"], SIZES["d_model"])
    model.lm_head.weight = torch.nn.Parameter(rows / SIZES["d_model"] ** 0.5)
  with torch.no_grad():
    for name, value in model.named_parameters():
      if name.endswith("layer_norm.weight"):
        value.uniform_(0.5, 1.5)
      elif "relative_attention_bias" in name:
        value.normal_()
  return model


def make_tokens(seed: int) -> dict[str, np.ndarray]:
  """Three rows of different lengths, each ending in EOS; 0 is padding."""
  rng = np.random.default_rng(seed)
  tokens = {}
  for name, length in (("inputs", ENCODER_LENGTH), ("targets", DECODER_LENGTH)):
    rows = rng.integers(2, SIZES["vocab_size"], (3, length), dtype=np.int32)
    for row, end in enumerate((length, length // 2, 7)):
      rows[row, end - 1] = 1
      rows[row, end:] = 0
    tokens[name] = rows
  return tokens


def answers(model, tokens: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Logits and loss of the targets, and what greedy generation gives."""
  inputs = torch.from_numpy(tokens["inputs"]).long()
  labels = torch.from_numpy(tokens["targets"]).long()
  labels = labels.masked_fill(labels == 0, -100)
  mask = (inputs > 0).long()
  with torch.no_grad():
    result = model(input_ids=inputs, attention_mask=mask, labels=labels)
    generated = model.generate(
      input_ids=inputs,
      attention_mask=mask,
      max_new_tokens=NEW_TOKENS,
      do_sample=False,
      num_beams=1,
    )
  return {
    "logits": result.logits.numpy(),
    "loss": np.asarray(result.loss),
    "generated": generated[:, 1:].numpy().astype(np.int32),
  }


def has_ended(generated: np.ndarray) -> bool:
  """Whether one row ended before the others, so that EOS and padding are compared."""
  ends = (generated == 1).argmax(axis=1)
  return (generated == 1).any() and len(set(ends.tolist())) > 1


def pack(folder: pathlib.Path) -> None:
  """One compressed file, without owners and times."""
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
      info = archive.gettarinfo(path, str(path.relative_to(folder)))
      info.uid = info.gid = info.mtime = 0
      info.uname = info.gname = ""
      with path.open("rb") as file:
        archive.addfile(info, file)
  GOLDEN.write_bytes(buffer.getvalue())


def main() -> None:
  """Writes the archive."""
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    for variant, settings in VARIANTS.items():
      # A tied network repeats its last token; an untied one is drawn until a row ends.
      for seed in range(200):
        model, tokens = make_model(settings, seed), make_tokens(seed)
        found = answers(model, tokens)
        if settings["tie_word_embeddings"] or has_ended(found["generated"]):
          break
      model.save_pretrained(folder / variant)
      np.savez_compressed(folder / variant / "arrays.npz", **tokens, **found)
    names = ("transformers", "torch", "numpy", "safetensors")
    versions = {name: importlib.metadata.version(name) for name in names}
    (folder / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")
    pack(folder)


if __name__ == "__main__":
  main()
