"""Folders of small random models, each with a tokenizer that has the parts of a family.

The vocabularies are trained on a few lines; normalizer, pre-tokenizer, post-processor
and control tokens are those of the published tokenizer.json files.
"""

import json
import warnings
from typing import Any

import pytest

from symtune.data.prompts import Prompt
from symtune.probe.probe import AnswerKind, ProbeItem

LINES = (
  "Input: the film was good\nOutput: good\n\nInput: a bad, dull film!\nOutput: bad",
  "Question: is it an animal?\nthe fox \u2116 1 caf\u00e9 na\u00efve\nAnswer: animal",
  "Input: 3, 1, 4\nTarget: 81422\n\nInput: x\nTarget: 5023\n\nthe film was dull, bad",
)
# Qwen2's tokenizer.json, "Split".
_QWEN_SPLIT = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
  r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_SPACE = "\u2581"
_NETWORK = {
  "hidden_size": 32,
  "intermediate_size": 48,
  "num_hidden_layers": 2,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "head_dim": 8,
  "max_position_embeddings": 512,
  "initializer_range": 0.3,
}


def _sentencepiece_bpe(normalizer: Any, special: list[str], bos: str) -> Any:
  """BPE with byte fallback, to which white space is a normal character."""
  import tokenizers
  from tokenizers import decoders, normalizers, pre_tokenizers, processors

  made = tokenizers.Tokenizer(
    tokenizers.models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
  )
  made.normalizer = normalizers.Replace(" ", _SPACE)
  made.pre_tokenizer = pre_tokenizers.Split(_SPACE, "merged_with_next")
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=len(special) + 256 + 150,
    special_tokens=[*special, *_BYTES],
    show_progress=False,
  )
  made.train_from_iterator(LINES * 4, trainer)
  # The merges keep to words, but nothing cuts the text into words before them.
  content = json.loads(made.to_str())
  content["added_tokens"] = content["added_tokens"][: len(special)]
  made = tokenizers.Tokenizer.from_str(json.dumps(content))
  made.pre_tokenizer = None
  made.normalizer = normalizer
  made.post_processor = processors.TemplateProcessing(
    single=f"{bos} $A",
    pair=f"{bos} $A {bos} $B",
    special_tokens=[(bos, made.token_to_id(bos))],
  )
  made.decoder = decoders.Sequence(
    [
      decoders.Replace(_SPACE, " "),
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
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=256 + 100 + len(special),
    special_tokens=special,
    initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  made.train_from_iterator(LINES * 4, trainer)
  return made


def _llama() -> tuple[Any, Any]:
  import transformers
  from tokenizers import normalizers

  steps = [normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)]
  backend = _sentencepiece_bpe(
    normalizers.Sequence(steps), ["<unk>", "<s>", "</s>"], "<s>"
  )
  config = transformers.LlamaConfig(
    vocab_size=backend.get_vocab_size(), bos_token_id=1, eos_token_id=2, **_NETWORK
  )
  return backend, transformers.LlamaForCausalLM(config)


def _gemma() -> tuple[Any, Any]:
  import transformers
  from tokenizers import normalizers

  backend = _sentencepiece_bpe(
    normalizers.Replace(" ", _SPACE), ["<pad>", "<eos>", "<bos>", "<unk>"], "<bos>"
  )
  config = transformers.Gemma2Config(
    vocab_size=backend.get_vocab_size(),
    pad_token_id=0,
    eos_token_id=1,
    bos_token_id=2,
    sliding_window=16,
    **_NETWORK,
  )
  return backend, transformers.Gemma2ForCausalLM(config)


def _gpt2() -> tuple[Any, Any]:
  import transformers
  from tokenizers import pre_tokenizers, processors

  split = pre_tokenizers.ByteLevel(add_prefix_space=False)
  backend = _byte_level(None, split, ["<|endoftext|>"])
  backend.post_processor = processors.ByteLevel(trim_offsets=False)
  config = transformers.GPT2Config(
    vocab_size=backend.get_vocab_size(),
    n_embd=32,
    n_layer=2,
    n_head=4,
    n_positions=512,
    initializer_range=0.3,
    bos_token_id=0,
    eos_token_id=0,
  )
  return backend, transformers.GPT2LMHeadModel(config)


def _qwen() -> tuple[Any, Any]:
  import tokenizers
  import transformers
  from tokenizers import normalizers, pre_tokenizers

  split = pre_tokenizers.Split(tokenizers.Regex(_QWEN_SPLIT), "isolated")
  level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
  backend = _byte_level(
    normalizers.NFC(),
    pre_tokenizers.Sequence([split, level]),
    ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
  )
  config = transformers.Qwen2Config(
    vocab_size=backend.get_vocab_size(), bos_token_id=0, eos_token_id=0, **_NETWORK
  )
  return backend, transformers.Qwen2ForCausalLM(config)


def _t5() -> tuple[Any, Any]:
  import tokenizers
  import transformers
  from tokenizers import normalizers, pre_tokenizers, processors

  sentinels = [f"<extra_id_{i}>" for i in range(99, -1, -1)]
  made = tokenizers.Tokenizer(tokenizers.models.Unigram())
  made.normalizer = normalizers.NFKC()
  metaspace = {"replacement": _SPACE, "prepend_scheme": "always"}
  made.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(**metaspace)]
  )
  made.decoder = tokenizers.decoders.Metaspace(**metaspace)
  trainer = tokenizers.trainers.UnigramTrainer(
    vocab_size=90,
    special_tokens=["<pad>", "</s>", "<unk>"],
    unk_token="<unk>",
    show_progress=False,
  )
  made.train_from_iterator(LINES * 4, trainer)
  content = json.loads(made.to_str())  # the sentinels are the last pieces, as in T5
  content["model"]["vocab"] += [[name, 0.0] for name in sentinels]
  made = tokenizers.Tokenizer.from_str(json.dumps(content))
  made.add_special_tokens(sentinels)
  made.post_processor = processors.TemplateProcessing(
    single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
  )
  config = transformers.T5Config(
    vocab_size=-(-made.get_vocab_size() // 128) * 128,
    d_model=32,
    d_kv=8,
    d_ff=48,
    num_layers=2,
    num_heads=4,
    initializer_factor=0.7,
    feed_forward_proj="gated-gelu",
    tie_word_embeddings=False,
    decoder_start_token_id=0,
  )
  return made, transformers.T5ForConditionalGeneration(config)


_LLAMA = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
_GEMMA = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
_T5 = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
# Transformers builds some of its classes from the vocabulary alone, others read all of
# tokenizer.json ("TokenizersBackend"): both are met.
FAMILIES: dict[str, tuple[Any, str, dict[str, Any]]] = {
  "llama": (_llama, "TokenizersBackend", _LLAMA),
  "llama_class": (_llama, "LlamaTokenizer", {**_LLAMA, "add_bos_token": True}),
  "gemma": (_gemma, "TokenizersBackend", {**_GEMMA, "unk_token": "<unk>"}),
  "gpt2": (_gpt2, "GPT2Tokenizer", {"eos_token": "<|endoftext|>"}),
  "qwen": (_qwen, "Qwen2Tokenizer", {"eos_token": "<|endoftext|>"}),
  "t5": (_t5, "TokenizersBackend", _T5),
  "t5_class": (_t5, "T5Tokenizer", _T5),
}


@pytest.fixture(autouse=True)
def needs_pytorch():
  """Skips where the extra is missing, and says so."""
  pytest.importorskip("torch", reason="needs the extra [hf]")


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory):
  """(name of a family) -> folder of its model; made once."""
  torch = pytest.importorskip("torch", reason="needs the extra [hf]")
  made = {}

  def write(name):
    if name not in made:
      make, tokenizer_class, settings = FAMILIES[name]
      torch.manual_seed(0)
      with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backend, model = make()
        folder = made[name] = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
      backend.save(str(folder / "tokenizer.json"))
      about = {"tokenizer_class": tokenizer_class, **settings}
      (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return made[name]

  return write


def _make_item(texts, choices, cue=("Input: ", "\nOutput:"), kind=AnswerKind.RANK):
  """A question: all texts but the last are exemplars, of the choices in turn."""
  labels = tuple(i % len(choices) for i in range(len(texts) - 1))
  turns = [
    (cue[0], text, cue[1] + " ", choices[label])
    for text, label in zip(texts, labels, strict=False)
  ]
  prompt = Prompt(
    turns=(*turns, (cue[0], texts[-1], cue[1])),
    exemplar_labels=labels,
    choices=choices,
    answer=0,
  )
  return ProbeItem(
    probe="p",
    setting="s",
    task="t",
    seed=0,
    query=0,
    prompt=prompt,
    context=None,
    prior=None,
    kind=kind,
    fingerprint="f",
  )


@pytest.fixture(scope="session")
def make_item():
  """(texts, choices, cue, kind) -> a question; its last text is the query."""
  return _make_item


@pytest.fixture(scope="session")
def load():
  """(folder, settings) -> a scorer, with short limits unless others are given."""
  from symtune.probe.answer.hf.load import find_folder, load_scorer

  def load(folder, **settings):
    settings = {"max_inputs": 400, "max_targets": 6, **settings}
    return load_scorer(find_folder(str(folder)), **settings)

  return load
