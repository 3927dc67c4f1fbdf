"""The t5x command: T5X's train, eval and infer on symtune's mixtures.

The bridges lie above the command line, so T5X runs as a separate program that replaces
this process: signals reach it directly.
"""

import os
import pathlib
import sys
from collections.abc import Mapping, Sequence

from symtune.errors import SymtuneError

BRIDGE = "symtune.bridges.t5x_main"


def t5x_command(mode: str, flags: Sequence[str]) -> list[str]:
  """The command line that runs T5X.

  Args:
    mode: "train", "eval" or "infer".
    flags: T5X's own.
  """
  return [sys.executable, "-m", BRIDGE, mode, *flags]


def t5x_environment(
  base: Mapping[str, str],
  data: str | None,
  vocab: str | None,
  seed: int | None,
) -> dict[str, str]:
  """The environment variables that carry the settings of symtune's SeqIO tasks.

  Args:
    base: the environment so far.
    data: folder of rows, local or gs://; None leaves SYMTUNE_DATA alone.
    vocab: SentencePiece model, local or gs://; None leaves SYMTUNE_VOCAB alone.
    seed: root seed of the prompts; None leaves SYMTUNE_SEED alone.

  Returns:
    A new environment.

  Raises:
    SymtuneError: a local path does not exist.
  """
  given = {"SYMTUNE_DATA": data, "SYMTUNE_VOCAB": vocab}
  for name, path in given.items():
    if path is not None and "://" not in path and not pathlib.Path(path).exists():
      option = "--data" if name == "SYMTUNE_DATA" else "--vocab"
      raise SymtuneError(f"{option}: {path} does not exist. Give an existing path.")
  found = {name: path for name, path in given.items() if path is not None}
  numbers = {} if seed is None else {"SYMTUNE_SEED": str(seed)}
  return {**base, **found, **numbers}


def run(
  mode: str,
  flags: Sequence[str],
  data: str | None,
  vocab: str | None,
  seed: int | None,
) -> None:
  """Replaces this process with T5X; does not return."""
  command = t5x_command(mode, flags)
  environment = t5x_environment(os.environ, data, vocab, seed)
  sys.stdout.flush()
  sys.stderr.flush()
  os.execve(command[0], command, environment)
