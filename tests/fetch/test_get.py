"""From a stand-in of the hub to a data folder, and what can go wrong on the way."""

import dataclasses
import itertools
import json
import types

import pytest
from etils import epath

from symtune.cards.card import Example
from symtune.cards.download import PARQUET_BRANCH
from symtune.cards.examples import read_task
from symtune.cards.load import load_card, read_suite
from symtune.errors import SymtuneError
from symtune.fetch import get as get_lib
from symtune.fetch import hub as hub_lib
from symtune.fetch.get import GetSettings, get_tasks, recipe_hash
from symtune.fetch.hub import with_retries
from symtune.fetch.provenance import read_provenance
from symtune.fetch.verify import check_folder

SST2 = load_card("sst2")


def rows(count: int, word: str = "text") -> list[dict]:
  labels = SST2.source.download.values
  return [{"text": f"{word} {i}", "label": labels[i % 2]} for i in range(count)]


def get(card, tmp_path, root, **settings) -> epath.Path:
  folder = epath.Path(tmp_path / "data")
  get_tasks([card], folder, GetSettings(root=str(root), **settings), lambda line: None)
  return folder


def test_rows_arrive_with_labels_splits_and_provenance(hub, tmp_path):
  hub(SST2, "train", rows(6))
  folder = get(SST2, tmp_path, hub(SST2, "validation", rows(4, "other")))
  task = read_task(SST2, folder)
  assert [e.label for e in task.examples] == [0, 1] * 5
  assert task.examples[6] == Example(
    row=6, fields={"text": "other 0"}, label=0, split="validation"
  )
  entry = read_provenance(folder)["sst2.jsonl"]
  assert (entry.rows, entry.hub, entry.revision) == (
    10,
    "stanfordnlp/sst2",
    PARQUET_BRANCH,
  )
  assert entry.splits["train"].read == 6
  first = json.loads((folder / "sst2.jsonl").read_text().splitlines()[0])
  assert first["src"] == "stanfordnlp/sst2/default/train#0"


def test_downloading_says_where_it_is_on_standard_error_alone(hub, tmp_path, capsys):
  hub(SST2, "train", rows(1_200))
  root, lines = hub(SST2, "validation", rows(4, "other")), []
  clock = itertools.count(0.0, 20.0)  # at every look, 20 seconds have passed
  get_tasks(
    [SST2],
    epath.Path(tmp_path / "data"),
    GetSettings(root=str(root)),
    lines.append,
    clock=lambda: next(clock),
  )
  out, err = capsys.readouterr()
  assert out == ""
  assert len(lines) == 1
  shown = err.splitlines()
  assert all(line.startswith("downloading [1/1] sst2: ") for line in shown)
  assert [line for line in shown if " 1000 rows  " in line]


def test_every_row_left_out_is_counted_by_reason(hub, tmp_path):
  snli = load_card("snli")
  good = [{"premise": f"p {i}", "hypothesis": "h", "label": i % 3} for i in range(9)]
  bad = [
    {"premise": "p 0", "hypothesis": "h", "label": 1},
    {"premise": "no gold", "hypothesis": "h", "label": -1},
    {"premise": "  ", "hypothesis": "h", "label": 1},
    {"premise": None, "hypothesis": "h", "label": 1},
  ]
  # The stand-in stores whole numbers here, since -1 is no name of a class.
  card = dataclasses.replace(
    snli,
    source=dataclasses.replace(
      snli.source,
      download=dataclasses.replace(snli.source.download, values=(0, 1, 2)),
    ),
  )
  hub(card, "train", good + bad)
  folder = get(card, tmp_path, hub(card, "validation", good[:3]))
  counts = read_provenance(folder)["snli.jsonl"].splits["train"]
  assert counts.dropped == {
    "duplicate input": 1,
    "no gold label": 1,
    "empty text": 1,
    "missing text": 1,
  }
  assert counts.read - sum(counts.dropped.values()) == counts.kept == 9
  assert counts.places["missing text"] == ("stanfordnlp/snli/plain_text/train#12",)


def test_training_rows_are_capped_at_random_and_repeatably(hub, tmp_path):
  hub(SST2, "train", rows(200))
  root = hub(SST2, "validation", rows(20, "other"))
  read = {}
  for seed in (0, 1):
    folder = get(SST2, tmp_path / str(seed), root, max_training_rows=50, seed=seed)
    task = read_task(SST2, folder)
    read[seed] = [e.fields["text"] for e in task.examples if e.split == "train"]
    assert len(read[seed]) == 50
    assert sum(e.split == "validation" for e in task.examples) == 20
    dropped = read_provenance(folder)["sst2.jsonl"].splits["train"].dropped
    assert dropped == {"over the cap": 150}
    again = get(SST2, tmp_path / f"{seed}b", root, max_training_rows=50, seed=seed)
    assert (again / "sst2.jsonl").read_bytes() == (folder / "sst2.jsonl").read_bytes()
  assert read[0] != read[1]
  assert read[0] == sorted(read[0], key=lambda text: int(text.split()[1]))


def test_a_share_is_held_out_where_there_is_no_validation_split(hub, tmp_path):
  ethos = load_card("ethos")
  values = ethos.source.download.values
  root = hub(
    ethos, "train", [{"text": f"t {i}", "label": values[i % 2]} for i in range(50)]
  )
  task = read_task(ethos, get(ethos, tmp_path, root))
  assert sum(e.split == "validation" for e in task.examples) == 10


def test_financial_news_keeps_two_of_three_classes_and_holds_out_a_share(hub, tmp_path):
  card = load_card("financial_phrasebank")
  names = ("negative", "neutral", "positive")
  news = [{"text": f"Profit {i}", "label": names[i % 3]} for i in range(60)]
  folder = get(card, tmp_path, hub(card, "train", news))
  entry = read_provenance(folder)["financial_phrasebank.jsonl"]
  assert entry.splits["train"].dropped == {"no gold label": 20}
  examples = read_task(card, folder).examples
  assert sum(e.split == "validation" for e in examples) == 8  # a fifth of 40
  for example in examples:
    number = int(example.fields["text"].split()[1])
    assert card.labels[example.label] == names[number % 3].capitalize()


def test_names_decide_not_the_order_of_the_source(hub, tmp_path):
  trec = load_card("trec")
  values = trec.source.download.values
  made = [{"text": f"t {i}", "label": values[i % 6]} for i in range(12)]
  hub(trec, "train", made)
  task = read_task(trec, get(trec, tmp_path, hub(trec, "test", made)))
  assert [e.label for e in task.examples[:6]] == list(range(6))


def test_an_unknown_label_stops_and_leaves_nothing(hub, tmp_path):
  root = hub(SST2, "train", rows(6))
  download = dataclasses.replace(SST2.source.download, values=("negative", "glad"))
  card = dataclasses.replace(
    SST2, source=dataclasses.replace(SST2.source, download=download)
  )
  with pytest.raises(SymtuneError, match=r"train#1 .*got label 'positive'"):
    get(card, tmp_path, root)
  assert not (tmp_path / "data").exists()


def test_a_missing_column_or_split_names_the_card(hub, tmp_path):
  root = hub(SST2, "train", rows(6))
  with pytest.raises(SymtuneError, match="validation: no such data set"):
    get(SST2, tmp_path, root)
  download = dataclasses.replace(SST2.source.download, columns=(("text", "body"),))
  card = dataclasses.replace(
    SST2, source=dataclasses.replace(SST2.source, download=download)
  )
  with pytest.raises(SymtuneError, match=r"no column 'body'.*sst2.*sentence, label"):
    get(card, tmp_path, root)


def test_a_truncated_parquet_file_is_no_data(hub, tmp_path):
  root = hub(SST2, "train", rows(500))
  path = next(root.rglob("*.parquet"))
  path.write_bytes(path.read_bytes()[:-200])
  with pytest.raises(SymtuneError, match="cannot be read after 2 tries"):
    get(SST2, tmp_path, root, retry_seconds=(0.0,))
  assert not (tmp_path / "data").exists()


def test_a_failure_that_passes_is_tried_again():
  waits, answers = [], [OSError("reset"), TimeoutError("slow"), "rows"]

  def work():
    answer = answers.pop(0)
    if isinstance(answer, Exception):
      raise answer
    return answer

  assert with_retries(work, "here", (1.0, 4.0, 9.0), waits.append) == "rows"
  assert waits == [1.0, 4.0]


def test_finished_tasks_are_kept_and_others_done(hub, tmp_path, monkeypatch):
  cola = load_card("cola")
  for card in (SST2, cola):
    values = card.source.download.values
    made = [{"text": f"t {i}", "label": values[i % 2]} for i in range(8)]
    hub(card, "train", made)
    root = hub(card, "validation", made)
  folder = get(SST2, tmp_path, root)
  settings = GetSettings(root=str(root))
  for write in ("add_entry", "write_anywhere"):  # killed before each of the two writes
    with monkeypatch.context() as patch:
      patch.setattr(get_lib, write, _stop)
      with pytest.raises(KeyboardInterrupt):
        get_tasks([SST2, cola], folder, settings, lambda line: None)
    assert not (folder / "cola.jsonl").exists()
  lines = []
  get_tasks([SST2, cola], folder, settings, lines.append)
  assert lines[0] == "[1/2] sst2: already there"
  assert lines[1].startswith("[2/2] cola: 16 rows")


def test_a_damaged_file_is_no_finished_task(hub, tmp_path):
  hub(SST2, "train", rows(6))
  root = hub(SST2, "validation", rows(4, "other"))
  folder = get(SST2, tmp_path, root)
  path = folder / "sst2.jsonl"
  whole = path.read_bytes()
  lines = []
  for damaged in (whole.replace(b"text 3", b"text 4"), whole[:-5]):
    path.write_bytes(damaged)
    get_tasks([SST2], folder, GetSettings(root=str(root)), lines.append)
    assert path.read_bytes() == whole
    assert lines.pop() == "[1/1] sst2: 10 rows (replaces a file with another hash)"


def test_artefacts_are_undone_recorded_and_left_on_request(hub, tmp_path):
  card = load_card("tweet_eval_irony")
  values = card.source.download.values
  texts = ["salt &amp; pepper", "salt & pepper", "I&#8217;m", "so"]
  made = [{"text": t, "label": values[i % 2]} for i, t in enumerate(texts * 2)]
  hub(card, "train", made)
  root = hub(card, "validation", made)
  found = {}
  for unescape in (True, False):
    folder = get(card, tmp_path / str(unescape), root, unescape=unescape)
    entry = read_provenance(folder)["tweet_eval_irony.jsonl"]
    assert entry.unescaped == (("html",) if unescape else ())
    examples = read_task(card, folder).examples
    found[unescape] = [e.fields["text"] for e in examples if e.split == "train"]
    (report,) = check_folder([card], folder)
    assert report.good
  assert found[True] == ["salt & pepper", "I’m", "so"]  # equal texts are duplicates
  assert found[False] == texts
  with pytest.raises(SymtuneError, match="with other settings"):
    get(card, tmp_path / "True", root, unescape=False)


def test_cards_without_artefacts_keep_their_recipe_hash():
  plain, raw = GetSettings(), GetSettings(unescape=False)
  assert recipe_hash(SST2, plain) == recipe_hash(SST2, raw)
  irony = load_card("tweet_eval_irony")
  assert recipe_hash(irony, plain) != recipe_hash(irony, raw)


def test_entries_that_another_process_wrote_meanwhile_stay(hub, tmp_path, monkeypatch):
  cola = load_card("cola")
  for card in (SST2, cola):
    values = card.source.download.values
    made = [{"text": f"t {i}", "label": values[i % 2]} for i in range(8)]
    hub(card, "train", made)
    root = hub(card, "validation", made)
  resolve = hub_lib.resolve_revision

  def slow(card, *arguments):
    if card is SST2:  # while this one is read, the other is written
      get(cola, tmp_path, root)
    return resolve(card, *arguments)

  monkeypatch.setattr(hub_lib, "resolve_revision", slow)
  assert set(read_provenance(get(SST2, tmp_path, root))) == {"sst2.jsonl", "cola.jsonl"}


def test_text_that_is_not_utf8_and_lines_too_long_are_counted(hub, tmp_path):
  pa = pytest.importorskip("pyarrow")
  parquet = pytest.importorskip("pyarrow.parquet")
  made = rows(6)
  made[4]["text"] = "x" * 1_000_001
  hub(SST2, "train", made)
  root = hub(SST2, "validation", rows(4, "other"))
  path = next(root.rglob("train/*.parquet"))
  table = parquet.read_table(path)
  texts = [text.encode() for text in table["sentence"].to_pylist()]
  texts[2] = b"na\xefve"
  broken = pa.array(texts, pa.binary()).view(pa.string())
  place = table.column_names.index("sentence")
  parquet.write_table(table.set_column(place, table.field("sentence"), broken), path)
  folder = get(SST2, tmp_path, root)
  counts = read_provenance(folder)["sst2.jsonl"].splits["train"]
  assert counts.dropped == {"text is not Unicode": 1, "line too long": 1}
  assert counts.places["text is not Unicode"] == ("stanfordnlp/sst2/default/train#2",)
  assert len(read_task(SST2, folder).examples) == 8


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_the_hub_refuses_is_not_asked_again(status):
  class RefusedError(Exception):
    response = types.SimpleNamespace(status_code=status)

  calls = []

  def work():
    calls.append(1)
    raise RefusedError("no")

  with pytest.raises(SymtuneError, match=f"the hub answered {status}"):
    with_retries(work, "here", (1.0, 4.0), calls.append)
  assert calls == [1]


def _stop(*args):
  raise KeyboardInterrupt


def test_a_stranger_or_another_recipe_is_not_overwritten(hub, tmp_path):
  hub(SST2, "train", rows(6))
  root = hub(SST2, "validation", rows(4, "other"))
  folder = get(SST2, tmp_path, root)
  with pytest.raises(SymtuneError, match="with other settings"):
    get(SST2, tmp_path, root, seed=3)
  (folder / "provenance.json").unlink()
  with pytest.raises(SymtuneError, match="not from `symtune data get`"):
    get(SST2, tmp_path, root)


@pytest.mark.shared
@pytest.mark.parametrize("suite", ["symbol_tuning_train", "symbol_tuning_eval", "mmlu"])
def test_all_cards_get_the_real_rows_back(suite, hub, tmp_path, shared_data):
  cards = read_suite(suite).tasks
  expected = {}
  for card in cards:
    expected[card.name] = []
    for split, theirs in card.source.download.splits:
      chosen = _real_rows(card, split, shared_data)
      values = card.source.download.values
      root = hub(
        card, theirs, [{**e.fields, "label": values[e.label]} for e in chosen * 2]
      )
      once = {card.input_text(e): e for e in reversed(chosen)}
      kept = [e for e in chosen if once[card.input_text(e)] is e]
      expected[card.name] += [(e.fields, e.label, split) for e in kept]
  folder = epath.Path(tmp_path / "data")
  settings = GetSettings(root=str(root), unescape=False)
  get_tasks(cards, folder, settings, lambda line: None)
  for card in cards:
    found = read_task(card, folder).examples
    assert [(e.fields, e.label, e.split) for e in found] == expected[card.name]


def _real_rows(card, split: str, shared_data) -> list[Example]:
  """Up to 20 rows of each class; RAFT has all its labelled rows in one split."""
  rows = read_task(card, shared_data / "tasks").examples
  one_split = len(card.source.download.splits) == 1
  chosen = [e for e in rows if one_split or e.split == split]
  return [
    e
    for label in range(len(card.labels))
    for e in [e for e in chosen if e.label == label][:20]
  ]
