"""Rows of strides: the same tokens, gains of planted corpora, resuming."""

import dataclasses

import numpy as np
import pytest
import rich.console

from symtune.errors import SymtuneError
from symtune.files import append_text
from symtune.ralm.choose import Chooser
from symtune.ralm.leaks import find_text_leaks, forbidden_ids, guard
from symtune.ralm.report import find_examples, read_measured, write_report
from symtune.ralm.rows import FILE, read_rows, to_lines
from symtune.ralm.run import (
  TEXTS,
  choose_texts,
  measure,
  score_document,
  write_texts,
)
from symtune.ralm.settings import Cell, Leaks, RalmRecipe, Rerank
from symtune.ralm.spans import Span
from symtune.ralm.strides import cut_strides

QUIET = rich.console.Console(quiet=True)


def make_facts(seed):
  """Documents of facts, and the same facts in another order, by document.

  A fact is a name, which occurs in one document only, a relation and a value.
  """
  rng = np.random.default_rng(seed)
  texts, elsewhere = {}, {}
  for number in range(8):
    facts = [f"n{number}x{i} r{i % 3} v{rng.integers(300)}" for i in range(30)]
    texts[f"test {number}"] = " ".join(facts)
    elsewhere[f"source {number}"] = " ".join(rng.permutation(facts))
  return texts, elsewhere


def shuffle(text):
  """The words of a text: first all values, then all relations, then all names."""
  return " ".join(sorted(text.split(), reverse=True))


def make_recipe(**settings):
  defaults = {"strides": (4,), "query_lengths": (8,), "window": 400}
  where = {"models": ("m",), "texts": ("t",), "corpus": ("c",)}
  return RalmRecipe(**{**where, **defaults, **settings})


def test_the_first_words_of_the_first_documents_are_scored():
  texts = {"a": "\n one  two\nthree \n", "b": "one", "c": " "}
  assert choose_texts(texts, make_recipe()) == texts
  assert choose_texts(texts, make_recipe(documents=1)) == {"a": texts["a"]}
  short = choose_texts(texts, make_recipe(document_words=2))
  assert short == {"a": "\n one  two", "b": "one", "c": ""}
  with pytest.raises(SymtuneError, match="document_words is 0, expected 1 or more"):
    make_recipe(document_words=0)


def run(recipe, model, texts, index, out):
  out.mkdir(exist_ok=True)
  write_texts(texts, out / TEXTS)
  measure(recipe, model, texts, index, frozenset(), out, QUIET)
  return read_measured(out)


def test_planted_facts_help_and_shuffled_words_do_not(copying, make_corpus, tmp_path):
  texts, elsewhere = make_facts(0)
  shuffled = {i: shuffle(text) for i, text in elsewhere.items()}
  recipe = make_recipe()
  assert guard(texts, make_corpus(elsewhere), (), Leaks.REFUSE) == frozenset()
  _, (base, planted) = run(
    recipe, copying, texts, make_corpus(elsewhere), tmp_path / "planted"
  )
  assert planted.change.high < -1.0  # of ln(1000) = 6.9 nats per token
  assert planted.tokens.tolist() == base.tokens.tolist()
  _, (_, useless) = run(
    recipe, copying, texts, make_corpus(shuffled), tmp_path / "shuffled"
  )
  assert useless.change.low <= 0 <= useless.change.high


def test_corpus_with_test_text_is_refused_or_forbidden(make_corpus):
  texts, elsewhere = make_facts(0)
  index = make_corpus({**elsewhere, "copy": texts["test 3"], "again": texts["test 3"]})
  leaks = find_text_leaks(texts, index)
  assert [(leak.text, leak.share) for leak in leaks] == [("test 3", 1.0)]
  with pytest.raises(SymtuneError, match=r"'test 3' \(100%, in 'again'\)"):
    guard(texts, index, (), Leaks.REFUSE)
  assert guard(texts, index, (), Leaks.FORBID) == {"copy", "again"}
  assert guard(texts, index, ("copy", "again"), Leaks.REFUSE) == {"copy", "again"}
  with pytest.raises(SymtuneError, match="'nobody' is not in the corpus"):
    guard(texts, index, ("nobody",), Leaks.REFUSE)


def test_documents_of_one_name_are_forbidden_together(make_corpus):
  index = make_corpus({"a": "x y", "a (2)": "x z", "a (b)": "x", "b": "x"})
  assert forbidden_ids(index, ["a"]) == {"a", "a (2)"}
  assert forbidden_ids(index, ["a (2)"]) == {"a (2)"}
  assert forbidden_ids(index, []) == frozenset()


def test_reading_strides_at_once_changes_no_score(model, make_corpus):
  texts, elsewhere = make_facts(2)
  index = make_corpus(elsewhere)
  text = texts["test 0"][:150]
  tokens = model.ids(text)
  one_by_one = model._replace(is_causal=False, end=())
  recipe = make_recipe(window=200, passage_tokens=20, strides=(3,))
  for cell in recipe.cells:
    strides = cut_strides(len(tokens), cell.stride, 1)
    together, alone = (
      score_document(Chooser(m, index, recipe, ()), m, index, "test 0", tokens, cell)
      for m in (model, one_by_one)
    )
    alone = alone[-len(strides) :]
    assert sum(row.tokens for row in together) == len(tokens) - 1
    nats = [row.nats for row in together]
    if cell.rerank is Rerank.NONE:
      assert together[0].read == len(tokens)
      assert all(row.read == 0 for row in together[1:])
      total = -sum(float(x.sum()) for x in model.score([_whole(tokens)]))
      assert sum(nats) == pytest.approx(total, abs=1e-3)
    assert all(np.isfinite(nats))


def _whole(tokens):
  return Span(tokens[:1], tokens[1:])


def test_oracle_is_best_and_reranking_counts_what_it_reads(
  copying, make_corpus, tmp_path
):
  texts, elsewhere = make_facts(3)
  distractors = {
    f"other {i}": f"{t.split()[0]} {t.split()[2]}" for i, t in texts.items()
  }
  index = make_corpus({**distractors, **elsewhere})
  ways = ("first", "model", "oracle", "random")
  recipe = make_recipe(rerank=ways, candidates=4, rerank_tokens=4)
  few = {i: texts[i] for i in list(texts)[:4]}
  rows, measured = run(recipe, copying, few, index, tmp_path / "run")
  nats = {one.cell.rerank: one.nats.sum() for one in measured}
  cost = {one.cell.rerank: one.cost for one in measured}
  assert nats[Rerank.ORACLE] == min(nats.values())
  assert nats[Rerank.MODEL] < nats[Rerank.RANDOM]
  assert cost[Rerank.NONE] < cost[Rerank.FIRST] < cost[Rerank.MODEL]
  assert len({row.corpus for row in rows}) == 1
  assert len({one.tokens.sum() for one in measured}) == 1


def test_best_of_several_passages_stands_last(copying, make_corpus):
  texts, elsewhere = make_facts(4)
  index = make_corpus(elsewhere)
  recipe = make_recipe(passages=(2,), passage_tokens=100)
  chooser = Chooser(copying, index, recipe, ())
  tokens = copying.ids(texts["test 1"] + " " + texts["test 2"])
  cell = Cell(stride=4, query_length=8, passages=2, rerank=Rerank.FIRST)
  strides = cut_strides(len(tokens), 4, 1)
  for chosen in chooser.choose("x", tokens, strides, cell):
    scores = [one.score for one in chosen.found]
    assert scores == sorted(scores)
  assert max(len(c.found) for c in chooser.choose("x", tokens, strides, cell)) == 2


def test_resumed_rows_equal_uninterrupted_ones(copying, make_corpus, tmp_path):
  texts, elsewhere = make_facts(5)
  texts = {i: texts[i] for i in list(texts)[:3]}
  index, recipe = make_corpus(elsewhere), make_recipe(rerank=("first", "random"))
  run(recipe, copying, texts, index, tmp_path / "whole")
  expected = (tmp_path / "whole" / FILE).read_bytes()
  for size in (0, 10, len(expected) // 2, len(expected) - 30):
    out = tmp_path / f"torn{size}"
    out.mkdir()
    (out / FILE).write_bytes(expected[:size])
    run(recipe, copying, texts, index, out)
    assert (out / FILE).read_bytes() == expected


def test_rows_of_another_model_or_with_holes_are_refused(
  copying, make_corpus, tmp_path
):
  texts, elsewhere = make_facts(6)
  texts = {i: texts[i] for i in list(texts)[:2]}
  index = make_corpus(elsewhere)
  run(make_recipe(), copying, texts, index, tmp_path / "run")
  label = dataclasses.replace(copying.label, identity="another")
  with pytest.raises(SymtuneError, match="rows of another model named copying"):
    run(make_recipe(), copying._replace(label=label), texts, index, tmp_path / "run")
  path = tmp_path / "run" / FILE
  lines = path.read_text().splitlines(keepends=True)
  path.write_text("".join(lines[:3] + lines[4:]))
  with pytest.raises(SymtuneError, match="the tokens that were scored with"):
    read_measured(tmp_path / "run")
  path.write_text('{"model": "x"}\n')
  with pytest.raises(SymtuneError, match="line 1: expected a row with the keys"):
    read_rows(path)


def test_report_shows_passages_beside_queries(copying, make_corpus, tmp_path):
  texts, elsewhere = make_facts(7)
  texts = {i: texts[i] for i in list(texts)[:3]}
  index = make_corpus(elsewhere)
  rows, _ = run(make_recipe(), copying, texts, index, tmp_path / "run")
  examples = find_examples(rows, texts, index, copying)
  assert examples[0].gain > 1
  assert examples[0].gain >= examples[-1].gain
  whole = " ".join([examples[0].query, examples[0].target])
  assert whole in texts[examples[0].document]
  write_report(tmp_path / "run", examples)
  page = (tmp_path / "run" / "report.html").read_text()
  assert " ".join(examples[0].passage.split()) in page
  report = (tmp_path / "run" / "report.md").read_text()
  assert "side by side" in report
  assert "Fewer than" not in report
  # A run of another model was killed after its first document.
  more = [row for row in rows if row.document == "test 0"]
  more = [dataclasses.replace(row, model="other") for row in more]
  append_text(tmp_path / "run" / FILE, to_lines(more))
  write_report(tmp_path / "run")
  report = (tmp_path / "run" / "report.md").read_text()
  assert "Fewer than 3 documents are scored in these cells" in report
  assert "others: other s=4, no passage; other s=4, l=8, 1 x first." in report


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"window": 200}, "window is 200, expected more than 260"),
    ({"rerank": ("model",), "rerank_tokens": 150}, "expected more than 406"),
    ({"rerank": ("best",)}, "ralm.rerank: got 'best'"),
    ({"rerank": ("none",)}, "always measured"),
    ({"strides": (4, 4)}, "strides is"),
    ({"strides": (0,)}, "strides is 0"),
    ({"passages": (17,), "passage_tokens": 4}, "17 passages of 16 candidates"),
    ({"leaks": "drop"}, "ralm.leaks: got 'drop'"),
  ],
)
def test_bad_settings_are_named(settings, message):
  with pytest.raises(SymtuneError, match=message):
    make_recipe(**settings)


def test_window_beyond_the_positions_is_refused(model, make_corpus, tmp_path):
  _, elsewhere = make_facts(8)
  with pytest.raises(SymtuneError, match="reads at most 256 tokens"):
    run(make_recipe(), model, {"a": "x y"}, make_corpus(elsewhere), tmp_path / "run")
