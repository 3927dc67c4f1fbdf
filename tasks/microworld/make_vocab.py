"""Makes the microworld's vocabulary: python tasks/microworld/make_vocab.py.

A unigram SentencePiece model with T5's ids and normaliser, trained on the world's
sentences, on the prompt formats and on symbols. The candidates that training starts
from are given: whole words, single characters, syllables, and digits in twos. So every
word is one piece, a nonce word is three, an integer two or three, and evaluation
symbols are made of the pieces that tuning symbols are made of. The same input gives the
same file.
"""

import io
import itertools
import pathlib
import re
import string
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from symtune.cards.load import load_suite
from symtune.data.prompts import PromptFormat
from symtune.data.text.symbols import SYLLABLES, PoolSplit, SymbolCategory, make_pool

FOLDER = pathlib.Path(__file__).parent
SPACE = "\u2581"  # SentencePiece's mark of white space
# How often each line stands in the training text: enough that no word is pruned.
REPEATS = 20


def world_words() -> list[str]:
  """Every word of the world and of its prompts, in order of appearance."""
  words: dict[str, None] = {}
  for suite in ("microworld_base", "microworld_train", "microworld_eval"):
    for task in load_suite(suite, None):
      texts = [task.card.input_text(example) for example in task.examples]
      for text in (*texts, *task.card.labels, task.card.instruction):
        words.update(dict.fromkeys(re.findall(r"\w+", text)))
  for prompt_format in PromptFormat:
    words.update(dict.fromkeys(re.findall(r"\w+|->|=", "".join(prompt_format.value))))
  return [word for word in words if len(word) > 1]


def symbol_lines() -> list[str]:
  """Symbols to learn from: those that tuning may use."""
  kinds = (
    SymbolCategory.NONCE,
    SymbolCategory.INTEGERS,
    SymbolCategory.COMBINATIONS,
  )
  return list(make_pool(PoolSplit.TUNING, kinds).all_symbols())


TWO_DIGITS = ["".join(pair) for pair in itertools.product(string.digits, repeat=2)]
PUNCTUATION = [*"?,.:=->'"]
CHARACTERS = [*string.digits, *string.ascii_letters, *PUNCTUATION]


def candidates(words: list[str]) -> list[str]:
  """The pieces that training starts from."""
  inside = [*CHARACTERS, *TWO_DIGITS, *SYLLABLES]
  return [SPACE, *inside, *(SPACE + piece for piece in inside + words)]


def main() -> None:
  """Writes vocab.model beside this file."""
  words = world_words()
  pieces = candidates(words)
  lines = [*words, *(f"{mark} a{mark}" for mark in PUNCTUATION)] * REPEATS
  lines += [*(f"{c} {c}{c}" for c in CHARACTERS), *symbol_lines()]
  model = io.BytesIO()
  with tempfile.TemporaryDirectory() as folder:
    seeds = pathlib.Path(folder) / "seeds.tsv"
    seeds.write_text("".join(f"{piece}\t{REPEATS}\n" for piece in pieces))
    sentencepiece.SentencePieceTrainer.train(
      sentence_iterator=iter(lines),
      model_writer=model,
      seed_sentencepieces_file=str(seeds),
      vocab_size=len(pieces) + 3,
      hard_vocab_limit=False,
      character_coverage=1.0,
      pad_id=0,
      eos_id=1,
      unk_id=2,
      bos_id=-1,
      num_threads=1,
      minloglevel=2,
    )
  proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
  proto.trainer_spec.ClearField("seed_sentencepieces_file")  # a temporary path
  (FOLDER / "vocab.model").write_bytes(proto.SerializeToString(deterministic=True))


if __name__ == "__main__":
  main()
