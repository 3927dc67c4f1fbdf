"""The README.md of an exported model: what it is, how it was made, how to load it."""

import symtune
from symtune.convert.tensors import SourceCheckpoint
from symtune.model.config import T5Config

_CARD = """---
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


def model_card(checkpoint: SourceCheckpoint, dtype: str) -> str:
  """Returns the model card, in Markdown.

  Args:
    checkpoint: what was exported.
    dtype: type of the stored parameters.
  """
  config = checkpoint.config
  assert isinstance(config, T5Config), "not an encoder-decoder"
  cast = "" if dtype == "float32" else f", rounded to {dtype}"
  return _CARD.format(
    version=symtune.__version__,
    where=checkpoint.where.rstrip("/").rpartition("/")[2] or checkpoint.where,
    step="" if checkpoint.step is None else f", step {checkpoint.step}",
    cast=cast,
    enc=config.num_encoder_layers,
    dec=config.num_decoder_layers,
    emb=config.emb_dim,
    heads=config.num_heads,
    head=config.head_dim,
    mlp=config.mlp_dim,
    activations=" x ".join(config.mlp_activations),
    output="the embedding" if config.logits_via_embedding else "its own",
    vocab=config.vocab_size,
    dtype=dtype,
  )
