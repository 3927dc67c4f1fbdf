"""A hub that accepts and sends nothing, or stops midway: a message, and soon."""

import json
import socket
import tempfile
import threading
import time

import pytest
from etils import epath

from symtune.cards.examples import read_task
from symtune.cards.load import load_card
from symtune.errors import SymtuneError
from symtune.fetch.get import GetSettings, get_tasks
from symtune.fetch.provenance import read_provenance

SST2 = load_card("sst2")
COMMIT = "b" * 40
FILES = [f"default/{split}/0000.parquet" for split in ("train", "validation")]


class Hub:
  """Answers requests up to the one at which it falls silent, if any."""

  def __init__(self, silent_at: str | None, content: bytes = bytes(1_000)):
    self.silent_at = silent_at
    self.content = content
    self.asked: list[str] = []
    self.server = socket.create_server(("127.0.0.1", 0))
    self.address = f"http://127.0.0.1:{self.server.getsockname()[1]}"
    threading.Thread(target=self._accept, daemon=True).start()

  def _accept(self):
    while True:
      try:
        connection, _ = self.server.accept()
      except OSError:
        return  # closed
      threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

  def _serve(self, connection: socket.socket):
    with connection, connection.makefile("rb") as requests:
      while first := requests.readline():
        while requests.readline() not in (b"\r\n", b""):
          pass
        method, path, _ = first.decode().split()
        self.asked.append(f"{method} {path}")
        if not self._answer(connection, path):
          requests.read()  # silent until the client hangs up

  def _answer(self, connection: socket.socket, path: str) -> bool:
    if "/resolve/" in path:
      if self.silent_at == "headers":
        return False
      missing = 1_000 if self.silent_at == "body" else 0
      connection.sendall(_head(len(self.content) + missing) + self.content)
      return not missing
    if "/api/datasets/" in path and self.silent_at == "api":
      return False
    files = [{"rfilename": file} for file in FILES]
    about = {"id": SST2.source.hub, "sha": COMMIT, "siblings": files}
    body = json.dumps(about).encode()
    connection.sendall(_head(len(body)) + body)
    return True


def _head(length: int) -> bytes:
  lines = ("HTTP/1.1 200 OK", "Content-Type: application/json")
  return "\r\n".join([*lines, f"Content-Length: {length}", "\r\n"]).encode()


@pytest.fixture
def connect(tmp_path, monkeypatch):
  """Makes a hub the one that is asked; copies of its files stay in the test."""
  datasets = pytest.importorskip("datasets", reason="needs the extra [data]")
  constants = pytest.importorskip("huggingface_hub").constants

  def take(hub: Hub) -> Hub:
    form = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + form)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return hub

  return take


@pytest.mark.parametrize(
  ("silent_at", "last_request"),
  [
    ("api", "GET /api/datasets/"),
    ("headers", "GET /datasets/"),
    ("body", "GET /datasets/"),
  ],
)
def test_a_silent_hub_ends_with_a_message(silent_at, last_request, tmp_path, connect):
  hub = connect(Hub(silent_at))
  folder = epath.Path(tmp_path / "data")
  settings = GetSettings(retry_seconds=(0.0,), answer_seconds=0.2)
  before = time.monotonic()
  with pytest.raises(SymtuneError, match=r"cannot be read after 2 tries: .*again"):
    get_tasks([SST2], folder, settings, lambda line: None)
  assert time.monotonic() - before < 60
  assert hub.asked[-1].startswith(last_request)
  assert not folder.exists()
  assert not list(tmp_path.rglob("*.part"))
  hub.server.close()


def test_a_hub_that_answers_is_read_once(tmp_path, connect):
  parquet = pytest.importorskip("pyarrow.parquet")
  pa = pytest.importorskip("pyarrow")
  texts = {"sentence": ["a b", "c d"], "label": ["negative", "positive"]}
  parquet.write_table(pa.table(texts), tmp_path / "rows.parquet")
  hub = connect(Hub(None, (tmp_path / "rows.parquet").read_bytes()))
  for name in ("first", "second"):
    folder = epath.Path(tmp_path / name)
    get_tasks([SST2], folder, GetSettings(answer_seconds=20.0), lambda line: None)
    assert len(read_task(SST2, folder).examples) == 4
    assert read_provenance(folder)["sst2.jsonl"].revision == COMMIT
  copied = [request for request in hub.asked if "/resolve/" in request]
  address = f"GET /datasets/{SST2.source.hub}/resolve/{COMMIT}"
  assert copied == [f"{address}/{file}" for file in FILES]
  hub.server.close()
