"""A decoder-only model's vocabulary gives the ids that Transformers gives."""

import json

import family_tokenizers
import pytest

from symtune.convert.tokenizer.causal import read_causal_vocab
from symtune.data.prompts import PromptFormat, turn_cues
from symtune.data.tokens.causal import CausalTokenizer

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore")]

# Transformers builds some of its classes from the vocabulary alone; the other one reads
# all of tokenizer.json.
READERS = [
  *((family, "TokenizersBackend") for family in family_tokenizers.FAMILIES),
  ("pythia", "GPTNeoXTokenizer"),
  ("qwen", "Qwen2Tokenizer"),
  ("llama2", "LlamaTokenizer"),
  ("gemma", "GemmaTokenizer"),
]
TEXTS = (
  "Input: the film\nbad",
  "a two  spaces \t\n\n bad\n\n",
  "caf\u00e9 \u2116 1 \U0001f600 12345",
  "<s></s> <unk> <eos><bos> <|endoftext|> <|im_end|>",
)


@pytest.fixture(params=READERS, ids="-".join)
def readers(request, tmp_path):
  """The same folder as Transformers reads it and as we do."""
  import transformers

  from symtune.probe.answer.hf.tokens import TextTokenizer

  family, name = request.param
  files = family_tokenizers.make_files(family)
  files["tokenizer_config.json"]["tokenizer_class"] = name
  for file, content in files.items():
    (tmp_path / file).write_text(json.dumps(content))
  vocab = read_causal_vocab(tmp_path)
  return TextTokenizer(transformers.AutoTokenizer.from_pretrained(tmp_path)), vocab


def test_texts_and_prompts_have_the_same_ids(readers, make_item):
  tokens, vocab = readers
  for text in TEXTS:
    assert vocab.encode(text).tolist() == tokens.ids(text)
  assert ([] if vocab.bos_id is None else [vocab.bos_id]) == tokens.prefix
  texts = ("the film was good.", "12 bad films", "a dull, bad film!")
  for form in PromptFormat:
    head, cue = turn_cues(form, None)
    prompt = make_item(texts, ("good", "4921"), ("".join(head), cue)).prompt
    found = CausalTokenizer(vocab).tokenize(prompt)
    assert found.inputs.tolist() == tokens.causal_prompt(prompt.inputs)
