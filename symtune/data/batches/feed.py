"""Windows built ahead by worker processes, so that an accelerator never waits for data.

Grain runs the processes and hands their arrays over in shared memory. What comes out is
what one process would build, in the same order: a window depends on its number alone,
so the number of workers, like that of hosts, changes nothing but the speed.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from symtune.data.batches.windows import BatchShape, PromptsAt, Window, build_window
from symtune.errors import SymtuneError

# Windows that each worker builds ahead. One window of 1,024 prompts is about 4 MB.
_AHEAD = 2
_ENDLESS = 2**31 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeedSettings:
  """How windows are built ahead.

  Attributes:
    workers: processes; 0 builds windows in the training process, when they are needed.
    cache_dir: folder of the token cache; None keeps the ids in the memory of each
      process.
  """

  workers: int = 0
  cache_dir: str | None = None

  def __post_init__(self):
    if self.workers < 0:
      raise SymtuneError(f"feed: got {self.workers} workers, expected 0 or more.")


def prefetched_windows(
  prompts_at: PromptsAt, shape: BatchShape, *, seed: int, workers: int
) -> Callable[[int], Iterator[Window]]:
  """What `BatchStream` asks windows of, built ahead by other processes.

  The processes start afresh (spawn), so the script that starts them needs
  `if __name__ == "__main__":`, as everywhere in Python.

  Args:
    prompts_at: the tokenized prompts at some positions; a pure function that can be
      pickled, such as a `TokenStream`.
    shape: sizes and packing.
    seed: shuffles the rows of each window.
    workers: processes, at least 1.

  Returns:
    From a start, an endless iterator of the windows start, start + 1, ...

  Raises:
    SymtuneError: fewer than one worker.
  """
  if workers < 1:
    raise SymtuneError(f"feed: got {workers} workers, expected at least 1.")
  build = _BuildWindow(prompts_at, shape, seed)

  def windows(start: int) -> Iterator[Window]:
    import grain  # its import costs a fifth of a second; only feeds with workers pay
    from absl import flags

    if not flags.FLAGS.is_parsed():
      flags.FLAGS.mark_as_parsed()  # Grain reads flags of its own; they have defaults
    data = grain.MapDataset.source(_Numbers(start)).map(build)
    one_thread = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
    options = grain.MultiprocessingOptions(
      num_workers=workers, per_worker_buffer_size=_AHEAD
    )
    for arrays in data.to_iter_dataset(one_thread).mp_prefetch(options):
      if "error" in arrays:
        raise SymtuneError(arrays["error"].tobytes().decode())
      yield Window(**{name: np.asarray(array) for name, array in arrays.items()})

  return windows


class _Numbers:
  """The numbers of the windows from a start on, as a source of Grain."""

  def __init__(self, start: int):
    self._start = start

  def __len__(self) -> int:
    return _ENDLESS - self._start

  def __getitem__(self, index: int) -> int:
    return self._start + int(index)


@dataclasses.dataclass(frozen=True)
class _BuildWindow:
  """Builds a window in a worker; it travels as a dictionary of arrays."""

  prompts_at: PromptsAt
  shape: BatchShape
  seed: int

  def __call__(self, number: int) -> dict[str, np.ndarray]:
    try:
      window = build_window(self.prompts_at, self.shape, seed=self.seed, number=number)
    except SymtuneError as error:
      # Grain would wrap it and lose its class.
      return {"error": np.frombuffer(str(error).encode(), np.uint8)}
    return {f.name: getattr(window, f.name) for f in dataclasses.fields(window)}
