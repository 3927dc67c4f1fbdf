"""Training: the loss, the curriculum, and runs that are broken and go on."""

import dataclasses

import jax
import numpy as np
import pytest
import rich.console

from symtune.errors import SymtuneError
from symtune.regression import train
from symtune.regression.settings import Curriculum, config_hash
from symtune.train import checkpoint, metrics
from symtune.train.loop import CHECKPOINTS


def fit(recipe, run_dir):
  return train.train_model(recipe, run_dir, rich.console.Console(quiet=True))


def bits(params):
  return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(params)]


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
  """The folder of a run that nothing disturbed, and its end."""
  folder = tmp_path_factory.mktemp("whole")
  return folder, fit(toy(), folder)


def test_the_step_minimises_the_mean_over_counted_predictions(toy):
  recipe = toy()
  params = train.start_params(recipe)
  network = train.make_network(recipe)
  batch = next(train.EpisodeStream(recipe))
  assert batch["counted"].sum() == 8 * 3
  predicted = jax.jit(network.apply)({"params": params}, batch["xs"], batch["ys"])
  wanted = (np.square(predicted - batch["ys"]) * batch["counted"]).sum()
  step, state = train.make_step(recipe, params)
  _, found = step(state, jax.device_put(batch))
  np.testing.assert_allclose(found.squared_error, wanted, rtol=1e-5)
  row = train.ErrorSums.of_step(found).row(1)
  np.testing.assert_allclose(row["squared_error"], wanted / 24, rtol=1e-5)
  assert row["predictions"] == 24


def test_every_step_has_fresh_episodes(toy):
  stream = train.EpisodeStream(toy(curriculum=None))
  first, second = next(stream), next(stream)
  assert not np.isin(first["xs"], second["xs"]).any()
  stream.set_state({"index": 1})
  np.testing.assert_array_equal(next(stream)["xs"], second["xs"])
  with pytest.raises(SymtuneError, match=r"data position: got \{'place': 1\}"):
    stream.set_state({"place": 1})


def test_a_curriculum_grows_to_the_whole_episodes(toy):
  functions = toy().functions
  grows = Curriculum(dim=1, points=3, every=2, more_points=1)
  sizes = [grows.at(step, functions) for step in range(6)]
  assert sizes == [(1, 3), (1, 3), (2, 4), (2, 4), (2, 5), (2, 5)]


def test_training_reduces_the_error(toy, tmp_path):
  recipe = toy(
    curriculum=None,
    batch_size=32,
    train=dataclasses.replace(toy().train, steps=400, log_every=100, save_every=400),
    optimizer=dataclasses.replace(toy().optimizer, learning_rate=5e-3),
  )
  fit(recipe, tmp_path)
  rows = metrics.read_rows(tmp_path / metrics.METRICS_FILE)
  assert rows[-1]["squared_error"] < 0.8 * rows[0]["squared_error"]


class BrokenError(Exception):
  """Stands for whatever ends a process between two steps."""


def test_a_broken_run_goes_on_bit_for_bit(toy, whole, tmp_path, monkeypatch):
  """Broken before the first checkpoint, then between two."""
  recipe = toy()
  folder, expected = whole
  make_step = train.make_step

  for steps in (1, 4):

    def broken_step(recipe, params, left=steps):
      step, state = make_step(recipe, params)
      left = iter(range(left))

      def run(state, batch):
        if next(left, None) is None:
          raise BrokenError
        return step(state, batch)

      return run, state

    with monkeypatch.context() as patch:
      patch.setattr(train, "make_step", broken_step)
      with pytest.raises(BrokenError):
        fit(recipe, tmp_path)
  resumed = fit(recipe, tmp_path)
  assert bits(resumed.state.params) == bits(expected.state.params)
  assert bits(resumed.state.opt_state) == bits(expected.state.opt_state)
  rows = [(path / metrics.METRICS_FILE).read_bytes() for path in (folder, tmp_path)]
  assert rows[0] == rows[1]


def test_parameters_are_those_of_the_step(toy, whole, tmp_path):
  recipe = toy()
  folder, result = whole
  with pytest.raises(SymtuneError, match="has no checkpoint, expected a trained"):
    train.load_params(recipe, tmp_path, None)
  params, step = train.load_params(recipe, folder, None)
  assert step == 6
  assert bits(params) == bits(result.state.params)
  start, step = train.load_params(recipe, folder, 0)
  assert bits(start) == bits(train.start_params(recipe))
  assert checkpoint.steps(folder / CHECKPOINTS) == (3, 6)


def test_the_hash_is_that_of_what_training_depends_on(toy):
  same = dataclasses.replace(toy().evaluation, episodes=99)
  assert config_hash(toy()) == config_hash(toy(evaluation=same))
  others = [toy(seed=1), toy(batch_size=9), toy(curriculum=None), toy(name="other")]
  assert len({config_hash(recipe) for recipe in [toy(), *others]}) == 5


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"evaluation": 2}])
def test_bad_recipes_are_refused(toy, bad):
  if "evaluation" in bad:
    bad = {"evaluation": dataclasses.replace(toy().evaluation, linear_queries=2)}
  with pytest.raises(SymtuneError, match=r"batch_size is 0|linear_queries is 2"):
    toy(**bad)
  with pytest.raises(SymtuneError, match=r"Curriculum\.every is 0"):
    Curriculum(dim=1, points=1, every=0)


def test_sums_add_up_and_survive_json():
  ones = train.ErrorSums(steps=1, squared_error=3.0, predictions=2.0, grad_norm=4.0)
  both = ones.plus(dataclasses.replace(ones, learning_rate=0.5))
  assert both.row(7) == {
    "step": 7,
    "squared_error": 1.5,
    "grad_norm": 4.0,
    "learning_rate": 0.5,
    "predictions": 4,
  }
  assert train.ErrorSums.from_json(both.to_json()) == both
  assert both.describe() == ["squared error 1.5000"]
  with pytest.raises(SymtuneError, match=r"metric_sums\.loss_nats"):
    train.ErrorSums.from_json({"loss_nats": 1.0})
  with pytest.raises(SymtuneError, match="step 3: the sum of losses is nan"):
    dataclasses.replace(ones, squared_error=float("nan")).check_finite(3)
