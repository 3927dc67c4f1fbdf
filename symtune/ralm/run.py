"""Texts, index and models -> strides.jsonl, document by document, resumable.

The rows of one (model, cell, document) are written together. A killed run leaves at
most one incomplete group, at the end, which is measured again. So the file of a resumed
run equals that of an uninterrupted one.
"""

import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import rich.console

from symtune.errors import SymtuneError
from symtune.files import append_text, write_whole
from symtune.progress import Progress
from symtune.ralm.choose import Chooser
from symtune.ralm.rows import (
  FILE,
  Group,
  StrideRow,
  check_identity,
  read_rows,
  to_lines,
)
from symtune.ralm.settings import Cell, Fit, RalmRecipe
from symtune.ralm.spans import Ids, TokenModel
from symtune.ralm.strides import cut_strides, first_scored, make_spans
from symtune.retrieve.index import PassageIndex

TEXTS = "texts.json"


def choose_texts(texts: Mapping[str, str], recipe: RalmRecipe) -> dict[str, str]:
  """The documents, or the first words of them, that a recipe scores."""
  chosen = itertools.islice(texts.items(), recipe.documents)
  if recipe.document_words is None:
    return dict(chosen)
  return {name: _first_words(text, recipe.document_words) for name, text in chosen}


def _first_words(text: str, count: int) -> str:
  ends = (word.end() for word in re.finditer(r"\S+", text))
  return text[: max(itertools.islice(ends, count), default=0)]


def texts_hash(texts: Mapping[str, str]) -> str:
  """16 hexadecimal digits that identify the documents that are scored."""
  return hashlib.sha256(json.dumps(list(texts.items())).encode()).hexdigest()[:16]


def write_texts(texts: Mapping[str, str], path: pathlib.Path) -> None:
  """Writes the words and bytes of each document, by which perplexities are given."""
  sizes = {
    name: {"words": len(text.split()), "bytes": len(text.encode())}
    for name, text in texts.items()
  }
  write_whole(path, json.dumps(sizes, ensure_ascii=False, indent=1) + "\n")


def measure(
  recipe: RalmRecipe,
  model: TokenModel,
  texts: Mapping[str, str],
  index: PassageIndex,
  forbidden: Collection[str],
  out: pathlib.Path,
  console: rich.console.Console,
) -> None:
  """Scores every document in every cell, and appends the rows.

  Args:
    recipe: the grid and its settings.
    model: scores the tokens.
    texts: the documents by id.
    index: of the corpus.
    forbidden: documents of the corpus that are never retrieved.
    out: folder of the rows.
    console: shows progress.

  Raises:
    SymtuneError: the window is larger than the model's positions, the rows are damaged
      or of another model of this name, or a score is not finite.
  """
  _check_positions(recipe, model)
  path = out / FILE
  done = _resume(path, model)
  chooser = Chooser(model, index, recipe, forbidden)
  total = len(texts) * len(recipe.cells)
  with Progress(model.label.name, total, unit="documents", console=console) as progress:
    for document, text in texts.items():
      tokens = model.ids(text)
      for cell in recipe.cells:
        if Group(model.label.name, cell, document) in done:
          progress.skip(1)
          continue
        rows = score_document(chooser, model, index, document, tokens, cell)
        append_text(path, to_lines(rows))
        progress.advance()


def score_document(
  chooser: Chooser,
  model: TokenModel,
  index: PassageIndex,
  document: str,
  tokens: Ids,
  cell: Cell,
) -> list[StrideRow]:
  """The rows of one document in one cell.

  Raises:
    SymtuneError: a score is not finite.
  """
  strides = cut_strides(len(tokens), cell.stride, first_scored(model))
  chosen = chooser.choose(document, tokens, strides, cell)
  placed = [
    chooser.place(stride, chooser.passage_ids(one.found))
    for stride, one in zip(strides, chosen, strict=True)
  ]
  spans = list(make_spans(model, tokens, placed))
  found = model.score([span for span, _ in spans])
  log_p = np.concatenate([np.zeros(0), *found])
  if not np.isfinite(log_p).all():
    raise SymtuneError(
      f"{model.label.name}, {document}: got a log-probability that is not finite. The "
      "checkpoint is broken, or its activations overflow: use --dtype float32."
    )
  read = [
    len(span.context) + len(span.target) if i == 0 else 0
    for span, count in spans
    for i in range(count)
  ]
  first = strides[0].start if strides else 0
  return [
    StrideRow(
      model=model.label.name,
      identity=model.label.identity,
      parameters=model.label.parameters,
      **dataclasses.asdict(cell),
      document=document,
      start=stride.start,
      tokens=stride.end - stride.start,
      of=len(tokens),
      nats=float(-log_p[stride.start - first : stride.end - first].sum()),
      read=tokens_read + one.read,
      found=[f.number for f in one.found],
      scores=[round(f.score, 4) for f in one.found],
      corpus=index.hash,
    )
    for stride, one, tokens_read in zip(strides, chosen, read, strict=True)
  ]


def _resume(path: pathlib.Path, model: TokenModel) -> set[Group]:
  """The groups that the file holds whole; removes an incomplete one at its end."""
  if not path.exists():
    return set()
  content = path.read_bytes()
  os.truncate(path, content.rfind(b"\n") + 1)  # a killed write leaves half a line
  rows = read_rows(path)
  for row in rows:
    if row.model == model.label.name:
      check_identity(model.label, row.identity, path)
  if rows and rows[-1].start + rows[-1].tokens < rows[-1].of:
    kept = [row for row in rows if row.group != rows[-1].group]
    write_whole(path, to_lines(kept))
    rows = kept
  return {row.group for row in rows}


def _check_positions(recipe: RalmRecipe, model: TokenModel) -> None:
  needed = recipe.window
  if recipe.fits is Fit.EXTEND:
    needed += max(recipe.passages) * recipe.passage_tokens
  if needed > model.positions:
    raise SymtuneError(
      f"ralm: {model.label.name} reads at most {model.positions} tokens, but the "
      f"window{' with its passages' if recipe.fits is Fit.EXTEND else ''} has "
      f"{needed}. Lower --window."
    )


def check_same_tokens(rows: Sequence[StrideRow]) -> None:
  """Refuses rows of which two cells of a stride scored other tokens of a document.

  Raises:
    SymtuneError: names model, cell and document.
  """
  places: dict[tuple[str, int, str], dict[Cell, list[tuple[int, int]]]] = {}
  for row in rows:
    cells = places.setdefault((row.model, row.stride, row.document), {})
    cells.setdefault(row.cell, []).append((row.start, row.tokens))
  for (model, _, document), cells in places.items():
    (first, expected), *others = cells.items()
    for cell, found in others:
      if found != expected:
        raise SymtuneError(
          f"{model}, {document}: the tokens that were scored with {cell.title} are not "
          f"those with {first.title}. Rows are missing: measure into another folder."
        )
