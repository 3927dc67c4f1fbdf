"""A run folder -> probes_STEP.md, .html and .png: what each layer holds."""

import functools
import pathlib

from symtune.regression import metrics
from symtune.regression.figures import draw_probes
from symtune.regression.probes import KINDS, TARGETS, num_exemplars, probe_layers
from symtune.regression.report import to_content
from symtune.regression.settings import RegressionRecipe
from symtune.regression.tables import show
from symtune.regression.train import load_params, make_network
from symtune.report.lab.content import Drawing
from symtune.report.lab.page import write_content
from symtune.report.tables import Column, Table

_LABELS = {0: "before layer 1"}


def write_probes(
  recipe: RegressionRecipe, run_dir: pathlib.Path, step: int | None
) -> tuple[str, list[Table], pathlib.Path]:
  """Probes a checkpoint and writes a table and a figure.

  Args:
    recipe: the run's recipe.
    run_dir: holds the checkpoints; gets probes_STEP.md, .html and .png.
    step: which checkpoint; 0 is before training; None: the newest.

  Returns:
    A headline, the tables, and the path of the Markdown file.

  Raises:
    SymtuneError: there is no such checkpoint, or it is damaged.
  """
  params, step = load_params(recipe, run_dir, step)
  found = probe_layers(recipe, make_network(recipe), params)
  counts = metrics.resample_counts(recipe.probes.test_episodes)
  panels = {
    kind: {
      target: metrics.mean_curve(found[kind][i], counts)
      for i, target in enumerate(TARGETS)
    }
    for kind in KINDS
  }
  tables = [
    Table(
      title=f"{kind} probes: squared error / variance by layer [95% interval]",
      columns=(
        Column(title="layer", is_number=False),
        *(Column(title=target) for target in TARGETS),
      ),
      rows=tuple(
        (
          _LABELS.get(layer, str(layer)),
          *(show(c.mean[layer], c.low[layer], c.high[layer]) for c in curves.values()),
        )
        for layer in range(recipe.network.layers + 1)
      ),
    )
    for kind, curves in panels.items()
  ]
  n = num_exemplars(recipe)
  first = f"Step {step}: what layers hold after {n} exemplars."
  path = run_dir / f"probes_{step}.md"
  figure = Drawing(
    file=path.with_suffix(".png").name,
    alt="Errors of the probes by layer",
    draw=functools.partial(draw_probes, "layer", panels),
  )
  write_content(path.with_suffix(""), to_content(recipe.name, first, figure, tables))
  return first, tables, path
