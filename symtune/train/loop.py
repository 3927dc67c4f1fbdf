"""The training loop: batch, step, log, save, call hooks. No maths."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax

from symtune.errors import SymtuneError
from symtune.train import checkpoint, hosts, metrics
from symtune.train.metrics import MetricSums, Sums
from symtune.train.progress import Progress
from symtune.train.record import MAX_STEP
from symtune.train.state import TrainState, abstract_state
from symtune.train.stop import StopRequest, stop_on_signals

CHECKPOINTS = "checkpoints"
_NO_SUMS = MetricSums()

# Called with the number of updates made and the state. The next step donates the
# state's arrays, so a hook must copy what it wants to keep.
Hook = Callable[[int, TrainState], None]
# (state, batch on the devices) -> (state, metrics of the step)
StepFn = Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, Any]]


# A row of metrics.jsonl -> why the run ends there, or None.
StopRule = Callable[[Mapping[str, Any]], str | None]


def _never(row: Mapping[str, Any]) -> str | None:
  """The rule of a run that makes all of its steps."""
  del row


@runtime_checkable
class BatchIterator(Protocol):
  """An endless stream of batches whose position can be saved."""

  def __next__(self) -> Mapping[str, Any]:
    """Returns the next batch: arrays by name, such as a `Batch`."""
    ...

  def get_state(self) -> dict[str, Any]:
    """Returns the position of the next batch as JSON values."""
    ...

  def set_state(self, state: dict[str, Any]) -> None:
    """Moves to a position that `get_state` returned."""
    ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings:
  """The length of a run and how often it writes.

  Attributes:
    steps: the number of updates of the whole run, including those before it resumed.
    log_every: steps between rows of metrics.jsonl; the last step always has one.
    save_every: steps between checkpoints; the last step always has one.
    keep: how many of the newest checkpoints are kept.
    keep_every: checkpoints at multiples of this step are always kept; None: no others.
    seed: seeds the parameters and the dropout masks.
  """

  steps: int
  log_every: int = 10
  save_every: int = 500
  keep: int = 2
  keep_every: int | None = None
  seed: int = 0

  def __post_init__(self):
    for name in ("steps", "log_every", "save_every", "keep"):
      if getattr(self, name) < 1:
        raise SymtuneError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
    if self.steps > MAX_STEP:
      raise SymtuneError(f"steps is {self.steps}; it must be {MAX_STEP} or less.")
    if self.keep_every is not None and self.keep_every < 1:
      raise SymtuneError(f"keep_every is {self.keep_every}; it must be 1 or more.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitResult:
  """How a run ended.

  Attributes:
    state: the state after the last update.
    step: the number of updates made in all.
    stopped_by: None, or what ended the run early: "SIGTERM", "SIGINT" or "a signal to
      another process".
    ended_by: None, or what `stop_when` said: the run is finished all the same.
  """

  state: TrainState
  step: int
  stopped_by: str | None
  ended_by: str | None = None


def fit(
  *,
  state: TrainState,
  batches: BatchIterator,
  train_step: StepFn,
  settings: TrainSettings,
  run_dir: pathlib.Path,
  config_hash: str,
  config: Mapping[str, Any] | None = None,
  put_batch: Callable[[Any], dict[str, jax.Array]] = jax.device_put,
  hooks: Sequence[Hook] = (),
  trackers: Sequence[Callable[[Mapping[str, Any]], None]] = (),
  progress: Progress | None = None,
  no_sums: Sums = _NO_SUMS,
  stop_when: StopRule = _never,
) -> FitResult:
  """Trains until `settings.steps`, resuming the newest checkpoint of `run_dir`.

  The same arguments give the same checkpoints and the same metrics.jsonl, however
  often the run was killed and started again. The devices compute a step while the host
  builds the next batch; the metrics of the step are fetched afterwards.

  On SIGTERM or Ctrl-C the current step finishes, a checkpoint is saved, and `fit`
  returns. Several processes continue to the next logged step and stop there together.

  Args:
    state: the state before step 0. Do not use it afterwards: its arrays are donated.
    batches: endless; its position is saved and restored with the state.
    train_step: as made by `symtune.train.step.jit_train_step`; donates the state.
    settings: the length of the run, and how often it writes.
    run_dir: receives checkpoints/, metrics.jsonl and timing.jsonl; created if missing.
    config_hash: identifies the configuration; checkpoints of others are refused.
    config: the configuration itself as JSON values, kept in every checkpoint.
    put_batch: moves a batch to the devices (`partition.batch_putter`).
    hooks: called after every step, in order.
    trackers: called with each row of metrics.jsonl, and of timing.jsonl.
    progress: where to show the run; a new `Progress` when None.
    no_sums: sums of no steps, of the kind that the step's metrics add up to.
    stop_when: called with each row of metrics.jsonl; a reason ends the run there, as
      its last step. A finished run that is started again ends at once.

  Raises:
    SymtuneError: the loss is NaN or infinite, the batches ended, or the newest
      checkpoint of run_dir is damaged or has another configuration.
  """
  run_dir = pathlib.Path(run_dir)
  run_dir.mkdir(parents=True, exist_ok=True)
  with progress or Progress(settings.steps) as shown, stop_on_signals() as stop:
    state, sums = _resume(state, batches, run_dir, config_hash, shown, no_sums)
    saver = _Saver(run_dir, settings, config_hash, config or {}, batches)
    recorder = _Recorder(run_dir, settings, sums, no_sums, shown, trackers)
    step = int(state.step)
    stopped = _is_stopped(stop, step, settings)
    rows = metrics.read_rows(run_dir / metrics.METRICS_FILE)
    reason = stop_when(rows[-1]) if rows else None
    while step < settings.steps and not stopped and reason is None:
      batch = put_batch(_next_batch(batches, step))
      with jax.transfer_guard("disallow"):
        state, step_metrics = train_step(state, batch)
      step += 1
      recorder.push(step, step_metrics)
      for hook in hooks:
        hook(step, state)
      if stop_when is not _never and step % settings.log_every == 0:
        recorder.drain()
        reason = stop_when(recorder.row)
      if step % settings.save_every == 0 or step == settings.steps or reason:
        saver.save(state, recorder.drain())
      stopped = _is_stopped(stop, step, settings)
    if stopped:
      saver.save(state, recorder.drain())  # unless it was the last step, and is saved
      signal_name = stop.signal_name or "a signal to another process"
      _say_stopped(shown, signal_name, step, run_dir)
      return FitResult(state=state, step=step, stopped_by=signal_name)
    if reason is not None:
      shown.say(f"Ended after step {step}: {reason}.")
  return FitResult(state=state, step=step, stopped_by=None, ended_by=reason)


class _Recorder:
  """Adds up each step's metrics, one step late, and writes the rows."""

  def __init__(
    self,
    run_dir: pathlib.Path,
    settings: TrainSettings,
    sums: Sums,
    empty: Sums,
    progress: Progress,
    trackers: Sequence[Callable[[Mapping[str, Any]], None]],
  ) -> None:
    self._trackers = trackers
    self._run_dir = run_dir
    self._settings = settings
    self._sums = sums
    self._empty = empty
    self._progress = progress
    self._pending: tuple[int, Any] | None = None
    self.row: Mapping[str, Any] = {}
    self._clock = (time.monotonic(), sums.steps, sums.real_tokens)

  def push(self, step: int, step_metrics: Any) -> None:
    """Holds the newest metrics, whose step may still run, and adds up those before."""
    self.drain()
    self._pending = (step, step_metrics)

  def drain(self) -> Sums:
    """Waits for the metrics held back; returns the sums since the last row."""
    if self._pending is None:
      return self._sums
    step, step_metrics = self._pending
    self._pending = None
    newest = type(self._empty).of_step(step_metrics)
    newest.check_finite(step)
    self._sums = self._sums.plus(newest)
    if step % self._settings.log_every == 0 or step == self._settings.steps:
      self._write(step)
    self._progress.update(step, newest)
    return self._sums

  def _write(self, step: int) -> None:
    row, timing = self._sums.row(step), self._timing(step)
    self.row = row
    if jax.process_index() == 0:
      metrics.append_row(self._run_dir / metrics.METRICS_FILE, row)
      metrics.append_row(self._run_dir / metrics.TIMING_FILE, timing)
      for track in self._trackers:
        track({**row, **timing})
    self._sums = self._empty
    self._clock = (time.monotonic(), 0, 0.0)

  def _timing(self, step: int) -> dict[str, int | float]:
    since, steps_before, tokens_before = self._clock
    seconds = max(time.monotonic() - since, 1e-9)
    return {
      "step": step,
      "seconds": round(seconds, 6),
      "seconds_per_step": round(seconds / (self._sums.steps - steps_before), 6),
      "real_tokens_per_second": round(
        (self._sums.real_tokens - tokens_before) / seconds, 3
      ),
    }


class _Saver:
  """Saves the state with the data position and the sums that no row holds yet."""

  def __init__(
    self,
    run_dir: pathlib.Path,
    settings: TrainSettings,
    config_hash: str,
    config: Mapping[str, Any],
    batches: BatchIterator,
  ) -> None:
    self._directory = run_dir / CHECKPOINTS
    self._metrics = run_dir / metrics.METRICS_FILE
    self._settings = settings
    self._config_hash = config_hash
    self._config = config
    self._batches = batches

  def save(self, state: TrainState, sums: Sums) -> None:
    """Writes a checkpoint, unless there is one of the same step."""
    checkpoint.save(
      self._directory,
      state,
      self._batches.get_state(),
      config_hash=self._config_hash,
      config=self._config,
      metric_sums=sums.to_json(),
      metrics_checksum=metrics.rows_checksum(self._metrics),
      keep=self._settings.keep,
      keep_every=self._settings.keep_every,
    )


def _resume(
  state: TrainState,
  batches: BatchIterator,
  run_dir: pathlib.Path,
  config_hash: str,
  progress: Progress,
  sums: Sums,
) -> tuple[TrainState, Sums]:
  """Returns the state of the newest checkpoint, or the given state if there is none."""
  directory = run_dir / CHECKPOINTS
  step = checkpoint.latest_step(directory)
  wanted_rows = ""
  hosts.check_same(str(step), f"newest checkpoint in {directory}")
  if step is not None:
    wanted = abstract_state(state)
    jax.tree.map(lambda leaf: leaf.delete(), state)  # memory may not hold two states
    saved = checkpoint.restore(directory, step, wanted, config_hash=config_hash)
    batches.set_state(saved.data_state)
    state = saved.state
    try:
      sums = type(sums).from_json(saved.metric_sums)
    except SymtuneError as error:
      raise SymtuneError(f"{directory / str(step)}: {error}. It is damaged.") from error
    wanted_rows = saved.metrics_checksum
    progress.say(f"Resuming at step {step} from {directory / str(step)}.")
  if hosts.is_first():
    for name in (metrics.METRICS_FILE, metrics.TIMING_FILE):
      metrics.truncate_rows(run_dir / name, step or 0)
    metrics.check_rows(run_dir / metrics.METRICS_FILE, wanted_rows)
  return state, sums


def _next_batch(batches: BatchIterator, step: int) -> Mapping[str, Any]:
  try:
    return next(batches)  # pyright: ignore[reportCallIssue, reportArgumentType]
  except StopIteration:
    raise SymtuneError(
      f"the batches ended after step {step}; pass an endless iterator to train."
    ) from None


def _is_stopped(stop: StopRequest, step: int, settings: TrainSettings) -> bool:
  """Whether to stop after this step; several processes agree at logged steps only."""
  if jax.process_count() == 1:
    return bool(stop)
  return step % settings.log_every == 0 and hosts.any_of_all(bool(stop))


def _say_stopped(
  progress: Progress, signal_name: str, step: int, run_dir: pathlib.Path
) -> None:
  progress.say(
    f"Stopped by {signal_name} after step {step}; saved "
    f"{run_dir / CHECKPOINTS / str(step)}. Start the same run again to continue."
  )
