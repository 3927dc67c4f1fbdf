"""Windows built ahead by worker processes, so that an accelerator never waits for data.

Grain runs the processes and passes their arrays in shared memory. The windows and their
order are the same as from one process: a window depends only on its number, so the
number of workers, like that of hosts, affects only the speed.
"""

import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from symtune.data.batches.windows import BatchShape, PromptsAt, Window, build_window
from symtune.errors import SymtuneError

# Number of windows that each worker builds ahead; 1,024 prompts take about 4 MB.
_AHEAD = 2
_ENDLESS = 2**31 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeedSettings:
  """How windows are built ahead.

  Attributes:
    workers: number of processes; with 0, the training process builds each window when
      it is needed.
    cache_dir: folder of the token cache; None keeps token ids in each process's memory.
  """

  workers: int = 0
  cache_dir: str | None = None

  def __post_init__(self):
    if self.workers < 0:
      raise SymtuneError(f"feed: got {self.workers} workers, expected 0 or more.")


def prefetched_windows(
  prompts_at: PromptsAt, shape: BatchShape, *, seed: int, workers: int
) -> Callable[[int], Iterator[Window]]:
  """A source of windows for `BatchStream`, built ahead by other processes.

  The processes are spawned, so the script that starts them needs the usual
  `if __name__ == "__main__":`.

  Args:
    prompts_at: maps positions to their tokenized prompts; a pure function that can be
      pickled, such as a `TokenStream`.
    shape: sizes and packing.
    seed: seed for shuffling the packed rows of each window.
    workers: number of processes, at least 1.

  Returns:
    A function: start -> endless iterator of the windows start, start + 1, ...

  Raises:
    SymtuneError: fewer than one worker.
  """
  if workers < 1:
    raise SymtuneError(f"feed: got {workers} workers, expected at least 1.")
  build = _BuildWindow(prompts_at, shape, seed)

  def windows(start: int) -> Iterator[Window]:
    import grain  # takes 0.2 seconds to import, and only feeds with workers need it
    from absl import flags

    if not flags.FLAGS.is_parsed():
      flags.FLAGS.mark_as_parsed()  # Grain reads its own flags, which have defaults
    data = grain.MapDataset.source(_Numbers(start)).map(build)
    one_thread = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
    options = grain.MultiprocessingOptions(
      num_workers=workers, per_worker_buffer_size=_AHEAD
    )
    ahead = data.to_iter_dataset(one_thread).mp_prefetch(options, _follow_parent)
    for arrays in _name_dead_workers(ahead):
      if "error" in arrays:
        raise SymtuneError(arrays["error"].tobytes().decode())
      yield Window(**{name: np.asarray(array) for name, array in arrays.items()})

  return windows


def _follow_parent(_index: int, _count: int) -> None:
  """Lets a worker end when the process that started it does, however that ends.

  Ctrl-C reaches all processes of a terminal; a worker leaves the answer to its parent.
  """
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  parent = multiprocessing.parent_process()
  if parent is None:
    return

  def wait() -> None:
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)  # nothing waits for this process, and nobody takes what it built

  threading.Thread(target=wait, daemon=True).start()


def _name_dead_workers(arrays: Iterable[Any]) -> Iterator[Any]:
  """Passes on what the workers build; one that was killed becomes one message."""
  try:
    yield from arrays
  except RuntimeError as error:
    if "terminated unexpectedly" not in str(error):
      raise
    raise SymtuneError(
      f"feed: {str(error).split('.')[0]}. The system may have killed it for want of "
      "memory: lower --workers. The same command goes on from the last checkpoint."
    ) from error


class _Numbers:
  """The numbers of the windows from a start on, as a data source for Grain."""

  def __init__(self, start: int):
    self._start = start

  def __len__(self) -> int:
    return _ENDLESS - self._start

  def __getitem__(self, index: int) -> int:
    return self._start + int(index)


@dataclasses.dataclass(frozen=True)
class _BuildWindow:
  """Builds a window in a worker and returns it as a dictionary of arrays."""

  prompts_at: PromptsAt
  shape: BatchShape
  seed: int

  def __call__(self, number: int) -> dict[str, np.ndarray]:
    try:
      window = build_window(self.prompts_at, self.shape, seed=self.seed, number=number)
    except SymtuneError as error:
      # Grain would wrap the error and lose its class.
      return {"error": np.frombuffer(str(error).encode(), np.uint8)}
    return {f.name: getattr(window, f.name) for f in dataclasses.fields(window)}
