"""Training in several processes: they join and agree, and only the first one writes.

With a single process everything here does nothing.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils

from symtune.errors import SymtuneError

# How errors of JAX begin or speak when another process is gone.
_GONE = re.compile(r"gloo|heartbeat|unavailable|connection|coordination", re.IGNORECASE)
_PATIENCE = 2.0  # seconds until a process whose connections broke has ended
_WIDTH = 256  # bytes of a host's name
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peer:
  """Where a process of a run is.

  Attributes:
    host: the name of its machine.
    pid: its number there.
  """

  host: str
  pid: int

  def has_died(self) -> bool:
    """Whether it has ended; False for a process of another machine."""
    if self.host != socket.gethostname():
      return False
    try:
      os.kill(self.pid, 0)
    except ProcessLookupError:
      return True
    except PermissionError:
      return False
    about = pathlib.Path(f"/proc/{self.pid}/stat")  # a dead one waits for its parent
    return about.exists() and about.read_text().rpartition(")")[2].split()[0] == "Z"


def find_peers() -> tuple[Peer, ...]:
  """All processes of the run, in order; every process must call this."""
  name = socket.gethostname().encode()[:_WIDTH].ljust(_WIDTH, b"\0")
  mine = np.frombuffer(name + os.getpid().to_bytes(8, "little"), np.uint8)
  rows = np.asarray(multihost_utils.process_allgather(mine)).reshape(-1, len(mine))
  return tuple(
    Peer(
      host=row[:_WIDTH].tobytes().rstrip(b"\0").decode(errors="replace"),
      pid=int.from_bytes(row[_WIDTH:].tobytes(), "little"),
    )
    for row in rows
  )


@contextlib.contextmanager
def ending_together(peers: Sequence[Peer]) -> Iterator[None]:
  """Ends this process with one message when another one has died.

  JAX itself would wait for the dead process, and then abort with a page of C++.

  Args:
    peers: all processes of the run (`find_peers`).
  """
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    first = (str(error).splitlines() or [""])[0]
    if len(peers) == 1 or not _GONE.search(first):
      raise
    print(f"error: {_name_dead(peers)} ({first})", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(1)  # without JAX's own farewell


def _name_dead(peers: Sequence[Peer]) -> str:
  deadline, dead = time.monotonic() + _PATIENCE, []
  while not dead and time.monotonic() < deadline:
    dead = [i for i, peer in enumerate(peers) if peer.has_died()]
    time.sleep(0.05)
  if dead:
    who = "training process " + " and ".join(
      f"{i} (pid {peers[i].pid} on {peers[i].host})" for i in dead
    )
  else:
    here = jax.process_index()
    hosts = sorted({peer.host for i, peer in enumerate(peers) if i != here})
    who = f"a training process on {' or '.join(hosts)}"
  return (
    f"{who} has died or cannot be reached, so this one ends. See what it said last; "
    f"the same commands on all hosts go on from the last checkpoint"
  )


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
    what: what was going on, for the other processes, such as "out/ was opened".

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
