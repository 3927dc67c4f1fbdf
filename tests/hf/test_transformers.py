"""Live against PyTorch: networks both ways, tokenizers, and lm-evaluation-harness."""

import functools
import importlib.util
import pathlib
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.convert.convert import Destination, Format, convert
from symtune.convert.huggingface import huggingface_source
from symtune.convert.load import load_params
from symtune.convert.source import open_checkpoint
from symtune.convert.tokenizer.write import write_for_transformers
from symtune.data.text.vocab import SentencePieceVocab
from symtune.model.generate import generate_greedy
from symtune.model.loss import sum_losses
from symtune.model.network import Transformer
from symtune.model.score import score_candidates, shift_right

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore")]

MAKER = pathlib.Path(__file__).parents[1] / "golden" / "make_huggingface_golden.py"
TEXTS = (
  "Input: a plain line\nOutput: two\nlines",
  "  spaces   at both ends  ",
  "naïve café — “quotes” … 日本語 😀 ﬁ Ⅷ ½",
  "unknown to T5: < \\ ^ ` { } ~",
  "tabs\tand\r\nreturns",
  "<extra_id_0> first <extra_id_1> second <extra_id_99>",
  "a<extra_id_0>b <extra_id_007> <extra_id_100> <extra_id_٣> <extra_id_99>",
  "",
)


@pytest.fixture(scope="module")
def maker():
  """The script of the goldens: the same networks, with other seeds."""
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    if importlib.util.find_spec("torch") is None:
      pytest.skip("needs PyTorch and Transformers: pip install 'symtune[hf]'")
    spec = importlib.util.spec_from_file_location("make_huggingface_golden", MAKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
  return module


@functools.partial(jax.jit, static_argnums=0)
def _logits(network, params, inputs, targets):
  return network.apply(
    {"params": params}, inputs, shift_right(targets), targets, enable_dropout=False
  )


VARIANTS = {
  "t5_1_0": ("relu", True, 4),
  "t5_1_1": ("gated-gelu", False, 4),
  "wide_heads": ("gated-gelu", False, 16),
  "narrow_heads": ("relu", True, 2),
  "gated_tied": ("gated-gelu", True, 4),
  "relu_untied": ("relu", False, 4),
  "silu": ("gated-silu", False, 4),
}


@pytest.mark.parametrize("seed", [11])
@pytest.mark.parametrize("variant", VARIANTS)
def test_networks_agree_both_ways(variant, seed, maker, tmp_path):
  projection, tied, d_kv = VARIANTS[variant]
  settings = {
    "feed_forward_proj": projection,
    "tie_word_embeddings": tied,
    "d_kv": d_kv,
  }
  model, tokens = maker.make_model(settings, seed), maker.make_tokens(seed)
  wanted = maker.answers(model, tokens)
  model.save_pretrained(tmp_path / "theirs")
  source = huggingface_source(tmp_path / "theirs")
  network, params = Transformer(source.config), load_params(source)
  logits = _logits(network, params, tokens["inputs"], jnp.asarray(tokens["targets"]))
  real = tokens["targets"] > 0
  largest = np.abs(np.asarray(logits)[real] - wanted["logits"][real]).max()
  print(f"\n{variant}: largest difference of logits {largest:.1e}")
  np.testing.assert_allclose(
    np.asarray(logits)[real], wanted["logits"][real], atol=2e-5, rtol=0
  )
  sums = sum_losses(logits, jnp.asarray(tokens["targets"]))
  np.testing.assert_allclose(sums.loss / sums.weight, wanted["loss"], atol=2e-5, rtol=0)
  generated = jax.jit(generate_greedy, static_argnums=(0, 3))(
    network, params, jnp.asarray(tokens["inputs"]), wanted["generated"].shape[1]
  )
  np.testing.assert_array_equal(generated, wanted["generated"])
  # And back: what we write is the same model to Transformers, bit for bit.
  written = convert(
    source, Destination(path=tmp_path / "ours", format=Format.HUGGINGFACE)
  )
  import transformers

  again = transformers.T5ForConditionalGeneration.from_pretrained(written).eval()
  for (name, ours), theirs in zip(
    again.state_dict().items(), model.state_dict().values(), strict=True
  ):
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=name)
  np.testing.assert_array_equal(
    maker.answers(again, tokens)["logits"], wanted["logits"]
  )


@pytest.mark.parametrize("variant", ["t5_1_0", "t5_1_1"])
def test_long_outputs_agree_token_for_token(variant, maker, tmp_path):
  """Beyond 128 tokens the decoder's relative buckets are all in use."""
  import torch

  projection, tied, d_kv = VARIANTS[variant]
  model = maker.make_model(
    {"feed_forward_proj": projection, "tie_word_embeddings": tied, "d_kv": d_kv}, 3
  )
  with torch.no_grad():
    model.get_output_embeddings().weight[:2] = 0  # no padding, and no row ends
  inputs = maker.make_tokens(3)["inputs"]
  theirs = model.generate(
    input_ids=torch.from_numpy(inputs).long(),
    attention_mask=torch.from_numpy(inputs > 0).long(),
    max_new_tokens=200,
    do_sample=False,
    num_beams=1,
  )
  model.save_pretrained(tmp_path)
  source = huggingface_source(tmp_path)
  ours = jax.jit(generate_greedy, static_argnums=(0, 3))(
    Transformer(source.config), load_params(source), jnp.asarray(inputs), 200
  )
  assert not (theirs[:, 1:] < 2).any()
  np.testing.assert_array_equal(ours, theirs[:, 1:].numpy())
  print(f"\n{variant}: {ours.shape[0]} rows of {ours.shape[1]} tokens are equal")


@pytest.mark.shared
def test_tokens_are_those_of_transformers(maker, shared_data, tmp_path):
  """With the tokenizer files that we write, from the SentencePiece model alone."""
  import transformers

  spiece = shared_data / "t5_tokenizer" / "spiece.model"
  model = maker.make_model(
    {"feed_forward_proj": "relu", "tie_word_embeddings": True, "d_kv": 4}, 0
  )
  folder = tmp_path / "ours"
  model.config.save_pretrained(folder)
  write_for_transformers(folder, SentencePieceVocab(spiece))
  theirs = transformers.AutoTokenizer.from_pretrained(folder)
  ours = SentencePieceVocab(spiece)
  for text in TEXTS:
    ids = ours.encode(text).tolist()
    assert theirs(text)["input_ids"] == [*ids, 1], text
    assert ours.decode(ids).replace(" ⁇ ", "<unk>") == theirs.decode(ids), text
  assert theirs.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_99>"]) == [
    32099,
    32000,
  ]


def test_a_tuned_model_scores_alike_in_lm_evaluation_harness(maker, tmp_path):
  if importlib.util.find_spec("lm_eval") is None:
    pytest.skip("needs lm-evaluation-harness: pip install 'symtune[hf]'")
  from lm_eval.api.instance import Instance
  from lm_eval.models.huggingface import HFLM

  command = [sys.executable, "-m", "symtune", "train", "microworld"]
  small = ["TrainSettings.steps=3", "mixture.batch_size=4", "mixture.window=64"]
  options = [f"--gin.{setting}" for setting in small]
  subprocess.run([*command, "--out", str(tmp_path / "run"), *options], check=True)
  source = open_checkpoint(tmp_path / "run")
  assert source.step == 3
  folder = convert(
    source, Destination(path=tmp_path / "model", format=Format.HUGGINGFACE)
  )
  harness = HFLM(
    pretrained=str(folder),
    backend="seq2seq",
    device="cpu",
    dtype="float32",
    batch_size=2,
  )
  pairs = [
    ("Input: apple\nOutput:", "fruit"),
    ("Input: apple\nOutput:", "tool"),
    ("Question: is it an animal? a dog\nAnswer:", "animal"),
  ]
  found = harness.loglikelihood(
    [
      Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=i)
      for i, pair in enumerate(pairs)
    ]
  )
  vocab = SentencePieceVocab(source.vocab)
  network, params = Transformer(source.config), load_params(source)
  for (context, target), (score, _) in zip(pairs, found, strict=True):
    # The harness ends contexts with EOS, and targets without.
    inputs = jnp.asarray([[*vocab.encode(context), 1]])
    targets = jnp.asarray([vocab.encode(target)])
    ours = score_candidates(network, params, inputs, targets[:, None])
    np.testing.assert_allclose(ours[0, 0], score, atol=2e-5 * targets.shape[1], rtol=0)
