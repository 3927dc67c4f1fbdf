"""Prompts and labels as the ids of a Transformers tokenizer; too long loses exemplars.

Text never becomes a control token: a row that holds "</s>" is read as these four
characters. Tokens that the tokenizer adds by itself before a text, such as BOS, stand
before every prompt; those after it, such as EOS, end the prompts and targets of an
encoder-decoder only, since a causal model goes on where its prompt ends.

A causal model's label is the text " label" and the blank line that would follow it in a
prompt: without such an end, "1" could never lose to "12". Its ids are those that the
whole text has beyond the prompt's. A label alone can have others: Llama's normalizer
puts a space before any text. If the tokens of the prompt alone are not the beginning of
the whole text's, because a token would span both, the whole text's ids from the same
place on are taken, as lm-evaluation-harness does (`_encode_pair` in
lm_eval/api/model.py).
"""

import copy
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from symtune.data.prompts import TURN_SEPARATOR
from symtune.errors import SymtuneError

SAMPLE = "Input: the first line\nOutput: the second line"
# Models of the tokenizers library that look texts up in their vocabulary as a whole, so
# that they find "</s>" there even if it is not to be matched as a control token.
_LOOKS_UP = ("Unigram", "WordLevel", "WordPiece")
_WORD = "a"  # what begins the turn after a label


class TextTokenizer:
  """Text to ids, as a Transformers tokenizer does it, but without control tokens.

  Attributes:
    prefix: ids that the tokenizer adds before a text.
    suffix: ids that it adds after one.
    blank_ids: ids that carry no text: unknown pieces, white space, EOS.
    fingerprint: SHA-256 of what defines it, in hexadecimal.
  """

  def __init__(self, tokenizer: Any):
    """Wraps a tokenizer of transformers, which is left as it is."""
    self._tokenizer = tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    self._backend = None if backend is None else _plain(tokenizer, backend)
    vocab = tokenizer.get_vocab()
    blank = (vocab.get("\u2581"), tokenizer.unk_token_id, tokenizer.eos_token_id)
    self.blank_ids = tuple(i for i in blank if i is not None)
    content = repr(sorted(vocab.items())) if backend is None else backend.to_str()
    self.fingerprint = hashlib.sha256(content.encode()).hexdigest()
    inner = list(tokenizer(SAMPLE, add_special_tokens=False)["input_ids"])
    outer = list(tokenizer(SAMPLE)["input_ids"])
    self.prefix, self.suffix = _around(inner, outer)

  def ids(self, text: str) -> list[int]:
    """Ids of a text, without the ids that the tokenizer adds."""
    if self._backend is not None:
      return self._backend.encode(text, add_special_tokens=False).ids
    return self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
      "input_ids"
    ]

  def text(self, ids: Sequence[int]) -> str:
    """The text of ids; control tokens are left out."""
    return self._tokenizer.decode(list(ids), skip_special_tokens=True)

  def causal_prompt(self, text: str) -> list[int]:
    """Ids of a prompt that a causal model continues."""
    return [*self.prefix, *self.ids(text.rstrip())]

  def causal_labels(self, text: str, labels: Sequence[str]) -> list[list[int]]:
    """Ids of labels and their end after a prompt; empty where its ids cover them.

    The end is the blank line that stands before another turn. GPT-2's tokenizer cuts it
    into two tokens there, and into one at the end of a text.

    Args:
      text: the prompt. White space at its end belongs to the labels, as in
        lm-evaluation-harness.
      labels: the label words.
    """
    start = len(self.ids(text.rstrip()))
    next_turn = len(self.ids(_WORD))
    texts = [f"{text} {word}{TURN_SEPARATOR}{_WORD}" for word in labels]
    return [self.ids(whole)[start:-next_turn] for whole in texts]

  def encoder_prompt(self, text: str) -> list[int]:
    """Ids of a prompt that an encoder reads."""
    return [*self.prefix, *self.ids(text), *self.suffix]

  def decoder_target(self, text: str, eos_id: int) -> list[int]:
    """Ids of a whole target, which ends with EOS."""
    ids = [*self.prefix, *self.ids(text), *self.suffix]
    return ids if ids[-1:] == [eos_id] else [*ids, eos_id]


def _around(inner: list[int], outer: list[int]) -> tuple[list[int], list[int]]:
  """What `outer` has before and after `inner`."""
  for start in range(len(outer) - len(inner) + 1):
    if outer[start : start + len(inner)] == inner:
      return outer[:start], outer[start + len(inner) :]
  raise SymtuneError(
    f"tokenizer: got the ids {outer} with control tokens for {SAMPLE!r} and {inner} "
    "without, expected the same ids with others around them. Such a tokenizer is not "
    "supported: save another with the model."
  )


def _plain(tokenizer: Any, backend: Any) -> Any:
  """A copy of the tokenizers library's object to which no text is a control token."""
  content = json.loads(backend.to_str())
  if content["model"]["type"] in _LOOKS_UP:
    control = {str(token) for token in _control_tokens(tokenizer)}
    _rename(content, control)
    plain = type(backend).from_str(json.dumps(content))
  else:
    plain = copy.deepcopy(backend)
  plain.encode_special_tokens = True
  plain.no_truncation()
  plain.no_padding()
  return plain


def _control_tokens(tokenizer: Any) -> Iterable[str]:
  yield from tokenizer.all_special_tokens
  for token in tokenizer.added_tokens_decoder.values():
    if token.special:
      yield str(token)


def _rename(content: dict[str, Any], control: set[str]) -> None:
  """Gives control tokens names that hold a zero byte, and keeps their ids."""
  model = content["model"]
  names = {name: f"\0{name}" for name in control}
  if isinstance(model["vocab"], dict):
    model["vocab"] = {names.get(k, k): v for k, v in model["vocab"].items()}
    model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
  else:
    model["vocab"] = [[names.get(k, k), v] for k, v in model["vocab"]]
  for token in content["added_tokens"]:
    token["content"] = names.get(token["content"], token["content"])
