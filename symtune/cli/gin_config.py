"""Recipe files -> Recipe: the only file of the core that imports gin.

Recipes use gin's dynamic registration: they import symtune's own modules and bind
parameters of real functions, so nothing in the library knows that gin exists.
"""

import contextlib
import logging
import pathlib
import re
from collections.abc import Iterator, Sequence

import gin
import gin.config

from symtune.cards.resources import resource_dir
from symtune.checks import find_mistyped
from symtune.errors import SymtuneError
from symtune.experiment.recipe import Recipe
from symtune.experiment.sweep import Sweep

OVERRIDE_PREFIX = "--gin."
# What gin raises for files and bindings that it cannot use.
_GIN_ERRORS = (
  AttributeError,
  ImportError,
  NameError,
  OSError,
  RuntimeError,
  SyntaxError,
  TypeError,
  ValueError,
)


def split_overrides(arguments: Sequence[str]) -> list[str]:
  """Gin bindings from `--gin.NAME=VALUE` arguments.

  Args:
    arguments: those that the command line did not recognise.

  Returns:
    Bindings such as "Recipe.seed=1", in order.

  Raises:
    SymtuneError: another argument, or one without "=".
  """
  bindings = []
  for argument in arguments:
    if not argument.startswith(OVERRIDE_PREFIX) or "=" not in argument:
      raise SymtuneError(
        f"got argument {argument!r}, expected options of this command (see --help) or "
        f"gin overrides of the form --gin.NAME=VALUE."
      )
    bindings.append(argument.removeprefix(OVERRIDE_PREFIX))
  return bindings


def load_recipe(
  path: str, bindings: Sequence[str] = (), include: str | None = None
) -> tuple[Recipe, str]:
  """Reads a recipe file.

  Args:
    path: a file, or the name of one in `gin_configs/recipes`.
    bindings: overrides, such as "Recipe.seed=1" or "STEPS=10".
    include: one more gin file, whose settings replace the recipe's.

  Returns:
    The recipe, and the operative gin configuration as text.

  Raises:
    SymtuneError: no such file, bad syntax, an unknown name or a bad value.
  """
  file = _find_recipe(path)
  gin.clear_config()
  try:
    with _search_path(file.parent, resource_dir("gin_configs")), _quiet_logging():
      gin.parse_config_file(str(file.resolve()))
      if include is not None:
        gin.parse_config_file(include)
    _check_macros(file, bindings)
    gin.parse_config(list(bindings))
    recipe = gin.get_configurable(Recipe)()
  except SymtuneError as error:
    # Gin appends the place of the call; the first line is the message itself.
    raise SymtuneError(str(error).splitlines()[0]) from error
  except _GIN_ERRORS as error:
    raise SymtuneError(f"{file}: {' '.join(str(error).split())}") from error
  operative = gin.operative_config_str()
  _check_effect(bindings, operative)
  problem = find_mistyped(recipe, Recipe, "recipe")
  if problem:
    raise SymtuneError(f"{file}: {problem}. Change that setting.")
  return recipe, operative


def load_sweep(path: str) -> Sweep:
  """Reads a sweep file.

  Args:
    path: a file, or the name of one in `gin_configs/sweeps`.

  Returns:
    The sweep.

  Raises:
    SymtuneError: no such file, bad syntax, an unknown name or a bad value.
  """
  file = _find_recipe(path, "sweep")
  gin.clear_config()
  try:
    gin.parse_config_file(str(file.resolve()))
    sweep = gin.get_configurable(Sweep)()
  except _GIN_ERRORS as error:
    raise SymtuneError(f"{file}: {' '.join(str(error).split())}") from error
  problem = find_mistyped(sweep, Sweep, "sweep")
  if problem or not (sweep.models and sweep.stages):
    raise SymtuneError(f"{file}: {problem or 'got no models or no stages'}. Change it.")
  return sweep


def _check_effect(bindings: Sequence[str], operative: str) -> None:
  """Refuses an override that is hidden by the recipe's scoped bindings."""
  for binding in bindings:
    name, _, value = (part.strip() for part in binding.partition("="))
    if re.fullmatch(r"[\w./]+\.\w+", name):
      pattern = rf"^((?:\w+/)*)(?:\w+\.)*{re.escape(name)} = (.*)$"
      found = re.findall(pattern, operative, re.MULTILINE)
      if found and value not in [v for _, v in found] and all(s for s, _ in found):
        scopes = ", ".join(f"--gin.{scope}{name}" for scope, _ in found)
        raise SymtuneError(
          f"--gin.{name}: this changes nothing, because the recipe sets it for each "
          f"scope. Use {scopes}."
        )


@contextlib.contextmanager
def _search_path(*folders: pathlib.Path) -> Iterator[None]:
  """Makes gin look for includes beside the recipe, then in gin_configs, only.

  Gin's own list starts with the working directory, where it also takes any folder for a
  Python package: a folder named "runs" or "models" there would break every include. Gin
  has no public way to replace the list.
  """
  before = list(gin.config._LOCATION_PREFIXES)
  gin.config._LOCATION_PREFIXES[:] = [str(folder.resolve()) for folder in folders]
  try:
    yield
  finally:
    gin.config._LOCATION_PREFIXES[:] = before


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
  """Silences gin, which logs an error for each search folder without the file."""
  logging.disable(logging.ERROR)
  try:
    yield
  finally:
    logging.disable(logging.NOTSET)


def _find_recipe(path: str, kind: str = "recipe") -> pathlib.Path:
  file = pathlib.Path(path)
  if file.is_file():
    return file
  recipes = resource_dir("gin_configs") / f"{kind}s"
  named = recipes / f"{path}.gin"
  if re.fullmatch(r"\w+", path) and named.is_file():
    return named
  known = ", ".join(sorted(p.stem for p in recipes.glob("*.gin")))
  raise SymtuneError(f"no {kind} at {path!r}, expected a .gin file or one of: {known}.")


def _check_macros(file: pathlib.Path, bindings: Sequence[str]) -> None:
  """Refuses unknown macros, which are often misspelt; gin silently accepts them."""
  for binding in bindings:
    name = binding.split("=")[0].strip()
    if re.fullmatch(r"\w+", name):
      try:
        gin.query_parameter(f"%{name}")
      except ValueError as error:
        raise SymtuneError(
          f"--gin.{name}: {file} has no macro {name!r}. Use a macro of the recipe, or "
          f"Function.parameter, for example --gin.TrainSettings.steps=10."
        ) from error
