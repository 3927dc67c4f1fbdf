"""Valid files of every type that symtune reads, and a command that reads each."""

import dataclasses
import gzip
import json
import pathlib
import shutil
import tarfile

import family_tokenizers
import jax
import optax
import rich.console

from symtune.cards.resources import resource_dir
from symtune.data.text.instructions import InstructionForm
from symtune.instruct.run import EvalSettings, run_evaluation
from symtune.model.config import T5Config
from symtune.model.network import Transformer, init_params
from symtune.probe.results import SCHEMA_VERSION, ResultRow, to_json
from symtune.train import checkpoint
from symtune.train.loop import CHECKPOINTS
from symtune.train.state import create_state
from symtune.train.weights import config_dict

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
CARD = """name: mine
title: M (Mine)
version: 1
task_type: sentiment
fields: [text]
template: "{text}"
labels: [bad, good]
label_names: [negative, positive]
instruction: Is it good?
exemplar_splits: [train]
query_splits: [validation]
rows: mine
source: {hub: null, config: null, reference: none, wording: none}
licence: none
"""
SUITE = "name: own\nversion: 1\ndescription: My own.\ntasks: [mine.yaml]\n"
RECIPE = """from __gin__ import dynamic_registration
from symtune.experiment import recipe
include 'part.gin'
recipe.Recipe.seed = 3
"""
EVALUATE = "instruct eval --data {here}/instruct/tasks --model baseline:reference --out"
GENERATE = (  # nobody listens there, and files are read before anybody is asked
  "instruct generate self_instruct --generator http://127.0.0.1:9 --out {out} "
  "--gin.ServerSettings.model=x --gin.ServerSettings.retries=0"
)
# For optional files: a link that leads nowhere is no file.
NO_FILE = ("missing", "dangling", "circular")


@dataclasses.dataclass(frozen=True)
class Sample:
  """A type of file.

  Attributes:
    file: the file, inside the folder of samples.
    command: what reads it; {here} is the folder, {out} a path that does not exist.
    is_text: whether it is text.
    unread: kinds of damage that do not stop the command: what is optional.
    instead: pattern of the message where it does not name the file, because without it
      the folder is something else.
  """

  file: str
  command: str
  is_text: bool = True
  unread: tuple[str, ...] = ()
  instead: str = "$^"


SAMPLES = {
  "card": Sample("mine.yaml", "preview {here}/mine.yaml --data {here}"),
  "suite": Sample("own.yaml", "tasks --suite {here}/own.yaml"),
  "rows": Sample("mine.jsonl", "preview {here}/mine.yaml --data {here}"),
  "recipe": Sample("recipe.gin", "plan {here}/recipe.gin --slice h100-8"),
  "include": Sample(
    "part.gin",
    "plan {here}/recipe.gin --slice h100-8",
    instead="Unable to open file: part.gin|own folder|missing 8 required",
  ),
  "sweep": Sample("sweep.gin", "sweep {here}/sweep.gin --out {out}"),
  "arms": Sample("arms.gin", "sweep {here}/arms.gin --out {out}"),
  "provenance": Sample("provenance.json", "data stats {here}", unread=NO_FILE),
  "vocab": Sample(
    "vocab.model", "symbols check --vocab {here}/vocab.model --size 50", is_text=False
  ),
  "byte pairs": Sample(
    "decoder/tokenizer.json",
    "symbols check --vocab {here}/decoder/tokenizer.json --size 50",
  ),
  "weights": Sample(
    "base.safetensors", "convert {here}/base.safetensors {out}", is_text=False
  ),
  "config": Sample(
    "t5_1_1/config.json",
    "convert {here}/t5_1_1 {out}",
    instead="t5_1_1 holds no known checkpoint format",
  ),
  "tensors": Sample(
    "t5_1_1/model.safetensors",
    "convert {here}/t5_1_1 {out}",
    is_text=False,
    instead="t5_1_1 has no model.safetensors",
  ),
  "msgpack": Sample(
    "plain/msgpack/checkpoint_1000/checkpoint",
    "convert {here}/plain/msgpack/checkpoint_1000 {out}",
    is_text=False,
    instead="checkpoint_1000 holds no known checkpoint format",
  ),
  "orbax": Sample(
    "plain/orbax/checkpoint_1000/state/_METADATA",
    "convert {here}/plain/orbax/checkpoint_1000 {out}",
    unread=("missing", "dangling"),
  ),
  "metadata": Sample("run/checkpoints/0/run/metadata", "convert {here}/run {out}"),
  "results": Sample("run/results.jsonl", "report {here}/run"),
  "data": Sample("run/data.json", "report {here}/run", unread=NO_FILE),
  "questions": Sample(
    "run/questions.jsonl.gz",
    "report {here}/run",
    is_text=False,
    # Texts of questions are optional, and a killed run leaves the last ones cut.
    unread=(*NO_FILE, "empty", "half", "start"),
  ),
  "passages": Sample("passages.jsonl", "index {here}/passages.jsonl --out {out}"),
  "table": Sample(
    "table.csv",
    "data import {here}/table.csv --to {out} --text text --label label_name",
    is_text=False,
  ),
  "instructions": Sample(
    "instruct/tasks/task001_yes.json",
    f"{EVALUATE} {{out}}",
    instead="no .json or .jsonl file",
  ),
  "split": Sample(
    "instruct/test.txt", f"{EVALUATE} {{out}} --tasks {{here}}/instruct/test.txt"
  ),
  "seeds": Sample("seeds.jsonl", f"{GENERATE} --seeds {{here}}/seeds.jsonl"),
  "answers": Sample(
    "instruct/out/answers.jsonl",
    f"{EVALUATE} {{here}}/instruct/out",
    # What is missing is asked again, and a killed run leaves the last line cut.
    unread=("missing", "dangling", "empty", "half", "start", "braces"),
  ),
}


def make_samples(here: pathlib.Path) -> None:
  """Writes all of them."""
  (here / "mine.yaml").write_text(CARD)
  (here / "own.yaml").write_text(SUITE)
  for name in ("mine.jsonl", "sst2.jsonl", "passages.jsonl"):
    (here / name).write_text("".join(json.dumps(r) + "\n" for r in rows()))
  seeds = (json.dumps({"instruction": f"Name {n} things."}) for n in range(20))
  (here / "seeds.jsonl").write_text("".join(f"{line}\n" for line in seeds))
  table = ["text,label_name", *(f"{r['text']},{r['label_name']}" for r in rows())]
  (here / "table.csv").write_text("\n".join(table) + "\n")
  (here / "recipe.gin").write_text(RECIPE)
  (here / "part.gin").write_text("include 'recipes/microworld.gin'\n")
  sweeps = resource_dir("gin_configs") / "sweeps"
  shutil.copyfile(sweeps / "microworld_sizes.gin", here / "sweep.gin")
  shutil.copyfile(sweeps / "microworld_arms.gin", here / "arms.gin")
  (here / "provenance.json").write_text(json.dumps({"schema": 1, "files": {}}))
  micro = resource_dir("tasks") / "microworld"
  shutil.copyfile(micro / "vocab.model", here / "vocab.model")
  shutil.copyfile(micro / "base.safetensors", here / "base.safetensors")
  (here / "decoder").mkdir()
  for name, content in family_tokenizers.make_files("llama3").items():
    (here / "decoder" / name).write_text(json.dumps(content))
  with tarfile.open(GOLDEN / "huggingface_models.tar.xz") as archive:
    archive.extractall(here, filter="data")
  with tarfile.open(GOLDEN / "t5x_checkpoints.tar.xz") as archive:
    archive.extractall(here, filter="data")
  make_run(here / "run")
  make_evaluation(here / "instruct")


def rows() -> list[dict]:
  """Rows of the card `mine`."""
  names = ("negative", "positive")
  return [
    {"text": f"{split} {i}", "label": i % 2, "label_name": names[i % 2], "split": split}
    for split in ("train", "validation")
    for i in range(24)
  ]


def make_run(folder: pathlib.Path) -> None:
  """A run folder with one checkpoint and three results."""
  config = T5Config(
    vocab_size=16,
    emb_dim=4,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=2,
    mlp_dim=4,
  )
  params = init_params(Transformer(config), jax.random.key(0))
  checkpoint.save(
    folder / CHECKPOINTS,
    create_state(params, optax.sgd(0.1), 0),
    {},
    config_hash="x",
    config={"model": config_dict(config), "vocab": None},
  )
  lines = [to_json(result_row(query)) for query in range(3)]
  (folder / "results.jsonl").write_text("".join(line + "\n" for line in lines))
  about = {"prompts": {"prompts": 1, "shortened": 0, "exemplars_dropped": 0}}
  about["prompts"] |= {"skipped": 0}
  about |= {"leaks_dropped": [], "instructions_left_out": {}}
  (folder / "data.json").write_text(json.dumps(about))
  asked = {"prompt_hash": 0, "turns": [["a"]], "choices": ["a", "b"]}
  line = json.dumps(asked | {"exemplar_labels": []}) + "\n"
  (folder / "questions.jsonl.gz").write_bytes(gzip.compress(line.encode()))


def make_evaluation(folder: pathlib.Path) -> None:
  """A task of instruction data, a list that names it, and the answers of a rule."""
  (folder / "tasks").mkdir(parents=True)
  instances = [{"input": f"no. {i}", "output": ["yes"]} for i in range(3)]
  task = {"Definition": ["Say yes."], "Instances": instances}
  (folder / "tasks" / "task001_yes.json").write_text(json.dumps(task))
  (folder / "test.txt").write_text("task001_yes\n")
  settings = EvalSettings(data=folder / "tasks", form=InstructionForm.SUPER_NI)
  console = rich.console.Console(quiet=True)
  run_evaluation(settings, ["baseline:reference"], folder / "out", console)


def result_row(query: int) -> ResultRow:
  """A right answer to a question."""
  return ResultRow(
    schema_version=SCHEMA_VERSION,
    checkpoint="before",
    step=0,
    identity="before",
    parameters=100,
    family=None,
    dtype=None,
    probe="settings",
    setting="neither",
    task="mine",
    seed=0,
    query=query,
    kind="rank",
    num_classes=2,
    label=0,
    context=0,
    prior=None,
    prediction=0,
    correct=True,
    chance=0.5,
    text=None,
    log_likelihoods=(-1.0, -2.0),
    tokens=(2, 2),
    null_log_likelihoods=(),
    content_free_log_prior=(),
    domain_log_prior=(),
    choices=("a", "b"),
    exemplars=8,
    exemplars_asked=8,
    references=(),
    natural=(),
    prompt_hash=query,
    shares=(),
    group=None,
    symtune_version="0.1.0",
    config_hash="c" * 16,
    data_fingerprint="f" * 64,
    vocab_hash="v" * 16,
    git_commit=None,
  )
