"""The commands on retrieved passages: index and ralm."""

import pathlib
from typing import Annotated

import typer

from symtune.cli import options
from symtune.errors import SymtuneError


def index(
  files: Annotated[
    list[pathlib.Path], typer.Argument(help="Text (.txt) or JSONL files.")
  ],
  out: Annotated[pathlib.Path, typer.Option("--out", help="New folder of the index.")],
  words: Annotated[int, typer.Option(help="Words of a passage.", min=1)] = 100,
) -> None:
  """Cut texts into passages, and index them for retrieval with BM25."""
  from symtune.retrieve.index import build_index

  made = build_index(files, out, words)
  typer.echo(f"{out}: {made.count:,} passages, index {made.hash}")


def ralm(
  recipe: Annotated[
    str | None,
    typer.Argument(help="A .gin file, or a name from gin_configs/ralm."),
  ] = None,
  overrides: options.Overrides = None,
  model: Annotated[
    list[str] | None,
    typer.Option(help="A checkpoint or transformers:PATH; may be repeated."),
  ] = None,
  text: Annotated[
    list[pathlib.Path] | None,
    typer.Option(help="Text or JSONL file whose documents are scored."),
  ] = None,
  corpus: Annotated[
    list[pathlib.Path] | None,
    typer.Option(help="Text or JSONL file to retrieve from, or a folder of an index."),
  ] = None,
  out: options.Out = pathlib.Path("runs/ralm"),
  stride: Annotated[
    str | None, typer.Option(help="Tokens between two retrievals, such as 4,16,64.")
  ] = None,
  query_length: Annotated[
    str | None, typer.Option(help="Tokens of a query, such as 32,64.")
  ] = None,
  passages: Annotated[
    str | None, typer.Option(help="Passages before the text, such as 1,2.")
  ] = None,
  rerank: Annotated[
    str | None, typer.Option(help="Which candidates: first,model,oracle,random.")
  ] = None,
  window: Annotated[
    int | None, typer.Option(help="Most tokens that the model sees.")
  ] = None,
  fit: Annotated[
    str | None, typer.Option(help="Passages overwrite the window, or extend it.")
  ] = None,
  documents: Annotated[
    int | None, typer.Option(help="How many documents are scored; default: all.")
  ] = None,
  document_words: Annotated[
    int | None, typer.Option(help="How many words of each are scored; default: all.")
  ] = None,
  leaks: Annotated[
    str | None, typer.Option(help="Test text in the corpus: refuse, or forbid it.")
  ] = None,
  forbid: Annotated[
    list[str] | None,
    typer.Option(help="Id of a document never to retrieve; may be repeated."),
  ] = None,
  questions: Annotated[
    pathlib.Path | None,
    typer.Option(
      help="Instead of texts: a JSONL file of questions with their answers."
    ),
  ] = None,
  vocab: options.Vocab = None,
  dtype: options.ComputeType = None,
) -> None:
  """Perplexity of texts, or answers to questions, with and without passages."""
  from symtune.cli.ralm import runs

  given = {
    "models": model,
    "texts": None if text is None else [str(path) for path in text],
    "corpus": None if corpus is None else [str(path) for path in corpus],
    "strides": _numbers(stride, "--stride"),
    "query_lengths": _numbers(query_length, "--query-length"),
    "passages": _numbers(passages, "--passages"),
    "rerank": None if rerank is None else tuple(rerank.split(",")),
    "window": window,
    "fit": fit,
    "documents": documents,
    "document_words": document_words,
    "leaks": leaks,
    "forbidden": forbid,
  }
  given = {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in given.items()
    if value is not None
  }
  inputs = runs.Inputs(
    recipe=recipe, overrides=overrides or [], given=given, vocab=vocab, dtype=dtype
  )
  if questions is None:
    runs.measure_texts(inputs, out)
  else:
    runs.answer_questions(inputs, questions, out)


def _numbers(text: str | None, option: str) -> tuple[int, ...] | None:
  if text is None:
    return None
  try:
    return tuple(int(part) for part in text.split(","))
  except ValueError as error:
    raise SymtuneError(
      f"{option}: got {text!r}, expected whole numbers such as 4,16."
    ) from error
