"""The lab report in Chromium, as a person uses it."""

import os
import shutil

import pytest

from symtune.report.lab.content import Answered, Content, Section, SideBySide
from symtune.report.lab.page import write_page
from symtune.report.report import write_report
from symtune.report.tables import Table

pytestmark = pytest.mark.browser
READY = "html[data-ready]"


@pytest.fixture(scope="module")
def browser():
  """Chromium, or a skip that says what is missing."""
  api = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
  path = os.environ.get("SYMTUNE_CHROMIUM") or shutil.which("chromium")
  if path is None:
    pytest.skip("needs Chromium: set SYMTUNE_CHROMIUM")
  with api.sync_playwright() as playwright:
    started = playwright.chromium.launch(executable_path=path)
    yield started
    started.close()


@pytest.fixture(scope="module")
def address(asked):
  """The report's file:// address."""
  write_report(asked.folder)
  return (asked.folder / "report.html").resolve().as_uri()


@pytest.fixture
def page(browser, address):
  """The report, opened; an error of its script fails the test."""
  opened = browser.new_page(viewport={"width": 1200, "height": 900})
  errors = []
  opened.on("pageerror", lambda error: errors.append(str(error)))
  opened.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
  opened.goto(address)
  opened.wait_for_selector(READY)
  yield opened
  opened.close()
  assert not errors


def _count(page):
  return page.inner_text("#count")


def _until_other(page, fragment):
  """Waits until the address has another fragment, which is returned."""
  for _ in range(100):
    found = page.evaluate("location.hash")
    if found != fragment:
      return found
    page.wait_for_timeout(50)
  raise AssertionError(f"the address still ends with {fragment}")


def test_filters_narrow_the_list(page):
  assert _count(page) == "126 of 126 episodes"
  page.select_option("#setting", label="flipped labels")
  assert _count(page) == "18 of 126 episodes"
  page.select_option("#answer", label="follows prior")
  assert _count(page) == "18 of 126 episodes"
  page.select_option("#checkpoint", label="baseline:context (step 0)")
  assert _count(page) == "0 of 126 episodes"
  page.click("button[type=reset]")
  page.get_by_text("126 of 126 episodes").wait_for()
  assert _count(page) == "126 of 126 episodes"
  page.select_option("#setting", label="labels")
  page.select_option("#changed", label="right → wrong")
  assert _count(page) == "0 of 126 episodes"


def test_words_are_found_and_marked(page):
  page.fill("#text", "HAMMER")
  shown = int(_count(page).split()[0])
  assert 0 < shown < 126
  page.locator("#list a").first.click()
  assert page.locator("#episode mark").first.inner_text() == "hammer"


def test_an_episode_shows_both_answers_side_by_side(page):
  page.select_option("#setting", label="flipped labels")
  page.locator("#list a").nth(3).click()
  cards = page.locator(".answers > div")
  assert cards.count() == 2
  first, second = (cards.nth(i) for i in range(2))
  assert "follows context" in first.inner_text()
  assert "follows prior" in second.inner_text()
  assert "nats" in first.inner_text()
  a, b = first.bounding_box(), second.bounding_box()
  assert a["y"] == b["y"]
  assert a["x"] + a["width"] <= b["x"]
  assert page.locator("#episode .word").count() == 4 + 1  # exemplars and the answer


def test_a_link_opens_its_episode(page, browser, address):
  before = page.evaluate("location.hash")
  page.locator("#list a").nth(7).click()
  fragment = _until_other(page, before)
  page.locator(f'#episode a[href="{fragment}"]').wait_for()
  title = page.inner_text("#episode h3")
  query = page.locator("#episode .prompt strong").inner_text()
  again = browser.new_page()
  again.goto(address + fragment)
  again.wait_for_selector(READY)
  assert again.inner_text("#episode h3") == title
  assert again.locator("#episode .prompt strong").inner_text() == query
  assert again.locator("#list a[aria-current]").count() == 1
  again.goto(address + "#e=settings/labels/none/0/1")
  again.reload()
  again.wait_for_selector(READY)
  assert "not in this file" in again.inner_text("#episode")
  again.close()


def test_the_keyboard_is_enough(page):
  page.keyboard.press("/")
  assert page.evaluate("document.activeElement.id") == "text"
  page.keyboard.type("hammer")
  assert _count(page) != "126 of 126 episodes"
  page.keyboard.press("Escape")
  page.get_by_text("126 of 126 episodes").wait_for()
  first = page.evaluate("location.hash")
  page.keyboard.press("j")
  page.keyboard.press("j")
  second = _until_other(page, first)
  page.keyboard.press("k")
  _until_other(page, second)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_small_screen_has_no_sideways_scrolling(browser, address, scheme):
  page = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme=scheme)
  page.goto(address)
  page.wait_for_selector(READY)
  assert page.evaluate("document.documentElement.scrollWidth") <= 360
  box = page.locator("#episode").bounding_box()
  assert box["width"] > 300
  colours = page.evaluate(
    "[getComputedStyle(document.body).backgroundColor, "
    "getComputedStyle(document.body).color]"
  )
  light = [sum(map(int, c[4:-1].split(","))) / 3 for c in colours]
  assert (light[0] > light[1]) == (scheme == "light")
  assert abs(light[0] - light[1]) > 150
  page.close()


def test_colours_can_be_chosen(page):
  before = page.evaluate("getComputedStyle(document.body).backgroundColor")
  page.click("#theme")
  page.click("#theme")
  assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
  assert page.get_attribute("#theme", "aria-label") == "Colours: dark"


def test_twenty_thousand_episodes_stay_quick(page):
  worst = page.evaluate(
    """() => {
      const some = data.episodes;
      data.episodes = Array.from({length: 20000}, (_, i) => some[i % some.length]);
      let worst = 0;
      for (const words of ["a", "hammer", ""]) {
        byId("text").value = words;
        const start = performance.now();
        applyFilters();
        document.body.offsetHeight;
        worst = Math.max(worst, performance.now() - start);
      }
      return worst;
    }"""
  )
  assert worst < 200  # milliseconds
  assert page.locator("#list li").count() < 60


def test_answers_side_by_side_are_filtered(browser, tmp_path):
  questions = tuple(
    Answered(
      where="task",
      asked=(("Instruction", f"question {place}"),),
      answers=("no", f"answer {place}"),
      notes=("", ""),
      right=(False, place < 2),
    )
    for place in range(5)
  )
  table = Table(title="", columns=(), rows=())
  answers = SideBySide(
    models=("before", "after"), questions=questions, sample="", table=table
  )
  content = Content(
    title="Answers",
    remarks=(),
    sections=(Section(title="Side by side", parts=(answers,)),),
    results=None,
    headlines=(),
  )
  write_page(tmp_path / "report.html", content, {})
  page = browser.new_page(viewport={"width": 360, "height": 740})
  errors = []
  page.on("pageerror", lambda error: errors.append(str(error)))
  page.goto((tmp_path / "report.html").as_uri())
  assert page.inner_text("#answer-count") == "5 of 5 questions"
  page.select_option("[name=verdict]", "1")  # of the last model
  assert page.inner_text("#answer-count") == "2 of 5 questions"
  page.select_option("[name=model]", "0")
  assert page.inner_text("#answer-count") == "0 of 5 questions"
  page.click("button[type=reset]")
  page.fill("[name=text]", "ANSWER 3")
  assert page.inner_text("#answer-count") == "1 of 5 questions"
  page.click("details.asked:not([hidden]) summary")
  assert page.is_visible("text=answer 3")
  wide = page.evaluate("document.documentElement.scrollWidth")
  page.close()
  assert wide <= 360
  assert not errors
