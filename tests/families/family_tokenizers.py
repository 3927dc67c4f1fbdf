"""Small tokenizers with the parts of a family's, trained on a few lines.

Normalizer, pre-tokenizer, post-processor and control tokens are those of the published
tokenizer.json files.
"""

import json
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

LINES = (
  "Input: the film was good.\nOutput: good\n\nInput: a bad, dull film!\nOutput: bad\n",
  "Question: is it an animal?\nthe fox № 1 café naïve\nAnswer: animal\n\n -> not_it",
  "Input: 3, 1, 4\nTarget: 81422.\n\nInput: x\nTarget: 5023\n\nthe film was dull, bad",
)
# Llama 3's and Qwen2's tokenizer.json, "Split"; they differ in how they cut digits.
_SPLIT = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s"
  r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPACE = "▁"
_CHAT = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
FAMILIES = ("pythia", "smollm2", "llama3", "qwen", "llama2", "mistral", "gemma")


def make_content(family: str) -> dict[str, Any]:
  """The content of a tokenizer.json of a family's shape."""
  return json.loads(_MAKERS[family]().to_str())


def make_files(family: str) -> dict[str, dict[str, Any]]:
  """The JSON files of a tokenizer's folder, by name."""
  bos, eos = {
    "pythia": ("<|endoftext|>", "<|endoftext|>"),
    "smollm2": ("<|im_start|>", "<|im_end|>"),
    "llama3": ("<|begin_of_text|>", "<|end_of_text|>"),
    "qwen": (None, "<|im_end|>"),
    "llama2": ("<s>", "</s>"),
    "mistral": ("<s>", "</s>"),
    "gemma": ("<bos>", "<eos>"),
  }[family]
  return {
    "tokenizer.json": make_content(family),
    "tokenizer_config.json": {"bos_token": bos, "eos_token": eos},
  }


def _byte_level(
  special: list[str],
  pre_tokenizer: Any,
  *,
  normalizer: Any = None,
  ignore_merges: bool = False,
) -> Any:
  made = tokenizers.Tokenizer(models.BPE(ignore_merges=ignore_merges))
  made.normalizer, made.pre_tokenizer = normalizer, pre_tokenizer
  made.decoder = decoders.ByteLevel()
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=256 + 150 + len(special),
    special_tokens=special,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  made.train_from_iterator(LINES * 4, trainer)
  return made


def _split(digits: str) -> Any:
  pattern = tokenizers.Regex(_SPLIT % digits)
  return pre_tokenizers.Sequence(
    [
      pre_tokenizers.Split(pattern, "isolated"),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
  )


def _sentencepiece(special: list[str], normalizer: Any) -> Any:
  """BPE with byte fallback, to which white space is a normal character."""
  pieces = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
  made = tokenizers.Tokenizer(
    models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
  )
  made.normalizer = normalizers.Replace(" ", _SPACE)
  made.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Split("\n", "removed"),
      pre_tokenizers.Split(_SPACE, "merged_with_next"),
    ]
  )
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=len(pieces) + 200, special_tokens=pieces, show_progress=False
  )
  made.train_from_iterator(LINES * 4, trainer)
  # The merges keep to words, but nothing cuts the text into words before them.
  content = json.loads(made.to_str())
  content["added_tokens"] = content["added_tokens"][: len(special)]
  made = tokenizers.Tokenizer.from_str(json.dumps(content))
  made.pre_tokenizer, made.normalizer = None, normalizer
  made.decoder = decoders.Sequence(
    [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
  )
  return made


def _with_bos(made: Any, bos: str) -> Any:
  made.post_processor = processors.TemplateProcessing(
    single=f"{bos} $A",
    pair=f"{bos} $A {bos} $B",
    special_tokens=[(bos, made.token_to_id(bos))],
  )
  return made


def _pythia() -> Any:
  return _byte_level(
    _CHAT[:1],
    pre_tokenizers.ByteLevel(add_prefix_space=False),
    normalizer=normalizers.NFC(),
  )


def _smollm2() -> Any:
  digits = pre_tokenizers.Digits(individual_digits=True)
  words = pre_tokenizers.ByteLevel(add_prefix_space=False)
  return _byte_level(_CHAT, pre_tokenizers.Sequence([digits, words]))


def _llama3() -> Any:
  special = ["<|begin_of_text|>", "<|end_of_text|>"]
  made = _byte_level(special, _split(r"\p{N}{1,3}"), ignore_merges=True)
  return _with_bos(made, special[0])


def _qwen() -> Any:
  made = _byte_level(_CHAT, _split(r"\p{N}"), normalizer=normalizers.NFC())
  made.add_tokens([tokenizers.AddedToken("<tool_call>", normalized=False)])
  return made


def _llama2() -> Any:
  steps = [normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)]
  made = _sentencepiece(["<unk>", "<s>", "</s>"], normalizers.Sequence(steps))
  made.decoder = decoders.Sequence([made.decoder, decoders.Strip(" ", 1, 0)])
  return _with_bos(made, "<s>")


def _mistral() -> Any:
  made = _sentencepiece(["<unk>", "<s>", "</s>"], None)
  made.pre_tokenizer = pre_tokenizers.Metaspace(_SPACE, "first", split=False)
  made.decoder = decoders.Sequence([made.decoder, decoders.Strip(" ", 1, 0)])
  return _with_bos(made, "<s>")


def _gemma() -> Any:
  made = _sentencepiece(
    ["<pad>", "<eos>", "<bos>", "<unk>"], normalizers.Replace(" ", _SPACE)
  )
  made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
  runs = ["\n", "\n\n", "\n\n\n", "▁▁", "▁▁▁", "<table>"]
  made.add_tokens([tokenizers.AddedToken(run, normalized=False) for run in runs])
  return _with_bos(made, "<bos>")


_MAKERS = {
  "pythia": _pythia,
  "smollm2": _smollm2,
  "llama3": _llama3,
  "qwen": _qwen,
  "llama2": _llama2,
  "mistral": _mistral,
  "gemma": _gemma,
}
