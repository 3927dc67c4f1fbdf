"""Stages 2 to 5 at once: position in the tuning stream -> TokenizedPrompt, from ids.

A prompt's ids are those of its parts, one after another (data/prompts.py), so a prompt
can be put together from arrays without any text. The result is the same, id for id, as
`tokenizer.tokenize(mixture.prompt(position))`; only faster.
"""

import bisect
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
from symtune.data.token_cache import TokenTask, token_dtype, tokenize_task
from symtune.data.tokens import PromptTokenizer, TokenizedPrompt


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
    words = _LabelWords(tokenizer)
    tasks: dict[int, TokenTask] = {}  # several ingredients may share a task
    self._entries: list[TokenMaker | SkillMaker | InstructionMaker] = []
    for entry in mixture.entries:
      if isinstance(entry, TaskEntry):
        task = entry.maker.source.task
        if id(task) not in tasks:
          tasks[id(task)] = tokenize_task(task, tokenizer.vocab, cache_dir)
        self._entries.append(TokenMaker(entry, tasks[id(task)], words))
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

  def __init__(self, entry: TaskEntry, task: TokenTask, words: "_LabelWords"):
    """Tokenizes cues and instruction once.

    Args:
      entry: settings of the task in the mixture.
      task: its ids.
      words: ids of label words; says vocabulary and limits, too.
    """
    self._task = task
    self._words = words
    self._tokenizer = words.tokenizer
    self._labels = entry.ingredient.labels
    self._pool = entry.pool
    shots = entry.ingredient.shots
    self._drawer = DemoDrawer(task.index, task.fingerprint, shots)
    self._keyed = KeyedGenerator()
    instruction = task.card.instruction if entry.ingredient.instruction else None
    self._cues = [
      _Cues(self._tokenizer, f, instruction, words.dtype) for f in entry.formats
    ]

  def prompt(
    self, rng: np.random.Generator, *, seed: int, position: int
  ) -> TokenizedPrompt:
    """One prompt, as `TaskEntry.prompt` renders it, as ids; same arguments."""
    queries = self._task.index.queries
    query = int(queries[int(rng.integers(len(queries)))])
    key = (seed, self._task.fingerprint, int(self._task.index.rows[query]), position)
    drawn = self._drawer.draw(query, seed=seed, variant=position)
    class_of = self._task.classes
    classes, answer = [class_of[i] for i in drawn], class_of[query]
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
    drawn: list[int],
    query: int,
    classes: list[int],
    words: tuple[str, ...],
    answer: int,
  ) -> TokenizedPrompt:
    labels = [self._words(word) for word in words]
    after = [cues.demo_cue + ids + cues.head for _, ids in labels]
    texts = self._task.texts
    shown, follow = [texts[i] for i in drawn], [after[c] for c in classes]
    asked = texts[query] + cues.query_end
    inputs = self._join(cues.head, shown, follow, asked)
    if len(inputs) > self._tokenizer.max_inputs:
      dropped = self._choose_dropped(inputs, shown, follow, classes)
      kept = [i for i in range(len(drawn)) if i not in dropped]
      shown, follow = [shown[i] for i in kept], [follow[i] for i in kept]
      inputs = self._join(cues.head, shown, follow, asked)
    return TokenizedPrompt(
      inputs=inputs,
      choices=tuple([target for target, _ in labels]),
      answer=answer,
      demos_kept=len(shown),
      demos_dropped=len(drawn) - len(shown),
    )

  def _join(
    self, head: bytes, shown: list[bytes], follow: list[bytes], asked: bytes
  ) -> Int32[np.ndarray, "_inputs"]:
    # So many small arrays are joined as bytes in a third of the time NumPy takes.
    parts = [head] * (2 * len(shown) + 2)
    parts[1:-1:2], parts[2:-1:2], parts[-1] = shown, follow, asked
    return np.frombuffer(b"".join(parts), self._words.dtype).astype(np.int32)

  def _choose_dropped(
    self,
    inputs: np.ndarray,
    shown: list[bytes],
    follow: list[bytes],
    classes: list[int],
  ) -> set[int]:
    """Which exemplars go from inputs that are too long."""
    size = self._words.dtype.itemsize
    lengths = [(len(a) + len(b)) // size for a, b in zip(shown, follow, strict=True)]
    lengths.append(len(inputs) - 1 - sum(lengths))  # EOS does not count
    return self._tokenizer.choose_dropped(
      classes, lengths, lambda: self._tokenizer.vocab.decode(inputs)[:60]
    )


class _LabelWords:
  """Ids of label words: as targets, and as the bytes that stand in inputs."""

  def __init__(self, tokenizer: PromptTokenizer):
    self.tokenizer = tokenizer
    self.dtype = np.dtype(token_dtype(tokenizer.vocab))
    self._found: dict[str, tuple[np.ndarray, bytes]] = {}

  def __call__(self, word: str) -> tuple[np.ndarray, bytes]:
    found = self._found.get(word)
    if found is None:
      target = self.tokenizer.target(word)
      found = self._found[word] = (target, target[:-1].astype(self.dtype).tobytes())
    return found


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
