"""Long work says how far it is; driven by a clock of its own, so nothing waits."""

import contextlib
import io
import time

import pytest
import rich.console

from symtune.progress import Progress, duration


class Clock:
  """Time that passes when it is told to."""

  def __init__(self):
    self.now = 100.0

  def __call__(self):
    return self.now


@pytest.fixture
def clock():
  return Clock()


def _console(*, is_terminal):
  return rich.console.Console(
    file=io.StringIO(), force_terminal=is_terminal, width=100, legacy_windows=False
  )


def _work(clock, seconds, *, steps=100, **settings):
  """The lines of a log about so many steps, each of which takes so long."""
  console = _console(is_terminal=False)
  with Progress("asking", unit="questions", console=console, clock=clock,
                **settings) as progress:  # fmt: skip
    for _ in range(steps):
      clock.now += seconds
      progress.advance()
  return console.file.getvalue().splitlines()


def test_a_log_gets_a_line_at_least_every_thirty_seconds(clock):
  lines = _work(clock, 2.0, total=100)
  assert 200 / 30 <= len(lines) <= 12
  assert lines[0] == "asking: 13/100 questions  0.5/s  2m54s left"
  assert lines[-1] == "asking: 100/100 questions  0.5/s  0s left"


def test_steps_of_more_than_thirty_seconds_each_get_a_line(clock):
  assert len(_work(clock, 60.0, steps=5, total=5)) == 5 + 1


def test_a_step_that_does_not_end_gets_a_line_too(clock):
  """From another thread, which looks at the clock meanwhile."""
  console = _console(is_terminal=False)
  with Progress("a", 2, unit="x", console=console, clock=clock, tick=0.001):
    clock.now += 60.0
    for _ in range(5_000):
      if console.file.getvalue():
        break
      time.sleep(0.001)
  assert console.file.getvalue().splitlines()[0] == "a: 0/2 x  1m00s so far"


def test_short_work_is_silent(clock):
  assert _work(clock, 0.2, total=100) == []


def test_work_of_unknown_size_counts(clock):
  lines = _work(clock, 10.0, steps=3)
  assert lines == ["asking: 3 questions  0.1/s", "asking: 3 questions  0.1/s"]


def test_what_an_earlier_run_did_says_nothing_about_the_speed(clock):
  console = _console(is_terminal=False)
  with Progress(
    "asking", 1000, unit="questions", console=console, clock=clock
  ) as progress:
    progress.skip(900)
    clock.now += 50.0
    progress.advance(50)
    assert console.file.getvalue() == "asking: 950/1000 questions  1.0/s  50s left\n"


def test_a_line_says_what_is_done_now_and_how_fast(clock):
  console = _console(is_terminal=False)
  with Progress("a", 30_000, unit="x", console=console, clock=clock) as progress:
    clock.now += 30.0
    progress.describe("b")
    clock.now += 30.0
    progress.advance(6_000)
    assert console.file.getvalue().splitlines() == [
      "b: 0/30000 x  30s so far",
      "b: 6000/30000 x  100/s  4m00s left",
    ]


def test_failed_work_has_no_last_line(clock):
  console = _console(is_terminal=False)
  with (
    contextlib.suppress(ZeroDivisionError),
    Progress("a", 3, unit="x", console=console, clock=clock) as progress,
  ):
    clock.now += 60.0
    progress.advance()
    1 / 0  # noqa: B018
  assert len(console.file.getvalue().splitlines()) == 1


def test_a_terminal_gets_one_live_line_which_is_removed(clock):
  console = _console(is_terminal=True)
  with Progress(
    "converting", 4, unit="tensors", console=console, clock=clock
  ) as progress:
    for _ in range(4):
      clock.now += 60.0
      progress.advance()
  text = console.file.getvalue()
  assert "converting" in text
  assert "4/4 tensors" in text
  assert text.endswith("\x1b[2K") or "\x1b[1A" in text  # the line is erased


def test_nothing_goes_to_standard_output(clock, capsys):
  with Progress("a", 2, unit="x", clock=clock) as progress:
    clock.now += 60.0
    progress.advance()
  out, err = capsys.readouterr()
  assert (out, err.splitlines()[0]) == ("", "a: 1/2 x  0.0/s  1m00s left")


@pytest.mark.parametrize(
  ("seconds", "shown"),
  [(-1, "0s"), (7.4, "7s"), (200, "3m20s"), (7500, "2h05m")],
)
def test_durations(seconds, shown):
  assert duration(seconds) == shown
