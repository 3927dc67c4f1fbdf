"""Everything is read and checked before a run starts, each suite once."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import rich.console

from symtune.cards.load import load_suite
from symtune.cards.resources import resource_dir
from symtune.cli.gin_config import load_recipe
from symtune.convert.tokenizer.read import read_vocab
from symtune.data.draw.words import DRAWS_VERSION
from symtune.data.ingredients import Instructions
from symtune.data.text.leaks import LeakPolicy, text_keys
from symtune.data.text.symbols import PoolSplit, make_pool
from symtune.errors import SymtuneError
from symtune.experiment.build import build_experiment, make_batches
from symtune.experiment.folder import claim_folder
from symtune.experiment.recipe_json import config_hash
from symtune.experiment.run import train_model
from symtune.experiment.start import find_start, load_start
from symtune.model.network import param_shapes
from symtune.probe.ask import Asker
from symtune.probe.probe import ExemplarSets, ProbeSettings
from symtune.train import checkpoint
from symtune.train.weights import save_weights

SMALL = ("probe.max_queries=1", "mixture.window=64", "TrainSettings.steps=1")
# Pools that are soon checked; one test makes the whole ones.
FEW = (*SMALL, "symbols.tuning_size=100", "symbols.evaluation_size=100")
# A network that is soon compiled, and so none of the shipped base's size.
UNTRAINED = (
  *("Recipe.checkpoint=None", "mixture.batch_size=4"),
  *("T5Config.num_encoder_layers=1", "T5Config.emb_dim=32", "T5Config.mlp_dim=32"),
)


@pytest.fixture
def real(shared_data):
  """Builds real_text_tiny with overrides on the real rows."""

  def build(*bindings):
    recipe, _ = load_recipe("real_text_tiny", [*SMALL, *bindings])
    return build_experiment(
      recipe,
      data_dir=shared_data / "tasks",
      vocab_path=shared_data / "t5_tokenizer" / "spiece.model",
    )

  return build


def test_microworld_builds_and_fills_its_rows():
  recipe, _ = load_recipe("microworld", SMALL)
  experiment = build_experiment(recipe, data_dir=None, vocab_path=None)
  batch = next(make_batches(experiment))
  assert (batch["encoder_segment_ids"] > 0).mean() > 0.9
  assert experiment.leaks == ()


def test_hash_depends_on_settings_and_data():
  recipe, _ = load_recipe("microworld", FEW)
  hashes = {
    build_experiment(r, data_dir=None, vocab_path=None, tunes=False).config_hash
    for r in (recipe, recipe, dataclasses.replace(recipe, seed=1))
  }
  assert len(hashes) == 2


def test_hash_depends_on_the_groups_of_the_tasks_asked_about(monkeypatch):
  recipe, _ = load_recipe("microworld", FEW)
  grouped = build_experiment(recipe, data_dir=None, vocab_path=None).config_hash

  def load_ungrouped(name, data_dir):
    return tuple(
      dataclasses.replace(task, group=None) for task in load_suite(name, data_dir)
    )

  monkeypatch.setattr("symtune.experiment.build.load_suite", load_ungrouped)
  assert build_experiment(recipe, data_dir=None, vocab_path=None).config_hash != grouped


def test_an_experiment_starts_from_a_file_or_from_another_run(tmp_path):
  recipe, _ = load_recipe("microworld", [*FEW, *UNTRAINED])
  first = build_experiment(recipe, data_dir=None, vocab_path=None)
  run = tmp_path / "run"
  with claim_folder(
    run, recipe="microworld", config_hash=first.config_hash, config="{}", gin=""
  ):
    train_model(first, run, rich.console.Console(quiet=True))
  shapes = param_shapes(first.network)
  trained = checkpoint.load_params(run / "checkpoints", 1, shapes)
  save_weights(tmp_path / "one.safetensors", trained, recipe.model)
  hashes = {first.config_hash}
  for source in (run, tmp_path / "one.safetensors"):
    again = dataclasses.replace(recipe, checkpoint=str(source))
    second = build_experiment(again, data_dir=None, vocab_path=None)
    loaded = load_start(second.start, second.network, seed=0)
    jax.tree.map(np.testing.assert_array_equal, loaded, trained)
    hashes.add(second.config_hash)
  # The same parameters are the same experiment, wherever they lie.
  assert len(hashes) == 2


def test_a_start_that_is_none_is_refused(tmp_path):
  with pytest.raises(SymtuneError, match="no checkpoint at"):
    find_start(str(tmp_path / "none"))
  with pytest.raises(SymtuneError, match="holds no known checkpoint format"):
    find_start(str(tmp_path))


def test_more_probes_may_be_asked_in_the_same_folder():
  recipe, _ = load_recipe("microworld", FEW)
  plan = dataclasses.replace(recipe.probe, probes=("all",))
  other = dataclasses.replace(recipe, probe=plan)
  assert config_hash(other, ["f"], "v") == config_hash(recipe, ["f"], "v")
  plan = dataclasses.replace(recipe.probe, max_queries=2)
  other = dataclasses.replace(recipe, probe=plan)
  assert config_hash(other, ["f"], "v") != config_hash(recipe, ["f"], "v")


def test_settings_of_instruction_data_count_where_they_are_used():
  recipe, _ = load_recipe("tk_instruct_t5_xl")
  (data,) = recipe.mixture.ingredients

  def hash_with(**changes):
    ingredients = (dataclasses.replace(data, **changes),)
    mixture = dataclasses.replace(recipe.mixture, ingredients=ingredients)
    other = dataclasses.replace(recipe, mixture=mixture)
    return config_hash(other, ["f"], "v")

  changes = [{}, {"tasks": ""}, {"instances": None}, {"encodings": ("definition",)}]
  assert len({hash_with(**change) for change in changes}) == len(changes)


def test_shared_exemplars_are_another_experiment():
  recipe, _ = load_recipe("microworld", FEW)
  assert recipe.probe.exemplars is ExemplarSets.PER_QUERY
  shared, _ = load_recipe("microworld", [*SMALL, "probe.exemplars='per_seed'"])
  assert shared.probe.exemplars is ExemplarSets.PER_SEED
  assert config_hash(shared, ["f"], "v") != config_hash(recipe, ["f"], "v")
  with pytest.raises(SymtuneError, match="expected one of 'per_query', 'per_seed'"):
    load_recipe("microworld", [*SMALL, "probe.exemplars='shared'"])


def test_hash_depends_on_the_version_of_the_draws(monkeypatch):
  recipe, _ = load_recipe("microworld")
  before = config_hash(recipe, ["f"], "v")
  monkeypatch.setattr("symtune.experiment.recipe_json.DRAWS_VERSION", DRAWS_VERSION + 1)
  assert config_hash(recipe, ["f"], "v") != before


@pytest.mark.shared
def test_real_recipe_drops_leaked_rows_and_reports_each_once(
  real, shared_data, tmp_path
):
  experiment = real()
  assert [(k.tuning, k.evaluation, len(k.rows)) for k in experiment.leaks] == [
    ("sst2", "subj", 156),
    ("rotten_tomatoes", "subj", 164),
  ]
  (subj,) = (
    task
    for task in load_suite("symbol_tuning_eval", shared_data / "tasks")
    if task.card.name == "subj"
  )
  leaked = set(text_keys([subj.card.input_text(e) for e in subj.examples]))
  for prompt in experiment.mixture.prompts(range(300)):
    for turn in prompt.turns:
      assert not leaked & set(text_keys(turn))
  train_model(experiment, tmp_path, rich.console.Console(quiet=True))
  about = json.loads((tmp_path / "data.json").read_text())
  assert [leak["rows"] for leak in about["leaks_dropped"]] == [156, 164]
  assert about["prompts"]["prompts"] == 64


def test_instruction_data_is_checked_for_leaks_and_counted(tmp_path):
  (probed,) = (t for t in load_suite("microworld_eval", None)[:1])
  texts = [probed.card.input_text(probed.examples[0]), "a text of its own", "  "]
  rows = [{"inputs": f"{text}", "targets": "x"} for text in texts]
  lines = "".join(json.dumps(row) + "\n" for row in rows)
  (tmp_path / "pairs.jsonl").write_text(lines)
  recipe, _ = load_recipe("microworld", [*FEW, *UNTRAINED])
  pairs = Instructions(path=str(tmp_path / "pairs.jsonl"), rate=9.0, leave_out=True)
  mixed = dataclasses.replace(
    recipe.mixture, ingredients=(*recipe.mixture.ingredients, pairs)
  )
  recipe = dataclasses.replace(recipe, mixture=mixed)
  with pytest.raises(SymtuneError, match="1 rows of pairs are in"):
    build_experiment(recipe, data_dir=None, vocab_path=None)
  mixed = dataclasses.replace(mixed, leaks=LeakPolicy.DROP)
  recipe = dataclasses.replace(recipe, mixture=mixed)
  experiment = build_experiment(recipe, data_dir=None, vocab_path=None)
  assert {leak.tuning for leak in experiment.leaks} == {"pairs"}
  asked = {prompt.inputs for prompt in experiment.mixture.prompts(range(40))}
  assert texts[1] in asked
  assert texts[0] not in asked
  console = rich.console.Console(record=True, quiet=True)
  train_model(experiment, tmp_path / "run", console)
  about = json.loads((tmp_path / "run" / "data.json").read_text())
  assert about["instructions_left_out"] == {"pairs": 1}


@pytest.mark.shared
def test_leak_in_two_ingredients_is_reported_once(real):
  twice = (
    "mixture.ingredients=[@a/ingredients.Ingredient(), @b/ingredients.Ingredient()]"
  )
  assert len(real(twice).leaks) == 2


@pytest.mark.shared
def test_real_evaluation_is_the_704_queries_of_the_paper(shared_data):
  settings = ProbeSettings(pool=make_pool(PoolSplit.EVALUATION))
  tasks = load_suite("symbol_tuning_eval", shared_data / "tasks")
  queries = [Asker("settings", task, settings).queries for task in tasks]
  assert sum(map(len, queries)) == 704


def test_a_network_needs_a_row_for_each_id_and_no_more():
  """Not the rounded table: a model may have been resized to len(tokenizer)."""
  ids = read_vocab(resource_dir("tasks") / "microworld" / "vocab.model").num_ids
  assert ids % 128
  settings = (*FEW, *UNTRAINED)
  recipe, _ = load_recipe("microworld", [*settings, f"T5Config.vocab_size={ids}"])
  build_experiment(recipe, data_dir=None, vocab_path=None)
  recipe, _ = load_recipe("microworld", [*settings, f"T5Config.vocab_size={ids - 1}"])
  with pytest.raises(
    SymtuneError, match=rf"has {ids} ids. Set --gin.T5Config.vocab_size=\d+"
  ):
    build_experiment(recipe, data_dir=None, vocab_path=None)


@pytest.mark.shared
def test_asking_needs_no_tuning_rows(shared_data, tmp_path):
  for task in load_suite("symbol_tuning_eval", shared_data / "tasks"):
    name = f"{task.card.rows}.jsonl"
    (tmp_path / name).symlink_to(shared_data / "tasks" / name)
  recipe, _ = load_recipe("real_text_tiny", SMALL)
  vocab = shared_data / "t5_tokenizer" / "spiece.model"

  def build(**settings):
    return build_experiment(
      recipe, data_dir=tmp_path, vocab_path=vocab, tunes=False, **settings
    )

  experiment = build(others=["baseline:majority"])
  assert len(experiment.questions)
  assert (experiment.mixture, experiment.absent) == (None, "rte.jsonl")
  with pytest.raises(SymtuneError, match="no such file"):
    build()
