"""Words that mean nothing: pronounceable, and found in no list of English words.

Consonant-vowel syllables with a closing consonant, such as "dax" or "bliket" but drawn
at random. A word that `wordfreq` has ever counted is drawn again.
"""

import functools

import numpy as np

# fmt: off
_ONSETS = (
  "b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z",
  "bl", "br", "dr", "fl", "gl", "gr", "kl", "pl", "pr", "sk", "sl", "sn", "st", "tr",
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "oo", "ee")
_CODAS = (
  "b", "d", "g", "k", "l", "m", "n", "p", "r", "s", "t", "x", "z",
  "ft", "nk", "sk", "st",
)
# fmt: on


def draw_nonce_words(rng: np.random.Generator, count: int) -> tuple[str, ...]:
  """`count` distinct lower-case nonce words of one or two syllables.

  Args:
    rng: the generator that this draw uses up.
    count: how many.
  """
  words: dict[str, None] = {}
  while len(words) < count:
    syllables = [_syllable(rng) for _ in range(int(rng.integers(1, 3)))]
    word = "".join(syllables) + _CODAS[int(rng.integers(len(_CODAS)))]
    if not _is_word(word):
      words[word] = None
  return tuple(words)


def _syllable(rng: np.random.Generator) -> str:
  onset = _ONSETS[int(rng.integers(len(_ONSETS)))]
  return onset + _VOWELS[int(rng.integers(len(_VOWELS)))]


@functools.cache
def _is_word(word: str) -> bool:
  import wordfreq  # reads a list; only nonce words pay for it

  return wordfreq.zipf_frequency(word, "en", wordlist="large") > 0
