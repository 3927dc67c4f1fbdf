"""The doctor command: versions, extras, devices, and for each problem the fix."""

import importlib.metadata
import importlib.util
import platform

import rich.console

_CORE = (
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax-checkpoint",
  "numpy",
  "sentencepiece",
  "gin-config",
  "wordfreq",
)
# The modules that tell whether an extra is there.
_EXTRAS = {
  "seqio": ("seqio", "tensorflow", "tensorflow_text"),
  "t5x": ("t5x", "clu", "fiddle", "grain"),
  "hf": ("torch", "transformers"),
  "dev": ("pytest", "hypothesis"),
}
_WORDFREQ = "3.1.1"


def check() -> int:
  """Prints what was found; 1 if something that the core needs is wrong, else 0."""
  console = rich.console.Console(highlight=False, soft_wrap=True, markup=False)
  problems = [*_check_python(console), *_check_core(console)]
  _show_extras(console)
  problems += _check_devices(console)
  for problem in problems:
    console.print(f"problem: {problem}", style="red")
  console.print("no problems found" if not problems else f"{len(problems)} problems")
  return 1 if problems else 0


def _check_python(console: rich.console.Console) -> list[str]:
  console.print(f"python {platform.python_version()} on {platform.platform()}")
  return []


def _check_core(console: rich.console.Console) -> list[str]:
  problems = []
  for name in ("symtune", *_CORE):
    version = _version(name)
    console.print(f"  {name} {version or 'missing'}")
    if version is None:
      problems.append(
        f"{name} is missing. Reinstall: pip install -c constraints.txt symtune."
      )
  if _version("wordfreq") not in (None, _WORDFREQ):
    problems.append(
      f"wordfreq is not {_WORDFREQ}, so symbol words would differ. "
      f"Install it: pip install wordfreq=={_WORDFREQ}."
    )
  return problems


def _show_extras(console: rich.console.Console) -> None:
  for extra, modules in _EXTRAS.items():
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if not missing:
      console.print(f"  [{extra}] complete")
      continue
    fix = f"pip install 'symtune[{extra}]'"
    if "t5x" in missing:
      fix += ", then T5X from its repository (CONTRIBUTING.md)"
    console.print(f"  [{extra}] lacks {', '.join(missing)}; if needed: {fix}")


def _check_devices(console: rich.console.Console) -> list[str]:
  import jax

  try:
    devices = jax.devices()
  except RuntimeError as error:
    first = str(error).splitlines()[0]
    return [f"JAX finds no device: {first}. Set JAX_PLATFORMS=cpu to do without one."]
  kinds = ", ".join(sorted({f"{d.platform} {d.device_kind}" for d in devices}))
  console.print(f"  {len(devices)} devices: {kinds}")
  return []


def _version(name: str) -> str | None:
  try:
    return importlib.metadata.version(name)
  except importlib.metadata.PackageNotFoundError:
    return None
