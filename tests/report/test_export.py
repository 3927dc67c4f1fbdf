"""Results as numbers for other programs and as LaTeX for papers."""

import csv
import io
import json
import re

import pytest

from symtune.report.canvas import Form
from symtune.report.export.export import (
  accuracies_to_csv,
  content_to_latex,
  results_to_json,
)
from symtune.report.export.latex import escape, to_latex
from symtune.report.report import make_content, write_report
from symtune.report.results import pair_rows
from symtune.report.rules import Rule
from symtune.report.tables import Column, Table


def _pick(records, **wanted):
  (found,) = [r for r in records if all(str(r[k]) == v for k, v in wanted.items())]
  return found


def test_csv_has_every_mean_with_its_interval(both_checkpoints):
  text = accuracies_to_csv(pair_rows(both_checkpoints))
  records = list(csv.DictReader(io.StringIO(text)))
  # Five settings of two tasks (flipped: one), both checkpoints; means and single tasks.
  assert len(records) == 2 * (5 + 9)
  of = {"over": "all", "setting": "neither"}
  before, after = (_pick(records, **of, checkpoint=n) for n in ("before", "after"))
  assert float(before["accuracy"]) == pytest.approx((0.1 + 0.75) / 2)
  assert float(after["accuracy"]) == pytest.approx((0.9 + 0.75) / 2)
  assert float(after["chance"]) == pytest.approx((1 / 2 + 1 / 4) / 2)
  assert float(after["low"]) < float(after["accuracy"]) < float(after["high"])
  assert float(after["difference"]) == pytest.approx(0.4)
  assert before["difference"] == before["p_holm"] == ""
  assert (after["tasks"], after["n"], after["step"], after["task"]) == (
    *("2", "14", "40"),
    "",
  )
  ten = _pick(records, over="task", setting="neither", task="ten", checkpoint="after")
  assert float(ten["difference"]) == pytest.approx(0.8)
  # McNemar of 9 better and 1 worse: 2 (1 + 10) / 2^10.
  assert float(ten["p"]) == pytest.approx(22 / 1024)


def test_groups_are_rows_of_their_own(make_rows):
  rows = [
    row
    for task, group, right in (("a", "x", [1, 1]), ("b", "y", [1, 0]))
    for row in make_rows("m", 0, task, right, group=group)
  ]
  records = list(csv.DictReader(io.StringIO(accuracies_to_csv(pair_rows(rows)))))
  found = {r["group"]: float(r["accuracy"]) for r in records if r["over"] == "group"}
  assert found == {"x": 1.0, "y": 0.5}


def test_json_has_differences_between_settings(both_checkpoints):
  found = json.loads(results_to_json(pair_rows(both_checkpoints), Rule.SUM))
  assert found["rule"] == "sum"
  assert found["checkpoints"][1] == {"name": "after", "step": 40}
  one = _pick(
    found["contrasts"], setting="labels", minus="neither", checkpoint="before"
  )
  assert one["difference"] == 0.0
  assert one["n"] == 14
  before, after = found["label_reliance"]
  assert before["measure"] == "natural minus symbols"
  assert before["difference"] is None
  assert (after["value"], after["difference"]) == (0.0, 0.0)
  first = found["accuracies"][0]
  assert first["difference"] is None


def test_text_is_escaped_for_latex():
  shown = escape("50% of a_b & {c} #1 $2 ^ ~ \\x <0.001 | -1.5 [-2.0, 3.0] x-1")
  assert shown == (
    r"50\% of a\_b \& \{c\} \#1 \$2 \textasciicircum{} \textasciitilde{} "
    r"\textbackslash{}x \textless{}0.001 \textbar{} $-$1.5 [$-$2.0, 3.0] x-1"
  )
  assert escape("two\n lines") == "two lines"


def test_a_table_has_rules_and_no_details():
  table = Table(
    title="Accuracy in %",
    columns=(
      Column(title="setting", is_number=False),
      Column(title="after"),
      Column(title="p", is_detail=True),
    ),
    rows=(("[odd]", "50.0 [40.0, 60.0]", "0.5"), ("none", "", "1.0")),
  )
  assert to_latex(table, "tab:x") == (
    "\\begin{table}\n\\centering\\footnotesize\n"
    "\\caption{Accuracy in \\%}\\label{tab:x}\n"
    "\\begin{tabular}{lr}\n\\toprule\nsetting & after \\\\\n\\midrule\n"
    "{}[odd] & 50.0 [40.0, 60.0] \\\\\nnone &  \\\\\n"
    "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
  )
  long = Table(title="t", columns=table.columns, rows=table.rows * 30)
  assert r"\begin{longtable}{lr}" in to_latex(long, "tab:x")


def test_all_tables_of_the_report_become_latex(run_dir):
  text = content_to_latex(make_content(run_dir))
  titles = re.findall(
    r"^## (.*(?:in %|interval\]).*)$", _markdown(run_dir), re.MULTILINE
  )
  assert titles
  assert text.count(r"\toprule") == text.count(r"\bottomrule") == len(titles)
  for title in titles:
    assert f"\\caption{{{escape(title)}}}" in text
  for kind in ("table", "tabular", "longtable"):
    assert text.count(f"\\begin{{{kind}}}") == text.count(f"\\end{{{kind}}}")
  assert len(set(re.findall(r"\\label\{.*?\}", text))) == len(titles)


def _markdown(run_dir):
  write_report(run_dir)
  return (run_dir / "report.md").read_text()


def test_figures_are_written_in_other_forms(run_dir):
  write_report(run_dir, forms=(Form.SVG, Form.PDF))
  assert (run_dir / "report.png").read_bytes().startswith(b"\x89PNG")
  assert b"<svg" in (run_dir / "report.svg").read_bytes()
  first = (run_dir / "report.pdf").read_bytes()
  assert first.startswith(b"%PDF")
  write_report(run_dir, forms=(Form.PDF,))
  assert (run_dir / "report.pdf").read_bytes() == first
