"""The native path runs where TensorFlow, SeqIO and T5X cannot be imported."""

import pathlib
import subprocess
import sys
import textwrap
import time

PACKAGE = pathlib.Path(__file__).parents[1] / "symtune"

# None in sys.modules makes a module look as if it were not installed.
BLOCK = """
import sys

for name in ("tensorflow", "tensorflow_text", "seqio", "t5x", "airio"):
  sys.modules[name] = None
sys.modules["clu.metric_writers"] = None
"""


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, "-c", BLOCK + textwrap.dedent(code), *arguments],
    capture_output=True,
    text=True,
  )


def test_block_works():
  assert "ModuleNotFoundError" in _run("import tensorflow.io").stderr


def test_every_module_but_the_bridges_imports():
  modules = [
    ".".join(("symtune", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py" and "bridges" not in path.parts
  ]
  done = _run(
    "import importlib\nfor m in sys.argv[1:]: importlib.import_module(m)", *modules
  )
  assert done.returncode == 0, done.stderr


def test_whole_native_path_runs(tmp_path):
  done = _run(
    """
    from symtune.cli.main import main
    sys.argv = ["symtune", "run", "microworld", "--out", sys.argv[1]] + [
      "--gin.TrainSettings.steps=2",
      "--gin.mixture.batch_size=2",
      "--gin.mixture.window=64",
      "--gin.probe.max_queries=1",
      "--gin.probe.shots=1",
      "--gin.probe.probes=('flipped_labels',)",
      "--gin.Recipe.checkpoint=None",
      "--gin.T5Config.num_encoder_layers=1",
      "--gin.T5Config.emb_dim=32",
      "--gin.T5Config.mlp_dim=32",
    ]
    main()
    """,
    str(tmp_path / "run"),
  )
  assert done.returncode == 0, done.stderr
  assert (tmp_path / "run" / "report.md").is_file()


def test_help_imports_nothing_heavy():
  code = """
  sys.argv = ["symtune", "--help"]
  from symtune.cli.main import main
  try:
    main()
  except SystemExit:
    pass
  heavy = {"jax", "numpy", "flax", "gin", "matplotlib", "scipy"} & set(sys.modules)
  assert not heavy, heavy
  """
  done = _run(code)
  assert done.returncode == 0, done.stderr


def test_help_is_quick():
  start = time.monotonic()
  subprocess.run([sys.executable, "-m", "symtune", "--help"], check=True)
  # 0.3 s is the aim on an idle machine; other tests run beside this one.
  assert time.monotonic() - start < 2.0
