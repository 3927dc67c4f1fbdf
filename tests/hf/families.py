"""Small tokenizers, each with the parts of one family, and small random models.

Their vocabularies are trained on the texts that the tests ask about; normalizer,
pre-tokenizer, post-processor and control tokens are those of the published files.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

TEXTS = (
  "Input: the film was good\nOutput: good\n\nInput: a bad, dull film!\nOutput: bad",
  "Question: is it an animal?\nthe fox \u2116 1 caf\u00e9 na\u00efve\nAnswer: animal",
  "Input: 3, 1, 4\nTarget: 81422\n\nInput: x\nTarget: 5023 <s> </s> <|endoftext|>",
)
# llama3's split; Qwen2's takes single digits (tokenizer.json of Qwen2, "Split").
_QWEN_SPLIT = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
  r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
  """A tokenizer with what its tokenizer_config.json says, and a model for it."""

  backend: Callable[[], Any]
  settings: dict[str, Any]
  model: Callable[[int], Any]


def _train(tokenizer: Any, trainer: Any) -> Any:
  tokenizer.train_from_iterator(TEXTS * 4, trainer)
  return tokenizer


def _sentencepiece_bpe(normalizer: Any, special: list[str]) -> Any:
  """BPE with byte fallback, whose white space is a normal character."""
  import tokenizers
  from tokenizers import decoders

  made = tokenizers.Tokenizer(
    tokenizers.models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
  )
  made.normalizer = normalizer
  _train(
    made,
    tokenizers.trainers.BpeTrainer(
      vocab_size=len(special) + 256 + 300,
      special_tokens=[*special, *_BYTES],
      show_progress=False,
    ),
  )
  made.decoder = decoders.Sequence(
    [
      decoders.Replace("\u2581", " "),
      decoders.ByteFallback(),
      decoders.Fuse(),
      decoders.Strip(" ", 1, 0),
    ]
  )
  return made


def _byte_level(normalizer: Any, pre_tokenizer: Any, special: list[str]) -> Any:
  import tokenizers

  made = tokenizers.Tokenizer(tokenizers.models.BPE())
  made.normalizer = normalizer
  made.pre_tokenizer = pre_tokenizer
  made.decoder = tokenizers.decoders.ByteLevel()
  return _train(
    made,
    tokenizers.trainers.BpeTrainer(
      vocab_size=256 + 300 + len(special),
      special_tokens=special,
      initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
      show_progress=False,
    ),
  )


def _llama() -> Any:
  from tokenizers import normalizers, processors

  made = _sentencepiece_bpe(
    normalizers.Sequence(
      [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    ),
    ["<unk>", "<s>", "</s>"],
  )
  made.post_processor = processors.TemplateProcessing(
    single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
  )
  return made


def _gemma() -> Any:
  from tokenizers import normalizers, processors

  made = _sentencepiece_bpe(
    normalizers.Replace(" ", "\u2581"), ["<pad>", "<eos>", "<bos>", "<unk>"]
  )
  made.post_processor = processors.TemplateProcessing(
    single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 2)]
  )
  return made


def _gpt2() -> Any:
  from tokenizers import pre_tokenizers, processors

  made = _byte_level(
    None, pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"]
  )
  made.post_processor = processors.ByteLevel(trim_offsets=False)
  return made


def _qwen() -> Any:
  import tokenizers
  from tokenizers import normalizers, pre_tokenizers

  return _byte_level(
    normalizers.NFC(),
    pre_tokenizers.Sequence(
      [
        pre_tokenizers.Split(tokenizers.Regex(_QWEN_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
      ]
    ),
    ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
  )


def _t5() -> Any:
  import tokenizers
  from tokenizers import normalizers, pre_tokenizers, processors

  special = ["<pad>", "</s>", "<unk>"]
  made = tokenizers.Tokenizer(tokenizers.models.Unigram())
  made.normalizer = normalizers.NFKC()
  made.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.WhitespaceSplit(),
      pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always"),
    ]
  )
  made.decoder = tokenizers.decoders.Metaspace(
    replacement="\u2581", prepend_scheme="always"
  )
  _train(
    made,
    tokenizers.trainers.UnigramTrainer(
      vocab_size=150,
      special_tokens=[*special, *(f"<extra_id_{i}>" for i in range(100))],
      unk_token="<unk>",
      show_progress=False,
    ),
  )
  made.post_processor = processors.TemplateProcessing(
    single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
  )
  return made


def _llama_model(size: int) -> Any:
  import transformers

  return transformers.LlamaForCausalLM(
    transformers.LlamaConfig(
      vocab_size=size,
      hidden_size=32,
      intermediate_size=48,
      num_hidden_layers=2,
      num_attention_heads=4,
      num_key_value_heads=2,
      max_position_embeddings=512,
      initializer_range=0.2,
      bos_token_id=1,
      eos_token_id=2,
    )
  )
