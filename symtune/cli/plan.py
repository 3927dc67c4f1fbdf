"""The plan command: what a recipe needs on a slice, or why it cannot run there."""

from collections.abc import Sequence

import rich.console
import rich.table

from symtune.cli.gin_config import load_recipe, split_overrides
from symtune.errors import SymtuneError
from symtune.experiment.planning.plan import Plan, Workload, find_layout, make_plan
from symtune.experiment.planning.slices import Slice, find_slice
from symtune.train.partition import Layout


def plan(
  recipe_name: str,
  overrides: Sequence[str],
  slice_name: str,
  layout: Layout,
  mfu: float,
) -> None:
  """Prints the plan.

  Args:
    recipe_name: a .gin file or the name of one.
    overrides: arguments of the form --gin.NAME=VALUE.
    slice_name: such as "v4-32".
    layout: how parameters and batches are sharded.
    mfu: share of the chips' peak that the run is assumed to reach.

  Raises:
    SymtuneError: the recipe cannot run there with this layout; the message names a
      layout that fits, if there is one.
  """
  recipe, _ = load_recipe(recipe_name, split_overrides(overrides))
  target = find_slice(slice_name)
  work = Workload(recipe)
  found = make_plan(work, target, layout, mfu)
  console = rich.console.Console(highlight=False)
  console.print(_table(f"{recipe.name} on {target.name}", found, target, mfu))
  if not found.fits:
    other = find_layout(work, target, mfu)
    advice = f"It fits with {layout_options(other)}." if other else _too_small(target)
    raise SymtuneError(
      f"{recipe.name} needs {_size(found.used_bytes)} on each device of {target.name}, "
      f"which has {_size(found.device_bytes)} to use. {advice}"
    )


def layout_options(layout: Layout) -> str:
  """A layout as options of `symtune train` and `symtune plan`."""
  options = []
  if layout.model_devices > 1:
    options.append(f"--model-devices {layout.model_devices}")
  if layout.shard_params:
    options.append("--shard-params")
  if layout.microbatches > 1:
    options.append(f"--microbatches {layout.microbatches}")
  return " ".join(options) or "the defaults"


def _too_small(target: Slice) -> str:
  return f"No layout of {target.name} can hold it: choose a larger slice."


def _table(title: str, plan: Plan, target: Slice, mfu: float) -> rich.table.Table:
  table = rich.table.Table(title=title, show_header=False)
  rows = [
    ("parameters", f"{plan.parameters:,}"),
    ("devices", f"{target.devices} of {_size(target.memory)}"),
    ("rows at once, per device", str(plan.rows_per_device)),
    ("parameters, per device", _size(plan.param_bytes)),
    ("gradients, per device", _size(plan.gradient_bytes)),
    ("optimizer, per device", _size(plan.optimizer_bytes)),
    ("activations, per device", _size(plan.activation_bytes)),
    ("together, of usable", f"{_size(plan.used_bytes)} of {_size(plan.device_bytes)}"),
    ("work of a step", f"{plan.step_flops / 1e12:,.1f} TFLOP"),
    ("time of a step", f"{plan.step_seconds:.3f} s at {mfu:.0%} of peak"),
    ("time of all steps", f"{plan.hours:.2f} h, without compiling and probing"),
    ("a checkpoint", _size(plan.checkpoint_bytes)),
  ]
  for name, value in rows:
    table.add_row(name, value)
  return table


def _size(count: int) -> str:
  return f"{count / 2**30:.2f} GiB" if count >= 2**28 else f"{count / 2**20:.1f} MiB"
