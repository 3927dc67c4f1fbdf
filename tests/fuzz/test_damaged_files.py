"""Every type of file with every kind of damage: one message that names the file."""

import os
import pathlib
import re

import pytest
from fuzz_damage import BYTES, PLACES, TEXTS
from fuzz_samples import SAMPLES

CASES = [
  pytest.param(sample, damage, id=f"{name}-{damage.name}")
  for name, sample in SAMPLES.items()
  for damage in (*PLACES, *BYTES, *(TEXTS if sample.is_text else ()))
]


@pytest.mark.parametrize(("sample", "damage"), CASES)
def test_a_damaged_file_is_refused_in_one_message(
  sample, damage, copy_of, refused, run_cli, tmp_path, monkeypatch
):
  monkeypatch.setenv("COLUMNS", "500")
  here, out = copy_of(sample.file), tmp_path / "out"
  path = here / sample.file
  damage.apply(path)
  before = _tree(here)
  command = sample.command.format(here=here, out=out).split()
  if damage.name in sample.unread:
    code, _, errors = run_cli(*command)
    assert code == 0, errors
    return
  message = refused(*command)
  assert re.search(sample.instead, message) or (
    path.name in message and re.search(damage.message, message)
  ), message
  assert not out.exists()
  assert _tree(here) == before


def _tree(folder: pathlib.Path) -> list[str]:
  walked = os.walk(folder)
  return sorted(os.path.join(top, file) for top, _, files in walked for file in files)
