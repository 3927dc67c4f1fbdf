"""Log-likelihoods of labels are those of lm-evaluation-harness, for every tokenizer."""

import importlib.util

import numpy as np
import pytest

from symtune.data.prompts import Prompt
from symtune.probe.probe import AnswerKind, ProbeItem

pytestmark = [pytest.mark.hf, pytest.mark.filterwarnings("ignore")]

FAMILIES = ["llama", "llama_class", "gemma", "gpt2", "qwen", "t5", "t5_class"]
CONTROL = "<s> </s> <unk> <pad> <eos> <bos> <|endoftext|> <|im_end|> <extra_id_0>"


@pytest.fixture(scope="module")
def lm_eval():
  if importlib.util.find_spec("lm_eval") is None:
    pytest.skip("needs lm-evaluation-harness: pip install 'symtune[hf]'")
  from lm_eval.models.huggingface import HFLM

  return HFLM


def make_item(texts, choices, cue=("Input: ", "\nOutput:"), kind=AnswerKind.RANK):
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


ITEMS = [
  make_item(["the film was good", "a bad, dull film!", "the film"], ("good", "bad")),
  make_item(["the fox", "x", "a \u2116 1 caf\u00e9"], ("81422", "5023", "not good")),
  make_item(["3, 1, 4", "x"], ("1", "12", " spaced", "bad"), ("", " ->")),
  make_item(["dull\n\nfilm", "na\u00efve 1"], ("animal", "Animal"), ("X = ", "\nY =")),
]


def load(folder, **settings):
  from symtune.probe.answer.hf.load import find_folder, load_scorer

  settings = {"max_inputs": 400, "max_targets": 6, **settings}
  return load_scorer(find_folder(str(folder)), **settings)


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
def test_scores_are_those_of_lm_evaluation_harness(family, family_folder, lm_eval):
  folder = family_folder(family)
  scorer = load(folder)
  found = [v for score in scorer(ITEMS) for v in score.log_likelihoods]
  # Both ends are the same text: a blank line, or EOS, which the harness does not add.
  start, end = ("", "</s>") if family.startswith("t5") else (" ", "\n\n")
  pairs = [
    (item.prompt.inputs, f"{start}{word}{end}")
    for item in ITEMS
    for word in item.prompt.choices
  ]
  wanted = ask_harness(lm_eval, folder, pairs)
  print(f"\n{family}: {np.abs(np.subtract(found, wanted)).max():.1e} nats")
  np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=0)
  assert np.ptp(wanted) > 5  # the labels are far apart, so equality means something
