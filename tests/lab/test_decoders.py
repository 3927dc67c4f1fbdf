"""A decoder-only model in the lab: its numbers are those of its network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_models import TINY, write_model

import symtune as st
from symtune.convert.load import load_params
from symtune.convert.source import open_checkpoint
from symtune.model.networks import make_network

CONFIG = dataclasses.replace(TINY, vocab_size=352, max_positions=128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A model with random weights, as Transformers would have saved it."""
  folder = tmp_path_factory.mktemp("decoder")
  write_model(folder, CONFIG, 0.3)
  return folder


def test_a_label_is_scored_with_the_blank_line_that_would_follow(folder):
  model = st.load(folder)
  prompt, labels = "cat -> A\n\ndog ->", ["A", "B", "AB"]
  scores = model.score(prompt, labels)
  source = open_checkpoint(folder)
  network, params = make_network(source.config), load_params(source)
  for label, found in zip(labels, scores.log_likelihoods[0], strict=True):
    head = model.vocab.encode(prompt)
    whole = model.vocab.encode(f"{prompt} {label}\n\ndog")
    target = whole[len(head) : len(whole) - len(model.vocab.encode("dog"))]
    ids = np.asarray([[*head, *target]], np.int32)
    logits = network.apply({"params": params}, jnp.asarray(ids))
    each = np.asarray(jax.nn.log_softmax(logits.astype(jnp.float32)))[0]
    places = np.arange(len(head), ids.shape[1])
    expected = each[places - 1, ids[0, places]].sum()
    np.testing.assert_allclose(found, expected, atol=1e-3)
  assert isinstance(model.generate(prompt), str)


def test_a_decoder_answers_probes_within_its_positions(folder, words):
  results = st.ask(
    st.load(folder, max_targets=32),
    words,
    ["settings", "flipped_labels"],
    k=6,
    max_queries=2,
    seeds=[0],
    exemplars="per_seed",
    quiet=True,
  )
  frame = results.frame
  assert len(frame) == 7 * 2
  assert frame["exemplars"].max() <= 12
  assert frame["exemplars"].min() < 12  # prompts lost exemplars to fit 128 tokens
