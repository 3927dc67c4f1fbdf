"""Commands and headers that users copy: every plan fits, every header is complete."""

import collections
import pathlib
import re
import shlex

import pytest

from symtune.cards.resources import resource_dir
from symtune.cli.gin_config import load_recipe
from symtune.experiment.planning.plan import Workload, make_plan
from symtune.experiment.planning.slices import find_slice
from symtune.train.partition import Layout

GIN = resource_dir("gin_configs")
ROOT = pathlib.Path(__file__).parents[2]
RECIPES = sorted((GIN / "recipes").rglob("*.gin"))
DECODERS = [path.stem for path in RECIPES if "models/decoder" in path.read_text()]
PLANNED = [
  *(f"flan_t5_{size}" for size in ("small", "base", "large", "xl", "xxl")),
  *(name for name in DECODERS if not name.endswith("_cpu")),
]
NAMES = f"(?:{'|'.join(PLANNED)})"
LAYOUT = {"--model-devices": "model_devices", "--microbatches": "microbatches"}


def commands(verb):
  """Recipe -> the options of every documented command, lines joined."""
  found = collections.defaultdict(list)
  for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *RECIPES]:
    text = path.read_text().replace("\\\n", " ")
    for line in re.findall(rf"symtune {verb} ({NAMES}\b[^\n\"`]*)", text):
      words = shlex.split(line.split(",")[0].split(" &")[0])
      found[words[0]].append(words[1:])
  return found


def layout_of(words):
  values = {LAYOUT[w]: int(words[i + 1]) for i, w in enumerate(words) if w in LAYOUT}
  return Layout(shard_params="--shard-params" in words, **values)


@pytest.mark.parametrize("name", PLANNED)
def test_documented_plans_fit(name):
  plans = commands("plan")[name]
  assert len(plans) >= (2 if name.startswith("flan_t5") else 1)  # a TPU slice and GPUs
  work = Workload(load_recipe(name)[0])
  for words in plans:
    target = find_slice(words[words.index("--slice") + 1])
    assert make_plan(work, target, layout_of(words)).fits, (name, words)


def test_documented_runs_on_many_devices_have_a_planned_layout():
  runs = [
    (name, words)
    for name, lines in commands("train").items()
    for words in lines
    if "--distributed" in words
  ]
  assert len(runs) >= 3
  for name, words in runs:
    planned = [layout_of(plan) for plan in commands("plan")[name]]
    assert layout_of(words) in planned, (name, words)


@pytest.mark.parametrize("name", PLANNED)
def test_documented_runs_have_no_layout(name):
  for words in commands("run")[name]:  # symtune train and plan take one
    assert not {*LAYOUT, "--shard-params", "--distributed"} & {*words}, words


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_headers_say_command_hardware_memory_time_and_result(path):
  header = path.read_text().split("from __gin__")[0]
  for name in ("Command", "Hardware", "Time", "Expected"):
    assert re.search(rf"^# {name}: ?\S*", header, re.MULTILINE), (path, name)
  has_memory = re.search(r"^# Memory: \S", header, re.MULTILINE)
  assert has_memory or re.search(r"^# Hardware: .*GB of memory", header, re.MULTILINE)
