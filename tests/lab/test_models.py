"""`load`, `score` and `generate`: the numbers are those of the network."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.lab.models import load

PROMPT = "cat -> 1 pear -> 2 dog ->"


def test_importing_symtune_imports_nothing_else():
  code = (
    "import sys, symtune as st; "
    "heavy = {'numpy', 'jax', 'pandas', 'rich', 'matplotlib'} & set(sys.modules); "
    "assert not heavy, heavy; assert 'load' in dir(st); st.load"
  )
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr


def _expected(tiny, vocab, prompt, label):
  """log p(label and EOS | prompt), from one pass of teacher forcing."""
  _, network, params = tiny
  inputs = np.asarray([[*vocab.encode(prompt), vocab.eos_id]], np.int32)
  targets = np.asarray([[*vocab.encode(label), vocab.eos_id]], np.int32)
  shifted = np.pad(targets, ((0, 0), (1, 0)))[:, :-1]
  logits = jax.jit(network.apply, static_argnames="enable_dropout")(
    {"params": params},
    *map(jnp.asarray, (inputs, shifted, targets)),
    enable_dropout=False,
  )
  each = jax.nn.log_softmax(logits.astype(jnp.float32))
  return float(np.take_along_axis(np.asarray(each), targets[..., None], -1).sum())


def test_scores_are_the_networks(model, tiny, small_vocab):
  labels = ["1", "2", "12"]
  scores = model.score(PROMPT, labels)
  expected = [_expected(tiny, small_vocab, PROMPT, label) for label in labels]
  np.testing.assert_allclose(scores.log_likelihoods, [expected], atol=1e-4)
  assert scores.best == (labels[int(np.argmax(expected))],)
  np.testing.assert_allclose(scores.probabilities.sum(), 1.0)
  lengths = [len(small_vocab.encode(label)) + 1 for label in labels]
  assert scores.tokens.tolist() == [lengths]


def test_several_prompts_and_models_are_one_table(model, tiny):
  scores = model.score([PROMPT, "a cow ->"], ["1", "2"])
  other = load(tiny[0], called="again").score(PROMPT, ["1", "2"])
  both = scores + other
  assert both.log_likelihoods.shape == (3, 2)
  assert list(both.frame["model"].unique()) == ["tiny.safetensors", "again"]
  assert "again" in str(both)
  assert "<table>" in both._repr_html_()
  assert scores.plot(other)._repr_svg_().lstrip().startswith("<?xml")
  with pytest.raises(SymtuneError, match="expected the same labels"):
    scores + model.score(PROMPT, ["2", "1"])


def test_words_that_the_vocabulary_does_not_know_are_named(model):
  scores = model.score("cat \u2603 -> 1 ->", ["1", "2"])
  assert scores.unknown == (("\u2603",),)
  assert "\u2603" in str(scores)


def test_text_is_generated(model):
  text = model.generate(PROMPT)
  assert isinstance(text, str)
  assert model.generate([PROMPT, PROMPT]) == [text, text]


@pytest.mark.parametrize(
  ("prompts", "labels", "message"),
  [
    ("", ["1", "2"], "prompts: got"),
    (PROMPT, [], "labels: got"),
    (PROMPT, ["1", " 1"], "same"),
  ],
)
def test_what_cannot_be_scored_is_refused(model, prompts, labels, message):
  with pytest.raises(SymtuneError, match=message):
    model.score(prompts, labels)


def test_a_baseline_needs_an_episode(words):
  oracle = load("baseline:oracle")
  with pytest.raises(SymtuneError, match="needs exemplars and a query"):
    oracle.score(PROMPT, ["1", "2"])
  episode = words.episode(k=2)
  assert oracle.score(episode).best == (episode.answer,)


def test_a_model_without_a_vocabulary_asks_for_one(tiny, tmp_path, small_vocab_path):
  alone = tmp_path / "alone.safetensors"
  alone.write_bytes(tiny[0].read_bytes())
  with pytest.raises(SymtuneError, match="no tokenizer lies beside it"):
    load(alone)
  assert load(alone, vocab=small_vocab_path).vocab is not None
