"""Clean texts of traces that a data set's making left in them, such as `&amp;`."""

import html
import re
from collections.abc import Sequence

from symtune.cards.download import Artefact

# HTML that was escaped twice needs two passes: "&amp;#8217;".
_PASSES = 2
# "#39;" or "quot;": the "&" is missing. No letter precedes, so that words stay words.
_WITHOUT_AMPERSAND = re.compile(r"(?<![&\w])(#\d{2,5}|quot|amp|lt|gt|nbsp|apos);")
# AG News has a space where the "&" was: "Japan #39;s".
_LOST_APOSTROPHE = re.compile(r"(?<=\w) #39;(?=(?:s|t|re|ve|ll|d|m)\b)")
# "\$" is a dollar; any other backslash stands for a line break.
_BACKSLASHES = re.compile(r"\\(\$)|\\+")
_CODE_UNITS = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")


def clean_text(text: str, artefacts: Sequence[Artefact]) -> str:
  """Returns a text without the artefacts that its data set is known for.

  Args:
    text: as the data set holds it.
    artefacts: what the card says about the data set.
  """
  if Artefact.UNICODE in artefacts:
    text = _CODE_UNITS.sub(_decode, text)
  if Artefact.BROKEN_HTML in artefacts:
    text = _LOST_APOSTROPHE.sub("'", text)
    text = _WITHOUT_AMPERSAND.sub(r"&\1;", text)
  if Artefact.HTML in artefacts or Artefact.BROKEN_HTML in artefacts:
    for _ in range(_PASSES):
      text = html.unescape(text)
  if Artefact.BACKSLASH in artefacts:
    text = _BACKSLASHES.sub(lambda found: found[1] or " ", text)
  return text


def _decode(found: re.Match[str]) -> str:
  r"""Characters written as `\u2019`, or as they are if they are half of a pair."""
  units = found[0].split("\\u")[1:]
  code = b"".join(int(unit, 16).to_bytes(2, "big") for unit in units)
  try:
    return code.decode("utf-16-be")
  except UnicodeDecodeError:
    return found[0]
