"""Silences what Orbax prints of things that are normal, or that are raised anyway."""

import contextlib
import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator

from symtune.errors import SymtuneError

_PATIENCE = 10.0  # seconds to wait for each thread of a failed write
_LAST_WORDS = 0.5  # seconds for TensorStore's threads, which cannot be waited for


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Silences Orbax's log lines below ERROR; its failures still raise."""
  with _log_level("absl", logging.ERROR):
    yield


def reason_of_failure(write: Callable[[], None]) -> str | None:
  """Runs a function that writes files; silences what Orbax says if that fails.

  Its threads and tasks otherwise print a traceback for every array, some of them when
  the process ends.

  Args:
    write: the function.

  Returns:
    The first line of the error of a file, or None if there was none.
  """
  hooks = sys.unraisablehook, threading.excepthook, sys.excepthook
  threads = set(threading.enumerate())
  nothing = logging.CRITICAL + 1
  with _log_level("absl", nothing), _log_level("asyncio", nothing):
    sys.unraisablehook = threading.excepthook = sys.excepthook = lambda *_: None
    try:
      reason = _first_line(write)
      if reason is not None:
        for thread in set(threading.enumerate()) - threads:
          threading.Thread.join(thread, _PATIENCE)  # Orbax raises in its own
        gc.collect()  # a task speaks of its failure when it is collected
        time.sleep(_LAST_WORDS)
    finally:
      sys.unraisablehook, threading.excepthook, sys.excepthook = hooks
  return reason


def _first_line(write: Callable[[], None]) -> str | None:
  try:
    write()
  except (OSError, ValueError, SymtuneError) as error:  # TensorStore's: ValueError
    return (str(error).splitlines() or [type(error).__name__])[0]
  return None


@contextlib.contextmanager
def _log_level(name: str, level: int) -> Iterator[None]:
  logger = logging.getLogger(name)
  before = logger.level
  logger.setLevel(level)
  try:
    yield
  finally:
    logger.setLevel(before)
