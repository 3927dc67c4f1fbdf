"""Says how far long work is: a live line on a terminal, plain lines in a log file.

A plain line comes at least every 30 seconds, even if a single step takes longer: work
that prints nothing for an hour cannot be told from work that hangs. Work that is done
before the first line is due prints nothing. Everything goes to standard error, so the
output of a command stays what it was.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType

import rich.console
import rich.progress

# A line is due this long after the last one, and looked for in every tick, so no more
# than 30 seconds pass without one.
_PLAIN_SECONDS = 25.0
_TICK_SECONDS = 5.0


class Progress:
  """The progress of one piece of work; use it as a context manager.

  It only prints and has no influence on the work.
  """

  def __init__(
    self,
    what: str,
    total: int | None = None,
    *,
    unit: str,
    console: rich.console.Console | None = None,
    clock: Callable[[], float] = time.monotonic,
    tick: float = _TICK_SECONDS,
  ) -> None:
    """Prepares the line.

    Args:
      what: what is done, such as "converting".
      total: how much there is to do; None where that is unknown.
      unit: what is counted, such as "questions".
      console: where to print; standard error when None.
      clock: returns the time in seconds; tests pass their own.
      tick: seconds between two looks at the clock while nothing advances.
    """
    self._what, self._total, self._unit = what, total, unit
    self._console = console or rich.console.Console(stderr=True)
    self._clock, self._tick_seconds = clock, tick
    self._start = self._shown_at = clock()
    self._done = self._skipped = 0
    self._has_shown = False
    self._lock = threading.Lock()
    self._end = threading.Event()
    self._bar = _bar(self._console) if self._console.is_terminal else None
    if self._bar is not None:
      self._task = self._bar.add_task(what, total=total, line="")

  def __enter__(self) -> "Progress":
    if self._bar is not None:
      self._bar.start()
    else:
      threading.Thread(target=self._tick, daemon=True, name="progress").start()
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self._end.set()
    if self._bar is not None:
      self._bar.stop()
    elif self._has_shown and error is None:
      self._print()

  def advance(self, amount: int = 1) -> None:
    """Counts work that was done."""
    self._done += amount
    self._show()

  def skip(self, amount: int) -> None:
    """Counts work that an earlier run had done: it says nothing about the speed."""
    self._done += amount
    self._skipped += amount
    self._show()

  def describe(self, what: str) -> None:
    """Says what is done now."""
    self._what = what
    self._show()

  def _show(self) -> None:
    """Updates the live line, or prints a plain one if it is due."""
    if self._bar is not None:
      self._bar.update(
        self._task, description=self._what, completed=self._done, line=self._line()
      )
      return
    with self._lock:
      if self._clock() - self._shown_at >= _PLAIN_SECONDS and not self._end.is_set():
        self._has_shown = True
        self._print()

  def _print(self) -> None:
    self._shown_at = self._clock()
    line = f"{self._what}: {self._line()}"
    self._console.print(line, markup=False, highlight=False, soft_wrap=True)

  def _line(self) -> str:
    """Such as "340/5040 questions  12.3/s  6m20s left"."""
    seconds, made = self._clock() - self._start, self._done - self._skipped
    total = "" if self._total is None else f"/{self._total}"
    parts = [f"{self._done}{total} {self._unit}"]
    if made > 0 and seconds > 0.0:
      speed = made / seconds
      parts.append(f"{speed:.1f}/s" if speed < 100 else f"{speed:,.0f}/s")
      if self._total is not None:
        parts.append(f"{duration((self._total - self._done) / speed)} left")
    else:
      parts.append(f"{duration(seconds)} so far")
    return "  ".join(parts)

  def _tick(self) -> None:
    while not self._end.wait(self._tick_seconds):
      self._show()


def duration(seconds: float) -> str:
  """Seconds as 7s, 3m20s or 2h05m."""
  whole = max(0, round(seconds))
  if whole < 60:
    return f"{whole}s"
  if whole < 3600:
    return f"{whole // 60}m{whole % 60:02d}s"
  return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _bar(console: rich.console.Console) -> rich.progress.Progress:
  return rich.progress.Progress(
    rich.progress.TextColumn("{task.description}", markup=False),
    rich.progress.BarColumn(bar_width=20),
    rich.progress.TextColumn("{task.fields[line]}", markup=False),
    console=console,
    transient=True,
    # What a command prints has to stay on standard output.
    redirect_stdout=False,
  )
