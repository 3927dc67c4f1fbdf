"""The architecture as rules over source text; each rule is shown to be able to fail."""

import ast
import collections
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1] / "symtune"
LAYERS = (
  "cards",
  "retrieve",
  "data",
  "fetch",
  "model",
  "train",
  "convert",
  "stats",
  "probe",
  "report",
  "regression",
  "experiment",
  "ralm",
  "instruct",
  "align",
  "lab",
  "cli",
  "bridges",
)
# Inside `data`: a room imports from itself and those before it.
DATA_ROOMS = (
  ("rng", "limits", "ragged", "text", "episodes"),
  ("prompts", "remap"),
  ("draw", "ingredients"),  # settings name the shots that are drawn
  ("skills", "instruction_prompts"),
  ("mixture",),
  ("tokens",),
  ("batches",),
)
# Modules at the top of the package, which every layer may use.
BASE = ("bounded", "checks", "checksums", "errors", "files", "progress")
# Starts the command line, so it stands above the layers.
ENTRY = "__main__.py"
# Hands out names of the lab when they are first used.
FACE = "__init__.py"
FENCED = ("tensorflow", "seqio", "t5x", "airio", "clu", "torch", "transformers")
# May import PyTorch and Transformers, inside functions, when a user names such a model.
HF_PLACES = ("probe/answer/hf/", "convert/decoder/gguf_file.py")
MAX_LINES = 399
MAX_MODULES = 14
STAGE_FILES = {
  "cards/card.py": 1,
  "data/episodes.py": 2,
  "data/remap.py": 3,
  "data/prompts.py": 4,
  "data/tokens/tokenizer.py": 5,
  "data/batches/packing.py": 6,
  "data/batches/batch.py": 7,
  "train/step.py": 8,
  "train/checkpoint.py": 9,
  "probe/probe.py": 10,
  "report/tables.py": 11,
  "report/figures.py": 11,
  "report/contrasts.py": 11,
  "report/sizes.py": 11,
  "report/arms/tables.py": 11,
  "report/arms/figure.py": 11,
  "report/scaling.py": 11,
  "regression/tables.py": 11,
  "regression/figures.py": 11,
  "align/tables.py": 11,
  "align/figures.py": 11,
}
FILES = {str(path.relative_to(ROOT)): path for path in sorted(ROOT.rglob("*.py"))}


def imported(source: str) -> set[str]:
  """Every module that a source text imports, at any depth of the code."""
  names = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.module, "relative import: its layer is not seen"
      assert not node.level, "relative import: its layer is not seen"
      names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
  return names


def upward_imports(file: str, source: str) -> set[str]:
  """Imports of symtune that go against the order of the layers."""
  layer = file.split("/")[0]
  allowed = LAYERS[: LAYERS.index(layer) + 1] if layer in LAYERS else ()
  allowed = (*allowed, *{ENTRY: ("cli",), FACE: ("lab",)}.get(file, ()))
  ours = {name for name in imported(source) if name.startswith("symtune.")}
  return {name for name in ours if name.split(".")[1] not in (*allowed, *BASE)}


def later_rooms(file: str, source: str) -> set[str]:
  """Imports inside `data` that go against the order of its rooms."""
  order = {name: place for place, names in enumerate(DATA_ROOMS) for name in names}
  parts = pathlib.PurePath(file).with_suffix("").parts
  if parts[0] != "data" or parts[1] == "__init__":
    return set()
  ours = {name for name in imported(source) if name.startswith("symtune.data.")}
  return {name for name in ours if order[name.split(".")[2]] > order[parts[1]]}


def fenced_imports(file: str, source: str) -> set[str]:
  """Imports of what only the bridges may use, and of gin outside its one file."""
  fenced = () if file.startswith("bridges/") else FENCED
  if file.startswith(HF_PLACES):
    fenced = tuple(name for name in FENCED if name not in ("torch", "transformers"))
  gin = () if file in ("cli/gin_config.py",) else ("gin",)
  return {n for n in imported(source) if n.split(".")[0] in (*fenced, *gin)}


def undocumented(source: str) -> list[str]:
  """Public functions, classes and methods without a docstring, and the module."""
  tree = ast.parse(source)
  if not tree.body:
    return []
  nodes = [
    tree,
    *(n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)),
  ]
  nodes += [
    method
    for node in tree.body
    if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    for method in node.body
    if isinstance(method, ast.FunctionDef) and method.name != "setup"
  ]
  return [
    getattr(node, "name", "the module")
    for node in nodes
    if not getattr(node, "name", "").startswith("_") and not ast.get_docstring(node)
  ]


def is_long(source: str) -> bool:
  """Whether a source text has more lines than a file may have."""
  return len(source.splitlines()) > MAX_LINES


def opens_with_stage(source: str, stage: int) -> bool:
  """Whether the docstring's first line is `Stage N: In -> Out. ...`, or `<->`."""
  first = (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]
  return re.match(rf"Stage {stage}: .+ <?-> .+", first) is not None


def test_imports_go_one_way():
  found = {file: upward_imports(file, path.read_text()) for file, path in FILES.items()}
  assert not {file: names for file, names in found.items() if names}


def test_rooms_of_the_data_follow_the_flow():
  found = {file: later_rooms(file, path.read_text()) for file, path in FILES.items()}
  assert not {file: names for file, names in found.items() if names}


def test_tensorflow_and_gin_stay_behind_their_fences():
  found = {file: fenced_imports(file, path.read_text()) for file, path in FILES.items()}
  assert not {file: names for file, names in found.items() if names}


def test_files_are_short_and_folders_hold_one_subject():
  assert not [file for file, path in FILES.items() if is_long(path.read_text())]
  folders = collections.Counter(
    str(path.parent.relative_to(ROOT))
    for path in FILES.values()
    if path.name != "__init__.py"
  )
  assert not {name: count for name, count in folders.items() if count > MAX_MODULES}


def test_public_names_have_docstrings():
  found = {file: undocumented(path.read_text()) for file, path in FILES.items()}
  assert not {file: names for file, names in found.items() if names}


def test_stage_files_open_with_their_stage():
  wrong = [
    file
    for file, stage in STAGE_FILES.items()
    if not opens_with_stage(FILES[file].read_text(), stage)
  ]
  assert not wrong


def test_rules_catch_planted_violations():
  assert upward_imports("data/x.py", "from symtune.train import loop") == {
    "symtune.train",
    "symtune.train.loop",
  }
  assert not upward_imports(
    "train/x.py", "from symtune.data.batches.batch import Batch"
  )
  assert fenced_imports("data/x.py", "def f():\n  import tensorflow.io")
  assert fenced_imports("experiment/x.py", "import gin") == {"gin"}
  assert not fenced_imports("bridges/x.py", "import seqio")
  assert not fenced_imports("probe/answer/hf/load.py", "import torch")
  assert fenced_imports("probe/answer/hf/load.py", "import seqio") == {"seqio"}
  assert fenced_imports("probe/run.py", "import torch") == {"torch"}
  assert upward_imports("errors.py", "import symtune.data.rng")
  assert upward_imports(ENTRY, "from symtune.train import loop")
  assert not upward_imports(ENTRY, "from symtune.cli import main")
  assert upward_imports(FACE, "from symtune.cli import main")
  with pytest.raises(AssertionError, match="relative import"):
    upward_imports("data/x.py", "from ..train import loop")
  assert fenced_imports("train/x.py", "from clu import metric_writers")
  assert later_rooms("data/draw/x.py", "import symtune.data.mixture")
  assert not later_rooms("data/mixture.py", "import symtune.data.draw.draw")
  assert is_long("\n" * (MAX_LINES + 1))
  assert not is_long("\n" * MAX_LINES)
  assert not opens_with_stage('"""Reads rows."""', 1)
  assert not opens_with_stage('"""Stage 2: A -> B."""', 1)
  assert opens_with_stage('"""Stage 1: A -> B."""', 1)
  assert undocumented("def f():\n  pass") == ["the module", "f"]
  assert undocumented('"""M."""\nclass A:\n  """A."""\n  def b(self): pass') == ["b"]
