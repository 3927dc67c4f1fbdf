"""A signal ends every command with one line that says what is kept."""

import json
import subprocess
import sys

import pytest

# Runs in a process of its own: a signal here would end the tests.
RUN_EACH = """
import contextlib, io, json, os, signal, sys, time
from symtune.cli import cards, convert, experiments
from symtune.cli.main import main

MODULES = {"cards": cards, "convert": convert, "experiments": experiments}


def be_stopped(number):
  def stop(*_, **__):
    os.kill(os.getpid(), number)
    time.sleep(10)

  return stop


for number, module, function, arguments in json.loads(sys.argv[1]):
  signal.signal(signal.SIGINT, signal.default_int_handler)
  signal.signal(signal.SIGTERM, signal.SIG_DFL)
  before = getattr(MODULES[module], function)
  setattr(MODULES[module], function, be_stopped(number))
  sys.argv = ["symtune", *arguments]
  said, code = io.StringIO(), 0
  with contextlib.redirect_stderr(said):
    try:
      main()
    except SystemExit as stop:
      code = stop.code
  setattr(MODULES[module], function, before)
  print(json.dumps([code, said.getvalue()]))
"""
COMMANDS = [
  ("cards", "list_tasks", "tasks", "Nothing was written; the same command starts"),
  ("experiments", "report", "report x", "The results and the last report are as"),
  ("experiments", "run", "run x --out y", "kept in the run folder; the same"),
  ("experiments", "probe", "probe x --out y", "Answers that were complete"),
  ("convert", "run", "convert x y", "Nothing of the new checkpoint is kept"),
]
SIGNALS = [(2, "Ctrl-C", 130), (15, "SIGTERM", 143)]


@pytest.fixture(scope="module")
def answers():
  """(number of the signal, command line) -> exit code and what was said."""
  cases = [
    (number, module, function, line.split())
    for number, _, _ in SIGNALS
    for module, function, line, _ in COMMANDS
  ]
  done = subprocess.run(
    [sys.executable, "-c", RUN_EACH, json.dumps(cases)],
    capture_output=True,
    text=True,
    timeout=120,
    check=True,
  )
  return {
    (number, " ".join(arguments)): json.loads(line)
    for (number, _, _, arguments), line in zip(
      cases, done.stdout.splitlines(), strict=True
    )
  }


@pytest.mark.parametrize(("number", "name", "code"), SIGNALS)
@pytest.mark.parametrize(("line", "said"), [(line, s) for *_, line, s in COMMANDS])
def test_a_signal_is_answered_with_one_line(answers, line, said, number, name, code):
  found, printed = answers[number, line]
  assert found == code
  (told,) = printed.split("\n")[1:-1]
  assert told.startswith(f"Stopped by {name}. ")
  assert said in told
