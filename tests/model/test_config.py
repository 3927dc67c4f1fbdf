import dataclasses

import jax
import jax.numpy as jnp
import pytest

from symtune.errors import SymtuneError
from symtune.model.config import T5Config


def test_gin_style_values_become_hashable_and_comparable():
  from_gin = T5Config(vocab_size=8, dtype="bfloat16", mlp_activations=["relu"])
  from_python = T5Config(vocab_size=8, dtype=jnp.bfloat16, mlp_activations=("relu",))
  assert from_gin == from_python
  assert hash(from_gin) == hash(from_python)


def test_config_is_frozen_and_holds_no_arrays():
  config = T5Config(vocab_size=8)
  with pytest.raises(dataclasses.FrozenInstanceError):
    config.emb_dim = 4  # type: ignore[misc]
  assert jax.tree.leaves(config) == []


@pytest.mark.parametrize(
  ("field", "value", "expected"),
  [
    ("emb_dim", 0, "positive integer"),
    ("num_heads", -1, "positive integer"),
    ("num_encoder_layers", True, "positive integer"),
    ("dropout_rate", 1.0, "0 <= rate < 1"),
    ("dtype", "int32", "float32 or bfloat16"),
    ("dtype", "float33", "float32 or bfloat16"),
    ("mlp_activations", ("gelo",), "gelu, linear, relu"),
    ("mlp_activations", "relu", "gelu, linear, relu"),
    ("mlp_activations", (), "gelu, linear, relu"),
  ],
)
def test_a_wrong_value_is_named_with_what_was_expected(field, value, expected):
  with pytest.raises(SymtuneError, match=expected) as error:
    T5Config(**{"vocab_size": 8, field: value})
  assert f"T5Config.{field} is {value!r}" in str(error.value)
