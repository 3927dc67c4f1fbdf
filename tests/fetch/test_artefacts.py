"""Traces of how a data set was made; the examples have the form of real rows."""

import pytest

from symtune.cards.download import Artefact
from symtune.fetch.artefacts import clean_text

AG_NEWS = (Artefact.BROKEN_HTML, Artefact.BACKSLASH)


@pytest.mark.parametrize(
  ("text", "artefacts", "expected"),
  [
    ("Prix Japan #39;s rider won", AG_NEWS, "Prix Japan's rider won"),
    ("it #39;ll do, quot;he quot; said", AG_NEWS, 'it\'ll do, "he " said'),
    ("P amp;O cuts &lt;b&gt;...&lt;/b&gt;", AG_NEWS, "P &O cuts <b>...</b>"),
    ("pay \\$92 million", AG_NEWS, "pay $92 million"),
    ("Wall\\\\Street falls\\again", AG_NEWS, "Wall Street falls again"),
    ("a #151; b", AG_NEWS, "a — b"),
    ("no. #3; item lamp; alt;", AG_NEWS, "no. #3; item lamp; alt;"),
    ("this &amp; that &gt;", (Artefact.HTML,), "this & that >"),
    ("Canada&amp;#8217;s", (Artefact.HTML,), "Canada’s"),
    ("#39; stays", (Artefact.HTML,), "#39; stays"),
    ("I\\u2019m here\\u002c now", (Artefact.UNICODE,), "I’m here, now"),
    ("smile \\ud83d\\ude00", (Artefact.UNICODE,), "smile 😀"),
    ("half \\ud83d here", (Artefact.UNICODE,), "half \\ud83d here"),
    ("path \\users", (Artefact.UNICODE,), "path \\users"),
    ("T&amp;A \\u2019 \\$", (), "T&amp;A \\u2019 \\$"),
  ],
)
def test_artefacts_of_the_card_are_undone_and_no_others(text, artefacts, expected):
  assert clean_text(text, artefacts) == expected
