"""Recipe files -> Recipe: the only file of the core that imports gin.

Recipes use gin's dynamic registration: they import symtune's own modules and bind
fields of its settings, so nothing in the library knows that gin exists.

A recipe is data. Gin alone would import any module that a file names and call any
function; here a recipe can only name settings of symtune and include files that lie in
its own folder or in `gin_configs`.
"""

import contextlib
import dataclasses
import functools
import io
import logging
import os
import pathlib
import re
import tokenize
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gin
import gin.config

from symtune.bounded import read_text
from symtune.cards.resources import find_config, resource_dir
from symtune.checks import find_mistyped
from symtune.errors import SymtuneError, did_you_mean
from symtune.experiment.arms import Arms, check_arms
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
  tokenize.TokenError,
)
# Bounds of what a recipe's files may be; the largest of symtune's own has 5,000 bytes.
_MAX_BYTES = 1_000_000
_MAX_FILES = 100
_MAX_REFERENCES = 10_000
_BARE_TEXT = re.compile(r"[^\W\d][\w./~:@+ -]*|[./~][\w./~:@+ -]+")
_BUILTINS = ("gin.macro", "gin.constant", "gin.singleton")


class _FencedContext(gin.config.ParseContext):
  """Gin's reader of one file, which imports symtune and uses its settings only."""

  def process_import(self, statement: Any) -> None:
    """Imports a module of symtune; refuses any other before it runs."""
    if not statement.module.startswith(("symtune.", "__gin__.")):
      raise SymtuneError(
        f"{statement.format()!r} would run code of {statement.module.split('.')[0]}; a "
        f"recipe may import symtune's modules only. Remove the line."
      )
    super().process_import(statement)

  def get_configurable(self, selector: str) -> Any:
    """Looks up a setting; refuses what is none before gin prepares to call it."""
    if self._dynamic_registration and selector not in _BUILTINS:
      *_, value = self._resolve_selector(selector)[1]
      if not _is_setting(value):
        raise SymtuneError(
          f"{selector!r}: a recipe may only use symtune's settings, such as "
          f"recipe.Recipe, and call nothing else. Remove it."
        )
    return super().get_configurable(selector)


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
  """Reads a recipe file; see `load_settings`."""
  return load_settings(path, (Recipe,), bindings, include)


def load_settings(
  path: str,
  kinds: tuple[type[Any], ...],
  bindings: Sequence[str] = (),
  include: str | None = None,
  folder: str = "recipes",
) -> tuple[Any, str]:
  """Reads a file that sets one of several kinds of settings.

  Args:
    path: a file, or the name of one in a folder of `gin_configs`.
    kinds: the dataclasses, one of which the file sets.
    bindings: overrides, such as "Recipe.seed=1" or "STEPS=10".
    include: one more gin file, whose settings replace those of the first.
    folder: the folder of named files.

  Returns:
    The settings, and the operative gin configuration as text.

  Raises:
    SymtuneError: no such file, bad syntax, an unknown name or a bad value.
  """
  file = find_config(path, folder)
  gin.clear_config()
  with _one_message(file), _fenced(file):
    with _quiet_logging():
      gin.parse_config_file(str(file.resolve()))
      if include is not None:
        gin.parse_config_file(include)
    _check_macros(file, bindings)
    bindings = [_quoted(binding) for binding in bindings]
    for binding in bindings:
      _override(binding)
    _check_expansion(file)
    kind = _find_kind(file, kinds)
    settings = gin.get_configurable(kind)()
  operative = gin.operative_config_str()
  what = folder.removesuffix("s")
  problem = find_mistyped(settings, kind, what)
  if problem:
    raise SymtuneError(f"{file}: {problem}. Change that setting.")
  _check_effect(bindings, operative)  # gin lists no value of a wrong type
  return settings, operative


def load_sweep(path: str) -> Sweep | Arms:
  """Reads a sweep file, which sets either `sweep.Sweep` or `arms.Arms`.

  Args:
    path: a file, or the name of one in `gin_configs/sweeps`.

  Returns:
    The sweep over sizes of network, or over arms and seeds.

  Raises:
    SymtuneError: no such file, bad syntax, an unknown name or a bad value.
  """
  sweep, _ = load_settings(path, (Sweep, Arms), folder="sweeps")
  if isinstance(sweep, Sweep) and not (sweep.models and sweep.stages):
    raise SymtuneError(f"{path}: got no models or no stages. Add them.")
  if isinstance(sweep, Arms):
    try:
      check_arms(sweep)
    except SymtuneError as error:
      raise SymtuneError(f"{path}: {error}") from error
  return sweep


def _find_kind(file: pathlib.Path, kinds: tuple[type[Any], ...]) -> type[Any]:
  """Which kind of settings the parsed file sets."""
  bound = {selector for _, selector in gin.config._CONFIG}
  found = [k for k in kinds if f"{k.__module__}.{k.__name__}" in bound]
  if len(found) > 1:
    first, second, *_ = (f"{k.__module__.split('.')[-1]}.{k.__name__}" for k in found)
    raise SymtuneError(
      f"{file}: got both {first} and {second}, expected one. Remove one of them."
    )
  return found[0] if found else kinds[0]


def _check_effect(bindings: Sequence[str], operative: str) -> None:
  """Refuses an override that no part of the recipe reads, or that scopes hide."""
  for binding in bindings:
    name, _, value = (part.strip() for part in binding.partition("="))
    parts = re.fullmatch(r"((?:\w+/)*)(?:\w+\.)*(\w+\.\w+)", name)
    if parts is None:  # a macro; `_check_macros` knows those
      continue
    scope, setting = parts.groups()
    pattern = rf"^((?:\w+/)*)(?:\w+\.)*{re.escape(setting)} = (.*)$"
    found = re.findall(pattern, operative, re.MULTILINE)
    if scope in [s for s, _ in found] or (not scope and value in [v for _, v in found]):
      continue
    scopes = ", ".join(f"--gin.{s}{name.removeprefix(scope)}" for s, _ in found)
    if not scopes:
      raise SymtuneError(
        f"--gin.{name}: this changes nothing, because the recipe does not use "
        f"{setting}. Remove it, or set something that the recipe uses."
      )
    why = f"has no scope {scope!r}" if scope else "sets it for each scope"
    raise SymtuneError(
      f"--gin.{name}: this changes nothing, because the recipe {why}. Use {scopes}."
    )


def _macros() -> list[str]:
  """The macros that the recipe sets."""
  return [scope for scope, selector in gin.config._CONFIG if selector == "gin.macro"]


def _quoted(binding: str) -> str:
  """The binding with quotes around a bare text, so that shells need none of their own.

  A text begins with a letter or as a path does: x/y.model, but not 1e-4, [1] or @f().
  """
  name, _, value = binding.partition("=")
  value = value.strip()
  if not _BARE_TEXT.fullmatch(value) or value in ("True", "False", "None"):
    return binding
  return f"{name}= {value!r}"


def _override(binding: str) -> None:
  """Applies an override; each one alone, so that a message names its option."""
  option = f"{OVERRIDE_PREFIX}{binding.partition('=')[0].strip()}"
  try:
    gin.parse_config(binding)
  except (SyntaxError, tokenize.TokenError, RecursionError) as error:
    problem = error.msg if isinstance(error, SyntaxError) else "It ends too early"
    raise SymtuneError(
      f"{option}: got {binding.partition('=')[2][:60]!r}, which cannot be read "
      f"({problem.splitlines()[-1].strip()[:100]}). Give a number, True, None, a list "
      f"such as [1, 2], or a text in quotes that the shell leaves: \"{option}='text'\"."
    ) from error
  except _GIN_ERRORS as error:
    raise SymtuneError(f"{option}: {' '.join(str(error).split())}") from error


@contextlib.contextmanager
def _one_message(file: pathlib.Path) -> Iterator[None]:
  """Turns what gin raises for this recipe into one line."""
  try:
    yield
  except SymtuneError as error:
    # Gin appends the place of the call; the first line is the message itself.
    message, *places = str(error).splitlines()
    found = re.search(r'In file "(.*)", line (\d+)', "".join(places[:1]))
    place = f"{found[1]}, line {found[2]}: " if found else ""
    raise SymtuneError(f"{place}{message}") from error
  except _GIN_ERRORS as error:
    text = " ".join(str(error).split())
    unset = re.search(r"configurable 'macro' .* in scope '(\w+)'", text)
    if unset:
      text = (
        f"uses %{unset[1]}, which is never set. Write {unset[1]} = ... into the "
        f"recipe, or give {OVERRIDE_PREFIX}{unset[1]}=VALUE."
      )
    mixed = re.search(r"instances of 'str' and .* configurable '(\w+)'", text)
    if mixed:
      text = f"a setting of {mixed[1]} is a text, expected a number. Change it."
    raise SymtuneError(f"{file}: {text}") from error


@contextlib.contextmanager
def _fenced(file: pathlib.Path) -> Iterator[None]:
  """Makes gin import and use symtune only, and look for includes in two folders only.

  Gin's own search path starts with the working directory, where it also takes any
  folder for a Python package: a folder named "runs" or "models" there would break every
  include. Gin has no public way to replace its search path, its readers of files and
  its handling of imports.

  Args:
    file: the recipe; includes are searched beside it, then in `gin_configs`.
  """
  configs = resource_dir("gin_configs").resolve()
  beside = file.parent.resolve()
  reader = _reader((beside, file.resolve().parent, configs))
  config: Any = gin.config
  before = config.ParseContext
  prefixes, readers = config._LOCATION_PREFIXES[:], config._FILE_READERS[:]
  config.ParseContext = _FencedContext
  config._LOCATION_PREFIXES[:] = [str(beside), str(configs)]
  config._FILE_READERS[:] = [reader]
  try:
    yield
  finally:
    config.ParseContext = before
    config._LOCATION_PREFIXES[:] = prefixes
    config._FILE_READERS[:] = readers


def _reader(
  folders: Sequence[pathlib.Path],
) -> tuple[Callable[[str], io.StringIO], Callable[[str], bool]]:
  """How gin opens the files of one recipe, and how it asks whether a file is there."""
  opened: list[str] = []

  def is_there(path: str) -> bool:
    file = pathlib.Path(path).resolve()
    if not os.path.lexists(path) or file.is_dir():
      return False
    if not any(file.is_relative_to(folder) for folder in folders):
      raise SymtuneError(
        f"include {path!r}: a recipe may include files of its own folder and of "
        f"{folders[-1]} only. Copy the file to the recipe."
      )
    return True

  def read(path: str) -> io.StringIO:
    opened.append(path)
    if len(opened) > _MAX_FILES:
      raise SymtuneError(
        f"{path}: more than {_MAX_FILES} files are included. Does one include itself?"
      )
    text = io.StringIO(read_text(path, _MAX_BYTES))
    text.name = path  # gin names it in messages
    return text

  return read, is_there


def _is_setting(value: object) -> bool:
  """Whether it is a dataclass of symtune, or a function of `recipe` that makes one."""
  module = str(getattr(value, "__module__", ""))
  if isinstance(value, type):
    return module.startswith("symtune.") and dataclasses.is_dataclass(value)
  is_function = isinstance(value, types.FunctionType) and "." not in value.__qualname__
  return is_function and module == Recipe.__module__


def _check_expansion(file: pathlib.Path) -> None:
  """Refuses macros and settings that refer to each other without end, or nearly so.

  Gin copies what a reference stands for into every place: thirty macros that each name
  the next one twice become a thousand million values.
  """

  @functools.cache
  def size(scope: str, selector: str) -> int:
    keys = dict.fromkeys([(scope, selector), ("", selector)])
    values = [gin.config._CONFIG.get(key, {}) for key in keys]
    references = [r for v in values for r in gin.config.iterate_references(v)]
    return 1 + sum(size(*reference.config_key) for reference in references)

  try:
    largest = max((size(*key) for key in gin.config._CONFIG), default=0)
  except RecursionError as error:
    raise SymtuneError(f"{file}: settings refer to themselves. End the circle.") from (
      error
    )
  if largest > _MAX_REFERENCES:
    raise SymtuneError(
      f"{file}: settings refer to each other {largest:,} times, expected at most "
      f"{_MAX_REFERENCES:,}. Write the values out."
    )


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
  """Silences gin, which logs an error for each search folder without the file."""
  logging.disable(logging.ERROR)
  try:
    yield
  finally:
    logging.disable(logging.NOTSET)


def _check_macros(file: pathlib.Path, bindings: Sequence[str]) -> None:
  """Refuses unknown macros, which are often misspelt; gin silently accepts them."""
  for binding in bindings:
    name = binding.split("=")[0].strip()
    if re.fullmatch(r"\w+", name):
      try:
        gin.query_parameter(f"%{name}")
      except ValueError as error:
        raise SymtuneError(
          f"--gin.{name}: {file} has no macro {name!r}.{did_you_mean(name, _macros())} "
          f"Use a macro of the recipe, or Function.parameter, for example "
          f"--gin.TrainSettings.steps=10."
        ) from error
