"""Stages 2 to 5 at once: position in the tuning stream -> TokenizedPrompt, from ids.

A prompt's ids are those of its parts, one after another (data/prompts.py), so a prompt
can be put together from arrays without any text. The result is the same, id for id, as
`tokenizer.tokenize(mixture.prompt(position))`; only faster.
"""

import bisect
import itertools
import os

import numpy as np
from jaxtyping import Int32

from symtune.data.draws import DemoDrawer
from symtune.data.instruction_prompts import InstructionMaker
from symtune.data.mixture import LabelStyle, Mixture, TaskEntry
from symtune.data.prompts import PromptFormat, turn_cues
from symtune.data.rng import KeyedGenerator
from symtune.data.skills import SkillMaker
from symtune.data.symbols import draw_symbols
from symtune.data.token_cache import TokenTask, tokenize_task
from symtune.data.tokens import PromptTokenizer, TokenizedPrompt

# An exemplar's text and what follows it: the cue, the label, the next turn's head.
_Turn = tuple[memoryview, bytes]


class TokenStream:
  """The tokenized prompts of a mixture, by position; can be sent to other processes."""

  def __init__(
    self,
    mixture: Mixture,
    tokenizer: PromptTokenizer,
    cache_dir: str | os.PathLike[str] | None = None,
  ):
    """Tokenizes every task of the mixture once, or finds it in the cache.

    Args:
      mixture: says what stands at each position.
      tokenizer: vocabulary and limits.
      cache_dir: folder of the token cache; None keeps the ids in memory.
    """
    self._seed = mixture.seed
    self._cumulative = mixture.cumulative.tolist()
    self._tokenizer = tokenizer
    self._keyed = KeyedGenerator()
    tasks: dict[int, TokenTask] = {}  # several ingredients may share a task
    self._entries: list[TokenMaker | SkillMaker | InstructionMaker] = []
    for entry in mixture.entries:
      if isinstance(entry, TaskEntry):
        task = entry.maker.source.task
        if id(task) not in tasks:
          tasks[id(task)] = tokenize_task(task, tokenizer.vocab, cache_dir)
        self._entries.append(TokenMaker(entry, tasks[id(task)], tokenizer))
      else:
        self._entries.append(entry)

  def __call__(self, position: int) -> TokenizedPrompt:
    """The tokenized prompt number `position` (0-based).

    Raises:
      PromptTooLongError: it does not fit even without the exemplars it may lose.
      SymtuneError: a label is longer than a target may be.
    """
    rng = self._keyed.at(self._seed, "mixture", position)
    drawn = bisect.bisect_right(self._cumulative, rng.random())
    entry = self._entries[min(drawn, len(self._entries) - 1)]
    if isinstance(entry, TokenMaker):
      return entry.prompt(rng, seed=self._seed, position=position)
    prompt = entry.prompt(rng, seed=self._seed, position=position)
    return self._tokenizer.tokenize(prompt)


class TokenMaker:
  """Puts a task's prompts together from ids."""

  def __init__(self, entry: TaskEntry, task: TokenTask, tokenizer: PromptTokenizer):
    """Tokenizes cues and instruction once.

    Args:
      entry: settings of the task in the mixture.
      task: its ids.
      tokenizer: vocabulary and limits.
    """
    self._task = task
    self._tokenizer = tokenizer
    self._labels = entry.ingredient.labels
    self._pool = entry.pool
    shots = entry.ingredient.shots
    self._drawer = DemoDrawer(task.index, task.fingerprint, shots)
    self._keyed = KeyedGenerator()
    starts = np.append(0, task.ends[:-1])
    self._spans = np.stack((starts, task.ends), axis=1)  # (rows, 2), read together
    instruction = task.card.instruction if entry.ingredient.instruction else None
    dtype = task.tokens.dtype
    self._cues = [_Cues(tokenizer, f, instruction, dtype) for f in entry.formats]

  def prompt(
    self, rng: np.random.Generator, *, seed: int, position: int
  ) -> TokenizedPrompt:
    """One prompt, as `TaskEntry.prompt` renders it, as ids; same arguments."""
    queries = self._task.index.queries
    query = int(queries[int(rng.integers(len(queries)))])
    key = (seed, self._task.fingerprint, int(self._task.index.rows[query]), position)
    drawn = self._drawer.draw(query, seed=seed, variant=position)
    classes = self._task.index.labels[drawn].tolist()
    answer = int(self._task.index.labels[query])
    words, classes, answer = self._relabel(key, classes, answer)
    formats = self._keyed.at(*key, "format")
    cues = self._cues[int(formats.integers(len(self._cues)))]
    return self._assemble(cues, drawn, query, classes, words, answer)

  def _relabel(
    self, key: tuple[int | str, ...], classes: list[int], answer: int
  ) -> tuple[tuple[str, ...], list[int], int]:
    """Label words, and the classes of exemplars and query; see data/remap.py."""
    words = self._task.card.labels
    if self._labels is LabelStyle.NATURAL:
      return words, classes, answer
    if self._labels is LabelStyle.FLIPPED:
      return words[::-1], classes, answer
    rng = self._keyed.at(*key, "symbols", self._pool.split)
    symbols = draw_symbols(rng, self._pool, len(words), words)
    if self._labels is LabelStyle.SCRAMBLED:
      *classes, answer = (int(rng.integers(len(words))) for _ in (*classes, answer))
    return symbols, classes, answer

  def _assemble(
    self,
    cues: "_Cues",
    drawn: np.ndarray,
    query: int,
    classes: list[int],
    words: tuple[str, ...],
    answer: int,
  ) -> TokenizedPrompt:
    tokens, dtype = self._task.tokens.data, self._task.tokens.dtype
    choices = tuple([self._tokenizer.target(word) for word in words])
    between = [
      cues.demo_cue + ids[:-1].astype(dtype).tobytes() + cues.head for ids in choices
    ]
    turns = [
      (tokens[start:end], between[label])
      for (start, end), label in zip(self._spans[drawn].tolist(), classes, strict=True)
    ]
    start, end = self._spans[query].tolist()
    inputs = _join(cues, turns, tokens[start:end], dtype)
    if len(inputs) > self._tokenizer.max_inputs:
      turns = self._drop(cues, turns, tokens[start:end], classes)
      inputs = _join(cues, turns, tokens[start:end], dtype)
    return TokenizedPrompt(
      inputs=inputs,
      choices=choices,
      answer=answer,
      demos_kept=len(turns),
      demos_dropped=len(classes) - len(turns),
    )

  def _drop(
    self, cues: "_Cues", turns: list[_Turn], text: memoryview, classes: list[int]
  ) -> list[_Turn]:
    """The turns that stay when a prompt is too long."""
    ends = (cues.head + cues.query_end, *(after for _, after in turns))
    last, *others = [len(end) // text.itemsize for end in ends]
    lengths = [len(shown) + n for (shown, _), n in zip(turns, others, strict=True)]
    lengths.append(len(text) + last - 1)  # EOS does not count
    dropped = self._tokenizer.choose_dropped(
      classes,
      lengths,
      lambda: self._tokenizer.vocab.decode(
        np.frombuffer(cues.head + text.tobytes(), text.format)
      ),
    )
    return [turn for i, turn in enumerate(turns) if i not in dropped]


def _join(
  cues: "_Cues", turns: list[_Turn], text: memoryview, dtype: np.dtype
) -> Int32[np.ndarray, "_inputs"]:
  # So many small arrays are joined as bytes in a third of the time NumPy takes.
  parts = itertools.chain.from_iterable(turns)
  joined = b"".join((cues.head, *parts, text, cues.query_end))
  return np.frombuffer(joined, dtype).astype(np.int32)


class _Cues:
  """The ids around the texts of one format, as bytes of the texts' type."""

  def __init__(
    self,
    tokenizer: PromptTokenizer,
    form: PromptFormat,
    instruction: str | None,
    dtype: np.dtype,
  ):
    head, label_cue = turn_cues(form, instruction)
    cues = (*head, label_cue + " ", label_cue)
    *starts, demo, query = (tokenizer.encode(c).astype(dtype).tobytes() for c in cues)
    self.head = b"".join(starts)
    self.demo_cue = demo
    self.query_end = query + tokenizer.eos.astype(dtype).tobytes()
