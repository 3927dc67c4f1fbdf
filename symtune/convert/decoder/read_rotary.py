"""The fields of a config.json that describe rotary positions -> Rotary.

Source: transformers/modeling_rope_utils.py, RotaryEmbeddingConfigMixin, version 5.23,
and Gemma3TextConfig.convert_rope_params_to_dict.
"""

from typing import Any

from symtune.convert.decoder.fields import Fields
from symtune.errors import SymtuneError
from symtune.model.decoder.config import Rotary, RotaryScaling

FULL, SLIDING = "full_attention", "sliding_attention"
_GEMMA_BASES = {FULL: 1_000_000.0, SLIDING: 10_000.0}


def read_rotary(
  fields: Fields, length: int, *, base: str = "rope_theta", share: str | None = None
) -> Rotary:
  """Reads rope_parameters of Transformers 5, or the older fields.

  Args:
    fields: of the whole config.
    length: the model's row length.
    base: older name of the base.
    share: older name of the share of a head that is rotated; None: the whole head.

  Raises:
    SymtuneError: another scaling, or a field that is not understood.
  """
  outer_base = fields.number(base, 10_000.0)
  outer_share = None if share is None else fields.number(share, 0.25)
  if share is None:
    fields.fixed("partial_rotary_factor", 1.0)
  else:  # the last versions 4 of Transformers write both names of both fields
    fields.fixed("partial_rotary_factor", outer_share)
    fields.fixed("rope_theta", outer_base)
  # Transformers 5 prefers rope_scaling, too, where both are present.
  scaling, parameters = fields.inner("rope_scaling"), fields.inner("rope_parameters")
  chosen = scaling or parameters or Fields(fields.where, {})
  return _parameters(chosen, length, outer_base, outer_share)


def _parameters(
  fields: Fields, length: int, base: float, share: float | None
) -> Rotary:
  """Rotations from one object; without a share, the whole head is rotated."""
  kind = fields.take("rope_type") or fields.take("type") or "default"
  fields.take("type")
  base = fields.number("rope_theta", base)
  if share is None:
    fields.fixed("partial_rotary_factor", 1.0)
    share = 1.0
  share = fields.number("partial_rotary_factor", share)
  if kind == "default":
    fields.finish()
    return Rotary(base=base, share=share)
  if kind not in ("linear", "llama3"):
    raise SymtuneError(
      f"{fields.where}: rope_type is {kind!r}, expected default, linear or llama3. "
      "Without its scaling, the model can be used for rows up to its original length: "
      "remove it from a copy of the file."
    )
  settings: dict[str, Any] = {"factor": fields.number("factor")}
  if kind == "llama3":
    settings |= {
      "low_frequency": fields.number("low_freq_factor"),
      "high_frequency": fields.number("high_freq_factor"),
      "original_length": fields.count("original_max_position_embeddings", length),
    }
  fields.finish()
  return Rotary(base=base, share=share, scaling=RotaryScaling(kind), **settings)


def read_gemma_rotary(fields: Fields) -> tuple[Rotary, Rotary]:
  """Reads the rotations of full and of sliding layers.

  Args:
    fields: of the whole config.

  Raises:
    SymtuneError: as for `read_rotary`.
  """
  outer = {
    FULL: fields.number("rope_theta", _GEMMA_BASES[FULL]),
    SLIDING: fields.number("rope_local_base_freq", _GEMMA_BASES[SLIDING]),
  }
  length = fields.count("max_position_embeddings")
  parameters = fields.inner("rope_parameters") or Fields(fields.where, {})
  found = {kind: parameters.inner(kind) for kind in (FULL, SLIDING)}
  parameters.finish()
  scaling = fields.inner("rope_scaling")  # of full layers only
  if scaling is not None:
    found[FULL] = scaling
  full, sliding = (
    _parameters(found[kind] or Fields(fields.where, {}), length, outer[kind], None)
    for kind in (FULL, SLIDING)
  )
  return full, sliding
