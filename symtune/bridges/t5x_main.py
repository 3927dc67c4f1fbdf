"""Runs T5X's own train, eval or infer script with symtune's gin files in reach.

  python -m symtune.bridges.t5x_main train --gin_file=recipes/t5x/flan_t5_small.gin ...

All flags are T5X's. `symtune t5x` starts this module; on a pod it may be started alone.
"""

import runpy
import sys
from collections.abc import Sequence

from symtune.cards.resources import resource_dir
from symtune.cli.doctor import has_module
from symtune.errors import SymtuneError

MODULES = {"train": "t5x.train", "eval": "t5x.eval", "infer": "t5x.infer"}
# What T5X needs; the first three come from repositories, the rest from [t5x].
NEEDED = ("t5x", "airio", "jestimator", "seqio", "tensorflow", "clu", "fiddle", "grain")
_SEARCH_PATHS = "--gin_search_paths"


def missing_modules(needed: Sequence[str] = NEEDED) -> list[str]:
  """Those that Python does not find, or finds without the files that T5X needs."""
  return [name for name in needed if not has_module(name)]


def t5x_arguments(flags: Sequence[str]) -> list[str]:
  """T5X's flags with symtune's gin folder behind the user's own search paths.

  Args:
    flags: what the user gave, --gin_search_paths perhaps among them.

  Returns:
    Flags with one --gin_search_paths.
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


def main(arguments: Sequence[str]) -> None:
  """Becomes T5X's script.

  Args:
    arguments: "train", "eval" or "infer", then T5X's flags.

  Raises:
    SymtuneError: another mode, or T5X is not installed.
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
  module = MODULES[arguments[0]]
  sys.argv = [module, *t5x_arguments(arguments[1:])]
  # T5X's gin files speak of `__main__`: its script has to be that.
  runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
  try:
    main(sys.argv[1:])
  except SymtuneError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
