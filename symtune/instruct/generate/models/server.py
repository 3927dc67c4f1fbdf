"""An OpenAI-compatible server continues prompts: one HTTP request per prompt.

Requests that fail for a while (429, 5xx, no or a broken answer) are repeated, after the
time that the server asks for (Retry-After) or twice as long each time. Neither
redirects nor proxies are followed, so that the key goes to the given address only. It
is read from the environment, and stands in no file and no message.
"""

import dataclasses
import email.utils
import functools
import http.client
import json
import os
import time
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any

from symtune.bounded import parse_json
from symtune.checks import check_types
from symtune.errors import SymtuneError
from symtune.instruct.generate.generators import (
  Completion,
  Sampling,
  make_completion,
)
from symtune.instruct.generate.models.parallel import Pace, map_in_threads

_MAX_BYTES = 10_000_000  # of an answer
_PASSING = (408, 409, 429, 500, 502, 503, 504)  # statuses after which to try again
_LONGEST_WAIT = 600.0  # seconds
_SHOWN = 200  # characters of a server's message


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSettings:
  """How a server is asked.

  Attributes:
    model: the model's name, as the server knows it.
    key_variable: the environment variable that holds the key; None sends none.
    chat: ask /chat/completions, with the prompt as the user's message, instead of
      /completions.
    parallel: requests at a time.
    requests_per_minute: most requests per minute; None has no limit.
    retries: how often a request is repeated.
    first_wait: seconds before the first repetition, if the server names none.
    timeout: seconds without a byte after which an answer is given up.
    price_read: price of a million tokens of prompts, in any currency.
    price_written: price of a million tokens of completions.
  """

  model: str = ""
  key_variable: str | None = None
  chat: bool = False
  parallel: int = 4
  requests_per_minute: float | None = None
  retries: int = 6
  first_wait: float = 1.0
  timeout: float = 120.0
  price_read: float = 0.0
  price_written: float = 0.0

  def __post_init__(self):
    check_types(self)
    rate = self.requests_per_minute
    for name, is_right, expected in (
      ("parallel", self.parallel >= 1, "at least 1"),
      ("requests_per_minute", rate is None or rate > 0.0, "above 0"),
      ("retries", self.retries >= 0, "0 or more"),
      ("first_wait", self.first_wait > 0.0, "above 0"),
      ("timeout", self.timeout > 0.0, "above 0"),
      ("price_read", self.price_read >= 0.0, "0 or more"),
      ("price_written", self.price_written >= 0.0, "0 or more"),
    ):
      if not is_right:
        value = getattr(self, name)
        raise SymtuneError(f"ServerSettings.{name} is {value}, expected {expected}.")

  def cost(self, prompt_tokens: int, tokens: int) -> float:
    """The price of so many tokens that were read and written."""
    return (prompt_tokens * self.price_read + tokens * self.price_written) / 1e6


class _PassingError(Exception):
  """A request failed in a way that may pass; `wait` is what the server asks for."""

  def __init__(self, problem: str, wait: float | None = None):
    super().__init__(problem)
    self.wait = wait


class ServerGenerator:
  """A `Generator`; a server need not give the same completions for the same seed."""

  writes_lines = True

  def __init__(
    self,
    address: str,
    settings: ServerSettings,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Any] = time.sleep,
  ):
    """Checks the settings; sends nothing yet.

    Args:
      address: such as https://api.example.org/v1.
      settings: how the server is asked.
      clock: returns the time in seconds; tests pass their own.
      sleep: waits for some seconds; tests pass their own.

    Raises:
      SymtuneError: the address, the model's name or the key is missing or wrong.
    """
    self._url = _parse_address(address)
    if not settings.model:
      raise SymtuneError(
        f"--generator {address}: got no model, expected the name by which the server "
        "knows it. Set ServerSettings.model."
      )
    self._settings = settings
    self._key = _read_key(settings.key_variable)
    self._pace = Pace(settings.requests_per_minute, clock, sleep)
    self._sleep = sleep
    self.name = settings.model
    way = "chat" if settings.chat else "completions"
    self.identity = f"{self._url.geturl()} {settings.model} {way}"

  def complete(
    self, prompts: Sequence[str], sampling: Sampling, seed: int
  ) -> list[Completion]:
    """Continues prompts (`generators.Generator`)."""
    bodies = [
      self._body(prompt, sampling, (seed + place) % 2**31)
      for place, prompt in enumerate(prompts)
    ]
    ask = functools.partial(self._complete, stops=sampling.stops)
    return map_in_threads(ask, bodies, self._settings.parallel)

  def _complete(self, body: bytes, stops: Sequence[str]) -> Completion:
    wait = self._settings.first_wait
    for attempt in range(self._settings.retries + 1):
      self._pace.wait()
      try:
        return self._read(self._post(body), stops)
      except _PassingError as error:
        if attempt == self._settings.retries:
          raise SymtuneError(
            f"{self._url.geturl()}: got no answer in {attempt + 1} attempts; the last "
            f"problem: {error}. What was answered before is kept: give the same "
            "command again when the server works."
          ) from error
        self._sleep(min(wait if error.wait is None else error.wait, _LONGEST_WAIT))
        wait *= 2
    raise AssertionError("the last attempt returns or raises")

  def _body(self, prompt: str, sampling: Sampling, seed: int) -> bytes:
    asked = (
      {"messages": [{"role": "user", "content": prompt}]}
      if self._settings.chat
      else {"prompt": prompt}
    )
    values = {
      "model": self._settings.model,
      **asked,
      "max_tokens": sampling.max_tokens,
      "temperature": sampling.temperature,
      "top_p": sampling.top_p,
      "presence_penalty": sampling.presence_penalty,
      "seed": seed,
    }
    if sampling.stops:  # OpenAI takes four; all are cut off here, too
      values["stop"] = list(sampling.stops)[:4]
    return json.dumps(values).encode()

  def _post(self, body: bytes) -> bytes:
    """The body of a successful answer."""
    kind = (
      http.client.HTTPSConnection
      if self._url.scheme == "https"
      else http.client.HTTPConnection
    )
    headers = {"Content-Type": "application/json"}
    if self._key is not None:
      headers["Authorization"] = f"Bearer {self._key}"
    path = "/chat/completions" if self._settings.chat else "/completions"
    connection = kind(self._url.netloc, timeout=self._settings.timeout)
    try:
      connection.request("POST", self._url.path.rstrip("/") + path, body, headers)
      answer = connection.getresponse()
      content = answer.read(_MAX_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
      raise _PassingError(f"{type(error).__name__}: {error}") from error
    finally:
      connection.close()
    if answer.status == 200:
      return content
    problem = f"status {answer.status} ({_message(content, self._key)})"
    if answer.status in _PASSING:
      raise _PassingError(problem, _seconds(answer.headers.get("Retry-After")))
    raise SymtuneError(
      f"{self._url.geturl()}{path}: got {problem}, expected 200. Check the address, "
      "the model's name and the key."
    )

  def _read(self, content: bytes, stops: Sequence[str]) -> Completion:
    if len(content) > _MAX_BYTES:
      raise _PassingError(f"an answer of more than {_MAX_BYTES:,} bytes")
    try:
      values = parse_json(content, "the answer")
      choice, usage = values["choices"][0], values["usage"]
      text = choice["message"]["content"] if self._settings.chat else choice["text"]
      counts = (usage["prompt_tokens"], usage["completion_tokens"])
      is_right = isinstance(text, str) and all(type(count) is int for count in counts)
    except (SymtuneError, LookupError, TypeError) as error:
      raise _PassingError(f"a broken answer ({error!r:.{_SHOWN}})") from error
    if not is_right:
      raise _PassingError("an answer whose text or usage has another type")
    return make_completion(
      text,
      stops,
      is_ended=choice.get("finish_reason") != "length",
      prompt_tokens=counts[0],
      tokens=counts[1],
    )


def _parse_address(address: str) -> urllib.parse.SplitResult:
  try:
    url = urllib.parse.urlsplit(address)
    is_right = url.scheme in ("http", "https") and bool(url.hostname)
    _ = url.port  # raises if it is no number
  except ValueError:
    is_right = False
    url = urllib.parse.SplitResult("", "", "", "", "")
  if not is_right or url.username or url.query or url.fragment:
    raise SymtuneError(
      "--generator: got an address that is not of the form http://HOST[:PORT]/PATH or "
      "https://HOST[:PORT]/PATH, such as http://localhost:8000/v1, without a user, a "
      "query or a fragment. A key is given by ServerSettings.key_variable."
    )
  return url


def _read_key(variable: str | None) -> str | None:
  if variable is None:
    return None
  key = os.environ.get(variable, "")
  if not key.isascii() or not key.isprintable() or not key.strip() or " " in key:
    problem = "holds characters that no key has" if key else "is not set"
    raise SymtuneError(
      f"ServerSettings.key_variable: the environment variable {variable} {problem}. "
      f"Set it: export {variable}=..."
    )
  return key


def _message(content: bytes, key: str | None) -> str:
  """The beginning of what a server says about a failure, without the key."""
  text = content[: 10 * _SHOWN].decode("utf-8", errors="replace")
  if key is not None:
    text = text.replace(key, "[key]")
  return " ".join(text.split())[:_SHOWN]


def _seconds(retry_after: str | None) -> float | None:
  """Retry-After: a number of seconds, or a date; None for anything else."""
  if retry_after is None:
    return None
  if retry_after.strip().isdigit():
    return float(retry_after)
  try:
    then = email.utils.parsedate_to_datetime(retry_after)
  except ValueError:
    return None
  return max(0.0, then.timestamp() - time.time())
