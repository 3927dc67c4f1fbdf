"""The folder of a checkpoint: its JSON part, and whether its files are whole."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from symtune.checksums import CHECKSUMS, find_damage
from symtune.errors import SymtuneError

PARAMS, OPTIMIZER, RUN = "params", "optimizer", "run"
EXPECTED = "a checkpoint folder with params/, optimizer/ and run/"
# Sizes of files in bytes. Small ones are compared before anything is read, and large
# ones, which hold arrays, while they are read: so that costs next to no time.
SMALL, LARGE = (0.0, 1e6), (1e6, math.inf)
ALL = (0.0, math.inf)

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
    metric_sums: the metrics since the last logged row (`metrics.Sums`).
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
    _check_sums(values["metric_sums"])
  except SymtuneError as error:
    raise SymtuneError(f"{where}: {error}. It is damaged.") from error
  rest = {f.name: values[f.name] for f in dataclasses.fields(Record) if f.name != "rng"}
  return Record(rng=rng, **rest)


def _check_sums(saved: Mapping[str, Any]) -> None:
  """Which names there are depends on what is trained; all values are numbers."""
  for name, value in saved.items():
    if type(value) not in (int, float):
      raise SymtuneError(f"metric_sums.{name} is {value!r:.60}, expected a number")


def _read_key(saved: Mapping[str, Any]) -> jax.Array:
  try:
    data = jnp.asarray(np.asarray(saved["data"], np.uint32))
    return jax.random.wrap_key_data(data, impl=saved["impl"])
  except (KeyError, TypeError, ValueError, OverflowError) as error:
    raise SymtuneError(
      f"rng is {saved!r:.80}, expected the data and impl of a JAX key"
    ) from error


def steps(directory: pathlib.Path) -> tuple[int, ...]:
  """Returns the steps of the complete checkpoints in a folder, in ascending order."""
  directory = pathlib.Path(directory)
  if not directory.is_dir():
    return ()
  names = [path.name for path in directory.iterdir() if path.is_dir()]
  return tuple(sorted(int(name) for name in names if name.isdecimal()))


def check_files(
  path: pathlib.Path, *parts: str, sizes: tuple[float, float] = ALL
) -> None:
  """Compares the files of a checkpoint with its checksums.

  Args:
    path: the folder of one step.
    parts: which of its subfolders are going to be read.
    sizes: which files are compared, by their bytes: from, and below.

  Raises:
    SymtuneError: a file is damaged or missing, or a symtune without checksums wrote the
      checkpoint.
  """
  for part in parts:
    if not (path / part).is_dir():
      raise SymtuneError(
        f"{path} has no {part}/; expected {EXPECTED}. It is damaged, or another "
        f"program wrote it. {_way_back(path)}"
      )
  if not (path / CHECKSUMS).is_file():
    raise SymtuneError(
      f"{path} has no {CHECKSUMS}: files were lost, or an earlier symtune wrote the "
      f"checkpoint, which this version does not read. {_way_back(path)}"
    )
  problem = find_damage(path, parts, sizes)
  if problem is not None:
    raise SymtuneError(f"{problem}. {_way_back(path)}")


def _way_back(path: pathlib.Path) -> str:
  """How to go on without a checkpoint."""
  older = [
    s for s in steps(path.parent) if path.name.isdecimal() and s < int(path.name)
  ]
  if older:
    return (
      f"Copy {path.name}/ again, or remove it: the same command then goes on from step "
      f"{older[-1]}, the newest before it."
    )
  return (
    f"Copy {path.name}/ again, or remove it; there is no older checkpoint, so training "
    "would start from the beginning."
  )
