"""Training in several processes: they join and agree, and only the first one writes.

With a single process everything here does nothing.
"""

import contextlib
import ctypes
import dataclasses
import os
import pathlib
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from symtune.errors import SymtuneError

# How errors of JAX begin (with a code such as UNKNOWN) when another process is gone.
_GONE = re.compile(
  r"(?=[A-Z_]+: )(?i:.*(gloo|heartbeat|unavailable|connection|coordination))"
)
# How JAX's C++ begins to abort a process, and why it does.
_ABORTS = b"JAX distributed service detected fatal errors"
_STATUS = re.compile(rb"absl::Status: ([^.]*)")
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

  def explain(why: str) -> str:
    return (
      f"--distributed: the processes did not find each other ({why}). Start one on "
      f"every host at the same time; outside a TPU slice or SLURM, set "
      f"JAX_COORDINATOR_ADDRESS, {_COUNT} and {_INDEX}."
    )

  try:
    with _instead_of_aborting(lambda why: _end(explain(why))):
      jax.distributed.initialize(num_processes=count, process_id=index)
  except (RuntimeError, ValueError) as error:
    raise SymtuneError(explain(str(error).splitlines()[0])) from error


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

  A collective operation raises then, or a thread of JAX aborts the process with a page
  of C++: whichever notices first.

  Args:
    peers: all processes of the run (`find_peers`).
  """
  first = threading.Lock()

  def end(why: str) -> NoReturn:
    first.acquire()  # whoever notices second waits here for the end
    _end(f"{_name_dead(peers)} ({why})")

  with _instead_of_aborting(end):
    try:
      yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:  # JAX raises either
      why = (str(error).splitlines() or [""])[0]
      if len(peers) == 1 or not _GONE.match(why):
        raise
      end(why)


def _end(message: str) -> NoReturn:
  print(f"error: {message}", file=sys.stderr, flush=True)
  sys.stdout.flush()
  os._exit(1)  # without JAX's own farewell


@contextlib.contextmanager
def _instead_of_aborting(end: Callable[[str], NoReturn]) -> Iterator[None]:
  """Calls `end` where a thread of JAX's C++ aborts because a process is gone.

  That thread says so on file descriptor 2, with a stack trace. Here the descriptor
  leads to a pipe, and a thread of Python passes on what comes out of it; Python's own
  stderr stays as it is. An abort is held up until this thread has seen the reason.

  Args:
    end: is told the reason and ends the process.
  """
  old, (source, sink) = os.dup(2), os.pipe()
  reader = threading.Thread(target=_pass_on, args=(source, old, end), daemon=True)
  libc = ctypes.CDLL(None)
  libc.signal.argtypes = ctypes.c_int, ctypes.c_void_p
  libc.signal.restype = ctypes.c_void_p
  hold = ctypes.cast(libc.sleep, ctypes.c_void_p)  # as many seconds as SIGABRT's number
  with (
    open(os.dup(2), "w", buffering=1, errors="backslashreplace") as terminal,
    contextlib.redirect_stderr(terminal),
  ):
    os.dup2(sink, 2)
    os.close(sink)
    handler = libc.signal(signal.SIGABRT, hold)
    reader.start()
    try:
      yield
    finally:
      os.dup2(old, 2)
      reader.join(2 * _PATIENCE)  # it ends with the last process that holds the pipe
      libc.signal(signal.SIGABRT, handler)


def _pass_on(source: int, target: int, end: Callable[[str], NoReturn]) -> None:
  with open(source, "rb") as lines, open(target, "wb", buffering=0) as out:
    for line in lines:
      if _ABORTS in line:
        status = _STATUS.search(line)
        end(status[1].decode(errors="replace").strip() if status else "unknown")
      with contextlib.suppress(OSError):
        out.write(line)


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
