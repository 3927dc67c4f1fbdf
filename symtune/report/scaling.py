"""Stage 11: PairedResults -> a figure of accuracy against model size, with slopes.

The slope is that of a least-squares line of accuracy over log10(parameters): points per
tenfold size. It is a weighted sum of the accuracies, so its interval is that of a mean
of per-question sums, clustered and paired across sizes: every model answered the same
questions. Taken as given: the sizes, and that there is one model of each.
"""

import dataclasses
import io

import matplotlib
import numpy as np
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from symtune.probe.run import CheckpointLabel
from symtune.probe.stats import CONFIDENCE, Estimate, macro_mean, mean_and_error
from symtune.report.results import (
  PairedResults,
  SettingRows,
  checkpoint_title,
  setting_title,
)
from symtune.report.summary import task_answers
from symtune.report.tables import Column, Table

_COLUMNS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slope:
  """What a tenfold size changes.

  Attributes:
    probe: name of the probe.
    setting: name of the setting.
    per_decade: change of accuracy per tenfold parameters.
    low: lower end of its 95% interval.
    high: upper end of its 95% interval.
    accuracy: one estimate per checkpoint.
    chance: of a uniform guesser, 0 to 1.
  """

  probe: str
  setting: str
  per_decade: float
  low: float
  high: float
  accuracy: tuple[Estimate, ...]
  chance: float


def has_sizes(results: PairedResults) -> bool:
  """Whether there are models of at least two sizes, and nothing without a size."""
  sizes = [label.parameters for label in results.checkpoints]
  return None not in sizes and len(set(sizes)) > 1


def fit_slopes(results: PairedResults) -> tuple[Slope, ...]:
  """One slope per setting.

  Args:
    results: of models of at least two sizes (`has_sizes`).
  """
  assert has_sizes(results), "sizes to compare"
  sizes = np.log10([float(label.parameters or 0) for label in results.checkpoints])
  centred = sizes - sizes.mean()
  weights = centred / (centred @ centred)
  return tuple(_fit(setting, weights) for setting in results.settings)


def slope_table(slopes: tuple[Slope, ...]) -> Table:
  """One row per setting."""
  return Table(
    title="Change of accuracy per tenfold model size, in points [95% interval]",
    columns=(Column(title="setting", is_number=False), Column(title="slope")),
    rows=tuple((setting_title(s.probe, s.setting), _show(s)) for s in slopes),
  )


def draw_scaling(
  slopes: tuple[Slope, ...], checkpoints: tuple[CheckpointLabel, ...]
) -> bytes:
  """A PNG: one panel per setting, accuracies with intervals, line and slope.

  Args:
    slopes: of `fit_slopes`, at least one.
    checkpoints: in the order of their estimates.
  """
  columns = min(_COLUMNS, len(slopes))
  rows = -(-len(slopes) // columns)
  with matplotlib.rc_context():
    matplotlib.rcdefaults()
    matplotlib.rcParams.update({"font.size": 10, "axes.titlesize": 10})
    size = (1.0 + 3.1 * columns, 0.7 + 2.7 * rows)
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel, slope in zip(axes.flat, slopes, strict=False):
      _draw_panel(panel, slope, checkpoints)
    for panel in axes.flat[len(slopes) :]:
      panel.set_visible(False)
    figure.supxlabel("parameters")
    figure.supylabel("accuracy in %, mean over tasks")
    buffer = io.BytesIO()
    canvas.print_png(buffer, metadata={"Software": None})
  return buffer.getvalue()


def _fit(setting: SettingRows, weights: np.ndarray) -> Slope:
  values, accuracy = [], []
  for task in setting.tasks:
    right = np.array([[r.correct for r in rows] for rows in task.by_checkpoint], float)
    values.append(task_answers(task.by_checkpoint[0], (weights @ right).tolist()))
  for i in range(len(weights)):
    rows = [task.by_checkpoint[i] for task in setting.tasks]
    accuracy.append(
      macro_mean([task_answers(r, [float(x.correct) for x in r]) for r in rows])
    )
  mean, error = mean_and_error(values)
  half = float(scipy.stats.norm.ppf((1.0 + CONFIDENCE) / 2)) * error
  chances = [np.mean([r.chance for r in t.by_checkpoint[0]]) for t in setting.tasks]
  return Slope(
    probe=setting.probe,
    setting=setting.setting,
    per_decade=mean,
    low=mean - half,
    high=mean + half,
    accuracy=tuple(accuracy),
    chance=float(np.mean(chances)),
  )


def _draw_panel(
  axes: Axes, slope: Slope, checkpoints: tuple[CheckpointLabel, ...]
) -> None:
  sizes = np.array([float(label.parameters or 0) for label in checkpoints])
  means, lows, highs = (
    100 * np.array([getattr(e, end) for e in slope.accuracy])
    for end in ("mean", "low", "high")
  )
  errors = np.clip([means - lows, highs - means], 0, None)
  axes.errorbar(
    sizes, means, errors, fmt="o", color="#0072b2", ecolor="#222222", capsize=3
  )
  ends = np.array([sizes.min(), sizes.max()])
  centre = np.log10(sizes).mean()
  line = means.mean() + 100 * slope.per_decade * (np.log10(ends) - centre)
  axes.plot(ends, line, color="#0072b2", linewidth=1.2)
  axes.axhline(100 * slope.chance, color="#d55e00", linestyle="--", linewidth=1.2)
  for label, size, low in zip(checkpoints, sizes, lows, strict=True):
    axes.annotate(
      checkpoint_title(label), (size, low), (0, -4), textcoords="offset points",
      ha="center", va="top", fontsize=7, color="#555555",
    )  # fmt: skip
  axes.set_xscale("log")
  axes.margins(x=0.25)
  axes.set_ylim(0, 105)
  axes.set_title(f"{setting_title(slope.probe, slope.setting)}\n{_show(slope)} per 10x")
  axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
  axes.spines[["top", "right"]].set_visible(False)


def _show(slope: Slope) -> str:
  ends = f"[{100 * slope.low:.1f}, {100 * slope.high:.1f}]"
  return f"{100 * slope.per_decade:+.1f} {ends}"
