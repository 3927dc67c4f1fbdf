"""Turns SIGTERM and Ctrl-C into a request to stop after the current step."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class StopRequest:
  """Whether a stop was requested, and by which signal.

  Attributes:
    signal_name: "SIGTERM" or "SIGINT"; None as long as no stop was requested.
  """

  def __init__(self) -> None:
    self.signal_name: str | None = None

  def __bool__(self) -> bool:
    return self.signal_name is not None


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
  """Yields a StopRequest that SIGTERM or Ctrl-C sets.

  A Ctrl-C after the first signal interrupts at once. The previous handlers are restored
  at the end. Outside the main thread, where Python allows no handlers, none is
  installed.
  """
  request = StopRequest()
  if threading.current_thread() is not threading.main_thread():
    yield request
    return

  def ask(number: int, _frame: object) -> None:
    if request and number == signal.SIGINT:
      raise KeyboardInterrupt
    request.signal_name = signal.Signals(number).name

  before = {
    number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)
  }
  try:
    yield request
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
