"""Several requests at a time, but no more per minute than a server allows."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


def map_in_threads(
  work: Callable[[_Item], _Found], items: Sequence[_Item], count: int
) -> list[_Found]:
  """Calls a function for all items, in threads that no interrupt has to wait for.

  (At its exit, Python waits for the threads of a `ThreadPoolExecutor`, of which one may
  be waiting for a server that is silent.)

  Args:
    work: the function; after its first exception no more items are begun.
    items: what it is called with.
    count: number of threads.

  Returns:
    What it returned, in the order of the items.
  """
  left = iter(range(len(items)))
  found: dict[int, _Found] = {}
  errors: list[BaseException] = []
  lock = threading.Lock()

  def run() -> None:
    while not errors:
      with lock:
        place = next(left, None)
      if place is None:
        return
      try:
        found[place] = work(items[place])
      except BaseException as error:  # raised again where it can be handled
        errors.append(error)

  threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  if errors:
    raise errors[0]
  return [found[place] for place in range(len(items))]


class Pace:
  """Lets so many requests start per minute, in all threads together."""

  def __init__(
    self,
    per_minute: float | None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Any] = time.sleep,
  ):
    """Starts.

    Args:
      per_minute: most requests per minute; None has no limit.
      clock: returns the time in seconds; tests pass their own.
      sleep: waits for some seconds; tests pass their own.
    """
    self._between = 60.0 / per_minute if per_minute else 0.0
    self._clock, self._sleep = clock, sleep
    self._next = clock()
    self._lock = threading.Lock()

  def wait(self) -> None:
    """Returns when the next request may start."""
    with self._lock:
      now = self._clock()
      start = max(now, self._next)
      self._next = start + self._between
    if start > now:
      self._sleep(start - now)
