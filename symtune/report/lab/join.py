"""Results of several runs, or of a run that is not complete -> what can be compared."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from symtune.checksums import object_to_json
from symtune.errors import SymtuneError
from symtune.files import QUESTIONS_FILE, RESULTS_FILE, RUN_FILE, write_whole
from symtune.probe.contrasts import read_contrasts, write_contrasts
from symtune.probe.results import ResultRow, Results, collect, read_results, to_json
from symtune.probe.row_checks import QUESTION

_SHOWN = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paired:
  """The answers to the questions that every checkpoint was asked.

  Attributes:
    rows: these answers.
    remark: what was left out, for the report; None if nothing was.
  """

  rows: Results
  remark: str | None


def keep_paired(rows: Results) -> Paired:
  """Keeps the questions that all checkpoints were asked in the same words.

  Args:
    rows: of any checkpoints.

  Raises:
    SymtuneError: no question was asked of all of them.
  """
  if not len(rows):
    return Paired(rows=rows, remark=None)
  names, steps = rows.words("checkpoint"), rows.numbers("step")
  checkpoints = np.unique(np.stack([names.codes, steps], 1), axis=0)
  columns = [rows.words(name).codes for name in QUESTION[:3]]
  columns += [rows.numbers(name) for name in (*QUESTION[3:], "prompt_hash")]
  _, question, counts = np.unique(
    np.stack(columns, 1), axis=0, return_inverse=True, return_counts=True
  )
  is_paired = (counts == len(checkpoints))[question.reshape(-1)]
  if is_paired.all():
    return Paired(rows=rows, remark=None)
  if not is_paired.any():
    raise SymtuneError(
      f"got {len(counts)} questions, none of which was asked of all "
      f"{len(checkpoints)} checkpoints in the same words. Ask them the same probes "
      "with the same tasks, seeds and settings."
    )
  left = rows.take(~is_paired)
  places = range(len(left))
  probes, titles = (map(left.words(n).value, places) for n in ("probe", "setting"))
  settings = sorted(set(zip(probes, titles, strict=True)))
  shown = "; ".join(f"{probe}: {setting}" for probe, setting in settings[:_SHOWN])
  more = f" and {len(settings) - _SHOWN} more settings" if settings[_SHOWN:] else ""
  remark = (
    f"{(counts < len(checkpoints)).sum():,} of {len(counts):,} questions were not "
    f"asked of every checkpoint in the same words, and are left out: {shown}{more}.\n"
  )
  return Paired(rows=rows.take(is_paired), remark=remark)


def join_runs(folders: Sequence[pathlib.Path], out: pathlib.Path) -> None:
  """Joins the results of several runs in a new folder.

  A checkpoint that is in two runs, such as the base that both start from, is taken from
  the first. Where two runs call different checkpoints alike, the folder's name goes
  before the checkpoint's.

  Args:
    folders: run folders.
    out: gets results.jsonl, questions.jsonl.gz, contrasts.json and run.json.

  Raises:
    SymtuneError: a folder has no results or damaged ones, no question was asked of all
      checkpoints, or `out` has results already.
  """
  if (out / RESULTS_FILE).exists():
    raise SymtuneError(
      f"--out {out}: has results already, expected a new folder for the joined ones."
    )
  rows = list(_renamed_rows(folders))
  keep_paired(collect(rows))  # refuses runs with nothing in common
  texts = [folder / QUESTIONS_FILE for folder in folders]
  out.mkdir(parents=True, exist_ok=True)
  # The file of questions consists of parts, so several are one; read_questions checks.
  write_whole(
    out / QUESTIONS_FILE, b"".join(p.read_bytes() for p in texts if p.exists())
  )
  write_contrasts(
    out, {name: c for folder in folders for name, c in read_contrasts(folder).items()}
  )
  title = " + ".join(folder.name for folder in folders)
  about = {"config_hash": "joined", "recipe": title}
  write_whole(out / RUN_FILE, object_to_json(about))
  write_whole(out / RESULTS_FILE, "".join(to_json(row) + "\n" for row in rows))


def _renamed_rows(folders: Sequence[pathlib.Path]) -> Iterator[ResultRow]:
  """The rows of all runs; each checkpoint comes from one run and has its own name."""
  runs = [list(read_results(folder / RESULTS_FILE)) for folder in folders]
  identities: dict[tuple[str, int], set[str]] = {}
  for row in (row for rows in runs for row in rows):
    identities.setdefault((row.checkpoint, row.step), set()).add(row.identity)
  taken: dict[str, int] = {}  # number of the run that a checkpoint is taken from
  for number, (folder, rows) in enumerate(zip(folders, runs, strict=True)):
    for row in rows:
      if taken.setdefault(f"{row.identity} {row.step}", number) != number:
        continue
      if len(identities[row.checkpoint, row.step]) == 1:
        yield row
      else:
        name = f"{folder.name}: {row.checkpoint}"
        yield dataclasses.replace(row, checkpoint=name)
