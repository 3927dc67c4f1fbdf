"""Reward models, RLOO, DPO and best-of-n on a toy world, from pairs to the report."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rich.console

from symtune.align.answers import describe
from symtune.align.label import (
  PAIRS,
  TEST_PAIRS,
  _text,
  held_out_pairs,
  make_pairs,
  training_pairs,
)
from symtune.align.learn.best_of import best_of_file, run_best_of
from symtune.align.learn.devices import Devices
from symtune.align.learn.dpo import train_dpo
from symtune.align.learn.evaluate import HELD_OUT
from symtune.align.learn.observe import Observed, Rewarded, means
from symtune.align.learn.reward import init_head, train_member
from symtune.align.learn.rewards import load_members, measure_members, read_measured
from symtune.align.learn.rloo import over_budget, policy_folder, train_rloo
from symtune.align.learn.sums import MetricTotals
from symtune.align.pairs import PreferenceRow, write_pairs
from symtune.align.report import write_report
from symtune.align.settings import BestOfSettings
from symtune.cli.align import runs
from symtune.errors import SymtuneError
from symtune.model.decoder.generate import Ends
from symtune.train.loop import CHECKPOINTS
from symtune.train.metrics import METRICS_FILE

QUIET = rich.console.Console(quiet=True)


@pytest.fixture(scope="module")
def devices():
  return Devices()  # two of them


@pytest.fixture(scope="module")
def run(toy_setup, devices, tmp_path_factory):
  """A run with pairs, two reward models and what they are worth."""
  setup, folder = toy_setup(), tmp_path_factory.mktemp("run")
  for name, count in ((PAIRS, 8), (TEST_PAIRS, 4)):  # as if they had been made
    prompts = setup.mixture.prompts(range(count))
    write_pairs(folder / name, [_row(prompt) for prompt in prompts])
  pairs, _ = training_pairs(setup, folder, devices)
  for member in range(2):
    train_member(setup, folder, devices, pairs, member, QUIET)
  measure_members(setup, folder, devices, pairs, held_out_pairs(setup, folder, devices))
  return setup, folder, pairs


def _row(prompt):
  chosen, rejected = (prompt.choices[i] for i in (prompt.answer, 1 - prompt.answer))
  return PreferenceRow(
    prompt=prompt.inputs, chosen=chosen, rejected=rejected, source="test"
  )


def test_heads_start_as_stiennon_says():
  head = init_head(24, jax.random.key(0))
  many = init_head(5000, jax.random.key(0))["kernel"]
  assert head["kernel"].shape == (24, 1)
  assert float(many.std() * np.sqrt(5001)) == pytest.approx(1.0, abs=0.05)
  assert head["bias"].tolist() == [0.0]


def test_members_differ_and_know_their_scale(run, devices):
  setup, folder, _ = run
  measured = read_measured(folder)
  assert len(measured["members"]) == 2
  assert np.shape(measured["members"][0]["rewards"]) == (4, 2)
  first, second = (np.asarray(m["rewards"]) for m in measured["members"])
  assert np.abs(first - second).max() > 1e-3
  found = load_members(setup, folder, devices, 2)
  assert found["head"]["kernel"].shape == (2, 8, 1)
  assert found["std"].tolist() == pytest.approx([m["std"] for m in measured["members"]])


def test_a_resumed_run_of_rloo_equals_an_uninterrupted_one(run, devices, tmp_path):
  setup, folder, _ = run
  whole = train_rloo(setup, folder, devices, 1, QUIET)
  killed = tmp_path / "killed"  # after step 4, before its checkpoint was complete
  shutil.copytree(folder, killed)
  shutil.rmtree(policy_folder(killed, 1) / CHECKPOINTS / "4")
  resumed = train_rloo(setup, killed, devices, 1, QUIET)
  jax.tree.map(np.testing.assert_array_equal, whole.state.params, resumed.state.params)
  for name in (METRICS_FILE, HELD_OUT):
    one, two = (policy_folder(where, 1) / name for where in (folder, killed))
    assert one.read_bytes() == two.read_bytes()
  row = json.loads((policy_folder(folder, 1) / METRICS_FILE).read_text().split("\n")[0])
  logged = "gold proxy kl entropy length ended zero_spread length_reward_correlation"
  assert set(logged.split()) < row.keys()
  assert row["kl"] == pytest.approx(0.0, abs=1e-6)  # of the start
  assert whole.step == 4


def test_dpo_best_of_n_and_the_report_follow(run, devices):
  setup, folder, pairs = run
  best = BestOfSettings(samples=4, counts=(1, 2), ensembles=(1, 2))
  setup = dataclasses.replace(
    setup, recipe=dataclasses.replace(setup.recipe, best_of=best)
  )
  train_dpo(setup, folder, devices, pairs, QUIET)
  run_best_of(setup, folder, devices)
  assert [row["n"] for row in json.loads(best_of_file(folder, 2).read_text())] == [1, 2]
  first, found = write_report(setup, folder)
  report = (folder / "report.md").read_text()
  assert "follow" in first
  assert {row[0] for row in found[0].rows} >= {"DPO", "best-of-n, 2 reward models"}
  for words in ("Calibration of reward model 0", "accuracy in %", "bound of KL"):
    assert words in report
  for name in ("report.html", "report.png", "calibration.png"):
    assert (folder / name).stat().st_size > 1000


def test_rewards_that_are_no_numbers_are_counted_and_stop_a_run():
  answers = describe(jnp.array([[5, 1, -1], [6, 1, -1]]), Ends(1))
  nothing = jnp.zeros(2)
  rewarded = Rewarded(gold=nothing, proxy=nothing, total=jnp.array([0.5, jnp.nan]))
  seen = Observed(
    answers, rewarded, nothing, nothing, nothing, nothing, answers.contents == 0
  )
  totals = MetricTotals.of_step({**means(seen), "loss": 0.0, "grad_norm": 0.0})
  with pytest.raises(SymtuneError, match="step 7: 1 rewards are NaN or infinite"):
    totals.check_finite(7)  # `fit` asks this before it saves


def test_a_reward_model_whose_rewards_are_no_numbers_trains_nothing(
  run, devices, tmp_path
):
  setup, folder, _ = run
  damaged = tmp_path / "damaged"
  shutil.copytree(folder / "reward", damaged / "reward")
  path = damaged / "reward" / "measured.json"
  measured = json.loads(path.read_text())
  measured["members"][0]["std"] = 0.0
  path.write_text(json.dumps(measured))
  with pytest.raises(SymtuneError, match="step 0: proxy of held-out prompt 0 is"):
    train_rloo(setup, damaged, devices, 1, QUIET)
  assert not list(policy_folder(damaged, 1).iterdir())


def test_pairs_are_made_of_the_answers_of_the_start(toy_setup, devices, monkeypatch):
  setup = toy_setup()
  vocab = setup.tokenizer.vocab
  animal, fruit = (int(vocab.encode(word)[0]) for word in ("animal", "fruit"))

  def sample(policy, params, prompts, lengths, key, samples):
    four = jnp.array([[animal, 1, -1], [1, -1, -1], [5, 6, 7], [fruit, 1, -1]])
    return describe(jnp.tile(four, (len(prompts), 1)), policy.ends)

  monkeypatch.setattr("symtune.align.label.sample", sample)
  rows = make_pairs(setup, devices, is_test=False)
  assert len(rows) == setup.recipe.pairs.count
  for row in rows:
    assert {row.chosen, row.rejected} == {"animal", "fruit"}
  first = setup.training_prompts(1, pairs=True).get_state()["next"]
  prompt = setup.mixture.prompt(first)
  assert rows[0].prompt == prompt.inputs
  assert rows[0].chosen == prompt.choices[prompt.answer]
  monkeypatch.undo()
  monkeypatch.setattr("symtune.align.label._MOST", 1)
  with pytest.raises(SymtuneError, match=r"got 0 pairs from 8 prompts, expected 8"):
    make_pairs(setup, devices, is_test=False)


def test_answers_that_are_read_as_other_tokens_are_in_no_pair(toy_setup):
  setup = toy_setup()
  word = int(setup.tokenizer.vocab.encode("animal")[0])
  assert _text(setup, np.array([word], np.int32)) == "animal"
  assert _text(setup, np.array([word, 0], np.int32)) == ""  # padding has no text
  assert _text(setup, np.array([], np.int32)) == ""
  # As many tokens as an answer may have, but the row's end is one more.
  assert _text(setup, np.array([word] * setup.tokenizer.max_targets, np.int32)) == ""


def test_test_pairs_that_cannot_be_made_are_known_before_training(
  toy_setup, devices, monkeypatch, tmp_path
):
  setup, done = toy_setup(), []
  prompts = setup.mixture.prompts(range(2))
  write_pairs(tmp_path / PAIRS, [_row(prompt) for prompt in prompts])
  monkeypatch.setattr("symtune.align.label._pairs", lambda *_, **__: iter(()))
  monkeypatch.setattr(runs, "train_member", lambda *_: done.append("trained"))
  with pytest.raises(SymtuneError, match="got 0 pairs from 400 prompts, expected 4"):
    runs.PARTS["reward"](setup, tmp_path, devices, QUIET)
  assert not done


def test_what_is_missing_is_named(toy_setup, devices, tmp_path):
  setup = toy_setup()
  with pytest.raises(SymtuneError, match="Train them first: symtune align reward"):
    train_rloo(setup, tmp_path, devices, 1, QUIET)
  with pytest.raises(SymtuneError, match="has no results"):
    write_report(setup, tmp_path)


def test_the_budget_of_kl_ends_a_run():
  assert over_budget(None, {"kl": 9.0}) is None
  assert over_budget(0.5, {"kl": 0.5}) is None
  assert over_budget(0.5, {"kl": 0.75}) == (
    "the KL is 0.75 nats, above the budget of 0.5"
  )


def test_totals_are_means_and_survive_json():
  one = MetricTotals(
    steps=1, totals={"loss": 1.0, "grad_norm": 1.0, "real_tokens": 5.0}
  )
  both = one.plus(MetricTotals(steps=1, totals={**one.totals, "loss": 3.0}))
  assert both.row(7) == {"step": 7, "loss": 2.0, "grad_norm": 1.0, "real_tokens": 10}
  assert MetricTotals.from_json(json.loads(json.dumps(both.to_json()))) == both
  with pytest.raises(SymtuneError, match=r"metric_sums\.loss is 'x'"):
    MetricTotals.from_json({"steps": 1, "loss": "x"})
