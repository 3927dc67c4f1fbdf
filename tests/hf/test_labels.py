"""Log-likelihoods of labels are those of lm-evaluation-harness, for every tokenizer."""

import importlib.util

import numpy as np
import pytest

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore")]

FAMILIES = ["llama", "llama_class", "gemma", "gpt2", "qwen", "t5", "t5_class"]


@pytest.fixture(scope="module")
def lm_eval():
  if importlib.util.find_spec("lm_eval") is None:
    pytest.skip("needs lm-evaluation-harness: pip install 'symtune[hf]'")
  from lm_eval.models.huggingface import HFLM

  return HFLM


@pytest.fixture
def items(make_item):
  return [
    make_item(["the film was good", "a bad, dull film!", "the film"], ("good", "bad")),
    make_item(["the fox", "x", "a \u2116 1 caf\u00e9"], ("81422", "5023", "not good")),
    make_item(["3, 1, 4", "x"], ("1", "12", " spaced", "bad"), ("", " ->")),
    make_item(
      ["dull\n\nfilm", "na\u00efve 1"], ("animal", "Animal"), ("X = ", "\nY =")
    ),
  ]


def ask_harness(make, folder, pairs):
  from lm_eval.api.instance import Instance

  is_t5 = (folder / "config.json").read_text().count('"t5"') > 0
  harness = make(
    pretrained=str(folder),
    backend="seq2seq" if is_t5 else "causal",
    device="cpu",
    dtype="float32",
    batch_size=1,
  )
  requests = [
    Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=i)
    for i, pair in enumerate(pairs)
  ]
  return [score for score, _ in harness.loglikelihood(requests, disable_tqdm=True)]


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_lm_evaluation_harness(
  family, family_folder, load, items, lm_eval
):
  folder = family_folder(family)
  found = [v for score in load(folder)(items) for v in score.log_likelihoods]
  # Both ends are the same text: a blank line, or EOS, which the harness does not add.
  start, end = ("", "</s>") if family.startswith("t5") else (" ", "\n\n")
  pairs = [
    (item.prompt.inputs, f"{start}{word}{end}")
    for item in items
    for word in item.prompt.choices
  ]
  wanted = ask_harness(lm_eval, folder, pairs)
  print(f"\n{family}: {np.abs(np.subtract(found, wanted)).max():.1e} nats")
  np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=0)
  assert np.ptp(wanted) > 5  # the labels are far apart, so equality means something
