# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A teacher's answers
#
# A model that is tuned on another model's answers learns from what that model writes,
# and no more. So here is what a teacher writes, what is left out before a student sees
# it, and how free answers are scored. The teacher is the microworld's base; it answers
# "Is the following text about a fruit or a tool?".

# %%
# Installs symtune where it is missing, as in Colab.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("symtune") is None:
  subprocess.run([sys.executable, "-m", "pip", "install", "-q", "symtune"], check=True)

# %%
import dataclasses
import pathlib
import tempfile

import rich.console

from symtune.cards.load import load_suite
from symtune.data.text.instructions import Encoding
from symtune.experiment.tokens import Reader
from symtune.instruct.answerers import open_all
from symtune.instruct.distil.report import funnel_table
from symtune.instruct.distil.settings import Teacher
from symtune.instruct.distil.sift import sift
from symtune.instruct.distil.tasks import to_instructions
from symtune.instruct.distil.teach import teach
from symtune.instruct.distil.teacher import open_teacher
from symtune.instruct.evaluate import evaluate
from symtune.instruct.generate.generators import Sampling
from symtune.instruct.questions import make_questions
from symtune.instruct.tables import change_table, overall_table
from symtune.lab.picture import Picture
from symtune.probe.run import RunContext
from symtune.report.tables import to_terminal

folder = pathlib.Path(tempfile.mkdtemp())
console = rich.console.Console()
quiet = rich.console.Console(quiet=True)

# %% tags=["parameters"]
NUM_TASKS = 24

# %% [markdown]
# Tasks of classification become instructions: the task's own instruction, a text, and
# the label word as the right answer. A prompt, as the teacher reads it:

# %%
suite = load_suite("microworld_eval", None)
tasks = [to_instructions(task, 4) for task in suite[:NUM_TASKS]]
questions = make_questions(tasks, [Encoding.SELF_INSTRUCT])
print(questions[0].prompt.inputs, "->", questions[0].references[0])

# %% [markdown]
# The teacher answers. Its licence has to be named: whatever is tuned on the answers may
# be bound by it.

# %%
settings = Teacher(
  model="microworld/base.safetensors",
  licence="Apache-2.0, as all of symtune",
  sampling=Sampling(max_tokens=8),
)
teacher = open_teacher(settings)
file = folder / "teacher.jsonl"
taught = teach(teacher.generator, questions, settings.sampling, 0, file, quiet)
print([one.text for one in taught[:6]])

# %% [markdown]
# What a student should not learn is left out. This teacher makes no such mistakes, so
# that three of its answers are spoilt here: one repeats its input, one stops at a
# colon, one was cut off.

# %%
spoilt = list(taught)
spoilt[0] = dataclasses.replace(taught[0], text=questions[0].input)
spoilt[1] = dataclasses.replace(taught[1], text="The answer is:")
spoilt[2] = dataclasses.replace(taught[2], ended="length")
sifted = sift(questions, spoilt, teacher=settings.model, licence=settings.licence)
console.print(to_terminal(funnel_table(sifted)))
print(sifted.rows().splitlines()[0])
assert sifted.num_kept == len(questions) - 3

# %% [markdown]
# The same questions to others: the microworld's other base, and a rule that repeats the
# input. Intervals are clustered by task, and differences are paired.

# %%
reader = Reader(max_inputs=64, max_targets=8)
names = ["microworld/base_at_chance.safetensors", "baseline:copy_input"]
answerers = open_all(names, reader, folder, None)
answerers.append(teacher.as_answerer(settings, 8))
context = RunContext(config_hash="", vocab_hash="", git_commit=None)
rows = evaluate(answerers, questions, folder / "answers.jsonl", context, quiet)
console.print(to_terminal(overall_table(rows)))
console.print(to_terminal(change_table(rows)))


# %%
def draw(figure):
  """Share of exact matches of each answerer."""
  axes = figure.subplots()
  right: dict[str, list[bool]] = {}
  for row in rows:
    right.setdefault(row.model, []).append(row.exact)
  shares = [100 * sum(found) / len(found) for found in right.values()]
  axes.barh(list(right), shares)
  axes.set_xlabel("exact match in %")


Picture(draw)

# %% [markdown]
# Answers side by side; `report.html` of a run has them with filters.

# %%
for number in (0, len(questions) // 2, len(questions) - 1):
  print(questions[number].instruction, "|", questions[number].input)
  for row in rows[number :: len(questions)]:
    print(f"  {row.model}: {row.text!r}, ROUGE-L {100 * row.rouge_l:.0f}")

# %% [markdown]
# ## Try
#
# - A student of a third of the size, tuned on such answers:
#   `symtune instruct distil distil_microworld --out runs/distil`.
# - Another encoding, such as `Encoding.DEFINITION`, which the base has never read.
# - Instructions of your own, and a real teacher: docs/instructions.md.
