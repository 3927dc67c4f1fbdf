"""The doctor command: shows versions, extras and devices; each problem has a fix."""

import importlib.metadata
import importlib.util
import platform

import packaging.requirements
import rich.console

# An extra is installed if these modules are.
_EXTRAS = {
  "data": ("datasets", "huggingface_hub", "requests"),
  "seqio": ("seqio", "tensorflow", "tensorflow_text"),
  "t5x": ("t5x", "airio", "jestimator", "clu", "fiddle", "grain"),
  "hub": ("huggingface_hub",),
  "hf": ("gguf", "lm_eval", "torch", "transformers"),
  "track": ("tensorboardX", "wandb"),
  "dev": ("beartype", "hypothesis", "pytest"),
}

# Namespace packages (without __init__.py), and a module that each must contain.
_INSIDE = {"airio": "core"}


def check() -> int:
  """Prints what was found; returns 1 if anything the core needs is wrong, else 0."""
  console = rich.console.Console(highlight=False, soft_wrap=True, markup=False)
  console.print(f"python {platform.python_version()} on {platform.platform()}")
  problems = _check_core(console)
  _show_extras(console)
  problems += _check_devices(console)
  for problem in problems:
    console.print(f"problem: {problem}", style="red")
  console.print("no problems found" if not problems else f"{len(problems)} problems")
  return 1 if problems else 0


def _check_core(console: rich.console.Console) -> list[str]:
  """Compares the installed packages with the requirements in symtune's metadata."""
  try:
    wanted = importlib.metadata.requires("symtune") or []
  except importlib.metadata.PackageNotFoundError:
    return ["symtune is not installed. Install it: pip install -c constraints.txt ."]
  problems = []
  for requirement in map(packaging.requirements.Requirement, wanted):
    if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
      continue
    found = _version(requirement.name)
    console.print(f"  {requirement.name} {found or 'missing'}")
    if found is None or not requirement.specifier.contains(found, prereleases=True):
      fix = f"{requirement.name}{requirement.specifier}"
      problems.append(
        f"{requirement.name} is {found or 'missing'}, expected "
        f"{requirement.specifier or 'any version'}. Install it: pip install '{fix}'."
      )
  return problems


def _show_extras(console: rich.console.Console) -> None:
  for extra, modules in _EXTRAS.items():
    missing = [m for m in modules if not has_module(m)]
    if not missing:
      console.print(f"  [{extra}] complete")
      continue
    fix = f"pip install 'symtune[{extra}]'"
    if "t5x" in missing:
      fix += ", then T5X from its repository (docs/tpu_pods.md)"
    console.print(f"  [{extra}] lacks {', '.join(missing)}; if needed: {fix}")


def has_module(name: str) -> bool:
  """Whether a package is installed; a mere folder of the same name does not count.

  Python takes any folder in the working directory, such as a cloned repository, for a
  namespace package. airio really is a namespace package.
  """
  spec = importlib.util.find_spec(name)
  if spec is None or spec.origin is not None:
    return spec is not None
  inside = _INSIDE.get(name)
  return inside is not None and importlib.util.find_spec(f"{name}.{inside}") is not None


def _check_devices(console: rich.console.Console) -> list[str]:
  try:
    import jax

    devices = jax.devices()
  except (ImportError, RuntimeError) as error:
    first = str(error).splitlines()[0]
    return [f"JAX finds no device: {first}. Set JAX_PLATFORMS=cpu to use the CPU."]
  kinds = ", ".join(sorted({f"{d.platform} {d.device_kind}" for d in devices}))
  console.print(f"  {len(devices)} devices: {kinds}")
  return []


def _version(name: str) -> str | None:
  try:
    return importlib.metadata.version(name)
  except importlib.metadata.PackageNotFoundError:
    return None
