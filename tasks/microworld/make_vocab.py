"""Makes the microworld's vocabulary: python tasks/microworld/make_vocab.py.

A unigram SentencePiece model with T5's ids and normaliser, whose pieces are chosen, not
learned: every word of the world, of its sentences and of the prompt formats is one
piece, and so is every character, at the start of a word and inside one. Digits and
capital letters are pieces of their own, so every integer and character combination is
made of pieces that training has seen. The same input gives the same file.
"""

import io
import pathlib
import re
import string

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from symtune.cards.load import load_suite
from symtune.data.prompts import PromptFormat

FOLDER = pathlib.Path(__file__).parent
SPACE = "\u2581"  # SentencePiece's mark of white space
# Log-probabilities: one word piece always beats the characters that spell it.
WORD_SCORE = -5.0
CHARACTER_SCORE = -20.0


def world_words() -> list[str]:
  """Every word of the world and of its prompts, in order of appearance."""
  words: dict[str, None] = {}
  for suite in ("microworld_train", "microworld_eval"):
    for task in load_suite(suite, None):
      texts = [task.card.input_text(example) for example in task.examples]
      for text in (*texts, *task.card.labels, task.card.instruction):
        words.update(dict.fromkeys(re.findall(r"\w+", text)))
  for prompt_format in PromptFormat:
    words.update(dict.fromkeys(re.findall(r"\w+|->|=", "".join(prompt_format.value))))
  return [word for word in words if len(word) > 1]


def empty_model() -> sentencepiece_model_pb2.ModelProto:
  """A model trained on next to nothing, for its normaliser and settings."""
  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["a b"]),
    model_writer=model,
    vocab_size=6,
    pad_id=0,
    eos_id=1,
    unk_id=2,
    bos_id=-1,
    num_threads=1,
    minloglevel=2,
  )
  return sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())


def main() -> None:
  """Writes vocab.model beside this file."""
  proto = empty_model()
  del proto.pieces[3:]  # keeps padding, EOS and unknown
  characters = [*string.digits, *string.ascii_letters, *"?,.:=->'"]
  pieces = {SPACE: CHARACTER_SCORE}
  for character in characters:
    pieces[character] = pieces[SPACE + character] = CHARACTER_SCORE
  pieces |= {SPACE + word: WORD_SCORE for word in world_words()}
  for piece, score in pieces.items():
    proto.pieces.add(piece=piece, score=score)
  proto.trainer_spec.vocab_size = len(proto.pieces)
  (FOLDER / "vocab.model").write_bytes(proto.SerializeToString(deterministic=True))


if __name__ == "__main__":
  main()
