"""A folder that stands in for the hub: Parquet files on the paths of the hub."""

import pathlib
from collections.abc import Callable, Mapping, Sequence

import pytest

from symtune.cards.card import TaskCard
from symtune.cards.download import parse_column


def write_split(
  root: pathlib.Path, card: TaskCard, split: str, rows: Sequence[Mapping]
) -> pathlib.Path:
  """Writes one split as the hub's converter would, class names in the schema.

  Args:
    root: folder in place of the hub.
    card: says id, folder and columns.
    split: the data set's own name of the split.
    rows: field texts and "label", one of the card's `values` or `unlabelled`.
  """
  datasets = pytest.importorskip("datasets", reason="needs the extra [data]")
  download = card.source.download
  columns = {parse_column(c): field for field, c in download.columns}
  table = {}
  for (name, item), field in sorted(columns.items(), key=str):
    values = [row[field] for row in rows]
    if item is None:
      table[name] = values
    else:
      table[name] = (
        [[*a, v] for a, v in zip(table[name], values, strict=True)]
        if item
        else [[v] for v in values]
      )
  table[download.label] = [row["label"] for row in rows]
  data = datasets.Dataset.from_dict(table)
  known = [*download.unlabelled, *download.values]
  if all(isinstance(v, str) for v in known) and download.label != "answer":
    names = datasets.ClassLabel(names=known)
    data = data.cast_column(download.label, names)
  folder = root / f"{card.source.hub}@refs%2Fconvert%2Fparquet" / download.folder
  (folder / split).mkdir(parents=True, exist_ok=True)
  path = folder / split / "0000.parquet"
  data.to_parquet(str(path))
  return path


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Callable[..., pathlib.Path]:
  """Writes a split to a folder in place of the hub; caches stay in tests."""
  datasets = pytest.importorskip("datasets", reason="needs the extra [data]")
  monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
  root = tmp_path / "hub"

  def write(card: TaskCard, split: str, rows: Sequence[Mapping]) -> pathlib.Path:
    write_split(root, card, split, rows)
    return root

  return write
