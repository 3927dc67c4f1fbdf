"""Every recipe builds, shrunk to a toy: data, mixture, packing, network, probes."""

import json
import shutil

import pytest
from family_models import TINY, write_model
from family_tokenizers import make_files

from symtune.cards.load import list_cards, load_card
from symtune.cards.resources import resource_dir
from symtune.cli.gin_config import load_recipe
from symtune.convert.tokenizer.read import read_vocab
from symtune.data.prompts import ALL_FORMATS
from symtune.data.text.vocab import SentencePieceVocab
from symtune.errors import SymtuneError
from symtune.experiment.build import build_experiment, make_batches, make_pools
from symtune.model.config import T5Config
from symtune.model.networks import param_shapes

RECIPES = sorted((resource_dir("gin_configs") / "recipes").glob("*.gin"))
DECODERS = [
  path
  for path in RECIPES
  if "models/decoder" in path.read_text()
  and not path.stem.endswith("_cpu")
  and not path.stem.startswith(("tk_instruct_", "alpaca_"))
]
TOY = ["mixture.batch_size=2", "mixture.window=32", "probe.max_queries=1"]
TOY_T5 = [
  "T5Config.emb_dim=8",
  "T5Config.num_heads=2",
  "T5Config.head_dim=4",
  "T5Config.mlp_dim=16",
  "T5Config.num_encoder_layers=1",
  "T5Config.num_decoder_layers=1",
]
TOY_DECODER = [
  "DecoderConfig.vocab_size=512",
  "DecoderConfig.emb_dim=8",
  "DecoderConfig.num_layers=1",
  "DecoderConfig.num_heads=2",
  "DecoderConfig.num_kv_heads=1",
  "DecoderConfig.head_dim=8",
  "DecoderConfig.mlp_dim=16",
]
# What a recipe for real text needs beside, where only toy rows and pieces are.
TOY_TEXT = [
  "symbols.categories=['integers']",
  "symbols.tuning_size=10",
  "symbols.evaluation_size=10",
  "symbols.match_lengths=False",  # few of its integers are as long as each other
  "mixture.target_length=64",  # its words are many pieces
]


@pytest.fixture(scope="module")
def toy_rows(tmp_path_factory, question_files):
  """Rows for every card: 24 a class, half of them for each split."""
  folder = tmp_path_factory.mktemp("toy") / "rows"
  shutil.copytree(question_files, folder)
  for card in map(load_card, list_cards()):
    rows = [
      {
        **{field: f"{card.name} {field} {label} {i}" for field in card.fields},
        "label": label,
        "label_name": name,
        "split": ("train", "validation")[i % 2],
      }
      for label, name in enumerate(card.label_names)
      for i in range(24)
    ]
    text = "\n".join(json.dumps(row) for row in rows)
    (folder / f"{card.rows}.jsonl").write_text(text + "\n")
  _write_instructions(folder)
  return folder


def _write_instructions(folder):
  """Alpaca's file, and a training task and a test task of Super-NI."""
  row = {"instruction": "Add.", "input": "1 and 2", "output": "3"}
  (folder / "alpaca_data.json").write_text(json.dumps([row]))
  tasks = folder / "natural-instructions" / "tasks"
  splits = folder / "natural-instructions" / "splits" / "default"
  tasks.mkdir(parents=True)
  splits.mkdir(parents=True)
  shown = {"input": "1 and 1", "output": "2", "explanation": "It is two."}
  for name, answer in (("task001_train", "3"), ("task002_test", "never")):
    task = {
      "Definition": ["Add."],
      "Positive Examples": [shown],
      "Instances": [{"input": f"{i}", "output": [answer]} for i in range(9)],
    }
    (tasks / f"{name}.json").write_text(json.dumps(task))
  (splits / "train_tasks.txt").write_text("task001_train\n")


@pytest.fixture(scope="module")
def toy_tokenizer(tmp_path_factory):
  """The folder of a decoder-only model's tokenizer."""
  folder = tmp_path_factory.mktemp("tokenizer")
  for name, content in make_files("smollm2").items():
    (folder / name).write_text(json.dumps(content))
  return folder


def toy_settings(model):
  """Settings that shrink a network of this kind."""
  if isinstance(model, T5Config):
    return TOY_T5
  layers = ["DecoderConfig.windowed_layers=[0]"] if model.windowed_layers else []
  return TOY_DECODER + layers


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipe_builds_as_a_toy(path, toy_rows, small_vocab_path, toy_tokenizer):
  whole = load_recipe(str(path))[0]
  is_text, is_t5 = whole.vocab is None, isinstance(whole.model, T5Config)
  # A toy does not start from the weights of a real network.
  start = ["Recipe.checkpoint=None"] if hasattr(whole, "checkpoint") else []
  settings = TOY + toy_settings(whole.model) + start + (TOY_TEXT if is_text else [])
  recipe, _ = load_recipe(str(path), settings)
  experiment = build_experiment(
    recipe,
    data_dir=toy_rows if is_text else None,
    vocab_path=(small_vocab_path if is_t5 else toy_tokenizer) if is_text else None,
  )
  batch = next(make_batches(experiment))
  inputs = batch["encoder_input_tokens" if is_t5 else "decoder_input_tokens"]
  assert inputs.shape == (2, recipe.mixture.batches.input_length)
  assert batch["decoder_loss_weights"].sum() > 0
  embedding = param_shapes(experiment.network)["token_embedder"]["embedding"]
  assert embedding.shape == (recipe.model.vocab_size, 8)


def test_flan_t5_recipes_are_the_papers():
  for size in ("small", "base", "large", "xl", "xxl"):
    recipe, _ = load_recipe(f"flan_t5_{size}")
    batches = recipe.mixture.batches
    assert (batches.batch_size, batches.input_length, batches.target_length) == (
      32,
      2048,
      512,
    )
    assert batches.pack
    assert recipe.train.steps == 4000
    (ingredient,) = recipe.mixture.ingredients
    assert not ingredient.instruction
    assert (ingredient.shots.minimum, ingredient.shots.maximum) == (2, 10)
    assert (recipe.optimizer.name, recipe.optimizer.schedule) == (
      "adafactor",
      "constant",
    )


@pytest.mark.parametrize("path", DECODERS, ids=lambda p: p.stem)
def test_recipes_of_decoder_only_models_have_the_papers_data_and_dose(path):
  recipe, _ = load_recipe(str(path))
  batches = recipe.mixture.batches
  assert (batches.batch_size, batches.input_length, batches.target_length) == (
    32,
    2048,
    256,
  )
  assert recipe.train.steps == 4000
  assert (recipe.mixture.loss_on, recipe.model.attention) == ("last", "causal")
  paper, _ = load_recipe("flan_t5_small")
  assert recipe.mixture.ingredients == paper.mixture.ingredients
  assert recipe.probe == paper.probe


@pytest.mark.parametrize("size", ["small", "base", "large", "xl", "xxl"])
def test_model_files_have_the_published_sizes(size):
  from symtune.model.config import PublishedSize, published_config

  recipe, _ = load_recipe(f"flan_t5_{size}")
  published = published_config(
    PublishedSize(size), dtype="bfloat16", dropout_rate=recipe.model.dropout_rate
  )
  assert recipe.model == published


def test_a_recipe_may_bring_synonyms_of_its_own(tmp_path):
  path = tmp_path / "own.yaml"
  path.write_text("noun: [thing]\n")
  recipe, _ = load_recipe("microworld", [f"symbols.synonyms='{path}'"])
  assert recipe.symbols.synonyms == str(path)
  pools = make_pools(recipe, SentencePieceVocab(resource_dir("tasks") / recipe.vocab))
  assert [pool.synonyms["noun"][-1] for pool in pools] == ["thing"] * 2


@pytest.mark.parametrize(
  "name", ["microworld", "microworld_naming", "microworld_base_at_chance"]
)
def test_the_microworld_knows_every_format_that_a_probe_draws(name):
  recipe, _ = load_recipe(name)
  assert set(recipe.mixture.formats) == set(ALL_FORMATS)


def test_instruction_recipes_are_the_papers(toy_rows, small_vocab_path):
  """Tk-Instruct: 757 tasks x 100 instances x 2 epochs; Alpaca: 52,002 rows x 3."""
  tk, alpaca = (
    load_recipe(name)[0] for name in ("tk_instruct_t5_xl", "alpaca_llama32_1b")
  )
  assert tk.train.steps == -(-757 * 100 * 2 // tk.mixture.batches.batch_size)
  assert alpaca.train.steps == round(52_002 * 3 / alpaca.mixture.batches.batch_size)
  assert alpaca.optimizer.total_steps == alpaca.train.steps
  assert not tk.asks
  recipe, _ = load_recipe(
    "tk_instruct_t5_xl", [*TOY, *TOY_T5, "Recipe.checkpoint=None"]
  )
  experiment = build_experiment(recipe, data_dir=toy_rows, vocab_path=small_vocab_path)
  assert not len(experiment.questions)
  prompts = experiment.mixture.prompts(range(40))
  assert {prompt.choices for prompt in prompts} == {("3",)}  # no test task
  assert len({prompt.inputs.split("1 and 1")[0] for prompt in prompts}) > 2


def test_other_checkpoints_need_neither_the_recipes_start_nor_its_network(
  toy_rows, tmp_path
):
  """The recipe's start is on the hub, and its network has more ids than the model."""
  write_model(tmp_path, TINY, 0.02)
  recipe, _ = load_recipe("smollm2_135m_cpu", [*TOY, *TOY_TEXT])
  experiment = build_experiment(
    recipe,
    data_dir=toy_rows,
    vocab_path=None,
    tunes=False,
    others=["baseline:majority", str(tmp_path)],
  )
  assert experiment.start is None
  assert experiment.vocab.fingerprint == read_vocab(tmp_path).fingerprint
  assert len(experiment.questions)


def test_decoders_have_no_targets_to_divide_by(toy_rows, toy_tokenizer):
  normalizer = "loss.normalizer='num_total_target_tokens'"
  settings = [*TOY, *TOY_DECODER, "Recipe.checkpoint=None", normalizer]
  recipe, _ = load_recipe("tk_instruct_smollm2_135m", settings)
  with pytest.raises(SymtuneError, match="no target tokens apart from its input"):
    build_experiment(recipe, data_dir=toy_rows, vocab_path=toy_tokenizer)


def test_only_answers_are_learned_from_super_ni(toy_rows, toy_tokenizer):
  settings = [*TOY, *TOY_DECODER, "Recipe.checkpoint=None", "mixture.loss_on=every"]
  recipe, _ = load_recipe("tk_instruct_smollm2_135m", settings)
  with pytest.raises(SymtuneError, match="only the answer to the instance is to be"):
    build_experiment(recipe, data_dir=toy_rows, vocab_path=toy_tokenizer)
