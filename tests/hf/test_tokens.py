"""Text is only text: control tokens, added tokens and both ends of a prompt."""

import json
import shutil

import numpy as np
import pytest

from symtune.errors import SymtuneError

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore")]

FAMILIES = ["llama", "llama_class", "gemma", "gpt2", "qwen", "t5", "t5_class"]
CONTROL = "<s></s> <unk> <pad> <eos> <bos> <|endoftext|> <|im_end|> <extra_id_0>"


@pytest.fixture
def copy(family_folder, tmp_path):
  """(family, changes of tokenizer_config.json) -> a copy of its folder."""

  def write(family, **changes):
    folder = shutil.copytree(family_folder(family), tmp_path / family)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder

  return write


def _tokens(folder):
  import transformers

  from symtune.probe.answer.hf.tokens import TextTokenizer

  tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
  return tokenizer, TextTokenizer(tokenizer)


@pytest.mark.parametrize("family", FAMILIES)
def test_text_never_becomes_a_control_token(family, family_folder):
  tokenizer, tokens = _tokens(family_folder(family))
  control = {i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
  if tokenizer.unk_token_id != tokenizer.eos_token_id:  # text may be unknown
    control -= {tokenizer.unk_token_id}
  plain = tokens.ids(f"a {CONTROL} b")
  assert not control & {*plain}
  # The tokenizer itself does read them, so that there was something to prevent.
  assert control & {*tokenizer(f"a {CONTROL} b", add_special_tokens=False)["input_ids"]}
  if not family.startswith("t5"):  # which does not know "<"
    assert tokenizer.decode(plain).strip() == f"a {CONTROL} b"


@pytest.mark.parametrize("family", FAMILIES)
def test_other_text_has_the_tokenizers_own_ids(family, family_folder):
  tokenizer, tokens = _tokens(family_folder(family))
  for text in ("Input: the film\nbad", " bad\n\n", "caf\u00e9 \u2116 1 \U0001f600"):
    assert tokens.ids(text) == tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("family", ["llama", "gemma", "gpt2", "t5"])
def test_what_the_tokenizer_adds(family, family_folder):
  tokenizer, tokens = _tokens(family_folder(family))
  bos = [tokenizer.bos_token_id] if family in ("llama", "gemma") else []
  eos = [tokenizer.eos_token_id] if family == "t5" else []
  assert (tokens.prefix, tokens.suffix) == (bos, eos)
  text = "Input: the film\nOutput:"
  assert tokens.causal_prompt(text) == [*bos, *tokens.ids(text)]
  assert tokens.encoder_prompt(text) == tokenizer(text)["input_ids"]
  end = eos or [1]
  assert tokens.decoder_target("bad", end[0]) == [*bos, *tokens.ids("bad"), *end]


def test_an_eos_at_the_end_is_not_part_of_a_causal_prompt(
  copy, family_folder, load, make_item
):
  items = [make_item(["the film was good", "a dull film"], ("good", "bad"))]
  eager = copy("llama")
  path = eager / "tokenizer.json"
  content = json.loads(path.read_text())
  end = {"SpecialToken": {"id": "</s>", "type_id": 0}}
  content["post_processor"]["single"].append(end)
  content["post_processor"]["special_tokens"]["</s>"] = {
    "id": "</s>",
    "ids": [2],
    "tokens": ["</s>"],
  }
  path.write_text(json.dumps(content))
  tokenizer, tokens = _tokens(eager)
  assert tokenizer("a")["input_ids"][-1] == tokenizer.eos_token_id
  assert tokens.causal_prompt("a") == tokenizer("a")["input_ids"][:-1]
  found = load(eager)(items)[0].log_likelihoods
  wanted = load(family_folder("llama"))(items)[0].log_likelihoods
  np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=0)


def test_a_label_is_what_the_whole_text_has_after_the_prompt(family_folder):
  """Llama's normalizer puts a space before a text, so a label alone has two."""
  tokenizer, tokens = _tokens(family_folder("llama"))
  prompt = "Input: the film\nOutput:"
  ((first, *_),) = tokens.causal_labels(prompt, ["bad"])
  assert tokenizer.convert_ids_to_tokens(first) == "\u2581bad"
  alone = tokenizer(" bad\n\n", add_special_tokens=False).tokens()
  assert alone[:2] == ["\u2581", "\u2581bad"]


def test_white_space_at_a_prompts_end_belongs_to_the_label(family_folder):
  _, tokens = _tokens(family_folder("gpt2"))
  assert tokens.causal_prompt("the film ") == tokens.causal_prompt("the film")
  (spaced,) = tokens.causal_labels("the film ", ["bad"])
  (plain,) = tokens.causal_labels("the film", ["bad"])
  assert len(spaced) == len(plain) + 1


def test_a_token_across_the_boundary_counts_as_in_the_harness():
  """The ids of the whole text, from the place where those of the prompt end."""
  import tokenizers
  import transformers

  from symtune.probe.answer.hf.tokens import TextTokenizer

  pieces = {"<unk>": 0, "a": 1, ":": 2, " ": 3, "b": 4, "\n": 5, ": ": 6, ": b": 7}
  merges = [(":", " "), (": ", "b")]
  backend = tokenizers.Tokenizer(
    tokenizers.models.BPE(vocab=pieces, merges=merges, unk_token="<unk>")
  )
  tokens = TextTokenizer(
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
  )
  assert tokens.causal_prompt("a:") == [1, 2]
  assert tokens.ids("a: b\n\n") == [1, 7, 5, 5]
  assert tokens.causal_labels("a:", ["b"]) == [[5, 5]]


@pytest.mark.parametrize("family", ["t5", "t5_class", "gpt2"])
def test_tokens_that_a_user_added_are_read(family, copy, load, make_item):
  import transformers

  folder = copy(family)
  tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
  tokenizer.add_tokens(["[TAG]", "{|}"])
  tokenizer.save_pretrained(folder)
  first = tokenizer.convert_tokens_to_ids("[TAG]")
  kind = (
    transformers.AutoModelForSeq2SeqLM
    if family.startswith("t5")
    else transformers.AutoModelForCausalLM
  )
  model = kind.from_pretrained(folder)
  item = make_item(["a [TAG] b"], ("{|} good", "bad"))
  if len(tokenizer) > model.config.vocab_size:
    with pytest.raises(SymtuneError, match=r"beyond the [\d,]+ rows .*'\[TAG\]' = "):
      load(folder)
  model.resize_token_embeddings(-(-len(tokenizer) // 64) * 64)
  model.save_pretrained(folder)
  _, tokens = _tokens(folder)
  assert first in tokens.ids("a [TAG] b")
  assert first + 1 in tokens.ids("{|} good")
  score = load(folder)([item])[0]
  assert np.isfinite(score.log_likelihoods).all()


def test_choices_that_are_the_same_tokens_are_refused(family_folder, load, make_item):
  scorer = load(family_folder("t5"))
  item = make_item(["x"], ("\u2116 1", "No 1"))
  with pytest.raises(
    SymtuneError, match=r"task t, query row 0: label words '\u2116 1' and 'No 1' have"
  ):
    scorer([item])
  emoji = make_item(["x"], ("bad", "\U0001f600"))
  with pytest.raises(SymtuneError, match=r"nothing of label word .* own tokenizer"):
    scorer([emoji])
  assert load(family_folder("llama"))([item, emoji])  # bytes tell them apart


def test_a_limit_in_the_tokenizers_file_cuts_nothing(copy, load, make_item):
  folder = copy("gpt2", model_max_length=4)
  path = folder / "tokenizer.json"
  content = json.loads(path.read_text())
  content["truncation"] = {
    "max_length": 4,
    "strategy": "LongestFirst",
    "stride": 0,
    "direction": "Right",
  }
  path.write_text(json.dumps(content))
  _, tokens = _tokens(folder)
  assert len(tokens.ids("Input: the film was good\nOutput:")) > 4
  item = make_item(["the film was good", "x"], ("good", "bad"))
  assert load(folder)([item])[0].exemplars == 1
