"""Silences what Orbax prints of things that are normal, or that are raised anyway."""

import contextlib
import gc
import logging
import sys
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Silences Orbax's log lines below ERROR; its failures still raise."""
  with _log_level("absl", logging.ERROR):
    yield


@contextlib.contextmanager
def silent() -> Iterator[None]:
  """Silences what Orbax's threads and tasks say of a failure that is raised anyway.

  A full disk otherwise prints a traceback for every array.
  """
  hooks = sys.unraisablehook, threading.excepthook
  nothing = logging.CRITICAL + 1
  with _log_level("absl", nothing), _log_level("asyncio", nothing):
    sys.unraisablehook = threading.excepthook = lambda _: None
    try:
      yield
    except BaseException:
      gc.collect()  # asyncio speaks of a failed task when it is collected
      raise
    finally:
      sys.unraisablehook, threading.excepthook = hooks


@contextlib.contextmanager
def _log_level(name: str, level: int) -> Iterator[None]:
  logger = logging.getLogger(name)
  before = logger.level
  logger.setLevel(level)
  try:
    yield
  finally:
    logger.setLevel(before)
