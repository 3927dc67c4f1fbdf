"""The progress line of a run: loss, tokens per second, padding and time left."""

import time
from collections.abc import Callable
from types import TracebackType

import rich.console
import rich.progress

from symtune.progress import duration
from symtune.train.metrics import Sums

PLAIN_SECONDS = 10.0
LIVE_SECONDS = 0.2


class Progress:
  """Shows the progress of a run: a live line on a terminal, otherwise a line at times.

  Use it as a context manager. It only prints and has no influence on the run.
  """

  def __init__(
    self,
    total_steps: int,
    console: rich.console.Console | None = None,
    clock: Callable[[], float] = time.monotonic,
  ) -> None:
    """Prepares the line.

    Args:
      total_steps: the step at which the run ends.
      console: where to print; standard error when None.
      clock: returns the time in seconds; tests pass their own.
    """
    self._console = console or rich.console.Console(stderr=True)
    self._clock = clock
    self._total = total_steps
    self._start: tuple[float, int] | None = None
    self._shown_at = -float("inf")
    self._bar = _bar(self._console) if self._console.is_terminal else None
    self._task = None
    if self._bar is not None:
      self._task = self._bar.add_task("", total=total_steps, line="")

  def __enter__(self) -> "Progress":
    if self._bar is not None:
      self._bar.start()
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    if self._bar is not None:
      self._bar.stop()

  def say(self, message: str) -> None:
    """Prints a separate line above the live line."""
    self._console.print(message, markup=False, highlight=False, soft_wrap=True)

  def update(self, step: int, newest: Sums) -> None:
    """Shows the newest step, unless the line was updated a moment ago.

    Args:
      step: the number of updates made.
      newest: the metrics of the newest step alone.
    """
    now = self._clock()
    if self._start is None:
      # The first step includes the compilation; speed is measured from its end.
      self._start = (now, step)
    last = step >= self._total
    pause = PLAIN_SECONDS if self._bar is None else LIVE_SECONDS
    if now - self._shown_at < pause and not last:
      return
    self._shown_at = now
    line = self._line(step, newest, now)
    if self._bar is None:
      self.say(f"step {step}/{self._total}  {line}")
    else:
      assert self._task is not None
      self._bar.update(self._task, completed=step, line=line, refresh=True)

  def _line(self, step: int, newest: Sums, now: float) -> str:
    assert self._start is not None
    parts = newest.describe()
    seconds, made = now - self._start[0], step - self._start[1]
    if made and seconds > 0.0:
      speed = made / seconds
      parts.append(f"{speed * newest.real_tokens:,.0f} tokens/s")
      parts.append(f"{duration((self._total - step) / speed)} left")
    return "  ".join(parts)


def _bar(console: rich.console.Console) -> rich.progress.Progress:
  return rich.progress.Progress(
    rich.progress.BarColumn(bar_width=20),
    rich.progress.MofNCompleteColumn(),
    rich.progress.TextColumn("{task.fields[line]}", markup=False),
    console=console,
    auto_refresh=False,
  )
