import dataclasses
import itertools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core.spmd import logical_axis_rules
from hypothesis import strategies as st

from symtune.errors import SymtuneError
from symtune.model.axes import DEFAULT_RULES, SHARDED_PARAMS_RULES
from symtune.model.decoder.network import Decoder, init_params, param_axes, param_shapes
from symtune.train.partition import make_mesh, param_shardings

LENGTH = 12
CLOSE = {"atol": 2e-5, "rtol": 0}


def _family(*names):
  """Some of the families, where all would take long to compile."""
  return pytest.mark.parametrize("family", names, indirect=True)


@_family("gemma3", "gpt_neox", "gpt2")
def test_shapes_and_axes_fit_the_parameters(family):
  network, _ = family
  params = init_params(network, jax.random.key(0))
  shapes, axes = param_shapes(network), param_axes(network)
  assert jax.tree.structure(shapes) == jax.tree.structure(params)
  assert jax.tree.structure(axes) == jax.tree.structure(params)
  for leaf, shape, names in zip(
    *map(jax.tree.leaves, (params, shapes, axes)), strict=True
  ):
    assert (leaf.shape, leaf.dtype) == (shape.shape, jnp.float32)
    assert len(names) == leaf.ndim


@hypothesis.given(
  cuts=st.sets(st.integers(1, LENGTH - 1), max_size=4),
  padding=st.integers(0, 3),
  has_prefix=st.booleans(),
)
@hypothesis.settings(max_examples=8)
def test_a_packed_row_gives_the_logits_of_its_examples(
  family, read, rows, cuts, padding, has_prefix
):
  network, params = family
  end = LENGTH - padding
  bounds = [0, *sorted(cut for cut in cuts if cut < end), end]
  segments, positions, prefix = np.zeros((3, 2, LENGTH), np.int32)
  for number, (first, last) in enumerate(itertools.pairwise(bounds), 1):
    segments[:, first:last] = number
    positions[:, first:last] = np.arange(last - first)
    prefix[:, first : first + (last - first) // 2] = has_prefix
  prefix = jnp.asarray(prefix, bool)
  packed = read(
    network,
    params,
    rows,
    segment_ids=jnp.asarray(segments),
    positions=jnp.asarray(positions),
    is_prefix=prefix,
  )
  for first, last in itertools.pairwise(bounds):
    # Alone, at the start of a row; what follows it is not seen.
    alone = jnp.roll(rows, -first, axis=1)
    own = jnp.arange(LENGTH)[None, :] < (last - first) // 2
    logits = read(
      network,
      params,
      alone,
      is_prefix=jnp.broadcast_to(own, rows.shape) & has_prefix,
    )
    np.testing.assert_allclose(
      packed[:, first:last], logits[:, : last - first], **CLOSE
    )


def test_later_tokens_change_nothing_before_them(family, read, rows):
  network, params = family
  before = read(network, params, rows)
  for place in (1, 6, LENGTH - 1):
    other = rows.at[:, place].set((rows[:, place] + 1) % 32)
    after = read(network, params, other)
    np.testing.assert_array_equal(before[:, :place], after[:, :place])
    changed = np.abs(before - after)[:, place:].max(axis=-1)
    assert changed[:, 0].min() > 1e-4


@_family("llama", "gemma3", "gpt2")
def test_a_prefix_is_seen_in_both_directions_and_an_answer_in_one(family, read, rows):
  network, params = family
  prefix = jnp.broadcast_to(jnp.arange(LENGTH) < 5, rows.shape)
  before = read(network, params, rows, is_prefix=prefix)

  def change_at(place):
    other = rows.at[:, place].set((rows[:, place] + 1) % 32)
    after = read(network, params, other, is_prefix=prefix)
    return np.abs(before - after).max(axis=(0, 2))

  # Place 4 is the last of the prefix; two places before it see it in every window.
  assert change_at(4)[2:5].min() > 1e-4
  assert change_at(5)[:5].max() == 0
  assert change_at(5)[5] > 1e-4


def test_rows_in_parts_give_the_logits_of_whole_rows(
  family, read, extend, rows, places, empty
):
  network, params = family
  whole, cache, start = read(network, params, rows), empty(network), 0
  for size in (7, *[1] * 5):
    part = np.s_[:, start : start + size]
    logits, cache = extend(network, params, rows[part], cache, places[part])
    np.testing.assert_allclose(logits, whole[part], **CLOSE)
    start += size


@_family("gemma3", "gpt2")
def test_rows_of_different_lengths_share_a_cache(
  family, read, extend, rows, places, empty
):
  """Prompts of 3 and 6 tokens, padded to 6, then three tokens each."""
  network, params = family
  lengths = jnp.asarray([3, 6])
  is_token = jnp.arange(6)[None, :] < lengths[:, None]
  logits, cache = extend(
    network,
    params,
    rows[:, :6],
    empty(network),
    places[:, :6],
    is_token=is_token,
    select=lengths[:, None] - 1,
  )
  whole = read(network, params, rows)
  two = jnp.arange(2)
  np.testing.assert_allclose(logits[:, 0], whole[two, lengths - 1], **CLOSE)
  for step in range(3):
    place = lengths + step
    token = rows[two, place][:, None]
    logits, cache = extend(network, params, token, cache, place[:, None])
    np.testing.assert_allclose(logits[:, 0], whole[two, place], **CLOSE)


@_family("mistral", "gpt_neox")
def test_a_prefix_goes_through_the_cache(family, read, extend, rows, places, empty):
  network, params = family
  prefix = jnp.broadcast_to(jnp.arange(LENGTH) < 5, rows.shape)
  whole = read(network, params, rows, is_prefix=prefix)
  both = jnp.ones((2, 5, 5), bool)
  first, cache = extend(
    network, params, rows[:, :5], empty(network), places[:, :5], mask=both
  )
  rest, _ = extend(network, params, rows[:, 5:], cache, places[:, 5:])
  np.testing.assert_allclose(jnp.concatenate([first, rest], 1), whole, **CLOSE)


@_family("gemma3", "gpt2")
def test_candidates_in_a_tree_do_not_see_each_other(
  family, read, extend, rows, places, empty
):
  """After six tokens: candidates (a b) and (a c), as the tree a -> b, a -> c."""
  network, params = family
  _, cache = extend(network, params, rows[:, :6], empty(network), places[:, :6])
  depths = jnp.asarray([[6, 7, 7]] * 2)
  mask = jnp.asarray([[[1, 0, 0], [1, 1, 0], [1, 0, 1]]] * 2, bool)
  tree, _ = extend(network, params, rows[:, 6:9], cache, depths, mask=mask)
  for node, last in ((1, 7), (2, 8)):
    row = jnp.concatenate([rows[:, :7], rows[:, last : last + 1], rows[:, 8:]], axis=1)
    np.testing.assert_allclose(tree[:, node], read(network, params, row)[:, 7], **CLOSE)


def test_a_full_cache_gives_no_number(make_family, extend, rows, places, empty):
  network, params = make_family("llama")
  _, cache = extend(network, params, rows, empty(network), places)
  logits, _ = extend(network, params, rows[:, :1], cache, places[:, :1])
  assert jnp.isnan(logits).all()


@_family("llama", "gemma3")
def test_logits_at_asked_places_only(family, read, rows):
  network, params = family
  select = jnp.asarray([[5, 0, 11], [2, 2, 3]])
  some = read(network, params, rows, select=select)
  every = read(network, params, rows)
  np.testing.assert_allclose(
    some, jnp.take_along_axis(every, select[:, :, None], axis=1), **CLOSE
  )


@pytest.mark.parametrize("token", [32, -1])
def test_an_id_outside_the_table_gives_no_number(token, make_family, read, rows):
  network, params = make_family("llama")
  logits = read(network, params, rows.at[0, 4].set(token))
  assert jnp.isnan(logits[0]).all()  # NaN times a weight of zero is NaN
  assert jnp.isfinite(logits[1]).all()


def test_learned_positions_end(make_family, read, rows, places):
  network, params = make_family("gpt2")
  logits = read(network, params, rows, positions=places.at[1].add(1))
  assert jnp.isfinite(logits[0]).all()
  assert jnp.isnan(logits[1]).all()


def test_order_alone_tells_positions_apart_without_any(make_family, read, rows):
  network, params = make_family("no_positions")
  swapped = rows.at[:, 0].set(rows[:, 1]).at[:, 1].set(rows[:, 0])
  before, after = (read(network, params, row)[:, 2] for row in (rows, swapped))
  # Tokens 0 and 1 saw different tokens, so that the second layer knows their order.
  assert np.abs(before - after).max() > 1e-4


def test_a_window_hides_what_is_behind_it(tiny_decoder, read, rows):
  config = dataclasses.replace(
    tiny_decoder, num_layers=1, window=3, windowed_layers=(0,)
  )
  network = Decoder(config)
  params = init_params(network, jax.random.key(0))
  before = read(network, params, rows)
  after = read(network, params, rows.at[:, 4].set((rows[:, 4] + 1) % 32))
  changed = np.abs(before - after).max(axis=(0, 2)) > 0
  np.testing.assert_array_equal(np.flatnonzero(changed), [4, 5, 6])


@pytest.mark.parametrize("policy", ["minimal", "full"])
def test_rematerialisation_changes_neither_tree_nor_gradients(
  policy, make_family, rows
):
  network, params = make_family("gemma3")
  other = Decoder(dataclasses.replace(network.config, remat_policy=policy))

  def loss(network, params):
    return jnp.mean(jnp.square(network.apply({"params": params}, rows)))

  gradient = jax.jit(jax.grad(loss, argnums=1), static_argnums=0)
  assert jax.tree.structure(param_shapes(other)) == jax.tree.structure(params)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    gradient(other, params),
    gradient(network, params),
  )
  assert "remat" in str(jax.make_jaxpr(jax.grad(lambda p: loss(other, p)))(params))


@_family("llama", "gemma3", "gpt_neox")
def test_bfloat16_gives_finite_float32_logits_and_float32_gradients(family, read, rows):
  network, params = family
  small = Decoder(dataclasses.replace(network.config, dtype="bfloat16"))

  def total(params):
    logits = small.apply({"params": params}, rows)
    assert logits.dtype == jnp.float32
    return jnp.sum(jnp.square(logits)), logits

  gradient, logits = jax.jit(jax.grad(total, has_aux=True))(params)
  exact = read(network, params, rows)
  assert np.abs(logits - exact).max() < 0.1 * np.abs(exact).max()
  for leaf in jax.tree.leaves(gradient):
    assert leaf.dtype == jnp.float32
    assert jnp.isfinite(leaf).all()
    assert jnp.abs(leaf).max() > 0


@_family("llama", "gemma3", "gpt2")
def test_bfloat16_parameters_are_computed_with(family, read, rows):
  network, params = family
  small = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
  back = jax.tree.map(lambda x: x.astype(jnp.float32), small)
  found, wanted = (read(network, p, rows) for p in (small, back))
  assert found.dtype == jnp.float32
  np.testing.assert_array_equal(found, wanted)


def test_packed_rows_need_positions(make_family, rows):
  network, params = make_family("llama")
  with pytest.raises(SymtuneError, match="positions of a packed row restart"):
    network.apply({"params": params}, rows, segment_ids=jnp.ones_like(rows))


@pytest.mark.parametrize(
  ("family", "rules"),
  [("gemma3", DEFAULT_RULES), ("gpt_neox", SHARDED_PARAMS_RULES)],
  indirect=["family"],
)
def test_two_devices_give_the_logits_and_gradients_of_one(family, rules, rows):
  network, params = family
  mesh = make_mesh(model_devices=2 if rules is DEFAULT_RULES else 1)
  shardings = param_shardings(params, param_axes(network), mesh, rules)
  names = {axis for leaf in jax.tree.leaves(shardings) for axis in leaf.spec}
  assert names - {None}  # some parameters are in parts

  def loss(params):
    logits = network.apply({"params": params}, rows)
    return jnp.mean(jnp.square(logits)), logits

  both = jax.jit(jax.grad(loss, has_aux=True))
  gradient, logits = both(params)
  with jax.set_mesh(mesh), logical_axis_rules(rules):
    parted, shared = both(jax.device_put(params, shardings))
  np.testing.assert_allclose(shared, logits, **CLOSE)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    jax.device_get(parted),
    jax.device_get(gradient),
  )
