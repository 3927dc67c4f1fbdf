"""What a Transformers folder brings along has its effect, or is refused by name."""

import json

import pytest

from symtune.convert.model_folder import (
  check_special_ids,
  list_added,
  read_model_folder,
)
from symtune.errors import SymtuneError


@pytest.fixture
def folder(tmp_path):
  """Writes JSON files into a folder that holds a T5's config and a tokenizer."""

  def write(**files):
    contents = {
      "config": {"model_type": "t5", "eos_token_id": 1, "pad_token_id": 0},
      "tokenizer": {"added_tokens": [{"id": 1, "content": "</s>", "special": True}]},
      **files,
    }
    for name, content in contents.items():
      (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path

  return write


def test_added_tokens_of_all_files_are_found(folder):
  found = read_model_folder(
    folder(
      tokenizer_config={
        "added_tokens_decoder": {
          "1": {"content": "</s>", "special": True},
          "32100": {"content": "{", "lstrip": True, "normalized": False},
        }
      },
      added_tokens={"[TAG]": 32101},
    )
  )
  assert [(t.text, t.id, t.is_special) for t in found.added] == [
    ("</s>", 1, True),
    ("{", 32100, False),
    ("[TAG]", 32101, False),
  ]
  brace = found.added[1]
  assert (brace.strips_left, brace.strips_right, brace.is_normalized) == (1, 0, 0)
  assert list_added(found.added[1:]) == "'{' = 32100, '[TAG]' = 32101"
  assert found.has_tokenizer


def test_files_that_disagree_are_refused(folder):
  path = folder(added_tokens={"</s>": 7})
  with pytest.raises(
    SymtuneError,
    match=r"'</s>' has id 1 in tokenizer.json and 7 in added_tokens.json",
  ):
    read_model_folder(path)


@pytest.mark.parametrize(
  ("files", "message"),
  [
    (
      {"config": {"quantization_config": {"quant_method": "gptq"}}},
      r"config.json: quantization_config is of 'gptq'",
    ),
    ({"config": {"auto_map": {"AutoModel": "m.M"}}}, "auto_map names code"),
    ({"config": {"model_type": "mbart"}}, "start with the code of a language"),
    ({"adapter_config": {}}, "has an adapter_config.json.*Merge"),
    ({"config": {"forced_bos_token_id": 0}}, "config.json: forced_bos_token_id is 0"),
    (
      {"generation_config": {"forced_bos_token_id": 250004}},
      r"generation_config.json: forced_bos_token_id is 250004",
    ),
    ({"config": []}, "config.json holds list, expected an object"),
    ({"added_tokens": {"x": "y"}}, "added_tokens.json: got the added token"),
    ({"tokenizer": {"added_tokens": [{"id": 3}]}}, "tokenizer.json: got the added"),
    ({"tokenizer_config": {"added_tokens_decoder": [1]}}, "is not an object"),
  ],
)
def test_what_cannot_have_its_effect_is_named(folder, files, message):
  path = folder(**files)
  with pytest.raises(SymtuneError, match=message):
    read_model_folder(path)


def test_how_text_is_drawn_is_not_the_folders_choice(folder):
  found = read_model_folder(
    folder(generation_config={"do_sample": True, "eos_token_id": [1, 5]})
  )
  assert found.generation["eos_token_id"] == [1, 5]


def test_control_tokens_of_another_model_are_named(folder):
  found = read_model_folder(folder())
  ids = {"eos_token": 1, "pad_token": 0, "bos_token": None}
  check_special_ids(found, ids, rows=8)
  with pytest.raises(SymtuneError, match=r"eos_token of its tokenizer is id 2.* is 1"):
    check_special_ids(found, {"eos_token": 2}, rows=8)


def test_default_ids_of_a_larger_vocabulary_mean_nothing(folder):
  config = {"model_type": "gpt2", "eos_token_id": 50256}
  check_special_ids(read_model_folder(folder(config=config)), {"eos_token": 2}, rows=8)


def test_deep_nesting_is_no_traceback(folder):
  path = folder()
  (path / "config.json").write_text("[" * 100_000)
  with pytest.raises(SymtuneError, match=r"config.json: .*nested"):
    read_model_folder(path)


def test_a_folder_without_a_tokenizer_says_so(folder):
  path = folder()
  (path / "tokenizer.json").unlink()
  assert not read_model_folder(path).has_tokenizer
