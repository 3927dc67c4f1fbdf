"""What takes most of a call's time on a GPU, by the profiler of JAX; for gpu.py."""

import collections
import gzip
import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import jax


def largest_costs(run: Callable[[], Any], count: int = 3) -> list[str]:
  """The kernels that take most of a call's time, with their share of all kernels'."""
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      jax.block_until_ready(run())
    (file,) = pathlib.Path(folder).rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
  lines = {
    (event["pid"], event["tid"]): event["args"]["name"]
    for event in events
    if event.get("name") == "thread_name"
  }
  # A GPU's kernels are on its streams; other lines repeat them under other names.
  kind = "tf" if jax.default_backend() == "cpu" else "Stream"
  times: collections.Counter[str] = collections.Counter()
  for event in events:
    where = (event.get("pid"), event.get("tid"))
    if event.get("ph") == "X" and lines.get(where, "").startswith(kind):
      times[event["name"].rstrip("0123456789._")] += event["dur"]
  total = sum(times.values())
  return [f"{name[:60]} {time / total:.0%}" for name, time in times.most_common(count)]
