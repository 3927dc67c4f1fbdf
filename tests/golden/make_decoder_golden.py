"""Makes decoder_models.tar.xz: tiny decoder-only models of Transformers, and logits.

Run it where PyTorch and Transformers are installed (the extra [hf]), from the
repository root:

  python tests/golden/make_decoder_golden.py

<variant>/           the folder that save_pretrained wrote
<variant>/arrays.npz tokens and logits of rows longer than any window, computed in
                     float32 from the stored numbers
versions.json        what made them
"""

import importlib.metadata
import io
import json
import pathlib
import tarfile
import tempfile
import warnings

import numpy as np
import torch
import transformers

GOLDEN = pathlib.Path(__file__).parent / "decoder_models.tar.xz"
SIZES = {
  "vocab_size": 24,
  "hidden_size": 16,
  "intermediate_size": 20,
  "num_hidden_layers": 2,
  "num_attention_heads": 4,
  "max_position_embeddings": 64,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
LLAMA3 = {
  "rope_type": "llama3",
  "rope_theta": 10000.0,
  "factor": 8.0,
  "low_freq_factor": 1.0,
  "high_freq_factor": 4.0,
  "original_max_position_embeddings": 32,
}
# Class of the config, its settings, and the type of the stored numbers.
VARIANTS = {
  "llama": ("LlamaConfig", GROUPED, "bfloat16"),
  "llama3": (
    "LlamaConfig",
    {
      **GROUPED,
      "head_dim": 16,
      "rope_parameters": LLAMA3,
      "attention_bias": True,
      "mlp_bias": True,
      "tie_word_embeddings": True,
    },
    "bfloat16",
  ),
  "mistral": ("MistralConfig", {**GROUPED, "sliding_window": 5}, "bfloat16"),
  "qwen2": (
    "Qwen2Config",
    {
      **GROUPED,
      "use_sliding_window": True,
      "sliding_window": 4,
      "max_window_layers": 1,
    },
    "float32",
  ),
  "qwen3": ("Qwen3Config", {**GROUPED, "head_dim": 10}, "bfloat16"),
  "gemma3": (
    "Gemma3TextConfig",
    {
      **GROUPED,
      "head_dim": 12,
      "sliding_window": 4,
      "sliding_window_pattern": 2,
      "query_pre_attn_scalar": 20,
    },
    "bfloat16",
  ),
  "gpt_neox": ("GPTNeoXConfig", {**SIZES, "rotary_pct": 0.5}, "float16"),
  "gpt_neox_in_turn": (
    "GPTNeoXConfig",
    {
      **SIZES,
      "rotary_pct": 0.5,
      "use_parallel_residual": False,
      "attention_bias": False,
    },
    "float16",
  ),
  "gpt2": (
    "GPT2Config",
    {
      "vocab_size": 24,
      "n_embd": 16,
      "n_layer": 2,
      "n_head": 4,
      "n_inner": 20,
      "n_positions": 64,
      "bos_token_id": 0,
      "eos_token_id": 0,
    },
    "bfloat16",
  ),
}
LENGTH = 40


def make_model(kind: str, settings: dict, dtype: str) -> transformers.PreTrainedModel:
  """A float32 network with random numbers that a smaller type holds exactly."""
  torch.manual_seed(0)
  config = getattr(transformers, kind)(**settings, initializer_range=0.3)
  model = transformers.AutoModelForCausalLM.from_config(config).eval()
  with torch.no_grad():
    for parameter in model.parameters():
      if parameter.ndim == 1:  # norms and biases, which start as ones and zeros
        parameter.add_(0.3 * torch.randn_like(parameter))
      parameter.copy_(parameter.to(getattr(torch, dtype)))
  return model


def answers(model: transformers.PreTrainedModel) -> dict[str, np.ndarray]:
  """Rows of random tokens, and their logits in float32."""
  tokens = np.random.default_rng(0).integers(0, 24, (2, LENGTH), dtype=np.int32)
  with torch.no_grad():
    logits = model(torch.from_numpy(tokens).long()).logits
  return {"tokens": tokens, "logits": logits.numpy()}


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
    for variant, (kind, settings, dtype) in VARIANTS.items():
      with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_model(kind, settings, dtype)
      found = answers(model)
      # A model of another type would round the frequencies of its rotations, too.
      model.to(getattr(torch, dtype)).save_pretrained(folder / variant)
      np.savez_compressed(folder / variant / "arrays.npz", **found)
    names = ("transformers", "torch", "numpy", "safetensors")
    versions = {name: importlib.metadata.version(name) for name in names}
    (folder / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")
    pack(folder)


if __name__ == "__main__":
  main()
