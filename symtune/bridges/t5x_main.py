"""Runs T5X's train, eval or infer script; it can find symtune's gin files.

  python -m symtune.bridges.t5x_main train --gin_file=recipes/t5x/flan_t5_small.gin ...

All flags are T5X's. `symtune t5x` starts this module; on a pod, start it directly.
"""

import os
import runpy
import sys
from collections.abc import Mapping, Sequence

from symtune.cards.resources import resource_dir
from symtune.cli.doctor import has_module
from symtune.errors import SymtuneError

MODULES = {"train": "t5x.train", "eval": "t5x.eval", "infer": "t5x.infer"}
# What T5X needs; the first three come from repositories, the rest from [t5x].
NEEDED = ("t5x", "airio", "jestimator", "seqio", "tensorflow", "clu", "fiddle", "grain")
_SEARCH_PATHS = "--gin_search_paths"
_JOIN = "multiprocess_gpu"  # only T5X's train has it


def missing_modules(needed: Sequence[str] = NEEDED) -> list[str]:
  """Modules that Python cannot find, or finds without the files that T5X needs."""
  return [name for name in needed if not has_module(name)]


def t5x_arguments(flags: Sequence[str]) -> list[str]:
  """T5X's flags, with symtune's gin folder after the user's own search paths.

  Args:
    flags: the user's flags, which may include --gin_search_paths.

  Returns:
    Flags with exactly one --gin_search_paths.
  """
  paths: list[str] = []
  others = []
  rest = iter(flags)
  for flag in rest:
    name, equals, value = flag.partition("=")
    if name not in (_SEARCH_PATHS, _SEARCH_PATHS[1:]):  # absl takes one dash or two
      others.append(flag)
    else:
      paths += (value if equals else next(rest, "")).split(",")
  paths = [path for path in paths if path]
  paths.append(str(resource_dir("gin_configs")))
  return [f"{_SEARCH_PATHS}={','.join(paths)}", *others]


def check_processes(
  mode: str, flags: Sequence[str], environment: Mapping[str, str] | None = None
) -> None:
  """Refuses a SLURM step whose processes would each do all the work alone.

  Args:
    mode: "train", "eval" or "infer".
    flags: T5X's own.
    environment: `os.environ` when None.

  Raises:
    SymtuneError: there are several processes, and T5X was not told to join them.
  """
  values = os.environ if environment is None else environment
  count = values.get("SLURM_STEP_NUM_TASKS", "1")
  joins = any(flag.lstrip("-") in (_JOIN, f"{_JOIN}=true") for flag in flags)
  if count == "1" or (mode == "train" and joins):
    return
  fix = f"Give --{_JOIN}" if mode == "train" else "Start one (GPUS=1 of slurm.sh)"
  raise SymtuneError(
    f"t5x {mode}: SLURM started {count} processes, which would each do all the work "
    f"and write the same files. {fix} (docs/tpu_pods.md, 'SLURM')."
  )


def main(arguments: Sequence[str]) -> None:
  """Runs T5X's script in this process.

  Args:
    arguments: "train", "eval" or "infer", then T5X's flags.

  Raises:
    SymtuneError: an unknown mode, no T5X installed, or processes that do not join.
  """
  if not arguments or arguments[0] not in MODULES:
    raise SymtuneError(
      f"t5x: got mode {' '.join(arguments[:1])!r}, expected one of {list(MODULES)}."
    )
  missing = missing_modules()
  if missing:
    raise SymtuneError(
      f"T5X cannot run: {', '.join(missing)} not found. Install the extra "
      f"symtune[t5x], then T5X, airio and jestimator from their repositories "
      f"(docs/tpu_pods.md, 'Install')."
    )
  check_processes(arguments[0], arguments[1:])
  module = MODULES[arguments[0]]
  sys.argv = [module, *t5x_arguments(arguments[1:])]
  # T5X's gin files refer to `__main__`, so its script must run under that name.
  runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
  try:
    main(sys.argv[1:])
  except SymtuneError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
