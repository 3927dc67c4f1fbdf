"""What README.md and docs/lab.md show runs as it stands, on fewer questions."""

import pathlib
import re
import shlex
import sys

import pytest

from symtune.cli.main import main

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LAB = (ROOT / "docs" / "lab.md").read_text(encoding="utf-8")
# The demonstration's run is not made for this test; the other base stands for it.
DEMO = ("runs/demo", "microworld/base_at_chance.safetensors")
FEWER = (("max_queries=20", "max_queries=1"), ("--queries 20", "--queries 1"))


def _block(mark: str) -> str:
  """The block of README.md that follows a mark."""
  found = re.search(rf"<!-- run: {mark} -->\n```\w*\n(.*?)```", README, re.DOTALL)
  assert found, mark
  text = found[1]
  for old, new in (DEMO, *FEWER):
    text = text.replace(old, new)
  return text


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """An empty folder with 200 reviews of four classes."""
  texts = ("a mess", "too long", "fine work", "a joy")
  lines = [f'"{texts[i % 4]}, number {i}",{i % 4 + 1}' for i in range(200)]
  table = "\n".join(["review,stars", *lines])
  (tmp_path / "reviews.csv").write_text(table + "\n")
  monkeypatch.chdir(tmp_path)
  return tmp_path


def _lines(text: str) -> list[str]:
  """Lines of code, without the import and empty lines."""
  return [x for x in text.splitlines() if x.strip() and not x.startswith("import")]


def test_two_models_are_asked_one_question_and_drawn(folder, capsys):
  code = _block("kiwi")
  assert len(code.strip().splitlines()) <= 8
  exec(code, {})
  printed = capsys.readouterr().out
  assert "base_at_chance" in printed
  assert "log p(tool)" in printed
  assert (folder / "kiwi.svg").read_bytes().startswith(b"<?xml")


def test_a_table_becomes_a_report_in_five_lines(folder):
  code = _block("table")
  assert len(_lines(code)) <= 5
  exec(code, {})
  page = (folder / "lab.html").read_text(encoding="utf-8")
  assert "base_at_chance.safetensors" in page
  assert "label semantics: nonce" in page


def test_a_table_becomes_a_report_with_one_command(folder, monkeypatch, capsys):
  commands = _block("command").replace("\\\n", " ").strip().splitlines()
  assert len(commands) == 2
  for command in commands:
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as stop:
      main()
    printed = capsys.readouterr()
    assert not stop.value.code, printed.err
  out = folder / "runs" / "reviews"
  page = (out / "report.html").read_text(encoding="utf-8")
  assert "poor, weak, fine, superb" in page
  assert (out / "report.md").exists()


@pytest.mark.parametrize("page", ["add_a_probe.md", "add_a_task.md"])
def test_extensions_run_in_an_empty_folder(folder, monkeypatch, capsys, page):
  text = (ROOT / "docs" / page).read_text(encoding="utf-8")
  for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
    (folder / "my_probe.py").write_text(code, encoding="utf-8")
  (block,) = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
  for command in block.replace("\\\n", " ").strip().splitlines():
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as stop:
      main()
    printed = capsys.readouterr()
    assert not stop.value.code, printed.err
  assert len(list(folder.glob("runs/*/report.html"))) == 1


def test_the_lab_page_runs_from_top_to_bottom(folder):
  blocks = re.findall(r"```python\n(.*?)```", LAB, re.DOTALL)
  assert len(blocks) == 4
  for block in blocks:
    exec(block, {})
  assert (folder / "runs" / "lab" / "results.jsonl").exists()
