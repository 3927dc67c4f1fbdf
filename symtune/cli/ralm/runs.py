"""What the command `ralm` does: reads settings, opens models, measures, reports."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import rich.console

from symtune.checksums import checksum
from symtune.cli.gin_config import OVERRIDE_PREFIX, load_settings, split_overrides
from symtune.cli.printed import print_report
from symtune.convert.tokenizer.read import read_vocab
from symtune.errors import SymtuneError
from symtune.experiment.answerers import Answerer, Opened, open_answerers
from symtune.experiment.folder import claim_folder
from symtune.experiment.tokens import Reader
from symtune.ralm.answers import FILE as ANSWERS
from symtune.ralm.answers import answer_all, answer_table, read_answers
from symtune.ralm.leaks import forbidden_ids, guard
from symtune.ralm.models import token_model
from symtune.ralm.questions import MAX_NEW_TOKENS, read_questions
from symtune.ralm.report import REPORT, find_examples, write_answers, write_report
from symtune.ralm.rows import FILE as STRIDES
from symtune.ralm.rows import read_rows
from symtune.ralm.run import TEXTS, choose_texts, measure, texts_hash, write_texts
from symtune.ralm.settings import Fit, RalmRecipe, config_hash, recipe_to_json
from symtune.report.results import checkpoint_title
from symtune.retrieve.documents import read_documents
from symtune.retrieve.index import ABOUT, PassageIndex, build_index

_INDEX = "index"
# Settings that mean something for questions.
_OF_QUESTIONS = ("models", "corpus", "passages", "forbidden")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
  """What a user asks for.

  Attributes:
    recipe: a gin file, the name of one, or None.
    overrides: arguments of the form --gin.NAME=VALUE.
    given: fields of the recipe that options set.
    vocab: the models' vocabulary, where none lies beside them.
    dtype: type in which they compute.
  """

  recipe: str | None
  overrides: Sequence[str]
  given: Mapping[str, Any]
  vocab: pathlib.Path | None
  dtype: str | None


def measure_texts(inputs: Inputs, out: pathlib.Path) -> None:
  """Measures perplexities with and without passages, and reports them.

  Args:
    inputs: what the user asks for.
    out: the run's folder, which is continued.

  Raises:
    SymtuneError: bad settings, files or models; test text in the corpus; or the folder
      belongs to another run.
  """
  recipe, gin_text = _read_recipe(inputs)
  read = read_documents([pathlib.Path(path) for path in recipe.texts])
  texts = choose_texts(read, recipe)
  opened = _open(inputs, recipe, Reader(vocab=_vocab(inputs)))
  console = rich.console.Console(stderr=True)
  index = _open_index(recipe, out)
  forbidden = guard(texts, index, recipe.forbidden, recipe.leak_policy)
  with claim_folder(
    out,
    recipe=recipe.name,
    config_hash=config_hash(recipe, texts_hash(texts), index.hash),
    config=recipe_to_json(recipe),
    gin=gin_text,
  ):
    examples = []
    for one in opened:
      model = token_model(read_model(one))
      measure(recipe, model, texts, index, forbidden, out, console)
      if not examples:  # the rows of the other models may not be complete yet
        examples = find_examples(read_rows(out / STRIDES), texts, index, model)
    write_texts(texts, out / TEXTS)
    print_report(write_report(out, examples), out / REPORT)


def answer_questions(inputs: Inputs, path: pathlib.Path, out: pathlib.Path) -> None:
  """Asks questions with and without passages, and reports exact match and F1.

  Args:
    inputs: what the user asks for.
    path: JSONL file of questions and answers.
    out: the run's folder, which is continued.

  Raises:
    SymtuneError: as for `measure_texts`, or an option is given that questions ignore.
  """
  ignored = [name for name in inputs.given if name not in _OF_QUESTIONS]
  if ignored:
    raise SymtuneError(
      f"ralm: got {', '.join(ignored)}, which mean nothing for questions. Leave these "
      "options out, or --questions."
    )
  questions = read_questions(path)
  # Passages stand before the whole prompt.
  given = {"texts": (str(path),), "fit": Fit.EXTEND.value, **inputs.given}
  recipe, gin_text = _read_recipe(dataclasses.replace(inputs, given=given))
  reader = Reader(vocab=_vocab(inputs), max_targets=MAX_NEW_TOKENS)
  opened = _open(inputs, recipe, reader)
  index = _open_index(recipe, out)
  forbidden = forbidden_ids(index, recipe.forbidden)
  asked = texts_hash({str(i): repr(q) for i, q in enumerate(questions)})
  with claim_folder(
    out,
    recipe=recipe.name,
    config_hash=config_hash(recipe, asked, index.hash),
    config=recipe_to_json(recipe),
    gin=gin_text,
  ):
    for one in opened:
      answer_all(
        read_model(one),
        questions,
        index,
        recipe.passages,
        forbidden,
        out,
        rich.console.Console(stderr=True),
      )
    table = answer_table(read_answers(out / ANSWERS))
    write_answers(out, table)
    print_report([table], out / REPORT)


def read_model(opened: Opened) -> Answerer:
  """A model with its weights, labelled as rows need it.

  Rows have no step, so the name tells it. A vocabulary that is given with a checkpoint
  is part of the identity, since rows count its tokens.
  """
  answerer = opened.read()
  label = answerer.label
  if label.step:
    label = dataclasses.replace(label, name=checkpoint_title(label))
  if opened.vocab is not None:
    both = checksum(f"{label.identity} {opened.vocab.fingerprint}".encode())
    label = dataclasses.replace(label, identity=both)
  return dataclasses.replace(answerer, label=label)


def _read_recipe(inputs: Inputs) -> tuple[RalmRecipe, str]:
  name = inputs.recipe
  if name is not None and name.startswith(OVERRIDE_PREFIX):
    raise SymtuneError(f"got {name} without a recipe, which it could change. Give one.")
  recipe, text = RalmRecipe(), ""
  if name is not None:
    bindings = split_overrides(inputs.overrides)
    recipe, text = load_settings(name, (RalmRecipe,), bindings, folder="ralm")
  recipe = dataclasses.replace(recipe, **inputs.given)
  recipe.check_given()
  return recipe, text


def _vocab(inputs: Inputs) -> Any:
  return None if inputs.vocab is None else read_vocab(inputs.vocab)


def _open(inputs: Inputs, recipe: RalmRecipe, reader: Reader) -> list[Opened]:
  return open_answerers(list(recipe.models), reader, None, inputs.dtype)


def _open_index(recipe: RalmRecipe, out: pathlib.Path) -> PassageIndex:
  """The index that the recipe names, or one of its files beside the run's folder."""
  paths = [pathlib.Path(path) for path in recipe.corpus]
  if len(paths) == 1 and (paths[0] / ABOUT).exists():
    return PassageIndex(paths[0])
  whole = out.resolve()  # "." has no name
  folder = whole.with_name(f"{whole.name}.{_INDEX}")
  return build_index(paths, folder, recipe.passage_words)
