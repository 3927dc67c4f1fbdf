"""Lines of documents -> passages: runs of so many words of one document.

100 words, as in DPR's Wikipedia and in In-Context RALM (arXiv 2302.00083, section 4);
the last passage of a document is shorter. White space between words becomes one space.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from symtune.retrieve.documents import Line

WORDS = 100


class Passage(NamedTuple):
  """A run of words of one document.

  Attributes:
    document: id of the document.
    title: its title; "" if it has none.
    text: the words.
  """

  document: str
  title: str
  text: str

  @property
  def shown(self) -> str:
    """Title and text as models read them, and as they are indexed."""
    return f"{self.title}\n{self.text}" if self.title else self.text


def cut_passages(lines: Iterable[Line], words: int = WORDS) -> Iterator[Passage]:
  """Cuts documents into passages, a line at a time.

  Args:
    lines: of documents, each one's together.
    words: of a passage.
  """
  held: list[str] = []
  document = title = ""
  for line in lines:
    if line.document != document and held:
      yield Passage(document, title, " ".join(held))
      held = []
    document, title = line.document, line.title
    held += line.text.split()
    for start in range(0, len(held) - words + 1, words):
      yield Passage(document, title, " ".join(held[start : start + words]))
    held = held[len(held) - len(held) % words :]
  if held:
    yield Passage(document, title, " ".join(held))
