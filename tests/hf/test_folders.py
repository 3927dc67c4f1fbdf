"""What a Transformers folder brings along has its effect, or is refused by name."""

import json
import shutil

import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.probe.probe import AnswerKind

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def copy(family_folder, tmp_path):
  """(family, {file: changes}) -> a copy of its folder; None removes a key."""

  def write(family, **files):
    folder = shutil.copytree(family_folder(family), tmp_path / family)
    for name, changes in files.items():
      path = folder / f"{name}.json"
      content = json.loads(path.read_text()) if path.exists() else {}
      content = {**content, **changes}
      kept = {key: value for key, value in content.items() if value is not None}
      path.write_text(json.dumps(kept))
    return folder

  return write


@pytest.fixture
def item(make_item):
  return make_item(["the film was good", "a bad film", "the fox"], ("good", "bad"))


@pytest.fixture
def open_question(make_item):
  return make_item(["the film", "a fox"], ("good",), kind=AnswerKind.GENERATE)


def _rewrite(folder, change):
  """Changes the tensors of a folder by a function."""
  from safetensors.torch import load_file, save_file

  path = folder / "model.safetensors"
  save_file(change(load_file(path)), path, metadata={"format": "pt"})


def _without(name):
  return lambda tensors: {k: v for k, v in tensors.items() if k != name}


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_without_a_tokenizer_nothing_is_invented(family, copy, load):
  folder = copy(family)
  for name in ("tokenizer.json", "tokenizer_config.json"):
    (folder / name).unlink()
  with pytest.raises(SymtuneError, match="has no tokenizer"):
    load(folder)


def test_a_smaller_tokenizer_is_another_models(copy, family_folder, load):
  folder = copy("t5")
  import transformers

  config = transformers.T5Config.from_pretrained(folder)
  config.vocab_size = 1024
  transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
  with pytest.raises(SymtuneError, match=r"has \d+ tokens, but .* has 1,024 rows"):
    load(folder)
  for name in ("tokenizer.json", "tokenizer_config.json"):
    shutil.copy(family_folder("llama") / name, folder)
  with pytest.raises(SymtuneError, match="its tokenizer has"):
    load(folder)


def test_a_larger_tokenizer_is_another_models(copy, family_folder, load):
  folder = copy("t5")
  for name in ("tokenizer.json", "tokenizer_config.json"):
    shutil.copy(family_folder("llama") / name, folder)
  with pytest.raises(SymtuneError, match=r"beyond the 256 rows of the model's"):
    load(folder)


def test_control_tokens_have_to_be_the_models(copy, load):
  folder = copy("t5", config={"eos_token_id": 5}, generation_config={"eos_token_id": 5})
  with pytest.raises(SymtuneError, match=r"eos_token of its tokenizer is id 1.* is 5"):
    load(folder)


@pytest.mark.parametrize(
  ("family", "name"),
  [
    ("t5", "decoder.block.1.layer.0.SelfAttention.q.weight"),
    ("gpt2", "transformer.h.0.mlp.c_fc.bias"),
    ("llama", "lm_head.weight"),
  ],
)
def test_missing_tensors_are_named(family, name, copy, load):
  folder = copy(family)
  _rewrite(folder, _without(name))
  with pytest.raises(SymtuneError, match=rf"Missing: {name}\. Unknown: none"):
    load(folder)


def test_tensors_of_another_shape_are_named(copy, load):
  folder = copy("llama", config={"intermediate_size": 50})
  with pytest.raises(SymtuneError, match=r"mlp.down_proj.weight has shape \[32, 48\]"):
    load(folder)


def test_a_truncated_file_is_named(copy, load):
  folder = copy("gpt2")
  path = folder / "model.safetensors"
  path.write_bytes(path.read_bytes()[:-100])
  with pytest.raises(SymtuneError, match=r"model.safetensors is not a complete safet"):
    load(folder)


def test_a_shard_that_is_missing_is_named(copy, load):
  import transformers

  folder = copy("llama")
  model = transformers.AutoModelForCausalLM.from_pretrained(folder)
  (folder / "model.safetensors").unlink()
  model.save_pretrained(folder, max_shard_size="40KB")
  last = sorted(folder.glob("model-*.safetensors"))[-1]
  assert load(folder).num_parameters == model.num_parameters()
  last.unlink()
  with pytest.raises(SymtuneError, match=last.name):
    load(folder)


def test_numbers_of_eight_bits_are_named(copy, load):
  import torch

  folder = copy("llama")
  _rewrite(
    folder,
    lambda tensors: {**tensors, "model.norm.weight": torch.ones(32, dtype=torch.int8)},
  )
  with pytest.raises(SymtuneError, match=r"tensor model.norm.weight is I8"):
    load(folder)


def test_quantized_models_are_refused(copy, load):
  folder = copy("llama", config={"quantization_config": {"quant_method": "awq"}})
  with pytest.raises(SymtuneError, match="quantization_config is of 'awq'"):
    load(folder)


def test_a_decoder_needs_a_first_token(copy, load):
  folder = copy(
    "t5",
    config={"decoder_start_token_id": None},
    generation_config={"decoder_start_token_id": None},
  )
  with pytest.raises(SymtuneError, match=r"config.json has no decoder_start_token_id"):
    load(folder)


@pytest.mark.parametrize("kind", ["classifier", "encoder", "masked"])
def test_models_that_write_no_text_are_refused(kind, copy, load):
  import transformers

  folder = copy("t5" if kind == "encoder" else "gpt2")
  small = {"vocab_size": 357, "num_hidden_layers": 1, "intermediate_size": 48}
  if kind == "classifier":
    config = transformers.LlamaConfig(hidden_size=32, num_attention_heads=4, **small)
    model = transformers.LlamaForSequenceClassification(config)
    expected = r"Missing: lm_head.weight. Unknown: score.weight"
  elif kind == "encoder":
    config = transformers.T5Config.from_pretrained(folder)
    model = transformers.T5EncoderModel(config)
    expected = "T5Config"
  else:
    config = transformers.BertConfig(hidden_size=32, num_attention_heads=4, **small)
    model = transformers.BertForMaskedLM(config)
    expected = "BertLMHeadModel is an encoder"
  model.save_pretrained(folder)
  with pytest.raises(SymtuneError, match=expected):
    load(folder)


def test_models_without_a_key_value_cache_score_the_whole_text(
  family_folder, tmp_path, load, item, open_question
):
  import torch
  import transformers

  folder = tmp_path / "mamba"
  transformers.MambaForCausalLM(
    transformers.MambaConfig(
      vocab_size=357, hidden_size=32, num_hidden_layers=2, state_size=4, eos_token_id=0
    )
  ).save_pretrained(folder)
  for name in ("tokenizer.json", "tokenizer_config.json"):
    shutil.copy(family_folder("gpt2") / name, folder)
  scorer = load(folder)
  found = scorer([item])[0].log_likelihoods
  model = transformers.AutoModelForCausalLM.from_pretrained(folder)
  prompt = scorer.tokens.causal_prompt(item.prompt.inputs)
  labels = scorer.tokens.causal_labels(item.prompt.inputs, item.prompt.choices)
  for value, label in zip(found, labels, strict=True):
    with torch.inference_mode():
      logits = model(input_ids=torch.tensor([[*prompt, *label]])).logits[0]
    log_p = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    expected = log_p.gather(1, torch.tensor(label)[:, None]).sum()
    assert value == pytest.approx(float(expected), abs=1e-4)
  assert isinstance(scorer([open_question])[0].text, str)


def test_prompts_keep_to_the_models_positions(copy, load, make_item):
  import transformers

  folder = copy("gpt2", config={"n_positions": 64})
  config = transformers.GPT2Config.from_pretrained(folder)
  transformers.GPT2LMHeadModel(config).save_pretrained(folder)
  scorer = load(folder, max_inputs=1000, max_targets=20)
  long = make_item(["the film was good"] * 12 + ["x"], ("good", "bad"))
  score = scorer([long])[0]
  assert 0 < score.exemplars < 12
  assert np.isfinite(score.log_likelihoods).all()
  asked = make_item(["the film"] * 12 + ["x"], ("good",), kind=AnswerKind.GENERATE)
  assert scorer([asked])[0].exemplars < 12
  alone = make_item(["the film was good, " * 40], ("good", "bad"))
  with pytest.raises(SymtuneError, match=r"query row 0: got .*The model has 64 posit"):
    scorer([alone])
  with pytest.raises(SymtuneError, match=r"--gin.probe.max_inputs"):
    load(folder, max_inputs=8)([alone])


@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_text_is_generated_greedily_whatever_the_folder_says(
  family, copy, family_folder, load, open_question
):
  strange = {
    "do_sample": True,
    "temperature": 9.0,
    "num_beams": 3,
    "min_length": 40,
    "repetition_penalty": 9.0,
    "no_repeat_ngram_size": 1,
    "suppress_tokens": list(range(5, 150)),
    "begin_suppress_tokens": [7],
    "forced_eos_token_id": 3,
    "max_length": 3,
  }
  wanted = load(family_folder(family))([open_question])
  found = load(copy(family, generation_config=strange))([open_question])
  assert found == wanted
  assert wanted[0].text or family == "t5"  # whose likeliest token is EOS


def test_the_ids_that_end_an_answer_are_the_folders(copy, load, open_question):
  import torch
  import transformers

  folder = copy("gpt2")
  scorer = load(folder)
  model = transformers.AutoModelForCausalLM.from_pretrained(folder)
  prompt = scorer.tokens.causal_prompt(open_question.prompt.inputs)
  first = int(model(input_ids=torch.tensor([prompt])).logits[0, -1].argmax())
  path = folder / "generation_config.json"
  path.write_text(json.dumps({"eos_token_id": [0, first]}))
  tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
  one = tokenizer.decode([first]).strip()
  assert load(folder)([open_question])[0].text == one
  assert scorer([open_question])[0].text != one


def test_the_type_is_the_one_that_is_asked_for(copy, load, item):
  import torch

  folder = copy("llama")
  exact = load(folder)([item])[0].log_likelihoods
  _rewrite(folder, lambda t: {k: v.to(torch.bfloat16) for k, v in t.items()})
  path = folder / "config.json"
  path.write_text(json.dumps({**json.loads(path.read_text()), "dtype": "bfloat16"}))
  stored, asked = load(folder), load(folder, dtype="bfloat16")
  assert (stored.dtype, asked.dtype) == ("float32", "bfloat16")
  assert stored.identity != asked.identity
  model = stored([item])[0].log_likelihoods
  rounded = asked([item])[0].log_likelihoods
  assert model != rounded
  np.testing.assert_allclose(rounded, model, rtol=0.05)
  np.testing.assert_allclose(model, exact, rtol=0.05)


def test_a_models_own_numbers_are_part_of_what_a_score_is_kept_under(
  copy, load, item, tmp_path
):
  from symtune.probe.answer.cache import DiskCache

  cache = DiskCache(tmp_path / "scores.sqlite")
  one = copy("llama")
  first = load(one, cache=cache)([item])
  path = one / "config.json"
  config = {**json.loads(path.read_text()), "rms_norm_eps": 0.5}
  path.write_text(json.dumps(config))
  assert load(one, cache=cache)([item]) == load(one)([item])
  assert load(one)([item]) != first


def test_an_output_layer_that_is_not_the_tied_one_is_named(copy, load):
  folder = copy("llama", config={"tie_word_embeddings": True})
  with pytest.raises(SymtuneError, match="output layer's weight differs from the"):
    load(folder)


def test_a_chat_model_may_end_with_another_control_token(copy, load, item):
  changed = {"eos_token": "<|im_end|>"}
  assert load(copy("qwen", tokenizer_config=changed))([item])


def test_an_output_layer_that_is_missing_is_named(copy, load):
  # As on the hub. Transformers 5 ties the layer to the table without a word.
  stated = {"tie_word_embeddings": False, "scale_decoder_outputs": None}
  folder = copy("t5", config=stated)
  _rewrite(folder, _without("lm_head.weight"))
  with pytest.raises(SymtuneError, match=r"has no lm_head.weight, but config.json"):
    load(folder)


@pytest.mark.parametrize("family", ["gpt2", "gemma"])
def test_an_output_layer_of_its_own_has_to_be_stated(family, copy, load):
  import transformers

  folder = copy(family, config={"tie_word_embeddings": None})
  model = transformers.AutoModelForCausalLM.from_pretrained(folder)
  table = model.get_input_embeddings().weight.detach()
  _rewrite(folder, lambda tensors: {**tensors, "lm_head.weight": table + 1})
  with pytest.raises(SymtuneError, match="differs from the embedding table"):
    load(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_named(value, copy, load):
  folder = copy("llama")

  def spoil(tensors):
    tensors["model.norm.weight"][3] = value
    return tensors

  _rewrite(folder, spoil)
  with pytest.raises(SymtuneError, match=r"model.norm.weight holds infinity"):
    load(folder)


def test_whole_numbers_are_no_weights_and_doubles_are(copy, load, item):
  import torch

  folder = copy("llama")
  wanted = load(folder)([item])[0].log_likelihoods
  _rewrite(folder, lambda tensors: {k: v.double() for k, v in tensors.items()})
  assert load(folder)([item])[0].log_likelihoods == wanted
  _rewrite(folder, lambda tensors: {k: v.to(torch.int32) for k, v in tensors.items()})
  with pytest.raises(SymtuneError, match="is I32, expected float32"):
    load(folder)


def test_constants_of_earlier_releases_are_passed_over(copy, load, item):
  import torch

  folder = copy("gpt2")
  wanted = load(folder)([item])[0].log_likelihoods
  mask = torch.ones(1, 1, 8, 8).tril().to(torch.uint8)
  old = {"attn.bias": mask, "attn.masked_bias": torch.tensor(-1e4)}
  more = {f"transformer.h.0.{name}": value for name, value in old.items()}
  _rewrite(folder, lambda tensors: {**tensors, **more})
  np.testing.assert_allclose(load(folder)([item])[0].log_likelihoods, wanted, atol=1e-5)


def test_an_adapter_without_a_config_is_named(tmp_path, load):
  (tmp_path / "adapter_config.json").write_text("{}")
  with pytest.raises(SymtuneError, match="Merge them first"):
    load(tmp_path)


def test_a_pointer_of_git_lfs_is_named(copy, load):
  folder = copy("gpt2")
  text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"
  (folder / "tokenizer.json").write_text(text)
  with pytest.raises(SymtuneError, match=r"tokenizer.json: not JSON.*git lfs pull"):
    load(folder)


def _small_model(name):
  """A model of a family that names or does something in its own way."""
  import transformers

  ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
  if name == "mpt":
    config = transformers.MptConfig(
      d_model=32, n_layers=1, n_heads=4, max_seq_len=64, vocab_size=357, **ids
    )
    return transformers.MptForCausalLM(config)
  if name == "falcon_h1":
    sizes = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8}
    config = transformers.FalconH1Config(
      hidden_size=32,
      num_hidden_layers=1,
      num_attention_heads=4,
      num_key_value_heads=2,
      intermediate_size=48,
      mamba_d_state=8,
      vocab_size=357,
      **sizes,
      **ids,
    )
    return transformers.FalconH1ForCausalLM(config)
  ids = {"eos_token_id": 1, "pad_token_id": 0, "decoder_start_token_id": 0}
  if name == "switch":
    config = transformers.SwitchTransformersConfig(
      d_model=32,
      d_kv=8,
      d_ff=48,
      num_layers=2,
      num_decoder_layers=2,
      num_heads=4,
      num_experts=2,
      vocab_size=256,
      **ids,
    )
    return transformers.SwitchTransformersForConditionalGeneration(config)
  sides = {
    f"{side}_{what}": size
    for side in ("encoder", "decoder")
    for what, size in {"layers": 1, "attention_heads": 4, "ffn_dim": 48}.items()
  }
  config = transformers.LEDConfig(
    d_model=32,
    attention_window=16,
    max_encoder_position_embeddings=64,
    max_decoder_position_embeddings=32,
    vocab_size=256,
    **sides,
    **ids,
  )
  return transformers.LEDForConditionalGeneration(config)


@pytest.mark.parametrize(
  ("name", "family", "positions"),
  [("mpt", "gpt2", 64), ("led", "t5", 64), ("falcon_h1", "gpt2", None)],
)
def test_limits_and_caches_of_rarer_families(
  name, family, positions, copy, load, make_item
):
  folder = copy(family)
  for file in ("config.json", "generation_config.json", "model.safetensors"):
    (folder / file).unlink(missing_ok=True)
  _small_model(name).save_pretrained(folder)
  item = make_item(["the film"] * 20 + ["a fox"], ("good", "bad"))
  score = load(folder)([item])[0]
  assert np.isfinite(score.log_likelihoods).all()
  assert (score.exemplars < 20) == (positions is not None)


def test_an_encoders_own_output_reaches_its_decoder(copy, load, item):
  folder = copy("t5")
  for file in ("config.json", "generation_config.json", "model.safetensors"):
    (folder / file).unlink(missing_ok=True)
  _small_model("switch").save_pretrained(folder)
  assert np.isfinite(load(folder)([item])[0].log_likelihoods).all()


def test_a_model_that_fails_on_a_prompt_is_named(family_folder, load, make_item):
  scorer = load(family_folder("gpt2"), max_targets=600)  # more than its positions
  item = make_item(["x"], ("good",), kind=AnswerKind.GENERATE)
  with pytest.raises(SymtuneError, match="task t, query row 0"):
    scorer([item])
