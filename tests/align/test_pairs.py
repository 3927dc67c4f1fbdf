"""Preference rows: strict files, ids, and an order that can be resumed."""

import json

import numpy as np
import pytest

from symtune.align.label import _first_two, _labelled
from symtune.align.pairs import (
  PairStream,
  PreferenceRow,
  encode_pairs,
  read_pairs,
  write_pairs,
)
from symtune.align.settings import Gold
from symtune.errors import SymtuneError
from symtune.model.decoder.generate import Ends

ROW = {"prompt": "cat ->", "chosen": "animal", "rejected": "fruit", "source": "me"}


def test_rows_survive_a_file(tmp_path):
  rows = [PreferenceRow(**ROW), PreferenceRow(**{**ROW, "prompt": "caf\u00e9\n\n->"})]
  write_pairs(tmp_path / "pairs.jsonl", rows)
  assert read_pairs(tmp_path / "pairs.jsonl") == tuple(rows)


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ({**ROW, "chosen": ""}, "line 2: chosen is ''; expected a text"),
    ({**ROW, "rejected": " \n"}, "line 2: rejected is"),
    ({**ROW, "rejected": "animal "}, "both 'animal'; expected different answers"),
    ({**ROW, "source": 3}, "line 2: source is 3; expected a text"),
    ({**ROW, "score": "1"}, r"line 2: got .*'score'.*expected an object with the keys"),
    ({"prompt": "x"}, r"line 2: got \['prompt'\], expected an object"),
    ([1], "line 2: got 'list', expected an object"),
  ],
)
def test_a_bad_row_is_named_and_never_skipped(tmp_path, line, message):
  path = tmp_path / "pairs.jsonl"
  path.write_text(f"{json.dumps(ROW)}\n{json.dumps(line)}\n{json.dumps(ROW)}\n")
  with pytest.raises(SymtuneError, match=message) as caught:
    read_pairs(path)
  assert str(path) in str(caught.value)


def test_files_that_are_no_pairs(tmp_path):
  path = tmp_path / "pairs.jsonl"
  with pytest.raises(SymtuneError, match=r"cannot be read.*PairSettings.path"):
    read_pairs(path)
  path.write_text("")
  with pytest.raises(SymtuneError, match="got no rows"):
    read_pairs(path)
  path.write_text(json.dumps(ROW) + '\n{"prompt": ')
  with pytest.raises(SymtuneError, match="line 2"):
    read_pairs(path)


def test_texts_become_ids_with_the_chosen_answer_first(toy_setup):
  setup = toy_setup()
  vocab = setup.tokenizer.vocab
  found = encode_pairs([PreferenceRow(**ROW)], setup.tokenizer, Ends(1), "pairs")
  inputs = [*vocab.encode("cat ->"), vocab.eos_id]
  assert found.prompts[0, :3].tolist() == inputs
  assert found.lengths.tolist() == [3]
  for place, word in enumerate(("animal", "fruit")):
    ids = [*vocab.encode(word), vocab.eos_id, -1]
    assert found.answers[0, place].tolist() == ids


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"prompt": "cat " * 20}, "line 2: prompt starting"),
    ({"chosen": "cat dog cow hen"}, "line 2: .*Raise the target length"),
    ({"chosen": "zzz", "rejected": "yyy"}, "line 2: .*nothing of label word 'zzz'"),
  ],
)
def test_a_row_that_cannot_be_read_is_named(toy_setup, change, message):
  rows = [PreferenceRow(**ROW), PreferenceRow(**{**ROW, **change})]
  with pytest.raises(SymtuneError, match=message):
    encode_pairs(rows, toy_setup().tokenizer, Ends(1), "pairs.jsonl")


def test_an_answer_that_a_policy_would_end_elsewhere_is_named(toy_setup):
  setup = toy_setup()
  fruit = tuple(setup.tokenizer.vocab.encode("fruit").tolist())
  rows = [PreferenceRow(**{**ROW, "chosen": "fruit cat", "rejected": "animal"})]
  message = r"jsonl, line 1: answer 'fruit cat' has 3 tokens .* ends after 1 of them"
  with pytest.raises(SymtuneError, match=message):  # as after a blank line
    encode_pairs(rows, setup.tokenizer, Ends(1, (fruit,)), "pairs.jsonl")
  with pytest.raises(SymtuneError, match="ends after none of them"):
    encode_pairs(rows, setup.tokenizer, Ends(99), "pairs.jsonl")


def test_every_epoch_has_all_pairs_once_and_can_be_resumed(toy_setup):
  setup = toy_setup()
  words = setup.tokenizer.vocab.pieces(range(8, 13))
  rows = [PreferenceRow(**{**ROW, "prompt": word}) for word in words]
  pairs = encode_pairs(rows, setup.tokenizer, Ends(1), "pairs.jsonl")

  def stream(use="dpo"):
    return PairStream(pairs, batch_size=2, seed=0, use=use)

  def first_ids(batches, count):
    return np.concatenate([next(batches)["prompts"][:, 0] for _ in range(count)])

  batches = stream()
  seen = first_ids(batches, 5).tolist()
  assert sorted(seen[:5]) == sorted(seen[5:]) == sorted(pairs.prompts[:, 0].tolist())
  assert first_ids(stream("reward 0"), 5).tolist() != seen
  state, following = batches.get_state(), first_ids(batches, 3)
  resumed = stream()
  resumed.set_state(state)
  assert (first_ids(resumed, 3) == following).all()


def test_a_pair_is_of_answers_with_different_gold_and_noise_turns_it_round():
  gold, whole = np.array([1.0, 1.0, 0.0, 0.0]), np.array([True, True, False, True])
  assert _first_two(["a", "a", "b", "c"], gold, whole) == ("a", "c")
  assert _first_two(["a", "a", "b", ""], gold, whole) is None
  assert _first_two(["a", "a", "b", "a"], gold, whole) is None
  right, turned = (
    _labelled(("p", "a", "c"), Gold.FOLLOW, 0.25, flip) for flip in (False, True)
  )
  assert (right.chosen, right.rejected) == ("a", "c")
  assert (turned.chosen, turned.rejected) == ("c", "a")
  assert turned.source == "gold follow, noise 0.25"
