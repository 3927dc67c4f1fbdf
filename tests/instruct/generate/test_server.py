"""A real server in this process answers, fails, is slow, and cuts the connection."""

import email.utils
import http.server
import time

import pytest

from symtune.errors import SymtuneError
from symtune.instruct.generate.generators import Ended, Sampling
from symtune.instruct.generate.models.parallel import Pace, map_in_threads
from symtune.instruct.generate.models.server import ServerGenerator, ServerSettings

_KEY = "sk-very-secret"
_SAMPLING = Sampling(max_tokens=9, temperature=0.7, top_p=0.5, stops=("\n\n", "16."))


@pytest.fixture
def ask(server):
  """Asks the server, and returns the completions and the seconds that were waited."""

  def run(*prompts, sampling=_SAMPLING, **settings):
    waited = []
    generator = ServerGenerator(
      f"http://127.0.0.1:{server.server_port}/v1",
      ServerSettings(**{"model": "toy", "timeout": 5.0, "retries": 2, **settings}),
      sleep=waited.append,
    )
    run.waited = waited
    return generator.complete(prompts, sampling, seed=5)

  return run


def test_a_prompt_is_sent_as_it_stands(server, ask, monkeypatch):
  monkeypatch.setenv("TOY_KEY", _KEY)
  (found,) = ask("1. Name a river.\n2.", key_variable="TOY_KEY")
  assert found.text == " echo of 1. Name a river.\n2."
  assert (found.prompt_tokens, found.tokens, found.ended) == (7, 3, Ended.END)
  ((path, headers, body),) = server.seen
  assert path == "/v1/completions"
  assert headers["Authorization"] == f"Bearer {_KEY}"
  assert body == {
    "model": "toy",
    "prompt": "1. Name a river.\n2.",
    "max_tokens": 9,
    "temperature": 0.7,
    "top_p": 0.5,
    "presence_penalty": 0.0,
    "seed": 5,
    "stop": ["\n\n", "16."],
  }


def test_a_chat_gets_the_prompt_as_a_message(server, ask, answer):
  content = answer("One\n\nTwo", chat=True, finish="length")
  server.steps.append((200, {}, content))
  (found,) = ask("Say one.", chat=True)
  assert (found.text, found.ended) == ("One", Ended.STOP)
  ((path, headers, body),) = server.seen
  assert path == "/v1/chat/completions"
  assert body["messages"] == [{"role": "user", "content": "Say one."}]
  assert "Authorization" not in headers


def test_an_answer_of_the_largest_length_is_not_whole(server, ask, answer):
  server.steps.append((200, {}, answer("a", finish="length")))
  assert ask("x")[0].ended is Ended.LENGTH


def test_answers_keep_the_order_of_the_prompts(server, ask):
  found = ask(*"abcdefgh", parallel=3)
  assert [one.text for one in found] == [f" echo of {x}" for x in "abcdefgh"]
  assert sorted(body["seed"] for _, _, body in server.seen) == list(range(5, 13))


def _cut(handler):
  """Promises more bytes than it sends."""
  handler.send_response(200)
  handler.send_header("Content-Length", "100")
  handler.end_headers()
  handler.wfile.write(b'{"choi')


def _hang_up(handler):
  handler.connection.close()


@pytest.mark.parametrize(
  "step",
  [
    (429, {}, b"slow down"),
    (500, {}, b"oops"),
    (503, {}, b""),
    (200, {}, b'{"choices": ['),
    (200, {}, b"\xff\xfe"),
    (200, {}, b"[]"),
    (200, {}, b'{"choices": [], "usage": {}}'),
    (200, {}, b'{"choices": [{"text": 3}], "usage": {"prompt_tokens": 1}}'),
    (200, {}, b'{"choices": [{"text": null}], "usage": {}}'),
    (200, {}, b"[" * 100_000),
    _cut,
    _hang_up,
  ],
)
def test_a_failure_that_may_pass_is_repeated(server, ask, step):
  server.steps += [step, step]
  assert ask("x")[0].text == " echo of x"
  assert ask.waited == [1.0, 2.0]  # twice as long each time


def test_a_slow_answer_is_given_up_and_asked_for_again(server, ask):
  server.steps.append(lambda handler: time.sleep(0.4))
  start = time.monotonic()
  assert ask("x", timeout=0.1)[0].text == " echo of x"
  assert time.monotonic() - start < 0.4


@pytest.mark.parametrize(
  ("header", "low", "high"),
  [
    ("7", 7.0, 7.0),
    ("0", 0.0, 0.0),
    ("1e9", 1.0, 1.0),  # no number of seconds, so as if there were none
    ("soon", 1.0, 1.0),
    ("99999999", 600.0, 600.0),
    ("date", 25.0, 30.0),
  ],
)
def test_the_server_says_when_to_ask_again(server, ask, header, low, high):
  if header == "date":
    header = email.utils.formatdate(time.time() + 30, usegmt=True)
  server.steps.append((429, {"Retry-After": header}, b""))
  ask("x")
  assert len(ask.waited) == 1
  assert low <= ask.waited[0] <= high


def test_a_server_that_never_works_ends_the_command(server, ask, monkeypatch):
  monkeypatch.setenv("TOY_KEY", _KEY)
  server.steps += [(500, {}, f"no {_KEY} here".encode())] * 3
  with pytest.raises(SymtuneError, match=r"no answer in 3 attempts.* 500.*kept") as got:
    ask("x", key_variable="TOY_KEY")
  assert _KEY not in str(got.value)


@pytest.mark.parametrize("status", [400, 401, 404, 302, 308])
def test_a_failure_that_stays_is_not_repeated(server, ask, status, monkeypatch):
  monkeypatch.setenv("TOY_KEY", _KEY)
  away = {"Location": f"http://127.0.0.1:{server.server_port}/elsewhere"}
  server.steps.append((status, away, f"{_KEY} is wrong".encode()))
  with pytest.raises(SymtuneError, match=rf"status {status} \(\[key\] is wrong\)") as e:
    ask("x", key_variable="TOY_KEY")
  assert _KEY not in str(e.value)
  assert len(server.seen) == 1
  assert not ask.waited


def test_after_a_failure_no_more_requests_are_begun(server, ask):
  server.steps.append((401, {}, b""))
  with pytest.raises(SymtuneError, match="status 401"):
    ask(*"abcdefgh", parallel=1)
  assert len(server.seen) == 1


def test_nobody_listens():
  settings = ServerSettings(model="toy", retries=0)
  with http.server.HTTPServer(("127.0.0.1", 0), None) as free:
    port = free.server_port
  generator = ServerGenerator(f"http://127.0.0.1:{port}", settings)
  with pytest.raises(SymtuneError, match="ConnectionRefusedError"):
    generator.complete(["x"], _SAMPLING, 0)


@pytest.mark.parametrize(
  ("address", "settings", "message"),
  [
    ("http://", {}, "address that is not of the form"),
    ("http://host:port/v1", {}, "address that is not of the form"),
    ("http://me:secret@host/v1", {}, "address that is not of the form"),
    ("https://host/v1?key=secret", {}, "address that is not of the form"),
    ("http://host/v1", {"model": ""}, "got no model"),
    ("http://host/v1", {"key_variable": "NO_SUCH_KEY"}, "NO_SUCH_KEY is not set"),
    ("http://host/v1", {"key_variable": "BAD_KEY"}, "BAD_KEY holds characters"),
    ("http://host/v1", {"parallel": 0}, "parallel is 0"),
    ("http://host/v1", {"timeout": 0.0}, "timeout is 0.0"),
    ("http://host/v1", {"requests_per_minute": 0.0}, "requests_per_minute is 0.0"),
  ],
)
def test_wrong_settings_are_refused_before_anything_is_sent(
  address, settings, message, monkeypatch
):
  monkeypatch.setenv("BAD_KEY", "secret\nline")
  with pytest.raises(SymtuneError, match=message) as error:
    ServerGenerator(address, ServerSettings(**{"model": "toy", **settings}))
  assert "secret" not in str(error.value)


def test_a_pace_spreads_requests():
  now, waited = [100.0], []

  def sleep(seconds):
    waited.append(seconds)
    now[0] += seconds

  pace = Pace(120.0, clock=lambda: now[0], sleep=sleep)
  for _ in range(3):
    pace.wait()
  assert waited == [0.5, 0.5]
  now[0] += 10.0  # a pause is no credit for later
  pace.wait()
  pace.wait()
  assert waited == [0.5, 0.5, 0.5]


def test_threads_give_results_in_order():
  assert map_in_threads(lambda x: x * x, range(20), 4) == [x * x for x in range(20)]
  assert map_in_threads(lambda x: x, [], 4) == []


def test_cost_is_counted_at_the_given_prices():
  settings = ServerSettings(price_read=0.5, price_written=2.0)
  assert settings.cost(2_000_000, 500_000) == 2.0
