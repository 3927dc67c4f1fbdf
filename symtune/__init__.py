"""symtune: symbol tuning and in-context learning in JAX.

The names below are read from `symtune.lab` when they are first used, so that importing
symtune costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from symtune.lab.ask import ask as ask
  from symtune.lab.models import load as load
  from symtune.lab.results import LabResults as LabResults
  from symtune.lab.tasks import task as task
  from symtune.lab.tasks import tasks as tasks

__version__ = "0.1.0"

_PLACES = {
  "ask": "symtune.lab.ask",
  "load": "symtune.lab.models",
  "LabResults": "symtune.lab.results",
  "task": "symtune.lab.tasks",
  "tasks": "symtune.lab.tasks",
}


def __getattr__(name: str) -> Any:
  if name not in _PLACES:
    raise AttributeError(f"module 'symtune' has no attribute {name!r}")
  return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
  return sorted([*globals(), *_PLACES])
