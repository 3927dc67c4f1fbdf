"""A tokenizer.json behind the Vocab protocol: no text is lost or becomes control."""

import dataclasses
import pickle
import unicodedata

import family_tokenizers
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from symtune.data.draw.label_words import LabelWords, WordSource, draw_symbols
from symtune.data.text.causal_vocab import CausalVocab
from symtune.data.text.symbol_contract import check_contract
from symtune.data.text.symbols import (
  PoolSplit,
  SymbolCategory,
  SymbolPool,
  SymbolRules,
  check_disjoint,
  match_lengths,
)
from symtune.data.text.vocab import Vocab, have_same_ids
from symtune.data.tokens.label_ids import vocab_label_problem
from symtune.errors import SymtuneError

# Ids of EOS and BOS; where there is no BOS, the tokenizer adds none.
_IDS = {
  "pythia": (0, None),
  "smollm2": (2, None),
  "llama3": (1, 0),
  "qwen": (2, None),
  "llama2": (2, 1),
  "mistral": (2, 1),
  "gemma": (1, 2),
}
_ADDS_SPACE = ("llama2", "mistral")


def _open(family, content=None):
  eos_id, bos_id = _IDS[family]
  content = content or family_tokenizers.make_content(family)
  return CausalVocab(content, where="tokenizer.json", eos_id=eos_id, bos_id=bos_id)


@pytest.fixture(scope="module")
def vocabs():
  return {family: _open(family) for family in family_tokenizers.FAMILIES}


def _pool(split, *symbols):
  return SymbolPool(split=split, symbols={SymbolCategory.WORDS: symbols}, synonyms={})


@pytest.mark.parametrize("family", family_tokenizers.FAMILIES)
@hypothesis.settings(max_examples=100)
@hypothesis.given(text=st.text(st.characters(codec="utf-8", exclude_characters="▁")))
def test_every_text_comes_back_whole(vocabs, family, text):
  # Mistral's puts a space before a text only if it has none.
  hypothesis.assume(family != "mistral" or not text.startswith(" "))
  vocab = vocabs[family]
  ids = vocab.encode(text)
  normal = unicodedata.normalize("NFC", text) if family in ("pythia", "qwen") else text
  assert vocab.decode(ids) == normal
  assert ids.dtype == np.int32
  assert not set(ids.tolist()) & {vocab.eos_id, vocab.bos_id, vocab.unk_id}
  assert len(vocab.pieces(ids)) == len(ids)


@pytest.mark.parametrize("family", family_tokenizers.FAMILIES)
def test_control_tokens_in_a_text_are_text(vocabs, family):
  vocab, added = vocabs[family], family_tokenizers.make_content(family)["added_tokens"]
  control = {token["id"]: token["content"] for token in added if token["special"]}
  text = f"see {' '.join(control.values())} and {''.join(control.values())}"
  ids = vocab.encode(text)
  assert not control.keys() & set(ids.tolist())
  assert vocab.decode(ids) == text
  assert vocab.decode([*control, *ids]) == text


def test_added_tokens_that_are_not_special_are_matched(vocabs):
  [call] = vocabs["qwen"].encode("<tool_call>").tolist()
  assert vocabs["qwen"].pieces([call]) == ["<tool_call>"]
  assert call in vocabs["qwen"].encode("a<tool_call>b")
  assert len(vocabs["pythia"].encode("<tool_call>")) > 1


@pytest.mark.parametrize("family", ["pythia", "llama2", "gemma"])
def test_pieces_can_be_read(vocabs, family):
  vocab = vocabs[family]
  line = "<0x0A>" if family == "llama2" else "↵"
  pieces = "".join(vocab.pieces(vocab.encode("a caf\u00e9\n漢")))
  assert pieces.removeprefix("▁") == f"a▁caf\u00e9{line}<0xE6><0xBC><0xA2>"
  assert vocab.pieces([10**6]) == ["<unused>"]


@pytest.mark.parametrize("family", family_tokenizers.FAMILIES)
def test_a_label_has_its_space(vocabs, family):
  vocab = vocabs[family]
  label = vocab.encode_label("film")
  assert vocab.pieces(label)[0].startswith("▁")
  assert vocab.encode("a: film").tolist() == [*vocab.encode("a:"), *label]
  is_same = family in _ADDS_SPACE
  assert np.array_equal(vocab.encode("film"), label) == is_same


@pytest.mark.parametrize("family", family_tokenizers.FAMILIES)
def test_a_copy_in_another_process_is_equal(vocabs, family):
  vocab = vocabs[family]
  copy = pickle.loads(pickle.dumps(vocab))
  text = "the film <|im_end|> </s> <bos>\n\n12"
  assert copy.encode(text).tolist() == vocab.encode(text).tolist()
  assert (copy.fingerprint, copy.size) == (vocab.fingerprint, vocab.size)
  assert have_same_ids(copy, vocab)
  assert isinstance(vocab, Vocab)


def test_another_eos_keeps_the_ids_and_another_bos_does_not():
  content = family_tokenizers.make_content("smollm2")
  control = [t["id"] for t in content["added_tokens"] if t["special"]]
  first, second = (CausalVocab(content, where="", eos_id=i) for i in control[:2])
  assert first.fingerprint != second.fingerprint
  assert have_same_ids(first, second)
  begun = CausalVocab(content, where="", eos_id=control[0], bos_id=control[1])
  assert not have_same_ids(first, begun)
  both = first.with_ends(second.end_ids)
  assert both.end_ids == (control[0], control[1])
  assert first.end_ids == (control[0],)


def test_the_fingerprint_covers_pieces_and_control_tokens(vocabs):
  content = family_tokenizers.make_content("smollm2")
  same = {name: content[name] for name in reversed(content)}  # other order of keys
  assert _open("smollm2", same).fingerprint == vocabs["smollm2"].fingerprint
  other = CausalVocab(content, where="", eos_id=0)
  assert other.fingerprint != vocabs["smollm2"].fingerprint
  content["model"]["merges"] = content["model"]["merges"][:-1]
  assert _open("smollm2", content).fingerprint != vocabs["smollm2"].fingerprint


def test_a_control_token_without_a_row_does_not_count():
  content = family_tokenizers.make_content("gemma")
  count = _open("gemma", content).num_ids
  token = {**content["added_tokens"][0], "content": "<image_soft_token>", "id": count}
  content["added_tokens"].append(token)
  assert _open("gemma", content).num_ids == count
  token["special"] = False  # then a text may turn into it
  assert _open("gemma", content).num_ids == count + 1


def test_parts_that_share_a_token_are_refused(vocabs):
  vocab = vocabs["llama3"]  # ".\n" is one token
  assert vocab.encode_between("", "good.\n", "a").tolist() == [
    *vocab.encode("good.\na")[:-1]
  ]
  with pytest.raises(SymtuneError, match=r"no border between tokens after 'good\.'"):
    vocab.encode_between("", "good.", "\n\na")


@pytest.mark.parametrize(
  ("edit", "message"),
  [
    (lambda t: t["model"].update(type="Unigram"), "type 'Unigram', expected 'BPE'"),
    (lambda t: t.update(model=[]), "type None"),
    (lambda t: t["model"].update(vocab=3), "is not a tokenizer that"),
    (lambda t: t["model"]["merges"].append("no such"), "is not a tokenizer that"),
  ],
)
def test_other_tokenizers_are_refused(edit, message):
  content = family_tokenizers.make_content("smollm2")
  edit(content)
  with pytest.raises(SymtuneError, match=rf"tokenizer\.json.*{message}"):
    _open("smollm2", content)
  with pytest.raises(SymtuneError, match="EOS has id 99999"):
    CausalVocab(family_tokenizers.make_content("qwen"), where="", eos_id=99999)


def test_texts_that_turn_into_control_tokens_are_refused():
  content = family_tokenizers.make_content("llama3")
  # Its model looks whole words up, so that a control token among the pieces is found.
  content["model"]["vocab"]["eos"] = 1
  content["added_tokens"][1]["content"] = "eos"
  with pytest.raises(SymtuneError, match="'eos' turns into the control token"):
    _open("llama3", content)


def test_words_are_compared_as_they_stand_in_a_prompt(vocabs):
  vocab = vocabs["qwen"]  # its normalizer composes characters
  one, two = "caf\u00e9", "cafe\u0301"
  assert vocab_label_problem(("good", "bad", "No."), vocab) is None
  assert "same token ids" in str(vocab_label_problem((one, two), vocab))
  pools = _pool(PoolSplit.TUNING, one, "bad"), _pool(PoolSplit.EVALUATION, two)
  assert check_contract(pools, (), vocab).same_tokens == ((one, two),)
  with pytest.raises(SymtuneError, match="1 tokenize alike"):
    check_disjoint(*pools, vocab)


def test_lengths_are_matched_as_they_stand_in_a_prompt(vocabs):
  vocab = vocabs["pythia"]
  assert [len(vocab.encode_label(word)) for word in ("film", "bad")] == [1, 1]
  assert len(vocab.encode("film")) > 1
  pool = _pool(PoolSplit.EVALUATION, "film", "zzzzzz")
  kept = match_lengths(pool, _pool(PoolSplit.TUNING, "bad"), vocab)
  assert kept.all_symbols() == ("film",)


def test_rules_of_symbols_count_tokens_as_they_stand_in_a_prompt(vocabs):
  vocab = vocabs["pythia"]
  pool = dataclasses.replace(
    _pool(PoolSplit.TUNING, "film", "bad", "dull", "f"),
    rules=SymbolRules(same_length=True),
    vocab=vocab,
  )
  words = LabelWords([WordSource(labels=(), pool=pool)])
  drawn = [draw_symbols(np.random.default_rng(seed), words, 2) for seed in range(20)]
  assert {len(vocab.encode(word)) for word in ("film", "bad")} == {3, 1}
  assert any({"film", "bad"} == {*pair} for pair in drawn)
  lengths = {word: len(vocab.encode_label(word)) for word in pool.all_symbols()}
  assert all(lengths[one] == lengths[two] for one, two in drawn)
