"""Self-Instruct from its settings to data and report, in a folder that continues."""

import pathlib

import rich.console

from symtune.convert.tokenizer.read import read_vocab
from symtune.errors import SymtuneError
from symtune.experiment.folder import claim_folder
from symtune.experiment.tokens import Reader
from symtune.instruct.generate.generators import Generator
from symtune.instruct.generate.models.open import open_generator
from symtune.instruct.generate.propose import FILE as PROPOSALS
from symtune.instruct.generate.propose import Workplace, kept_instructions, propose
from symtune.instruct.generate.report import write_report
from symtune.instruct.generate.seeds import read_seeds
from symtune.instruct.generate.settings import (
  SelfInstructRecipe,
  config_hash,
  recipe_to_json,
)
from symtune.instruct.generate.stages import classify, select, write_instances
from symtune.instruct.generate.statistics import Stages
from symtune.instruct.generate.templates import FOLDER, read_templates
from symtune.report.lab.content import Content


def run_self_instruct(
  recipe: SelfInstructRecipe,
  out: pathlib.Path,
  console: rich.console.Console,
  *,
  generator: Generator | None = None,
  gin: str = "",
  vocab: pathlib.Path | None = None,
  dtype: str | None = None,
) -> Content:
  """Lets a generator write instructions and instances, and reports on them.

  Args:
    recipe: what is generated, and how.
    out: folder of the stages' files, data.jsonl and the report; an interrupted run goes
      on there.
    console: shows progress.
    generator: who writes; None opens the recipe's.
    gin: the operative gin configuration, which is kept in the folder.
    vocab: the vocabulary, where none lies beside a checkpoint.
    dtype: float32 or bfloat16; None takes what the checkpoint says.

  Returns:
    What the report says.

  Raises:
    SymtuneError: settings, seeds, templates or generator do not fit, the folder holds
      another run, or the generator fails or finds nothing new.
  """
  recipe.check_given()
  seeds = read_seeds(
    pathlib.Path(recipe.seeds), classification_only=recipe.classification_only
  )
  templates = read_templates(
    FOLDER if recipe.templates is None else pathlib.Path(recipe.templates)
  )
  if generator is None:
    reader = Reader(vocab=None if vocab is None else read_vocab(vocab))
    generator = open_generator(recipe.generator, recipe.server, reader, dtype)
  work = Workplace(
    recipe=recipe,
    seeds=seeds,
    templates=templates,
    generator=generator,
    folder=out,
    console=console,
  )
  identity = config_hash(
    recipe, seeds.fingerprint, templates.fingerprint, generator.identity
  )
  with claim_folder(
    out,
    recipe=recipe.name,
    config_hash=identity,
    config=recipe_to_json(recipe),
    gin=gin,
  ):
    return write_report(work, run_stages(work))


def run_stages(work: Workplace) -> Stages:
  """Asks the generator, and writes the files of the stages and data.jsonl.

  Raises:
    SymtuneError: a file is damaged, or the generator fails or finds nothing new.
  """
  proposals = propose(work)
  instructions = kept_instructions(proposals)
  if not instructions:
    raise SymtuneError(
      f"{work.generator.name}: got no new instruction in {len(proposals)} requests "
      f"({work.folder / PROPOSALS} says why each was rejected). Use a generator that "
      "follows the prompt, or other sampling settings, in another folder."
    )
  classes = classify(work, instructions)
  written = write_instances(work, classes)
  selected = select(work, classes, written)
  return Stages(
    proposals=proposals, classes=classes, written=written, selected=selected
  )
