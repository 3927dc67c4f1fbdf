"""Probes read what a layer holds, and nothing that it does not hold."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from symtune.errors import SymtuneError
from symtune.regression import probe_report, probes
from symtune.regression.draw import draw_episodes
from symtune.regression.settings import ProbeSettings
from symtune.regression.tasks import FunctionClass


class Solver:
  """Stands for a network: layer 1 holds X^T y and w in the last token, 0 nothing."""

  def apply(self, variables, xs, ys, method):
    assert method == "states"
    batch, points, dim = xs.shape
    known, outputs = xs[:, :-1], ys[:, :-1]
    moments = jnp.einsum("end,en->ed", known, outputs)
    gram = jnp.einsum("end,enc->edc", known, known)
    weights = jnp.linalg.solve(gram, moments[:, :, None])[:, :, 0]
    empty = jnp.zeros((batch, 2 * points, 2 * dim))
    held = jnp.concatenate([moments, weights], axis=1)
    return [empty, empty.at[:, 2 * points - 2].set(held)]


@pytest.fixture(scope="module")
def recipe(toy):
  """Two layers' worth of states, four exemplars, quick probes."""
  settings = ProbeSettings(
    steps=400, hidden=16, batch_size=64, test_episodes=300, learning_rate=0.03
  )
  functions = FunctionClass(dim=2, points=5)
  return toy(probes=settings, functions=functions, curriculum=None)


def test_targets_are_those_of_the_exemplars(recipe):
  episodes = draw_episodes(recipe.functions, seed=0, first=0, count=3)
  found = dict(zip(probes.TARGETS, probes.probe_targets(recipe, episodes), strict=True))
  np.testing.assert_allclose(found["w"], episodes.weights, atol=1e-4)
  xs = episodes.xs[:, :4].astype(np.float64)
  moments = np.einsum("end,enc,ec->ed", xs, xs, episodes.weights)
  np.testing.assert_allclose(found["X^T y"], moments, rtol=1e-4, atol=1e-4)
  assert probes.num_exemplars(recipe) == 4


def test_probes_find_what_a_layer_holds(recipe):
  found = probes.probe_layers(recipe, Solver(), {})
  assert set(found) == set(probes.KINDS)
  for errors in found.values():
    assert errors.shape == (4, 300, 2)
    by_target = dict(zip(probes.TARGETS, errors.mean(axis=1), strict=True))
    for target in ("X^T y", "w"):
      before, after = by_target[target]
      assert 0.9 < before < 1.2
      assert after < 0.1
  linear = dict(zip(probes.TARGETS, found["linear"].mean(axis=1), strict=True))
  assert linear["control X^T z"][1] > 0.5
  assert linear["control w of z"][1] > 0.5


def test_the_report_has_a_row_for_each_layer(recipe, tmp_path):
  quick = dataclasses.replace(recipe.probes, steps=2)
  recipe = dataclasses.replace(recipe, probes=quick)
  first, tables, path = probe_report.write_probes(recipe, tmp_path, 0)
  assert first == "Step 0: what layers hold after 4 exemplars."
  assert [len(table.rows) for table in tables] == [3, 3]
  assert path.read_text().count("before layer 1") == 2
  assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_bad_settings_are_refused():
  with pytest.raises(SymtuneError, match=r"ProbeSettings\.steps is 0"):
    ProbeSettings(steps=0)
