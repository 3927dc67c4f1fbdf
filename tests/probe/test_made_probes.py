"""Made questions are right: recomputed by other means, or equal to what was given."""

import collections
import dataclasses
import itertools
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import scipy.stats

from symtune.cards.p3 import all_concepts, all_inputs, run_program, witness_sets
from symtune.data.prompts import ALL_FORMATS
from symtune.errors import SymtuneError
from symtune.probe.answer.scorers import (
  make_random_scorer,
  score_by_context,
  score_by_copying,
  score_by_echo,
  score_by_majority,
  score_by_oracle,
  score_by_prior,
)
from symtune.probe.catalog import PROBES, make_probes
from symtune.probe.made import fixed_rules
from symtune.probe.probe import AnswerKind, ExemplarSets
from symtune.probe.probes.bbh import Bbh
from symtune.probe.probes.linear_classification import (
  LinearClassification,
  _draw_sides,
  draw_problem,
)
from symtune.probe.probes.list_functions import SELECTION, ListFunctions
from symtune.probe.probes.mmlu import Mmlu
from symtune.probe.probes.turing_concepts import TuringConcepts

THREE = {"three": ("c001", "c002", "c003")}


def _items(probe, settings):
  subjects = probe.subjects((), settings)
  return [item for subject in subjects for item in probe.items(subject, settings)]


def _numbers(text):
  return np.array([int(n) for n in text.split(", ")])


@pytest.mark.parametrize("dimensions", [1, 2, 16, 64])
def test_linear_items_are_separated_by_the_drawn_plane(dimensions, settings):
  """The labels of the prompt's own texts, recomputed with Python's integers."""
  for item in _items(LinearClassification((dimensions,)), settings):
    problem = draw_problem(item.seed, dimensions, item.query, 16)
    a, p = problem.coefficients.tolist(), problem.pivot.tolist()
    threshold = sum(x * y for x, y in zip(a, p, strict=True))
    shown = [(turn[-3], turn[-1]) for turn in item.prompt.turns[:-1]]
    query = (item.prompt.turns[-1][-2], item.prompt.choices[item.prompt.answer])
    assert [word for _, word in shown].count("Foo") == 16
    for text, word in (*shown, query):
      x = _numbers(text).tolist()
      assert len(x) == dimensions
      assert all(1 <= n <= 999 for n in x)
      above = sum(u * v for u, v in zip(a, x, strict=True)) > threshold
      assert word == ("Bar" if above else "Foo")


def test_linear_sides_are_sought_as_long_as_they_are_rare():
  """With p near an edge, a side has 5 of 1,000 draws: drawn on, not drawn again."""
  rng = np.random.default_rng(0)
  ones, pivot = np.array([1]), np.array([994])  # 995 to 999 are above: 5 in 999
  below, above = _draw_sides(rng, ones, pivot, 16)
  assert (len(below), len(above)) == (16, 16)
  assert below.max() <= 994 < above.min()
  assert _draw_sides(rng, ones, np.array([999]), 16) is None


def test_linear_baselines(settings, accuracy):
  from symtune.probe.answer.baselines import score_by_svm

  items = _items(LinearClassification((2,)), settings)
  assert accuracy(score_by_oracle, items) == {"02 dimensions": 1.0}
  assert accuracy(score_by_context, items) == {"02 dimensions": 1.0}
  assert accuracy(score_by_svm, items)["02 dimensions"] > 0.75


def _run_by_recursion(program, text):
  """P3 again, in another way: blocks are lists, the tape two stacks.

  What stands before a "]" without a partner runs once, and then as a block.
  """

  def parse(tokens, inside=False):
    block = []
    while tokens:
      token = tokens.pop(0)
      if token == "]":
        if inside:
          return block
        block.append(list(block))
        continue
      block.append(parse(tokens, inside=True) if token == "[" else token)
    return block

  left, right, output = [], list(text), []
  budget = [400]

  def cell(new=None):
    if not right:
      right.append(".")
    if new is not None:
      right[0] = new
    return right[0]

  class Ended(Exception):
    pass

  def walk(block):
    for part in block:
      budget[0] -= 1
      if budget[0] < 0:
        raise RecursionError
      if isinstance(part, list):
        while cell() != ".":
          budget[0] -= 1
          if budget[0] < 0:
            raise RecursionError
          walk(part)
      elif part == ">":
        left.append(cell())
        right.pop(0)
      elif part == "<":
        right.insert(0, left.pop() if left else ".")
      elif part == "o":
        if cell() == ".":
          raise Ended
        output.append(cell())
      else:
        step = {
          "+": {".": "0", "0": "1", "1": "."},
          "-": {".": "1", "1": "0", "0": "."},
        }
        cell(step[part][cell()])

  try:
    walk(parse(list(program)))
  except Ended:
    pass
  except RecursionError:
    return None
  return "".join(output)


def test_programs_do_what_a_second_interpreter_says():
  programs = [*all_concepts(), "[o>]", "[>]<o", "+[o]", "[-]o", "[->+<]o", "[>[>]<]<o"]
  programs += ["+o]>]", ">]<]o", "[o>]-]"]
  for program in programs:
    for text in all_inputs():
      assert run_program(program, text) == _run_by_recursion(program, text), program


def test_concepts_are_all_short_programs_by_what_they_do():
  """Enumerated again: every text of one to three instructions, by the second one."""
  functions = set()
  for length in (1, 2, 3):
    for letters in itertools.product("<>+-[]o", repeat=length):
      program = "".join(letters)
      opened = 0
      for letter in letters:  # a "]" without a partner is allowed, a "[" is not
        opened = max(0, opened + (letter == "[") - (letter == "]"))
      if opened:
        continue
      outputs = tuple(_run_by_recursion(program, text) for text in all_inputs())
      if None not in outputs and any(outputs):
        functions.add(outputs)
  assert set(all_concepts().values()) == functions
  assert len(all_inputs()) == 2 + 4 + 8 + 16 + 32
  # To copy the input, or all but its first character, takes a loop.
  copied = all_inputs()
  assert all_concepts()["o>]"] == copied
  assert all_concepts()[">o]"] == tuple(text[1:] for text in copied)


def test_witness_sets_single_a_concept_out_and_none_of_them_is_too_large():
  concepts, inputs = list(all_concepts().items()), range(len(all_inputs()))
  for number, (program, outputs) in enumerate(concepts):
    earlier = [other for _, other in concepts[:number]]

    def fits(places, other, outputs=outputs):
      return all(other[place] == outputs[place] for place in places)

    witnesses = witness_sets()[program]
    assert witnesses
    assert not [other for other in earlier if fits(witnesses, other)]
    for fewer in itertools.combinations(inputs, len(witnesses) - 1):
      if fewer:
        assert [other for other in earlier if fits(fewer, other)]


def test_turing_items_show_what_the_program_does(settings):
  items = _items(TuringConcepts(), settings)
  programs = list(all_concepts())
  assert len(items) == len(programs) * 2 * 5
  for item in items:
    program = programs[int(item.task.removeprefix("turing_"))]
    shown = [(turn[-3], turn[-1]) for turn in item.prompt.turns[:-1]]
    query = (item.prompt.turns[-1][-2], item.prompt.choices[0])
    # Additional set 2: the witness set, and five more.
    witnesses = [all_inputs()[place] for place in witness_sets()[program]]
    assert [text for text, _ in shown[: len(witnesses)]] == witnesses
    assert len(dict(shown)) == len(witnesses) + 5
    assert query[0] not in dict(shown)
    for text, output in (*shown, query):
      assert output == f"'{_run_by_recursion(program, text)}'"


@pytest.fixture
def data_dir(question_files, tmp_path):
  return pathlib.Path(shutil.copytree(question_files, tmp_path / "data"))


def test_list_functions_show_and_ask_the_given_pairs(data_dir, settings):
  items = _items(ListFunctions(data_dir, functions=THREE, queries=2), settings)
  assert len(items) == 3 * 2 * 2
  for item in items:
    number = int(item.task.removeprefix("c"))
    shown = [(turn[-3], turn[-1]) for turn in item.prompt.turns[:-1]]
    query = (item.prompt.turns[-1][-2], item.prompt.choices[0])
    assert len({*shown, query}) == 5
    for text, output in (*shown, query):
      first, second = _numbers(text.strip("[]"))
      assert (first, output) == (number, f"[{second}]")
    assert query[0] == f"[{number}, {item.query}]"


def test_list_functions_as_a_selection(data_dir, settings):
  chosen = {"even": ("c002",), "odd": ("c003", "c001")}
  items = _items(ListFunctions(data_dir, functions=chosen), settings)
  assert {(item.setting, item.task) for item in items} == {
    ("even", "c002"),
    ("odd", "c003"),
    ("odd", "c001"),
  }
  with pytest.raises(SymtuneError, match=r"got no \['c009'\]"):
    _items(ListFunctions(data_dir, functions={"none": ("c009",)}), settings)
  with pytest.raises(SymtuneError, match="too few pairs"):
    _items(ListFunctions(data_dir, shots=6), settings)
  everything = _items(ListFunctions(data_dir, functions=None), settings)
  assert {item.setting for item in everything} == {"all"}
  assert len({item.task for item in everything}) == 23
  assert [len(names) for names in SELECTION.values()] == [4] * 5
  assert len({name for names in SELECTION.values() for name in names}) == 20


@pytest.mark.parametrize(
  "probe",
  [lambda data: ListFunctions(data, functions=THREE), lambda _: TuringConcepts()],
)
def test_open_questions_are_asked_in_all_formats_each_prompt_in_one(
  probe, data_dir, settings
):
  many = dataclasses.replace(settings, seeds=tuple(range(20)))
  cues = collections.Counter()
  for item in _items(probe(data_dir), many):
    input_cue, label_cue = ("", *item.prompt.turns[-1])[-3], item.prompt.turns[-1][-1]
    cues[input_cue, label_cue] += 1
    for turn in item.prompt.turns[:-1]:
      assert (("", *turn)[-4], turn[-2]) == (input_cue, label_cue + " ")
  assert set(cues) == {prompt_format.value for prompt_format in ALL_FORMATS}
  assert min(cues.values()) > sum(cues.values()) / 20


def test_repeating_the_input_is_right_about_the_concept_that_copies_it(settings):
  name = f"turing_{list(all_concepts()).index('o>]'):03d}"
  items = [item for item in _items(TuringConcepts(), settings) if item.task == name]
  for item, answer in zip(items, score_by_echo(items), strict=True):
    assert answer.text == item.prompt.choices[0]


def test_fixed_rules_are_the_last_and_the_most_frequent_output_and_the_input(
  data_dir, settings
):
  assert fixed_rules([("a", "1"), ("b", "2"), ("c", "2"), ("d", "1")], "q") == (
    "1",
    "1",  # of two that are most frequent, the one shown last
    "q",
  )
  for probe in (ListFunctions(data_dir), TuringConcepts()):
    items = _items(probe, settings)
    scorers = score_by_copying, score_by_majority, score_by_echo
    for place, score in enumerate(scorers):
      answers = [answer.text for answer in score(items)]
      assert answers == [item.references[place] for item in items]
    for item in items:
      outputs = [turn[-1] for turn in item.prompt.turns[:-1]]
      last, most_frequent, query = item.references
      assert last == outputs[-1]
      most = max(outputs.count(output) for output in outputs)
      assert outputs.count(most_frequent) == most
      asked = item.prompt.turns[-1][-2]
      quoted = f"'{asked}'"  # as a Turing concept writes an output
      assert query == (quoted if item.probe == TuringConcepts.name else asked)
  for item in _items(Bbh(data_dir), settings):
    is_open = item.kind is AnswerKind.GENERATE
    assert bool(item.references) == is_open


@pytest.mark.shared
def test_real_list_functions_are_the_given_pairs(shared_data, settings):
  lines = (shared_data / "list_functions.jsonl").read_text().splitlines()
  given = {
    (f["concept"], str(e["input"]), str(e["output"]))
    for f in map(json.loads, lines)
    for e in f["examples"]
  }
  items = _items(ListFunctions(shared_data, functions=None, queries=2), settings)
  assert len({item.task for item in items}) == 250
  for item in items:
    query = (item.prompt.turns[-1][-2], item.prompt.choices[0])
    for text, output in (*((t[-3], t[-1]) for t in item.prompt.turns[:-1]), query):
      assert (item.task, text, output) in given
  chosen = _items(ListFunctions(shared_data), settings)
  assert {item.setting for item in chosen} == set(SELECTION)
  by_setting = collections.defaultdict(list)
  for item in chosen:
    right = item.references[0] == item.prompt.choices[0]
    by_setting[item.setting].append(right)
  # A copy of the last output is right wherever the input does not matter.
  assert all(by_setting.pop("input-independent"))
  assert sum(map(sum, by_setting.values())) < sum(map(len, by_setting.values())) / 8


def test_mmlu_shows_the_five_of_its_subject(data_dir, settings):
  items = _items(Mmlu(data_dir), settings)
  assert len(items) == 8 * 2
  for item in items:
    subjects = re.findall(r"Subject: (law|logic)", item.prompt.inputs)
    assert len(subjects) == 6
    assert len(set(subjects)) == 1
    assert item.prompt.choices == ("A", "B", "C", "D")
    number = int(re.findall(r"(\d)\?", item.prompt.turns[-1][-2])[0])
    assert item.prompt.answer == number % 4


@pytest.mark.parametrize("probe", [Mmlu, Bbh])
def test_queries_of_a_seed_can_follow_the_same_exemplars(probe, data_dir, settings):
  settings = dataclasses.replace(
    settings, exemplars=ExemplarSets.PER_SEED, max_queries=2
  )
  shown = collections.defaultdict(set)
  for item in _items(probe(data_dir), settings):
    *exemplars, query = item.prompt.turns
    found = re.findall(r"Subject: (law|logic)", "".join(query))
    shown[item.task, item.seed, *found].add(tuple(exemplars))
    assert query[-2] not in {turn[-3] for turn in exemplars}
  assert {len(sets) for sets in shown.values()} == {1}


def test_bbh_says_if_no_question_is_left_to_be_shown(data_dir, settings):
  settings = dataclasses.replace(
    settings, exemplars=ExemplarSets.PER_SEED, max_queries=10_000
  )
  with pytest.raises(SymtuneError, match=r"got 0 questions that are not asked"):
    _items(Bbh(data_dir), settings)


def test_bbh_ranks_options_and_generates_the_rest(data_dir, settings):
  by_task = {item.task: item for item in _items(Bbh(data_dir), settings)}
  assert len(by_task) == 27
  assert by_task["bbh_navigate"].prompt.choices == ("Yes", "No")
  assert by_task["bbh_date_understanding"].prompt.choices == ("(A)", "(B)", "(C)")
  assert by_task["bbh_web_of_lies"].prompt.choices == ("No", "Yes")
  assert {name for name, item in by_task.items() if item.kind is AnswerKind.RANK} == {
    "bbh_navigate",
    "bbh_date_understanding",
    "bbh_web_of_lies",
  }
  item = by_task["bbh_object_counting"]
  left = int(item.prompt.turns[-1][-2].split()[0])
  assert item.prompt.choices == (str(left + 11),)
  assert item.prompt.turns[-1] not in item.prompt.turns[:-1]


@pytest.mark.parametrize(
  "probe",
  [
    lambda data: ListFunctions(data, functions=THREE),
    Mmlu,
    Bbh,
    lambda _: TuringConcepts(),
  ],
)
def test_oracle_prior_and_random_land_where_they_should(
  probe, data_dir, settings, accuracy
):
  items = _items(probe(data_dir), settings)
  assert set(accuracy(score_by_oracle, items).values()) == {1.0}
  open_items = [item for item in items if item.kind is AnswerKind.GENERATE]
  if open_items:
    assert set(accuracy(make_random_scorer(0), open_items).values()) <= {0.0}
  if probe is Mmlu:  # knowledge is a prior: its exemplars demand nothing
    assert set(accuracy(score_by_prior, items).values()) == {1.0}


@pytest.mark.parametrize(
  "make",
  [lambda _: LinearClassification((2, 4)), lambda _: TuringConcepts(), Mmlu, Bbh],
)
def test_random_scorer_stays_within_its_interval_of_chance(
  make, data_dir, settings, predict
):
  """Of ranked questions by their choices; an open one is never guessed."""
  seeds = dataclasses.replace(settings, seeds=tuple(range(40)))
  items = _items(make(data_dir), seeds)
  by_task = collections.defaultdict(list)
  for item, score in zip(items, make_random_scorer(0)(items), strict=True):
    of_kind = item.task if item.kind is AnswerKind.RANK else "open"
    right = predict(item, score) == item.prompt.answer
    by_task[of_kind, len(item.prompt.choices)].append(right)
  assert sum(map(len, by_task.values())) >= 300
  for (task, choices), right in by_task.items():
    chance = 0.0 if task == "open" else 1 / choices
    low, high = scipy.stats.binom.interval(0.999, len(right), chance)
    assert low <= sum(right) <= high, task


@pytest.mark.parametrize(
  ("probe", "file", "text", "message"),
  [
    (ListFunctions, "list_functions.jsonl", "{", "line 1: malformed JSON"),
    (ListFunctions, "list_functions.jsonl", "[]", "line 1: got list"),
    (ListFunctions, "list_functions.jsonl", '{"concept": "c"}', "line 1: expected a c"),
    (Bbh, "bbh/navigate.json", '{"examples": [1]}', "navigate.json: expected"),
    (Bbh, "bbh/navigate.json", '{"examples": []}', "got 0 questions"),
    (Mmlu, "mmlu.jsonl", "{}", "mmlu.jsonl, line 1"),
  ],
)
def test_damaged_files_are_named(data_dir, settings, probe, file, text, message):
  (data_dir / file).write_text(text)
  with pytest.raises(SymtuneError, match=message):
    _items(probe(data_dir), settings)


def test_missing_files_say_how_to_go_on(tmp_path, settings):
  with pytest.raises(SymtuneError, match="leave the probe out with --probes"):
    _items(Bbh(tmp_path / "nowhere"), settings)
  with pytest.raises(SymtuneError, match="Pass --data DIR"):
    _items(Mmlu(None), settings)


def test_files_may_lie_above_the_folder_of_rows(data_dir, settings):
  (data_dir / "tasks").mkdir()
  assert _items(ListFunctions(data_dir / "tasks"), settings)


def test_catalog_names_are_the_probes_own(data_dir):
  for name, make in PROBES.items():
    assert name.startswith(make(data_dir).name)
  everything = make_probes(["all"], data_dir)
  assert len(everything) == len({probe.name for probe in everything}) == 14
  with pytest.raises(SymtuneError, match="got x, expected some of settings"):
    make_probes(["x"], None)
