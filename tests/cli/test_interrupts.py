"""A signal ends every command with one line that says what is kept."""

import os
import signal
import sys
import time

import pytest

from symtune.cli import cards, convert, experiments
from symtune.cli.main import main


@pytest.mark.parametrize(
  ("module", "function", "arguments", "said"),
  [
    (cards, "list_tasks", ["tasks"], "Nothing was written; the same command starts"),
    (experiments, "report", ["report", "x"], "The results and the last report are as"),
    (
      experiments,
      "run",
      ["run", "x", "--out", "y"],
      "kept in the run folder; the same",
    ),
    (experiments, "probe", ["probe", "x", "--out", "y"], "Answers that were complete"),
    (convert, "run", ["convert", "x", "y"], "Nothing of the new checkpoint is kept"),
  ],
)
@pytest.mark.parametrize(
  ("number", "name", "code"),
  [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143)],
)
def test_a_signal_is_answered_with_one_line(
  monkeypatch, capsys, module, function, arguments, said, number, name, code
):
  def be_stopped(*_, **__):
    os.kill(os.getpid(), number)
    time.sleep(10)

  handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
  monkeypatch.setattr(module, function, be_stopped)
  monkeypatch.setattr(sys, "argv", ["symtune", *arguments])
  try:
    with pytest.raises(SystemExit) as stop:
      main()
  finally:
    for handled, handler in handlers.items():
      signal.signal(handled, handler)
  assert stop.value.code == code
  (line,) = capsys.readouterr().err.split("\n")[1:-1]
  assert line.startswith(f"Stopped by {name}. ")
  assert said in line
