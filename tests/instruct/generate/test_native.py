"""Native models continue prompts: the text of their tokens, cut at stop strings."""

import dataclasses
import json

import pytest
from family_models import TINY, write_model

from symtune.convert.tokenizer.read import read_vocab
from symtune.errors import SymtuneError
from symtune.experiment.tokens import Reader
from symtune.instruct.generate.generators import (
  Ended,
  Sampling,
  make_completion,
)
from symtune.instruct.generate.models.open import open_generator
from symtune.instruct.generate.models.server import ServerSettings

_PROMPTS = ("Input: a pear\nOutput:", "1. Name a hen.\n2.", "a")
_GREEDY = Sampling(max_tokens=10)
_DRAWN = Sampling(max_tokens=10, temperature=2.0, top_p=0.9, presence_penalty=1.0)


def _open(name):
  return open_generator(name, ServerSettings(), Reader())


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("decoder")
  config = dataclasses.replace(TINY, vocab_size=352, max_positions=64)
  write_model(folder, config, 0.3)
  return _open(str(folder))


@pytest.fixture(scope="module")
def t5(tiny_model):
  return _open(tiny_model)


@pytest.fixture(params=["decoder", "t5"])
def generator(request):
  return request.getfixturevalue(request.param)


def test_completions_depend_on_prompts_settings_and_seed(generator):
  first, again, other = (
    generator.complete(_PROMPTS, _DRAWN, seed) for seed in (1, 1, 2)
  )
  assert first == again
  assert [one.text for one in first] != [one.text for one in other]
  assert len(first) == len(_PROMPTS)
  assert all(1 <= one.tokens <= 10 for one in first)


def test_a_stop_string_cuts_the_same_text(generator):
  """Whether the model stops there or writes on changes the cost alone."""
  free = generator.complete(_PROMPTS, _GREEDY, 0)
  text = free[0].text
  stop = text[len(text) // 2 :][:2]
  sampling = Sampling(max_tokens=10, stops=(stop,))
  found = generator.complete(_PROMPTS, sampling, 0)
  assert [one.text for one in found] == [one.text.split(stop)[0] for one in free]
  assert found[0].ended is Ended.STOP
  assert found[0].tokens <= free[0].tokens


def test_a_token_that_ends_a_turn_ends_the_text(tmp_path):
  """Every token that generation_config.json lists, not the first alone."""
  config = dataclasses.replace(TINY, vocab_size=352, max_positions=64)
  write_model(tmp_path, config, 0.3)
  free = _open(str(tmp_path)).complete(_PROMPTS[:1], _GREEDY, 0)[0]
  vocab = read_vocab(tmp_path)
  other = vocab.encode(_PROMPTS[0] + free.text)[len(vocab.encode(_PROMPTS[0])) + 2]
  listed = {"eos_token_id": [int(other), 2]}
  (tmp_path / "generation_config.json").write_text(json.dumps(listed))
  found = _open(str(tmp_path)).complete(_PROMPTS[:1], _GREEDY, 0)[0]
  assert found.ended is Ended.END
  assert found.tokens <= 3 < free.tokens
  assert free.text.startswith(found.text)


def test_what_generators_can_write(decoder, t5):
  assert decoder.writes_lines
  assert not t5.writes_lines
  assert decoder.identity != t5.identity


def test_a_prompt_that_leaves_no_place_is_refused(decoder):
  with pytest.raises(SymtuneError, match=r"64 positions. Lower max_tokens"):
    decoder.complete(["a pear " * 30], Sampling(max_tokens=60), 0)


def test_a_baseline_writes_nothing():
  with pytest.raises(SymtuneError, match="a baseline writes no texts"):
    _open("baseline:majority")


@pytest.mark.parametrize(
  ("text", "is_ended", "cut", "ended"),
  [
    ("ab. cd", True, "ab. cd", Ended.END),
    ("ab. cd", False, "ab. cd", Ended.LENGTH),
    ("ab\n\ncd 16. ef", True, "ab", Ended.STOP),
    ("ab 16. cd\n\nef", False, "ab ", Ended.STOP),
    ("16.", True, "", Ended.STOP),
  ],
)
def test_the_first_stop_string_in_the_text_ends_it(text, is_ended, cut, ended):
  found = make_completion(
    text, ("\n\n", "16."), is_ended=is_ended, prompt_tokens=1, tokens=2
  )
  assert (found.text, found.ended) == (cut, ended)


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"max_tokens": 0}, "max_tokens is 0"),
    ({"temperature": -0.1}, "temperature is -0.1"),
    ({"top_p": 0.0}, "top_p is 0.0"),
    ({"stops": ("a", "")}, "stops is"),
    ({"stops": "ab"}, "stops"),
  ],
)
def test_settings_without_sense_are_refused(settings, message):
  with pytest.raises(SymtuneError, match=message):
    Sampling(**{"max_tokens": 5, **settings})
