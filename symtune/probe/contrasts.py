"""What probes declare to compare: by the probe's name, and in a file for one's own.

Results name probes; the catalog knows those that it has. What a probe of the user's own
declares stands in `contrasts.json` beside its results, so that a report needs no code
of the user.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

from symtune.bounded import read_json
from symtune.errors import SymtuneError
from symtune.files import CONTRASTS_FILE, write_whole
from symtune.probe.catalog import PROBES
from symtune.probe.probe import Compared, Probe

Contrasts = Mapping[str, tuple[Compared, ...]]
_MAX_BYTES = 1_000_000


def of_catalog() -> Contrasts:
  """What the probes of the catalog declare, by their names."""
  return {name: _declared(make(None)) for name, make in PROBES.items()}


def of_own(probes: Sequence[Probe]) -> Contrasts:
  """What the probes of the user's own among some probes declare, if anything.

  Raises:
    SymtuneError: a probe declares something else.
  """
  found = {p.name: _declared(p) for p in probes if p.name not in PROBES}
  return {name: declared for name, declared in found.items() if declared}


def write_contrasts(folder: pathlib.Path, contrasts: Contrasts) -> None:
  """Adds to contrasts.json of a folder; there is no file where nothing is declared.

  Args:
    folder: holds the results.
    contrasts: of the user's own probes.

  Raises:
    SymtuneError: the file is damaged, or the disk is full.
  """
  found = {**read_contrasts(folder), **contrasts}
  if found:
    values = {
      name: list(map(dataclasses.asdict, found[name])) for name in sorted(found)
    }
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    write_whole(folder / CONTRASTS_FILE, text)


def read_contrasts(folder: pathlib.Path) -> dict[str, tuple[Compared, ...]]:
  """What probes of the user's own compare; empty if there is no file.

  Raises:
    SymtuneError: the file is damaged.
  """
  path = folder / CONTRASTS_FILE
  if not path.exists():
    return {}
  try:
    values = read_json(path, _MAX_BYTES)
    return {
      name: tuple(_checked(name, Compared(**one)) for one in listed)
      for name, listed in values.items()
    }
  except (SymtuneError, TypeError, AttributeError) as error:
    raise SymtuneError(
      f"{path} is damaged ({error}). Remove it: the next probe of this folder writes "
      "it again."
    ) from error


def _declared(probe: Probe) -> tuple[Compared, ...]:
  declared = getattr(probe, "contrasts", ())
  return tuple(_checked(probe.name, compared) for compared in declared)


def _checked(name: str, compared: object) -> Compared:
  """What is declared, with plain texts; raises SymtuneError if it is something else."""
  if not isinstance(compared, Compared) or not isinstance(compared.setting, str):
    raise SymtuneError(
      f"probe {name}: got the contrast {compared!r}, expected Compared(setting=..., "
      "minus=...) with names of settings (symtune.probe.probe)."
    )
  return compared
