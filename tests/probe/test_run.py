"""results.jsonl is append-only, whole after any kill, and the same when resumed."""

import dataclasses
import io
import json
import math

import pytest
import rich.console

from symtune.data.draw.index import Shots
from symtune.data.draw.words import DRAWS_VERSION
from symtune.data.prompts import PromptFormat
from symtune.data.text.symbols import PoolSplit, SymbolPool
from symtune.errors import SymtuneError
from symtune.probe.answer.calibrate import Calibration, score_calibration
from symtune.probe.answer.scorers import (
  make_random_scorer,
  score_by_majority,
  score_by_oracle,
)
from symtune.probe.probe import ProbeSettings
from symtune.probe.probes.flipped_labels import FlippedLabels
from symtune.probe.probes.settings import FourSettings
from symtune.probe.probes.turing_concepts import TuringConcepts
from symtune.probe.questions import Questions
from symtune.probe.results import read_results
from symtune.probe.run import CheckpointLabel, RunContext, run_probes

CONTEXT = RunContext(config_hash="c" * 16, vocab_hash="v" * 16, git_commit=None)


@pytest.fixture
def probe_into(make_task, toy_pools):
  settings = ProbeSettings(
    pool=toy_pools[1],
    shots=Shots(minimum=2, maximum=2),
    max_queries=5,
    seeds=(0,),
  )
  tasks = make_task(("animal", "fruit")), make_task(("animal", "fruit", "tool"))

  def probe(path, name="before", scorer=None, identity="weights", tasks=tasks):
    run_probes(
      scorer or make_random_scorer(0),
      Questions((FourSettings(), FlippedLabels()), tasks, settings),
      results_path=path,
      label=CheckpointLabel(name=name, step=0, identity=identity),
      context=CONTEXT,
      console=rich.console.Console(quiet=True),
    )

  return probe


def test_questions_are_the_same_every_time_kept_or_not(make_task, toy_pools):
  settings = ProbeSettings(pool=toy_pools[1], max_queries=3, seeds=(0,))
  tasks = make_task(("animal", "fruit")), make_task(("fruit", "tool"))
  asked = FourSettings(), FlippedLabels()
  questions = Questions(asked, tasks, settings)
  first = list(questions)
  assert len(questions) == len(first) == 4
  assert list(questions) == first == list(Questions(asked, tasks, settings))
  expected = [item for p in asked for t in tasks for item in p.items(t, settings)]
  assert [item for _, items in first for item in items] == expected


def test_answers_to_questions_of_other_draws_are_refused(
  probe_into, tmp_path, monkeypatch
):
  path = tmp_path / "results.jsonl"
  probe_into(path)
  before = path.read_bytes()
  probe_into(path)  # nothing is asked again
  assert path.read_bytes() == before
  monkeypatch.setattr("symtune.probe.run.DRAWS_VERSION", DRAWS_VERSION + 1)
  with pytest.raises(SymtuneError, match="the way in which prompts are drawn"):
    probe_into(path)
  assert path.read_bytes() == before


def test_rows_hold_what_was_asked_and_answered(probe_into, tmp_path):
  path = tmp_path / "results.jsonl"
  probe_into(path)
  rows = read_results(path)
  assert len(rows) == 5 * 6 * 2 + 5 * 2
  for row in rows:
    assert row.prediction == row.log_likelihoods.index(max(row.log_likelihoods))
    assert row.correct == (row.prediction == row.label)
    assert row.chance == pytest.approx(1 / row.num_classes)
    assert row.exemplars == 2 * row.num_classes
    assert len(row.choices) == row.num_classes
  assert {(r.config_hash, r.vocab_hash) for r in rows} == {("c" * 16, "v" * 16)}


def test_rows_name_the_group_of_their_task(probe_into, make_task, tmp_path):
  path = tmp_path / "results.jsonl"
  alone, together = make_task(("animal", "fruit")), make_task(("fruit", "tool"))
  tasks = dataclasses.replace(alone, group="known"), together
  probe_into(path, tasks=tasks)
  found = {(row.probe, row.task): row.group for row in read_results(path)}
  assert found == {
    (probe, task): group
    for probe in ("settings", "flipped_labels")
    for task, group in (("toy_animal_fruit", "known"), ("toy_fruit_tool", None))
  }


class _SlowScorer:
  """Takes a second for each item, and says when it has answered one."""

  def __init__(self):
    self.now = 0.0
    self.on_answered = int

  def __call__(self, items):
    for _ in items:
      self.now += 1.0
      self.on_answered(1)
    return score_by_majority(items)


@pytest.mark.parametrize("calibration", [(), (Calibration.PMI, Calibration.DOMAIN)])
def test_probing_says_in_a_log_where_it_is(toy_task, toy_pools, tmp_path, calibration):
  """Inside a subject too, which may take an hour, and with calibration prompts."""
  settings = ProbeSettings(pool=toy_pools[1], max_queries=12, seeds=(0,))
  questions = Questions((FourSettings(), FlippedLabels()), [toy_task], settings)
  prompts = 12 * (6 + 1) * (1 + len(calibration) * 3)
  path, clocks = tmp_path / "results.jsonl", []
  for _ in range(2):  # the second time everything is there
    scorer = _SlowScorer()
    console = rich.console.Console(file=io.StringIO(), width=200)
    run_probes(
      scorer,
      questions,
      results_path=path,
      label=CheckpointLabel(name="before", step=0),
      context=CONTEXT,
      console=console,
      calibration=calibration,
      clock=lambda scorer=scorer: scorer.now,
    )
    lines = console.file.getvalue().splitlines()
    clocks.append(scorer.now)
    if scorer.now:
      assert len(lines) >= prompts / 30
      first = f"before, settings, toy_animal_fruit: 25/{prompts} prompts  1.0/s  "
      assert lines[0].startswith(first)
      assert lines[-1].startswith(
        f"before, flipped_labels, toy_animal_fruit: {prompts}"
      )
    else:
      assert lines == []
  assert clocks == [prompts, 0.0]


def test_finished_probes_are_not_asked_again(probe_into, tmp_path):
  path = tmp_path / "results.jsonl"
  probe_into(path)
  before = path.read_bytes()

  def never(items):
    raise AssertionError("asked again")

  probe_into(path, scorer=never)
  assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.77, 0.999])
def test_file_cut_anywhere_is_completed_to_the_same_bytes(probe_into, tmp_path, share):
  whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
  for name in ("before", "after"):
    probe_into(whole, name)
  data = whole.read_bytes()
  cut.write_bytes(data[: int(len(data) * share)])
  for name in ("before", "after"):
    probe_into(cut, name)
  assert cut.read_bytes() == data


def test_a_subject_of_several_tasks_is_completed_too(tmp_path):
  """Its rows are found by their keys, not by one task's name."""
  settings = ProbeSettings(
    pool=SymbolPool(split=PoolSplit.EVALUATION, symbols={}), seeds=(0,)
  )

  def probe(path):
    run_probes(
      score_by_oracle,
      Questions((TuringConcepts(queries=1), FlippedLabels()), (), settings),
      results_path=path,
      label=CheckpointLabel(name="oracle", step=0),
      context=CONTEXT,
      console=rich.console.Console(quiet=True),
    )

  whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
  probe(whole)
  lines = whole.read_bytes().splitlines(keepends=True)
  assert len({row.task for row in read_results(whole)}) == len(lines) > 10
  cut.write_bytes(b"".join(lines[:5]))
  probe(cut)
  assert cut.read_bytes() == whole.read_bytes()
  for row in read_results(whole):
    assert (row.kind, row.correct, row.chance) == ("generate", True, 0.0)
    assert row.text == row.choices[0]


def test_baselines_are_kept_and_asked_of_ranked_items_only(toy_task, toy_pools):
  asked = []

  def score(items):
    asked.extend(items)
    return score_by_majority(items)

  settings = ProbeSettings(
    pool=toy_pools[1],
    shots=Shots(minimum=1, maximum=1),
    max_queries=2,
    seeds=(0,),
  )
  items = list(FlippedLabels().items(toy_task, settings))
  found = score_calibration(score, items, tuple(Calibration))
  assert len(asked) == 2 * (1 + 3 + 5)
  for one in found:
    assert len(one.null_log_likelihoods) == 2
    for log_prior in (one.content_free_log_prior, one.domain_log_prior):
      assert sum(math.exp(v) for v in log_prior) == pytest.approx(1.0)
  null, free = asked[0].prompt, asked[2].prompt
  assert null.turns == ((items[0].prompt.turns[-1][-1].strip(),),)
  assert free.turns[:-1] == items[0].prompt.turns[:-1]
  assert free.turns[-1][-2] == "N/A"
  texts = {e.fields["text"] for e in toy_task.examples}
  assert {item.prompt.turns[-1][-2] for item in asked[8:]} <= texts


def test_answers_of_another_model_under_the_same_name_are_refused(probe_into, tmp_path):
  path = tmp_path / "results.jsonl"
  probe_into(path)
  assert {row.identity for row in read_results(path)} == {"weights"}
  before = path.read_bytes()
  with pytest.raises(SymtuneError, match=r"results\.jsonl, line 1: got answers of ano"):
    probe_into(path, identity="other weights")
  assert path.read_bytes() == before


def test_answers_to_questions_of_other_data_are_refused(
  probe_into, make_task, tmp_path
):
  path = tmp_path / "results.jsonl"
  probe_into(path)
  task, other = make_task(("animal", "fruit")), make_task(("animal", "fruit", "tool"))
  changed = dataclasses.replace(task, fingerprint="0" * 64)
  with pytest.raises(SymtuneError, match=r"line \d+: got an answer of probe settings"):
    probe_into(path, tasks=(changed, other))


def test_answers_to_other_prompts_are_refused(probe_into, tmp_path, monkeypatch):
  """As when a later version writes the same draws in another way."""
  path = tmp_path / "results.jsonl"
  probe_into(path)
  before = path.read_bytes()
  for form in PromptFormat:
    monkeypatch.setattr(form, "_value_", ("In: ", "\nOut:"))
  with pytest.raises(SymtuneError, match=r"line \d+: got the answer to another prompt"):
    probe_into(path)
  assert path.read_bytes() == before


def test_edited_file_is_refused_not_repaired(probe_into, tmp_path):
  path = tmp_path / "results.jsonl"
  probe_into(path)
  lines = path.read_text().splitlines(keepends=True)
  path.write_text("".join(lines[1:]))
  with pytest.raises(SymtuneError, match=r"got 29 rows .* expected 30\. Fewer"):
    probe_into(path)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda line: line[:30], r"line 2: malformed JSON"),
    (lambda line: line.replace('"seed": 0', '"seed": 1'), "changed after it was"),
    (lambda line: "[]", "line 2: got list, expected an object"),
    (lambda line: "", "line 2: malformed JSON"),
  ],
)
def test_damaged_rows_name_file_and_line(probe_into, tmp_path, change, message):
  path = tmp_path / "results.jsonl"
  probe_into(path)
  lines = path.read_text().splitlines()
  lines[1] = change(lines[1])
  path.write_text("\n".join(lines) + "\n")
  with pytest.raises(SymtuneError, match=message):
    read_results(path)


def test_repeated_row_is_refused(probe_into, tmp_path):
  path = tmp_path / "results.jsonl"
  probe_into(path)
  first = path.read_text().splitlines()[0]
  with path.open("a") as file:
    file.write(first + "\n")
  with pytest.raises(SymtuneError, match=r"line 71: got the question of line 1 again"):
    read_results(path)


def test_no_file_says_what_to_run(tmp_path):
  with pytest.raises(SymtuneError, match="symtune run or symtune probe"):
    read_results(tmp_path / "results.jsonl")


def test_rows_are_plain_json_with_sorted_keys_then_the_checksum(probe_into, tmp_path):
  path = tmp_path / "results.jsonl"
  probe_into(path)
  *keys, last = json.loads(path.read_text().splitlines()[0])
  assert keys == sorted(keys)
  assert last == "crc32"
