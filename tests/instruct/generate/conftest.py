"""A writer that follows every layout, and a server that can be told what to do."""

import dataclasses
import http.server
import json
import threading

import numpy as np
import pytest

from symtune.instruct.generate.generators import Sampling, make_completion
from symtune.instruct.generate.settings import SelfInstructRecipe

_WORDS = (
  *("amber", "basin", "cedar", "delta", "ember", "fjord", "grove"),
  *("haven", "islet", "jetty", "knoll"),
)
_VERBS = ("Name", "Sort", "Draw", "Explain", "classify")


class Writer:
  """A `Generator` for tests.

  Attributes:
    prompts: all that it was asked.
    fails_after: prompts after which it raises KeyboardInterrupt; None for never.
  """

  name, identity = "writer", "a writer for tests"

  def __init__(self, writes_lines=True):
    self.writes_lines = writes_lines
    self.prompts = []
    self.fails_after = None

  def complete(self, prompts, sampling, seed):
    found = []
    for place, prompt in enumerate(prompts):
      if len(self.prompts) == self.fails_after:
        raise KeyboardInterrupt
      self.prompts.append(prompt)
      text = self.write(prompt, np.random.default_rng(seed + place))
      found.append(
        make_completion(
          text,
          sampling.stops,
          is_ended="cut" not in text,
          prompt_tokens=len(prompt),
          tokens=len(text),
        )
      )
    return found

  def write(self, prompt, rng):
    def task():
      return f"{rng.choice(_VERBS)} the {' and '.join(rng.choice(_WORDS, 3))}."

    last = prompt.rsplit("\n", 1)[-1]
    if last == "9.":
      return " " + "\n".join(
        [task(), *(f"{n}. {task()}" for n in (10, 11, 12)), "16. Name one too many."]
      )
    if last == "Is it classification?":
      return " Yes" if "Task: Classify" in prompt else " No"
    if last.startswith("Task: Classify"):
      labels = [f"Class label: {x}\nWord: {x} {rng.integers(9)}" for x in "ab"]
      return "\n" + "\n".join(labels)
    if last.startswith("Task: "):
      answers = [
        f"Example {n}\nWord: {rng.choice(_WORDS)}\nOutput: {rng.choice(_WORDS)}"
        for n in range(1, 8)
      ]
      return "\n" + "\n\n".join(answers)
    return f"{task()} {rng.integers(99)}" if "unlike" in prompt else task()


@pytest.fixture
def writer():
  return Writer()


@pytest.fixture
def recipe(tmp_path):
  """Twelve instructions after ten seeds."""
  seeds = tmp_path / "seeds.jsonl"
  rows = [
    {"instruction": f"Seed {i}: name a {word}.", "input": "", "output": "x"}
    for i, word in enumerate(_WORDS[:10])
  ]
  seeds.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return dataclasses.replace(
    SelfInstructRecipe(seeds=str(seeds), generator="writer"),
    instructions=12,
    requests=2,
    input_first=Sampling(max_tokens=9, stops=("Example 6", "Task:")),
  )


def to_answer(text, *, chat=False, finish="stop"):
  """The body of a server's answer."""
  choice = {"message": {"content": text}} if chat else {"text": text}
  values = {
    "choices": [{**choice, "finish_reason": finish}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3},
  }
  return json.dumps(values).encode()


class _Script(http.server.BaseHTTPRequestHandler):
  """Does what the server's list of steps says, one step per request.

  A step is (status, headers, body), or a function of the handler; when the list is
  empty, the server's `write` answers.
  """

  def do_POST(self):
    body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
    with self.server.lock:
      self.server.seen.append((self.path, dict(self.headers), body))
      step = self.server.steps.pop(0) if self.server.steps else None
    if callable(step):
      step(self)
      return
    text = self.server.write(body.get("prompt"), body["seed"])
    status, headers, content = step or (200, {}, to_answer(text))
    self.send_response(status)
    for name, value in headers.items():
      self.send_header(name, value)
    self.send_header("Content-Length", str(len(content)))
    self.end_headers()
    self.wfile.write(content)

  def log_message(self, *_):
    pass


@pytest.fixture
def server():
  made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Script)
  made.steps, made.seen, made.lock = [], [], threading.Lock()
  made.write = lambda prompt, seed: f" echo of {prompt}"
  thread = threading.Thread(target=made.serve_forever, args=(0.01,))
  thread.start()
  yield made
  made.shutdown()
  thread.join()
  made.server_close()


@pytest.fixture
def answer():
  """`to_answer`, for steps of the server."""
  return to_answer
