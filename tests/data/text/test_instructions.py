"""Instruction files are read whole or not at all; prompts follow their encodings."""

import collections
import json
import re

import numpy as np
import pytest

from symtune.data.ingredients import Ingredient, Instructions
from symtune.data.instruction_prompts import InstructionMaker
from symtune.data.mixture import Mixture, mixing_weights
from symtune.data.rng import keyed_generator
from symtune.data.text.instructions import InstructionForm, read_instructions
from symtune.data.tokens.tokenizer import PromptTokenizer, PromptTooLongError
from symtune.errors import SymtuneError

ROW = {"instruction": "Add the numbers.", "input": "1 and 2", "output": "3"}
SUPER_NI = {
  "Definition": ["Answer the question"],
  "Positive Examples": [
    {"input": "p1 in", "output": "p1 out", "explanation": "because p1"},
    {"input": "p2 in?", "output": "p2 out", "explanation": ""},
    {"input": "p3 in", "output": "p3 out", "explanation": ""},
  ],
  "Negative Examples": [{"input": "n1 in", "output": "n1 out", "explanation": "no"}],
  "Instances": [{"id": "1", "input": "the query", "output": ["one", "two"]}],
}


def _write(folder, name, content):
  path = folder / name
  path.write_text(content if isinstance(content, str) else json.dumps(content))
  return path


def _prompts(path, form, count=60):
  (task,) = read_instructions(path, form)
  maker = InstructionMaker(task)
  return [maker.prompt(keyed_generator(i)) for i in range(count)]


def test_pairs_are_taken_as_they_are(tmp_path):
  path = _write(tmp_path, "a.jsonl", '{"inputs": "Q: x\\nA:", "targets": "y"}\n')
  (prompt,) = _prompts(path, InstructionForm.PAIRS, 1)
  assert (prompt.inputs, prompt.choices) == ("Q: x\nA:", ("y",))


def test_alpaca_templates_are_the_published_ones(tmp_path):
  path = _write(tmp_path, "a.json", [ROW])
  (prompt,) = _prompts(path, InstructionForm.ALPACA, 1)
  assert prompt.inputs == (
    "Below is an instruction that describes a task, paired with an input that provides "
    "further context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nAdd the numbers.\n\n### Input:\n1 and 2\n\n### Response:"
  )
  path = _write(tmp_path, "b.json", [ROW | {"input": ""}])
  (prompt,) = _prompts(path, InstructionForm.ALPACA, 1)
  assert prompt.inputs == (
    "Below is an instruction that describes a task. Write a response that "
    "appropriately completes the request.\n\n### Instruction:\nAdd the numbers."
    "\n\n### Response:"
  )
  assert prompt.choices == ("3",)


def test_self_instruct_draws_its_templates(tmp_path):
  instances = [{"input": "1 and 2", "output": "3"}, {"input": "", "output": "none"}]
  row = {"instruction": "Add.", "instances": instances}
  path = _write(tmp_path, "a.jsonl", json.dumps(row) + "\n")
  prompts = _prompts(path, InstructionForm.SELF_INSTRUCT, 200)
  texts = {p.inputs for p in prompts}
  assert "Task: Add.\n\nInput: 1 and 2\n\nOutput:" in texts
  assert "Add.\n1 and 2" in texts
  assert len(texts) > 15
  for prompt in prompts:
    assert prompt.choices == ("3" if "1 and 2" in prompt.inputs else "none",)


def test_super_ni_mixes_the_five_encodings(tmp_path):
  path = _write(tmp_path, "task001.json", SUPER_NI)
  prompts = _prompts(path, InstructionForm.SUPER_NI, 200)
  kinds = collections.Counter(
    (
      "Definition: Answer the question." in p.inputs,
      len(re.findall("Positive Example", p.inputs)),
      len(re.findall("Negative Example", p.inputs)),
      "Explanation: because p1." in p.inputs,
    )
    for p in prompts
  )
  assert set(kinds) == {
    (True, 0, 0, False),
    (True, 2, 0, False),
    (True, 2, 1, False),
    (True, 2, 0, True),
    (False, 2, 0, False),
  }
  assert {p.choices for p in prompts} == {("one",), ("two",)}
  end = "Now complete the following example -\nInput: the query.\nOutput:"
  assert all(p.inputs.endswith(end) for p in prompts)


def test_a_mixture_asks_in_the_encodings_that_it_is_given(toy_pools, tmp_path):
  _write(tmp_path, "task001.json", SUPER_NI)
  _write(tmp_path, "task002.json", SUPER_NI | {"Definition": ["Not listed"]})
  listed = tmp_path / "train.txt"
  listed.write_text("task001\n")
  form = InstructionForm.SUPER_NI
  tasks = read_instructions(tmp_path, form, listed=listed, instances=1)

  def texts(*encodings):
    settings = Instructions(form="super_ni", encodings=encodings)
    mixture = Mixture([(settings, tasks)], toy_pools[0], seed=0)
    return {prompt.inputs for prompt in mixture.prompts(range(40))}

  query = "Now complete the following example -\nInput: the query.\nOutput:"
  assert texts("definition") == {f"Definition: Answer the question.\n\n{query}"}
  assert len(texts("definition", "positive")) == 2
  assert len(texts()) == 5
  with pytest.raises(SymtuneError, match=r"Instructions\.encodings plain: it shows"):
    texts("plain")
  with pytest.raises(SymtuneError, match=r"Instructions\.encodings: got 'cot'"):
    texts("cot")
  with pytest.raises(SymtuneError, match=r"Instructions\.instances: got 0"):
    Instructions(instances=0)


def test_a_prompt_that_is_too_long_loses_examples_and_keeps_its_instance(
  tmp_path, small_vocab
):
  path = _write(tmp_path, "task001.json", SUPER_NI)
  (task,) = read_instructions(path, InstructionForm.SUPER_NI)
  prompt = InstructionMaker(task, ["negative"]).prompt(keyed_generator(0))
  whole = PromptTokenizer(small_vocab).tokenize(prompt)
  limit = len(whole.inputs) - 1
  cut = PromptTokenizer(small_vocab, max_inputs=limit).tokenize(prompt)
  assert (cut.exemplars_kept, cut.exemplars_dropped) == (3, 1)
  query = small_vocab.encode("".join(prompt.turns[-1]))
  assert cut.inputs[-1 - len(query) : -1].tolist() == query.tolist()


@pytest.mark.parametrize(
  ("form", "content", "problem"),
  [
    ("pairs", '{"inputs": "x"}', "line 1: key 'targets' is missing"),
    ("pairs", '{"inputs": "x", "targets": "y"}\n[1]', "line 2: got list"),
    ("pairs", '{"inputs": "x", "targets": " "}', "line 1: no instruction or no output"),
    ("pairs", '{"inputs": "x", "tar', "line 1: not JSON"),
    ("alpaca", [ROW, {"instruction": "x"}], "item 2: key 'input'"),
    ("super_ni", {"Instances": []}, "key 'Definition' is missing"),
    (
      "super_ni",
      SUPER_NI | {"Instances": [{"input": "x"}]},
      "instance 1: key 'output'",
    ),
    ("super_ni", SUPER_NI | {"Instances": []}, "got no row"),
    (
      "super_ni",
      SUPER_NI | {"Positive Examples": [{"input": "x", "output": None}]},
      "Positive Examples 1: got output None",
    ),
    ("pairs", '{"inputs": "\\ud83d", "targets": "y"}', "line 1: the text holds a lone"),
    ("pairs", '{"inputs": "x", "targets": null}', "no instruction or no output"),
    ("alpaca", [ROW | {"output": 3}], "item 1: key 'output': got int, 3, expected one"),
    ("alpaca", [ROW | {"output": ["3"]}], "key 'output': got a list, [\"3\"], expe"),
    ("alpaca", [ROW | {"output": None}], "Instructions.leave_out = True"),
    ("self_instruct", {"instruction": "x", "instances": []}, "line 1: no instruction"),
    (
      "super_ni",
      SUPER_NI | {"Instances": [{"input": "x", "output": [1]}]},
      "instance 1: key 'output': got [1], expected text or a list of texts",
    ),
    ("pairs", "[" * 100_000, "nested too deep"),
    ("pairs", '{"inputs": ' + "1" * 5_000 + "}", "line 1: holds a number"),
  ],
)
def test_bad_files_name_file_and_place(form, content, problem, tmp_path):
  path = _write(tmp_path, "a.json", content)
  with pytest.raises(SymtuneError, match=re.escape(problem)) as caught:
    read_instructions(path, InstructionForm(form))
  assert str(path) in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_marks_and_other_line_ends_are_read(tmp_path, end):
  path = tmp_path / "a.jsonl"
  lines = [json.dumps({"inputs": f"x{i}", "targets": "y"}) for i in range(3)]
  for text in (end.join(lines), end.join(lines) + end):
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    (task,) = read_instructions(path, InstructionForm.PAIRS)
    assert [row.input for row in task.rows] == ["x0", "x1", "x2"]
  path.write_bytes(b"\xef\xbb\xbf" + f"[{','.join(lines)}]".encode())
  (task,) = read_instructions(path, InstructionForm.PAIRS)
  assert len(task.rows) == 3


def test_noinput_is_an_empty_input(tmp_path):
  path = _write(tmp_path, "a.json", [ROW | {"input": "<noinput>"}])
  (task,) = read_instructions(path, InstructionForm.ALPACA)
  assert task.rows[0].input == ""
  assert "<noinput>" not in _prompts(path, InstructionForm.ALPACA, 1)[0].inputs
  instances = [{"input": " <noinput> ", "output": "x"}, {"input": "y", "output": "z"}]
  row = {"instruction": "Add.", "instances": instances}
  path = _write(tmp_path, "b.jsonl", json.dumps(row) + "\n")
  (task,) = read_instructions(path, InstructionForm.SELF_INSTRUCT)
  assert [row.input for row in task.rows] == ["", "y"]


def test_rows_without_instances_are_counted(tmp_path):
  full = {"instruction": "Add.", "instances": [{"input": "", "output": "x"}]}
  rows = [full, full | {"instances": []}, full | {"instances": []}]
  path = _write(tmp_path, "a.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
  (task,) = read_instructions(path, InstructionForm.SELF_INSTRUCT, leave_out=True)
  assert (len(task.rows), task.left_out) == (1, 2)


def test_rows_left_out_are_counted(tmp_path):
  path = _write(tmp_path, "a.json", [ROW, ROW | {"output": ""}])
  (task,) = read_instructions(path, InstructionForm.ALPACA, leave_out=True)
  assert (len(task.rows), task.left_out) == (1, 1)


def test_a_folder_is_one_task_per_file_and_nothing_is_an_error(tmp_path):
  with pytest.raises(SymtuneError, match="nothing at"):
    read_instructions(tmp_path, InstructionForm.PAIRS)
  for name in ("b.json", "a.json"):
    _write(tmp_path, name, [ROW])
  tasks = read_instructions(tmp_path, InstructionForm.ALPACA)
  assert [task.name for task in tasks] == ["a", "b"]


def test_weights_are_capped_and_flattened():
  assert mixing_weights([10, 30], cap=100, temperature=1.0) == [0.25, 0.75]
  assert mixing_weights([10, 30], cap=10, temperature=1.0) == [0.5, 0.5]
  np.testing.assert_allclose(
    mixing_weights([1, 9], cap=100, temperature=2.0), [0.25, 0.75]
  )
  with pytest.raises(SymtuneError, match="temperature 0"):
    mixing_weights([1], cap=1, temperature=0.0)


def test_a_dose_of_symbol_data_is_its_share(make_task, toy_pools, tmp_path):
  tasks = read_instructions(_write(tmp_path, "a.json", [ROW]), InstructionForm.ALPACA)
  mixture = Mixture(
    [(Ingredient(rate=0.16), (make_task(),)), (Instructions(rate=0.84), tasks)],
    toy_pools[0],
    seed=0,
  )
  symbols = sum(len(p.choices) == 2 for p in mixture.prompts(range(2000)))
  assert abs(symbols / 2000 - 0.16) < 0.03
  assert len(mixture.fingerprints) == 2


def test_task_count_of_instruction_data(toy_pools, tmp_path):
  for name in ("a.json", "b.json", "c.json"):
    _write(tmp_path, name, [ROW | {"output": name}])
  tasks = read_instructions(tmp_path, InstructionForm.ALPACA)

  def used(count, seed):
    mixed = Mixture([(Instructions(num_tasks=count), tasks)], toy_pools[0], seed=seed)
    return {prompt.choices[0] for prompt in mixed.prompts(range(60))}

  assert len(used(None, 0)) == 3
  assert all(len(used(2, seed)) == 2 for seed in range(5))
  assert len({min(used(1, seed)) for seed in range(12)}) == 3
  with pytest.raises(SymtuneError, match="got num_tasks 4, expected 1 to 3"):
    used(4, 0)


def test_task_count_and_temperature_of_symbol_data(make_task, toy_pools):
  labels = [("animal", "fruit"), ("fruit", "tool"), ("animal", "tool")]
  tasks = tuple(make_task(pair, copies=i + 1) for i, pair in enumerate(labels))
  one = Mixture([(Ingredient(num_tasks=1), tasks)], toy_pools[0], seed=4)
  assert len(one.draws.entries) == 1
  flat = Mixture([(Ingredient(temperature=1e9), tasks)], toy_pools[0], seed=4)
  entries = flat.draws.draw(np.arange(3000)).entries
  np.testing.assert_allclose(np.bincount(entries) / 3000, 1 / 3, atol=0.03)
  with pytest.raises(SymtuneError, match="got num_tasks 4, expected 1 to 3"):
    Mixture([(Ingredient(num_tasks=4), tasks)], toy_pools[0], seed=4)


def test_a_free_text_too_long_for_a_target_is_skipped_not_an_error(tmp_path, toy_vocab):
  path = _write(tmp_path, "a.json", [ROW | {"output": "one two three four"}])
  (prompt,) = _prompts(path, InstructionForm.ALPACA, 1)
  tokenizer = PromptTokenizer(
    toy_vocab, max_inputs=100, max_targets=3, min_exemplars_per_class=0
  )
  with pytest.raises(PromptTooLongError, match="got 5 tokens with EOS"):
    tokenizer.tokenize(prompt)


@pytest.mark.shared
def test_the_real_rows_are_read(shared_data):
  (task,) = read_instructions(
    shared_data / "instructions.jsonl", InstructionForm.ALPACA, leave_out=True
  )
  assert len(task.rows) + task.left_out == 1426
  assert task.left_out < 30
