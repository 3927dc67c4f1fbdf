"""Episodes are those of the probes, and can be changed by hand."""

import pytest
import rich.console

from symtune.data.draw.index import Shots
from symtune.errors import SymtuneError
from symtune.lab.inquiry import symbol_pool
from symtune.lab.models import load
from symtune.probe.probe import ProbeSettings
from symtune.probe.probes.flipped_labels import FlippedLabels
from symtune.probe.probes.settings import FourSettings
from symtune.report.outcomes import Outcome


@pytest.fixture
def asked(toy_task):
  """The questions of two probes, by setting, about one query."""
  settings = ProbeSettings(
    pool=symbol_pool([]), shots=Shots(minimum=3, maximum=3), seeds=(5,), max_queries=1
  )
  items = [
    i for p in (FourSettings(), FlippedLabels()) for i in p.items(toy_task, settings)
  ]
  return {item.setting: item for item in items}


def test_an_episode_is_what_the_probes_ask(words, asked):
  episode = words.episode(k=3, seed=5, query=asked["labels"].query)
  assert episode.prompt == asked["labels"].prompt
  assert episode.with_symbols().prompt == asked["neither"].prompt
  flipped = episode.flipped().item
  assert flipped.prompt == asked["flipped"].prompt
  assert (flipped.context, flipped.prior) == (
    asked["flipped"].context,
    asked["flipped"].prior,
  )
  told = words.episode(k=3, seed=5, query=episode.episode.query.row, instruction=True)
  assert told.prompt == asked["instruction+labels"].prompt


def test_changes_by_hand_change_one_thing(words):
  episode = words.episode(k=2, seed=1)
  first = episode.episode.exemplars[0]
  other = episode.words[1 - first.label]
  edited = episode.edit(exemplar=0, label=other, text="a brick")
  assert edited.prompt.turns[0][-1] == other
  assert "a brick" in edited.text
  assert edited.prompt.turns[1:] == episode.prompt.turns[1:]
  assert edited.item.context is None  # the exemplars contradict each other
  assert episode.edit(text="a wolf").prompt.turns[:-1] == episode.prompt.turns[:-1]
  named = episode.with_labels(["Foo", "Bar"])
  assert named.words == ("Foo", "Bar")
  assert named.item.prior is None


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda e: e.with_labels(["Foo"]), "expected 2 different ones"),
    (lambda e: e.with_labels(["Foo", "Foo"]), "expected 2 different ones"),
    (lambda e: e.with_symbols("emoji"), "category"),
    (lambda e: e.edit(exemplar=9, label="fruit"), "expected 0 to 3"),
    (lambda e: e.edit(exemplar=0, label="tool"), "expected one of animal, fruit"),
    (lambda e: e.edit(exemplar=0, words="x"), "expected label or a field: text"),
    (lambda e: e.edit(), "got nothing to change"),
    (lambda e: e.ask(), "got no model"),
  ],
)
def test_changes_that_make_no_sense_are_refused(words, change, message):
  with pytest.raises(SymtuneError, match=message):
    change(words.episode(k=2))


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"query": 999}, "expected the row of a query"),
    ({"k": 99}, "lower the exemplars per class"),
    ({"prompt_format": "PROSE"}, "expected one of INPUT_OUTPUT"),
  ],
)
def test_episodes_that_cannot_be_drawn_are_refused(words, arguments, message):
  with pytest.raises(SymtuneError, match=message):
    words.episode(**arguments)


def test_answers_tell_which_hypothesis_they_follow(words):
  flipped = words.episode(k=2).flipped()
  scores = flipped.ask(load("baseline:context"), load("baseline:prior"))
  assert [row.outcome for row in scores.rows] == [Outcome.CONTEXT, Outcome.PRIOR]
  assert scores.best[0] == flipped.answer
  assert "prior" in str(scores)


def test_an_episode_shows_itself(words):
  episode = words.episode(k=2).edit(text="<b>a & b</b>")
  console = rich.console.Console(width=80, no_color=True)
  with console.capture() as capture:
    console.print(episode)
  assert "<b>a & b</b>" in capture.get()
  assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in episode._repr_html_()
  assert f"<b>{episode.answer}</b>" in episode._repr_html_()
