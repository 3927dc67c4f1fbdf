"""Training in several processes: they join and agree, and only the first one writes.

With a single process everything here does nothing.
"""

import os
from collections.abc import Mapping

import jax
import numpy as np
from jax.experimental import multihost_utils

from symtune.errors import SymtuneError

_COUNT, _INDEX = "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"


def join(environment: Mapping[str, str] | None = None) -> None:
  """Joins this process to the others; call it before any other use of JAX.

  A TPU slice, SLURM, Open MPI or Kubernetes tells where the others are; elsewhere set
  JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES and
  JAX_PROCESS_ID (0-based).

  Args:
    environment: `os.environ` when None.

  Raises:
    SymtuneError: a variable is not a number, or the processes cannot find each other.
  """
  values = os.environ if environment is None else environment
  count, index = (_number(values, name) for name in (_COUNT, _INDEX))
  try:
    jax.distributed.initialize(num_processes=count, process_id=index)
  except (RuntimeError, ValueError) as error:
    raise SymtuneError(
      f"--distributed: the processes did not find each other "
      f"({str(error).splitlines()[0]}). Start one on every host at the same time; "
      f"outside a TPU slice or SLURM, set JAX_COORDINATOR_ADDRESS, {_COUNT} and "
      f"{_INDEX}."
    ) from error


def is_first() -> bool:
  """Whether this is the process that writes files and messages for all."""
  return jax.process_index() == 0


def any_of_all(flag: bool) -> bool:
  """Whether the flag is set in any process; every process must call this."""
  if jax.process_count() == 1:
    return flag
  return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def raise_together(problem: Exception | None, what: str) -> None:
  """Raises in every process if there is a problem in one; every process must call this.

  Args:
    problem: what this process has to raise, or None.
    what: what failed, for the other processes: "process 0 failed while ...".

  Raises:
    Exception: `problem`; a SymtuneError where another process has one.
  """
  if any_of_all(problem is not None):
    raise problem or SymtuneError(
      f"another process failed while {what}; see its message."
    )


def check_same(value: str, what: str) -> None:
  """Refuses processes that have different settings or data.

  Args:
    value: the value that must be the same everywhere.
    what: its name in the message.

  Raises:
    SymtuneError: in every process, if one differs.
  """
  if jax.process_count() == 1:
    return
  mine = np.frombuffer(value.encode().ljust(64, b"\0")[:64], np.uint8)
  everyone = np.asarray(multihost_utils.process_allgather(mine))
  if (everyone != mine[None]).any():
    raise SymtuneError(
      f"the processes have different values of the {what}; this one has {value}. Start "
      f"all with the same command, data and vocabulary, and an --out that all of "
      f"them can access."
    )


def _number(values: Mapping[str, str], name: str) -> int | None:
  text = values.get(name)
  if text is None:
    return None
  if not text.isdecimal():
    raise SymtuneError(f"{name}: got {text!r}, expected a whole number.")
  return int(text)
