"""The JSON part of a checkpoint: step, random key, data position and metric sums."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from symtune.errors import SymtuneError
from symtune.train.metrics import MetricSums

FORMAT = 2  # 1 had no checksums
_KEYS = {
  "format": int,
  "step": int,
  "rng": dict,
  "data_state": dict,
  "metric_sums": dict,
  "config_hash": str,
  "config": dict,
  "metrics_checksum": str,
}
MAX_STEP = 2**31 - 1  # the state counts its steps in int32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
  """What a checkpoint holds besides arrays.

  Attributes:
    step: the number of updates made.
    rng: the random key of the next step.
    data_state: the data position that the batch iterator's `get_state` returned.
    metric_sums: the metrics since the last logged row (`metrics.MetricSums`).
    config_hash: the hash of the configuration that made it.
    config: the configuration itself.
    metrics_checksum: checksum of the rows of metrics.jsonl up to this step; "" if there
      are none.
  """

  step: int
  rng: jax.Array
  data_state: dict[str, Any]
  metric_sums: dict[str, Any]
  config_hash: str
  config: dict[str, Any]
  metrics_checksum: str


def to_json(record: Record) -> dict[str, Any]:
  """The record as JSON values; `read_record` reads them."""
  values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
  key = {
    "impl": str(jax.random.key_impl(record.rng)),
    "data": np.asarray(jax.random.key_data(record.rng)).tolist(),
  }
  return {"format": FORMAT, **values, "rng": key}


def read_record(values: Any, where: str) -> Record:
  """Checks what `to_json` made.

  Args:
    values: the content of the JSON file.
    where: the file, for messages.

  Raises:
    SymtuneError: names the first value that is missing or of the wrong kind.
  """
  if not isinstance(values, dict):
    raise SymtuneError(f"{where}: got {values!r:.60}, expected an object of JSON.")
  missing = [key for key in _KEYS if key not in values]
  if missing:
    raise SymtuneError(f"{where} lacks {', '.join(missing)}; it is damaged.")
  if values["format"] != FORMAT:
    raise SymtuneError(
      f"{where}: got a checkpoint of format {values['format']}, expected {FORMAT}. "
      "Another version of symtune wrote it: use that version, or train again."
    )
  for key, kind in _KEYS.items():
    if type(values[key]) is not kind:
      raise SymtuneError(
        f"{where}: {key} is {values[key]!r:.60}, expected {kind.__name__}. It is "
        "damaged: remove the checkpoint to resume from an older one."
      )
  try:
    rng = _read_key(values["rng"])
    MetricSums.from_json(values["metric_sums"])
  except SymtuneError as error:
    raise SymtuneError(f"{where}: {error}. It is damaged.") from error
  rest = {f.name: values[f.name] for f in dataclasses.fields(Record) if f.name != "rng"}
  return Record(rng=rng, **rest)


def _read_key(saved: Mapping[str, Any]) -> jax.Array:
  try:
    data = jnp.asarray(np.asarray(saved["data"], np.uint32))
    return jax.random.wrap_key_data(data, impl=saved["impl"])
  except (KeyError, TypeError, ValueError, OverflowError) as error:
    raise SymtuneError(
      f"rng is {saved!r:.80}, expected the data and impl of a JAX key"
    ) from error
