"""Planted leaks between tuning and evaluation are found, refused or dropped."""

import dataclasses

import pytest

from symtune.cards.load import load_suite
from symtune.data.text.instructions import (
  InstructionForm,
  InstructionRow,
  InstructionTask,
  Shown,
)
from symtune.data.text.leaks import (
  LeakPolicy,
  apply_policy,
  describe_leaks,
  drop_instruction_leaks,
  find_leaks,
)
from symtune.errors import SymtuneError


@pytest.fixture
def tasks(make_task):
  """A tuning and an evaluation task that share four fruits and one animal."""
  tuning = make_task(("animal", "fruit"))
  evaluation = make_task(("fruit", "tool"))
  shouted = dataclasses.replace(evaluation.examples[-1], fields={"text": " CAT\n"})
  examples = (*evaluation.examples[:4], *evaluation.examples[12:-1], shouted)
  return (tuning,), (dataclasses.replace(evaluation, examples=examples),)


def test_shared_texts_are_found_whatever_case_and_white_space(tasks):
  (leak,) = find_leaks(*tasks)
  assert (leak.tuning, leak.evaluation) == ("toy_animal_fruit", "toy_fruit_tool")
  assert leak.rows == (0, 12, 13, 14, 15)
  assert leak.example == "cat"
  assert describe_leaks([leak]) == "5 rows of toy_animal_fruit are in toy_fruit_tool"


def test_leaks_are_refused_with_an_example(tasks):
  leaks = find_leaks(*tasks)
  with pytest.raises(SymtuneError, match=r"5 rows of toy_animal_fruit .* 'cat'"):
    apply_policy(tasks[0], leaks, LeakPolicy.REFUSE)


def test_dropping_leaves_nothing_shared_and_keeps_row_numbers(tasks):
  leaks = find_leaks(*tasks)
  (kept,) = apply_policy(tasks[0], leaks, LeakPolicy.DROP)
  assert not find_leaks((kept,), tasks[1])
  assert [e.row for e in kept.examples] == [*range(1, 12), *range(16, 24)]


def test_tasks_without_leaks_pass_unchanged(make_task):
  tuning = (make_task(("animal", "fruit")),)
  tools = make_task(("fruit", "tool"))
  tools = dataclasses.replace(tools, examples=tools.examples[12:])
  assert find_leaks(tuning, (tools,)) == ()
  for policy in LeakPolicy:
    assert apply_policy(tuning, (), policy) == tuning


def test_microworld_shares_no_text():
  train, evaluation = (
    load_suite(name, None) for name in ("microworld_train", "microworld_eval")
  )
  assert find_leaks(train, evaluation) == ()


@pytest.mark.shared
def test_real_suites_leak_into_subj(shared_data):
  train, evaluation = (
    load_suite(name, shared_data / "tasks")
    for name in ("symbol_tuning_train", "symbol_tuning_eval")
  )
  found = {(k.tuning, k.evaluation): len(k.rows) for k in find_leaks(train, evaluation)}
  assert found == {("sst2", "subj"): 116, ("rotten_tomatoes", "subj"): 164}


@pytest.mark.shared
def test_subj_is_reported_as_in_the_notes_on_the_data(shared_data):
  # Its subjective sentences are reviews that rotten_tomatoes and SST-2 hold too.
  tuning = load_suite("symbol_tuning_train", shared_data / "tasks")
  evaluation = load_suite("symbol_tuning_eval", shared_data / "tasks")
  leaks = {
    (leak.tuning, leak.evaluation): leak
    for leak in find_leaks(tuning, evaluation, overlap=0.5)
  }
  assert set(leaks) == {("sst2", "subj"), ("rotten_tomatoes", "subj")}
  subj = next(task for task in evaluation if task.card.name == "subj")
  subjective = {e.row for e in subj.examples if e.label == 0}
  # The notes say 84% and 41% of the whole sets; of samples of 1,000 rows a split, as
  # here, fewer meet.
  assert [len(leak.evaluation_rows) for leak in leaks.values()] == [150, 164]
  for leak in leaks.values():
    assert set(leak.evaluation_rows) <= subjective


def test_rows_and_shown_examples_of_instruction_data_leak_too(make_task):
  task = make_task(("animal", "fruit"))
  text = task.card.input_text(task.examples[0])
  rows = (
    InstructionRow(instruction="Name it.", input=text.upper(), outputs=("x",)),
    InstructionRow(instruction=f" {text}", input="", outputs=("x",)),
    InstructionRow(instruction="Name it.", input="a new one", outputs=("x",)),
  )
  shown = tuple(Shown(input=t, output="x", explanation="") for t in ("fine", text))
  file = InstructionTask(
    name="names",
    form=InstructionForm.SUPER_NI,
    rows=rows,
    positive=shown,
    negative=shown[::-1],
    fingerprint="",
  )
  with pytest.raises(SymtuneError, match="4 rows of names are in toy_animal_fruit"):
    drop_instruction_leaks([file], [task], LeakPolicy.REFUSE)
  (kept,), (leak,) = drop_instruction_leaks([file], [task], LeakPolicy.DROP)
  assert leak.rows == (0, 1, 4, 5)
  assert (kept.rows, kept.positive, kept.negative) == (rows[2:], shown[:1], shown[:1])
  (same,), none = drop_instruction_leaks([kept], [task], LeakPolicy.REFUSE)
  assert (same, none) == (kept, ())
  only = dataclasses.replace(file, rows=rows[:2])
  with pytest.raises(SymtuneError, match="every row is also in an evaluation task"):
    drop_instruction_leaks([only], [task], LeakPolicy.DROP)


def test_spacing_and_punctuation_do_not_hide_a_copy_and_digits_count(make_task):
  def with_texts(*texts):
    task = make_task()
    pairs = zip(task.examples, texts, strict=False)
    rows = tuple(dataclasses.replace(e, fields={"text": t}) for e, t in pairs)
    return dataclasses.replace(task, examples=rows)

  tuning = with_texts("It does n't -lrb- quite -rrb- work .", "3 + 4", "1.5", "...")
  evaluation = with_texts("it doesn't (quite) work", "3 - 4", "15", "!")
  (leak,) = find_leaks([tuning], [evaluation])
  assert (leak.rows, leak.evaluation_rows) == ((0,), (0,))


def test_a_task_of_leaks_alone_is_refused_with_the_reason(make_task):
  task = make_task()
  card = dataclasses.replace(task.card, name="mine")
  other = dataclasses.replace(task, card=card, examples=task.examples[:12])
  with pytest.raises(
    SymtuneError, match="task toy_animal_fruit: 12 of its 24 rows are also in mine"
  ):
    apply_policy([task], find_leaks([task], [other]), LeakPolicy.DROP)


def test_near_duplicates_count_only_where_an_overlap_is_asked_for(make_task):
  task = make_task()
  long = "one two three four five six seven eight nine ten"
  texts = [long, "something else that is not at all like the other one"]
  tuning, evaluation = (
    dataclasses.replace(
      task,
      examples=tuple(
        dataclasses.replace(e, fields={"text": text})
        for e, text in zip(task.examples, texts, strict=False)
      ),
    )
    for texts in (texts, [long.replace("six", "6"), "unrelated"])
  )
  assert find_leaks([tuning], [evaluation]) == ()
  (leak,) = find_leaks([tuning], [evaluation], overlap=0.5)
  assert (leak.rows, leak.evaluation_rows) == ((0,), (0,))
  with pytest.raises(SymtuneError, match="got overlap 0"):
    find_leaks([tuning], [evaluation], overlap=0.0)
