"""Nonce inputs: what is left when the words of the examples mean nothing?

Wei et al. 2023 (arXiv 2303.03846, appendix B.2): 0, 25, 50, 75 or 100% of the input
words of a prompt (16 exemplars per class) are replaced, each by the same nonce word
throughout. At 100% nothing that pre-training taught helps with an example; only
repeated words can be matched.
Label words are never replaced. A share of the distinct words of the examples' texts is
replaced, and the words replaced for a smaller share are among those for a larger one.
"""

import re
from collections.abc import Mapping

from symtune.cards.card import Example
from symtune.data.episodes import Episode
from symtune.data.text.symbols import draw_nonce_words
from symtune.probe.ask import Asker, ManyShotsProbe, Question

SHARES = (0, 25, 50, 75, 100)  # per cent of the distinct words
_WORD = re.compile(r"[^\W\d_]+")


class NonceWords(ManyShotsProbe):
  """Accuracy by the share of input words that are replaced."""

  name = "nonce_words"

  def questions(self, asker: Asker, seed: int, episode: Episode) -> list[Question]:
    """One for each share."""
    text_of = asker.task.card.input_text
    texts = [text_of(example) for example in (*episode.exemplars, episode.query)]
    words = sorted({w.casefold() for text in texts for w in _WORD.findall(text)})
    rng = asker.rng(seed, episode.query, "nonce words")
    nonce = draw_nonce_words(rng, len(words))
    pairs = [(words[i], nonce[i]) for i in rng.permutation(len(words))]
    label = episode.query.label

    def question(share: int) -> Question:
      chosen = dict(pairs[: round(share / 100 * len(pairs))])

      def input_text(example: Example) -> str:
        return replace_words(text_of(example), chosen)

      return Question(
        setting=f"{share:03d}% nonce",
        episode=episode,
        context=label,
        prior=label if share == 0 else None,
        prompt_format=self.prompt_format,
        input_text=input_text,
      )

    return [question(share) for share in SHARES]


def replace_words(text: str, nonce_by_word: Mapping[str, str]) -> str:
  """Replaces whole words of a text, whatever their case; keeps the rest."""

  def replace(match: re.Match[str]) -> str:
    return nonce_by_word.get(match.group().casefold(), match.group())

  return _WORD.sub(replace, text)
