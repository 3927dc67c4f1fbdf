"""A small random decoder, and a model that copies from what it reads."""

import collections
import json

import numpy as np
import pytest

from symtune.probe.run import CheckpointLabel
from symtune.ralm.spans import TokenModel
from symtune.retrieve.index import build_index


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
  """A random model in Transformers' format."""
  from family_models import write_model

  from symtune.model.decoder.config import DecoderConfig

  folder = tmp_path_factory.mktemp("model")
  config = DecoderConfig(
    vocab_size=352,
    emb_dim=16,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    head_dim=8,
    mlp_dim=16,
    max_positions=256,
    logits_via_embedding=True,
  )
  write_model(folder, config, 0.5)
  return folder


@pytest.fixture(scope="session")
def answerer(model_folder):
  """The random model, opened."""
  from symtune.experiment.answerers import open_answerers
  from symtune.experiment.tokens import Reader

  return open_answerers([str(model_folder)], Reader(), None)[0].read()


@pytest.fixture(scope="session")
def model(answerer):
  """The same as a model of tokens."""
  from symtune.ralm.models import token_model

  return token_model(answerer)


class Words:
  """Tokens are words; their ids are given as they come."""

  def __init__(self):
    self.words = []
    self.numbers = {}

  def ids(self, text):
    for word in text.split():
      if word not in self.numbers:
        self.numbers[word] = len(self.words)
        self.words.append(word)
    return np.asarray([self.numbers[word] for word in text.split()], np.int32)

  def text(self, ids):
    return " ".join(self.words[i] for i in ids)


def _copy(span):
  """Half of the probability is uniform over 1,000 words, half what followed before."""
  row = [None, *span.context.tolist(), *span.target.tolist()]
  followed = collections.defaultdict(list)
  found = []
  for place, (first, second, third) in enumerate(zip(row, row[1:], row[2:]), 1):  # noqa: B905
    if place >= len(span.context):
      seen = followed[first, second]
      copied = seen.count(third) / len(seen) if seen else 1 / 1000
      found.append(np.log(0.5 / 1000 + 0.5 * copied))
    followed[first, second].append(third)
  return np.asarray(found)


@pytest.fixture
def copying():
  """A model that expects what followed the same two words earlier in its context."""
  words = Words()
  return TokenModel(
    label=CheckpointLabel(name="copying", step=0, identity="copying"),
    is_causal=True,
    positions=4096,
    start=(),
    end=(),
    ids=words.ids,
    text=words.text,
    score=lambda spans: [_copy(span) for span in spans],
  )


@pytest.fixture
def make_corpus(tmp_path):
  """Makes an index of texts by document id."""

  def make(texts):
    name = f"corpus{len(list(tmp_path.iterdir()))}"
    file = tmp_path / f"{name}.jsonl"
    rows = [json.dumps({"id": i, "text": text}) for i, text in texts.items()]
    file.write_text("\n".join(rows))
    return build_index([file], tmp_path / name)

  return make
