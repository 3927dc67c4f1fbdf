"""Tokens that are matched in a text before a vocabulary cuts it into pieces."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping

_WORD_BEFORE = re.compile(r"\w\Z")
_WORD_AFTER = re.compile(r"\w")
_SPACE_BEFORE = re.compile(r"\s*\Z")
_SPACE_AFTER = re.compile(r"\s*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AddedToken:
  """A token that is matched in a text before the vocabulary cuts it into pieces.

  Attributes:
    text: what is matched.
    id: its row in the embedding table.
    is_special: whether it is a control token, such as EOS.
    strips_left: whether white space before it belongs to it.
    strips_right: whether white space after it belongs to it.
    is_word: whether it is matched only as a whole word.
    is_normalized: whether the text is normalized before it is matched.
  """

  text: str
  id: int
  is_special: bool = False
  strips_left: bool = False
  strips_right: bool = False
  is_word: bool = False
  is_normalized: bool = True


class AddedTokens:
  """Cuts texts at added tokens as the tokenizers library does.

  Tokens that are not normalized are looked for in the text as it is, the others in what
  is left, after normalization. The leftmost token wins, then the longest.
  Source: https://github.com/huggingface/tokenizers, added_vocabulary.rs, find_matches.
  """

  def __init__(self, tokens: Iterable[AddedToken], normalize: Callable[[str], str]):
    """Prepares the search.

    Args:
      tokens: what to look for.
      normalize: the vocabulary's normalization of a text, which leaves white space.
    """
    tokens = list(tokens)
    self._normalize = normalize
    self._plain = _Search({t.text: t for t in tokens if not t.is_normalized})
    normalized = {normalize(t.text): t for t in tokens if t.is_normalized}
    self._normalized = _Search(normalized) if normalized else None

  def split(self, text: str) -> list[str | int]:
    """The parts of a text, in order: ids of added tokens, and the text between them."""
    parts = self._plain.split(text)
    if self._normalized is None:
      return parts
    result: list[str | int] = []
    for part in parts:
      if isinstance(part, str):
        result += self._normalized.split(self._normalize(part))
      else:
        result.append(part)
    return result


class _Search:
  def __init__(self, tokens: Mapping[str, AddedToken]):
    self._tokens = {text: token for text, token in tokens.items() if text}
    longest_first = sorted(self._tokens, key=len, reverse=True)
    # Without tokens, a pattern that never matches.
    self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

  def split(self, text: str) -> list[str | int]:
    parts: list[str | int] = []
    done = 0
    for match in self._pattern.finditer(text):
      token, (start, end) = self._tokens[match[0]], match.span()
      if token.is_word and not _is_word(text, start, end):
        continue
      if token.strips_left:
        # What an earlier token has taken is not taken again.
        start = max(_SPACE_BEFORE.search(text, done, start).start(), done)  # type: ignore[union-attr]
      if token.strips_right:
        end = _SPACE_AFTER.match(text, end).end()  # type: ignore[union-attr]
      if done < start:
        parts.append(text[done:start])
      parts.append(token.id)
      done = end
    if done < len(text):
      parts.append(text[done:])
    return parts


def _is_word(text: str, start: int, end: int) -> bool:
  """Whether no letter, digit or underscore stands directly before or after."""
  before = start > 0 and _WORD_BEFORE.match(text[start - 1])
  return not before and not _WORD_AFTER.match(text, end)
