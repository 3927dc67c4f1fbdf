"""The README.md of an exported model: what it is, how it was made, how to load it."""

import symtune
from symtune.convert.tensors import SourceCheckpoint
from symtune.model.config import T5Config
from symtune.model.decoder.config import DecoderConfig

CARD = "README.md"
_T5 = """---
library_name: transformers
pipeline_tag: text2text-generation
tags: [t5, symtune]
---

# T5 exported by symtune

Written by symtune {version} from `{where}`{step}.
The tensors are those of that checkpoint{cast}.

| setting | value |
|---|---|
| encoder, decoder layers | {enc}, {dec} |
| width, heads x head width, feed-forward | {emb}, {heads} x {head}, {mlp} |
| activations | {activations} |
| output layer | {output} |
| vocabulary rows | {vocab} |
| stored type | {dtype} |

```python
from transformers import AutoTokenizer, T5ForConditionalGeneration

model = T5ForConditionalGeneration.from_pretrained(FOLDER)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)
```

Use float32 or bfloat16: T5's activations overflow float16. T5's pieces turn
newlines into spaces and do not hold the characters < \\ ^ ` {{ }} ~. Licence,
training data and intended use are those of the checkpoint that this model was tuned
from; state them here before you publish it.
"""


_DECODER = """---
library_name: transformers
pipeline_tag: text-generation
tags: [symtune]
---

# Decoder-only model exported by symtune

Written by symtune {version} from `{where}`{step}.
The tensors are those of that checkpoint{cast}.{note}

| setting | value |
|---|---|
| layers | {layers} |
| width, feed-forward | {emb}, {mlp} |
| heads, of which keys and values, x head width | {heads}, {kv} x {head} |
| activation, norms | {activation}, {norm} |
| output layer | {output} |
| vocabulary rows | {vocab} |
| stored type | {dtype} |

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(FOLDER)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)
```

Licence, training data and intended use are those of the checkpoint that this model was
tuned from; state them here before you publish it.
"""


def t5_card(checkpoint: SourceCheckpoint, dtype: str) -> str:
  """Returns the model card of a T5, in Markdown.

  Args:
    checkpoint: what was exported.
    dtype: type of the stored parameters.
  """
  config = checkpoint.config
  assert isinstance(config, T5Config), "not an encoder-decoder"
  return _T5.format(
    **_origin(checkpoint, dtype),
    enc=config.num_encoder_layers,
    dec=config.num_decoder_layers,
    emb=config.emb_dim,
    heads=config.num_heads,
    head=config.head_dim,
    mlp=config.mlp_dim,
    activations=" x ".join(config.mlp_activations),
  )


def decoder_card(checkpoint: SourceCheckpoint, dtype: str, note: str) -> str:
  """Returns the model card of a decoder-only model, in Markdown.

  Args:
    checkpoint: what was exported.
    dtype: type of the stored parameters.
    note: what people who use its weights have to know, or empty.
  """
  config = checkpoint.config
  assert isinstance(config, DecoderConfig), "not a decoder-only model"
  return _DECODER.format(
    **_origin(checkpoint, dtype),
    note=f"\n\n{note}" if note else "",
    layers=config.num_layers,
    emb=config.emb_dim,
    mlp=config.mlp_dim,
    heads=config.num_heads,
    kv=config.num_kv_heads,
    head=config.head_dim,
    activation=config.activation,
    norm=config.norm,
  )


def _origin(checkpoint: SourceCheckpoint, dtype: str) -> dict[str, str | int]:
  """What the cards of both kinds say about a checkpoint."""
  config = checkpoint.config
  return {
    "version": symtune.__version__,
    "where": checkpoint.where.rstrip("/").rpartition("/")[2] or checkpoint.where,
    "step": "" if checkpoint.step is None else f", step {checkpoint.step}",
    "cast": "" if dtype == "float32" else f", rounded to {dtype}",
    "output": "the embedding" if config.logits_via_embedding else "its own",
    "vocab": config.vocab_size,
    "dtype": dtype,
  }
