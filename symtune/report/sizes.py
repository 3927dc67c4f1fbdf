"""Stage 11: Summaries of several sizes -> table and figure of accuracy by model size.

One panel per probe setting and one line per checkpoint of a run (before and after),
with the number of parameters on a logarithmic axis.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symtune.errors import SymtuneError
from symtune.probe.run import CheckpointLabel
from symtune.report.canvas import draw_png
from symtune.report.results import setting_title
from symtune.report.summary import Summary
from symtune.report.tables import Column, Table, show_estimate

_COLOURS = ("#8a929a", "#0072b2", "#d55e00")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SizeResult:
  """The results of a network of one size.

  Attributes:
    parameters: number of parameters of the network.
    checkpoints: in the order of the summaries' estimates.
    summaries: one per setting (`summary.summarize_settings`).
  """

  parameters: int
  checkpoints: tuple[CheckpointLabel, ...]
  summaries: tuple[Summary, ...]


def check_comparable(sizes: Sequence[SizeResult]) -> None:
  """Refuses runs that were not asked the same questions.

  Raises:
    SymtuneError: no run, or or other settings, tasks, checkpoints or answer counts.
  """

  def asked(size: SizeResult) -> tuple:
    names = tuple(label.name for label in size.checkpoints)
    return names, [(s.probe, s.setting, s.tasks, s.n) for s in size.summaries]

  if not sizes:
    raise SymtuneError("sizes: got no runs to compare, expected at least one.")
  for size in sizes[1:]:
    if asked(size) != asked(sizes[0]):
      raise SymtuneError(
        f"sizes: the networks of {sizes[0].parameters:,} and {size.parameters:,} "
        f"parameters were not asked the same questions. Probe both with one recipe."
      )


def size_table(sizes: Sequence[SizeResult]) -> Table:
  """One row per setting and checkpoint, one column per size."""
  rows = []
  for i, summary in enumerate(sizes[0].summaries):
    for j, label in enumerate(sizes[0].checkpoints):
      estimates = [size.summaries[i].accuracy[j] for size in sizes]
      rows.append(
        (
          setting_title(summary.probe, summary.setting),
          label.name,
          str(summary.n),
          *(show_estimate(e) for e in estimates),
        )
      )
  return Table(
    title="Accuracy in % by number of parameters, mean over tasks [95% interval]",
    columns=(
      Column(title="setting", is_number=False),
      Column(title="checkpoint", is_number=False),
      Column(title="n"),
      *(Column(title=f"{size.parameters / 1e6:.2f}M") for size in sizes),
    ),
    rows=tuple(rows),
  )


def draw_sizes(sizes: Sequence[SizeResult]) -> bytes:
  """A PNG of the same numbers, with intervals and chance levels."""
  settings = sizes[0].summaries

  def draw(figure: Figure) -> None:
    axes = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    for i, panel in enumerate(axes):
      _draw_panel(panel, sizes, i)
    axes[0].set_ylabel("accuracy in %, mean over tasks")
    figure.supxlabel("parameters")
    lines, names = axes[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside upper center", ncols=len(names))

  return draw_png(draw, size=(2.9 * len(settings), 3.4), dpi=150)


def _draw_panel(axes: Axes, sizes: Sequence[SizeResult], setting: int) -> None:
  parameters = [size.parameters for size in sizes]
  for j, label in enumerate(sizes[0].checkpoints):
    estimates = [size.summaries[setting].accuracy[j] for size in sizes]
    means, lows, highs = (
      100 * np.array([getattr(e, end) for e in estimates])
      for end in ("mean", "low", "high")
    )
    errors = np.clip([means - lows, highs - means], 0, None)
    colour = _COLOURS[j % len(_COLOURS)]
    axes.errorbar(
      parameters, means, errors, fmt="o-", color=colour, capsize=3, label=label.name
    )
  summary = sizes[0].summaries[setting]
  axes.axhline(100 * summary.chance, color="#222222", linestyle=":", label="chance")
  axes.set_title(setting_title(summary.probe, summary.setting), fontsize=10)
  axes.set_xscale("log")
  axes.set_xticks(parameters, [f"{count / 1e6:.1f}M" for count in parameters])
  axes.set_xticks([], minor=True)
  axes.set_ylim(0, 103)
  axes.spines[["top", "right"]].set_visible(False)
