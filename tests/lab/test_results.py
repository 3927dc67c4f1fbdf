"""`ask`: the same code as the commands, in a folder or in memory."""

import dataclasses

import pandas
import pytest

import symtune as st
from symtune.errors import SymtuneError
from symtune.lab.tasks import LabTask
from symtune.probe.ask import Question, TaskProbe
from symtune.probe.probes.exemplars.choice import ExemplarChoice

QUICK = {"k": 2, "max_queries": 4, "seeds": [0]}


@pytest.fixture(scope="module")
def results(words):
  return st.ask(
    ["baseline:context", "baseline:prior"],
    words,
    ["settings", "flipped_labels"],
    quiet=True,
    **QUICK,
  )


def test_every_answer_is_in_the_frame(results):
  frame = results.frame
  assert len(frame) == 2 * 7 * 4
  flipped = frame[frame["setting"] == "flipped"]
  accuracy = flipped.groupby("checkpoint")["correct"].mean()
  assert accuracy.to_dict() == {"baseline:context": 1.0, "baseline:prior": 0.0}


@pytest.mark.parametrize("probe", ["exemplar_choice", ExemplarChoice()])
def test_a_vote_stands_beside_models_that_look_exemplars_up(words, probe):
  settings = {**QUICK, "max_queries": 1}
  results = st.ask("baseline:context", words, probe, quiet=True, **settings)
  asked = {"baseline:context", "baseline:neighbours"}
  assert set(results.frame["checkpoint"]) == asked


def test_tables_figures_and_the_report_show_it(results, tmp_path):
  table = results.table()
  assert table.frame["setting"].tolist()[-1] == "flipped labels"
  assert "100.0" in str(table)
  assert "<table>" in results._repr_html_()
  for kind, start in (("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")):
    path = results.plot().save(tmp_path / f"accuracy.{kind}")
    assert path.read_bytes().startswith(start)
  with pytest.raises(SymtuneError, match=r"ends in \.png, \.svg, \.pdf"):
    results.plot().save(tmp_path / "accuracy.gif")
  page = results.report(tmp_path / "lab.html").read_text()
  assert "flipped labels" in page


def test_numbers_and_latex_are_those_of_the_report(results):
  frame = results.accuracies()
  flipped = frame[(frame["setting"] == "flipped") & (frame["over"] == "all")]
  assert flipped["accuracy"].tolist() == [1.0, 0.0]
  assert flipped["difference"].tolist()[1] == -1.0
  assert results.export("csv") == frame.to_csv(index=False)
  assert r"flipped labels & 1 & 4 & 50.0 & 100.0 [" in results.table().latex()
  assert r"flipped labels & 1 & 4 & 50.0 & 100.0 [" in results.export("latex")
  rows = results.label_reliance().frame
  assert rows["measure"].tolist() == [
    "natural minus symbols",
    "override rate, flipped labels",
  ]
  with pytest.raises(SymtuneError, match="expected one of 'csv'"):
    results.export("word")


def test_changed_episodes_have_their_texts(results, words):
  changed = results.episodes(probe="flipped_labels", changed="right-wrong", limit=3)
  assert len(changed) == 3
  first = changed[0]
  assert first.setting == "flipped"
  assert [answer.correct for answer in first.answers] == [True, False]
  rows = words.episode(k=2, query=first.query).flipped()
  assert first.question is not None
  assert first.question.text == rows.text
  assert "follows prior" in changed._repr_html_()
  assert not results.episodes(changed="wrong-right")
  with pytest.raises(SymtuneError, match="expected one of flipped_labels, settings"):
    results.episodes(probe="shots")


def test_saved_results_are_read_again(results, tmp_path):
  folder = results.save(tmp_path / "saved")
  read = st.LabResults.load(folder)
  pandas.testing.assert_frame_equal(read.frame, results.frame)
  assert len(read.episodes(changed=True, setting="flipped")) == 4
  with pytest.raises(SymtuneError, match="has results already"):
    results.save(folder)


def test_a_folder_is_continued_and_keeps_to_its_settings(words, tmp_path):
  def ask(models, **change):
    return st.ask(
      models, words, out=tmp_path / "out", quiet=True, **{**QUICK, **change}
    )

  first = ask("baseline:oracle")
  both = ask(["baseline:oracle", "baseline:majority"])
  assert len(both) == 2 * len(first)
  with pytest.raises(SymtuneError, match="holds another run"):
    ask("baseline:oracle", k=3)


def test_a_model_is_asked_with_symbols_that_it_knows(model, words):
  results = st.ask(
    model, words, "label_semantics", quiet=True, symbols=["integers"], **QUICK
  )
  assert {"natural", "swapped", "integers"} <= set(results.frame["setting"])
  with pytest.raises(SymtuneError, match="two models are called"):
    st.ask([model, model], words, quiet=True)
  with pytest.raises(SymtuneError, match="two of which have one name"):
    st.ask(model, [words, words], quiet=True)


def test_other_words_for_the_classes_are_asked_on_the_same_questions(words):
  named = words.with_label_sets(german=["Tier", "Obst"], emoji=["🐄", "🍐"])
  results = st.ask("baseline:oracle", named, "label_semantics", quiet=True, **QUICK)
  frame = results.frame
  shown = frame[frame["setting"] == "german"]
  assert set(shown["choices"]) == {("Tier", "Obst")}
  natural = frame[frame["setting"] == "natural"]
  assert shown["query"].tolist() == natural["query"].tolist()
  with pytest.raises(SymtuneError, match="has 1 words for 2 labels"):
    words.with_label_sets(short=["x"])
  clash = words.with_label_sets(nonce=["x", "y"])
  with pytest.raises(SymtuneError, match="name of another setting"):
    st.ask("baseline:oracle", clash, "label_semantics", quiet=True, **QUICK)


def test_tasks_come_from_tables_cards_and_suites(tmp_path):
  frame = pandas.DataFrame({"text": list("abcdef"), "y": [0, 1] * 3})
  made = st.task(frame, text="text", labels="y", words=["no", "yes"])
  assert made.labels == ("no", "yes")
  assert made.task.card.instruction == "Is this no or yes?"
  assert made.frame["label"].tolist() == ["no", "yes"] * 3
  assert "6 rows (no 3, yes 3)" in made._repr_html_()
  card = made.save(tmp_path)
  assert st.task(card).frame.equals(made.frame)
  tasks = st.tasks("microworld_eval")
  assert isinstance(st.task(tasks[0].name), LabTask)
  with pytest.raises(SymtuneError, match="needs the names of its columns"):
    st.task(frame)
  with pytest.raises(SymtuneError, match="A card has its own"):
    st.task(card, text="text", labels="y")
  with pytest.raises(SymtuneError, match="expected 2: one for each of 0, 1"):
    st.task(frame, text="text", labels="y", words=["no"])


class Reversed(TaskProbe):
  """A probe of one's own: the exemplars from last to first."""

  name = "reversed"

  def questions(self, asker, seed, episode):
    shown = episode.exemplars[::-1]
    turned = dataclasses.replace(episode, exemplars=shown)
    label = episode.query.label
    return [Question(setting="reversed", episode=turned, context=label, prior=label)]


def test_a_probe_of_ones_own_is_asked_beside_others(words):
  probes = [Reversed(), "flipped_labels"]
  results = st.ask("baseline:oracle", words, probes, quiet=True, **QUICK)
  assert set(results.frame["probe"]) == {"reversed", "flipped_labels"}
  (shown, *_) = results.episodes(probe="reversed")
  expected = words.episode(k=2, query=shown.query)
  assert shown.question.turns[:-1] == expected.prompt.turns[-2::-1]
