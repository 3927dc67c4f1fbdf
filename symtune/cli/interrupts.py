"""Ctrl-C and SIGTERM: one line that says what is kept and how to go on."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

import typer
import typer.core

_IN_RUN_FOLDER = "Answers and checkpoints that were complete are kept in the run folder"
_GO_ON = "the same command goes on from there."
_AGAIN = "the same command starts again."
_NOTHING = f"Nothing was written; {_AGAIN}"
# What a command leaves behind when it is stopped; others write nothing.
_KEPT = {
  "run": f"{_IN_RUN_FOLDER}; {_GO_ON}",
  "train": f"Checkpoints that were complete are kept in the run folder; {_GO_ON}",
  "probe": f"Answers that were complete are kept in the run folder; {_GO_ON}",
  "sweep": f"What was complete is kept in the run folders; {_GO_ON}",
  "regression": f"Checkpoints that were complete are kept in the run folder; {_GO_ON}",
  "instruct": f"Answers that were complete are kept in the run folder; {_GO_ON}",
  "align": f"What was complete is kept in the run folder; {_GO_ON}",
  "report": f"The results and the last report are as they were; {_AGAIN}",
  "convert": f"Nothing of the new checkpoint is kept; {_AGAIN}",
  "data": "Row files that were complete are kept; the same command gets the others.",
  "t5x": f"T5X's checkpoints that were complete are kept; {_GO_ON}",
}


class Terminated(KeyboardInterrupt):
  """SIGTERM; whatever handles Ctrl-C handles it too."""


class Commands(typer.core.TyperGroup):
  """The commands; a signal ends each with one line and exit code 130 or 143."""

  def invoke(self, ctx: Any) -> Any:
    """Runs a command."""
    with _sigterm_raises():
      try:
        return super().invoke(ctx)
      except KeyboardInterrupt as stop:
        _end_at_once_from_now_on()
        is_term = isinstance(stop, Terminated) or "SIGTERM" in stop.args
        if not stop.args:  # training has said it
          by = "SIGTERM" if is_term else "Ctrl-C"
          kept = _KEPT.get(ctx.invoked_subcommand or "", _NOTHING)
          typer.echo(f"\nStopped by {by}. {kept}", err=True)
        raise typer.Exit(143 if is_term else 130) from stop


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
  """Raises Terminated on SIGTERM; training replaces this while it lasts."""
  if threading.current_thread() is not threading.main_thread():
    yield
    return

  def terminate(_number: int, _frame: object) -> None:
    raise Terminated

  before = signal.signal(signal.SIGTERM, terminate)
  try:
    yield
  finally:
    if signal.getsignal(signal.SIGTERM) is terminate:
      signal.signal(signal.SIGTERM, before)


def _end_at_once_from_now_on() -> None:
  """A second signal needs no more words: whatever still runs is not waited for."""
  if threading.current_thread() is threading.main_thread():
    for number in (signal.SIGINT, signal.SIGTERM):
      signal.signal(number, signal.SIG_DFL)
