"""Makes t5_tokens.json: what Transformers and SeqIO make of texts with T5's vocabulary.

  python tests/golden/make_tokens_golden.py PATH/TO/spiece.model

Run it once where Transformers is installed and once where SeqIO is; each run replaces
its own library's part. The vocabulary itself is not kept here, only its SHA-256.
"""

import hashlib
import importlib.metadata
import json
import pathlib
import re
import sys
import tempfile

GOLDEN = pathlib.Path(__file__).parent / "t5_tokens.json"
TEXTS = (
  "Input: a plain line\nOutput: two\nlines",
  "  spaces   at both ends  ",
  "tabs\tand\r\nreturns\u00a0and\u200bothers",
  "naïve café, e\u0301 and ligatures ﬁ Ⅷ ½ ﷺ",
  "— “quotes” … 日本語 한국어 😀 𝔘𝔫𝔦",
  "unknown: < \\ ^ ` { } ~",
  "f(x) = {a_1, b^2} <tag> `code` ~ C:\\path",
  "3.14159 1,000,000 0x1F 50% #hash @user http://a.b/c?d=e&f",
  "THE Quick bRoWn FoX",
  "",
  " ",
  "<extra_id_0>",
  "<extra_id_0> first <extra_id_1> second <extra_id_99>",
  "The <extra_id_0> sat\n<extra_id_1>\non it <extra_id_2>",
  "no sentinel: <extra_id_100> <extra_id_> <extra_id_x>",
)
# A sentinel that touches a word: one id to Transformers, pieces to SeqIO.
TOUCHING = ("a<extra_id_0>b", "(<extra_id_3>)", "<extra_id_0><extra_id_1>")


def with_transformers(path: pathlib.Path) -> dict | None:
  """Ids of its T5Tokenizer, without EOS."""
  try:
    import transformers
  except ImportError:
    return None
  with tempfile.TemporaryDirectory() as folder:
    (pathlib.Path(folder) / "spiece.model").write_bytes(path.read_bytes())
    tokenizer = transformers.T5Tokenizer.from_pretrained(folder)
  ids = {t: tokenizer(t)["input_ids"][:-1] for t in (*TEXTS, *TOUCHING)}
  return {"version": importlib.metadata.version("transformers"), "ids": ids}


def with_seqio(path: pathlib.Path) -> dict | None:
  """Ids of its SentencePieceVocabulary with 100 extra ids, as T5X uses it."""
  try:
    import seqio
  except ImportError:
    return None
  vocab = seqio.SentencePieceVocabulary(str(path), extra_ids=100)
  ids = {text: list(vocab.encode(text)) for text in (*TEXTS, *TOUCHING)}
  return {"version": importlib.metadata.version("seqio"), "ids": ids}


def main() -> None:
  """Updates the file."""
  path = pathlib.Path(sys.argv[1])
  content = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
  content["vocabulary"] = hashlib.sha256(path.read_bytes()).hexdigest()
  content["touching"] = list(TOUCHING)
  parts = {"transformers": with_transformers(path), "seqio": with_seqio(path)}
  content |= {name: part for name, part in parts.items() if part is not None}
  text = json.dumps(content, indent=1, ensure_ascii=True)
  # One line for each list of numbers.
  text = re.sub(r"\[[\d,\s]*\]", lambda m: " ".join(m[0].split()), text)
  GOLDEN.write_text(text + "\n")


if __name__ == "__main__":
  main()
