"""Texts and index -> documents of the corpus that hold test text.

Each text is cut into pieces of 40 words, which are looked up in the index. A piece
leaks if at least half of its words stand in common runs with a passage that was found
(data/text/near_duplicates.py); a text leaks if a tenth of its pieces do.
"""

import collections
import dataclasses
import re
from collections.abc import Collection, Mapping

from symtune.data.limits import DEFAULT_OVERLAP
from symtune.data.text.near_duplicates import find_overlaps
from symtune.errors import SymtuneError
from symtune.ralm.settings import Leaks
from symtune.retrieve.documents import Line
from symtune.retrieve.index import PassageIndex
from symtune.retrieve.passages import cut_passages

_PIECE, _FOUND, _SHARE, _SHOWN = 40, 3, 0.1, 5
_NUMBERED = re.compile(r"(.+) \(\d+\)", re.DOTALL)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextLeak:
  """A test text that the corpus holds in part.

  Attributes:
    text: id of the text.
    share: of its pieces that the corpus holds.
    documents: of the corpus that hold them.
  """

  text: str
  share: float
  documents: frozenset[str]


def find_text_leaks(
  texts: Mapping[str, str], index: PassageIndex, forbidden: Collection[str] = ()
) -> list[TextLeak]:
  """The texts of which the corpus holds a tenth or more.

  Args:
    texts: by id.
    index: of the corpus.
    forbidden: documents of the corpus that are never retrieved.
  """
  lines = (Line(document, "", text) for document, text in texts.items())
  pieces = list(cut_passages(lines, _PIECE))
  found = index.search_all([piece.text for piece in pieces], _FOUND, forbidden)
  numbers = sorted({one.number for some in found for one in some})
  passages = [index.passage(number) for number in numbers]
  overlaps = find_overlaps(
    [piece.text for piece in pieces],
    [passage.text for passage in passages],
    threshold=DEFAULT_OVERLAP,
  )
  holders: dict[int, set[str]] = {}
  for piece, passage in zip(overlaps.left, overlaps.right, strict=True):
    holders.setdefault(int(piece), set()).add(passages[passage].document)
  counts = collections.Counter(piece.document for piece in pieces)
  leaked: dict[str, list[set[str]]] = {}
  for piece, documents in holders.items():
    leaked.setdefault(pieces[piece].document, []).append(documents)
  return [
    TextLeak(
      text=text,
      share=len(leaked[text]) / counts[text],
      documents=frozenset().union(*leaked[text]),
    )
    for text in texts
    if len(leaked.get(text, ())) >= _SHARE * counts[text]
  ]


def forbidden_ids(index: PassageIndex, forbidden: Collection[str]) -> frozenset[str]:
  """The ids of forbidden documents, and of those with the same name and a number.

  Args:
    index: of the corpus.
    forbidden: documents that the user forbids.

  Raises:
    SymtuneError: one of them is not in the corpus.
  """
  names = index.document_names()
  for name in forbidden:
    if name not in names:
      raise SymtuneError(
        f"ralm: the forbidden document {name!r} is not in the corpus. Correct its id, "
        "or leave it out."
      )
  plain = set(forbidden)
  numbered = map(_NUMBERED.fullmatch, names if plain else ())
  return frozenset(plain).union(m[0] for m in numbered if m and m[1] in plain)


def guard(
  texts: Mapping[str, str],
  index: PassageIndex,
  forbidden: Collection[str],
  policy: Leaks,
) -> frozenset[str]:
  """The documents that are never retrieved, once the corpus holds no test text.

  Args:
    texts: by id.
    index: of the corpus.
    forbidden: documents that the user forbids.
    policy: what is done about test text.

  Raises:
    SymtuneError: the policy refuses test text in the corpus, and there is some; or a
      forbidden document is not in the corpus.
  """
  allowed_not = forbidden_ids(index, forbidden)
  while leaks := find_text_leaks(texts, index, allowed_not):
    if policy is Leaks.REFUSE:
      shown = "; ".join(
        f"{leak.text!r} ({leak.share:.0%}, in {min(leak.documents)!r})"
        for leak in leaks[:_SHOWN]
      )
      raise SymtuneError(
        f"ralm: the corpus holds text of {len(leaks)} of the {len(texts)} documents "
        f"that are scored: {shown}. Take them out of the corpus, or set leaks to "
        "'forbid', so that no document with such text is retrieved."
      )
    allowed_not |= frozenset().union(*(leak.documents for leak in leaks))
  return allowed_not
