"""Episodes as text for a terminal and as HTML for notebooks."""

import html
import math
from collections.abc import Sequence

import rich.console
import rich.panel
import rich.table
import rich.text

from symtune.data.prompts import TURN_SEPARATOR
from symtune.probe.probe import AnswerKind, ProbeItem
from symtune.report.lab.episodes import Answer, AnsweredEpisode
from symtune.report.results import checkpoint_title, setting_title

_NOT_KEPT = "(the run did not keep the text of its questions)"
# Readable on light and on dark backgrounds, as notebooks have both.
_LABEL_STYLE = "font-weight:600;color:#2f7fd1"


def prompt_to_terminal(turns: Sequence[Sequence[str]]) -> rich.text.Text:
  """A prompt with the label words of its exemplars in colour."""
  shown = rich.text.Text()
  for number, turn in enumerate(turns):
    shown.append(TURN_SEPARATOR if number else "")
    is_exemplar = number < len(turns) - 1
    for place, part in enumerate(turn):
      is_label = is_exemplar and place == len(turn) - 1
      shown.append(part, style="bold blue" if is_label else "")
  return shown


def prompt_to_html(turns: Sequence[Sequence[str]]) -> str:
  """The same as HTML; texts are escaped."""
  parts = []
  for number, turn in enumerate(turns):
    is_exemplar = number < len(turns) - 1
    texts = [html.escape(part) for part in turn]
    if is_exemplar:
      texts[-1] = f'<span style="{_LABEL_STYLE}">{texts[-1]}</span>'
    parts.append("".join(texts))
  text = TURN_SEPARATOR.join(parts)
  return f'<div style="white-space:pre-wrap;text-align:left">{text}</div>'


def episode_to_terminal(episode: AnsweredEpisode) -> rich.console.RenderableType:
  """A panel: the prompt, then a line for each checkpoint."""
  question = episode.question
  shown = [
    rich.text.Text(_NOT_KEPT, style="dim")
    if question is None
    else prompt_to_terminal(question.turns),
    rich.text.Text(f"\n{describe_hypotheses(episode)}", style="dim"),
    answer_table(episode),
  ]
  return rich.panel.Panel(
    rich.console.Group(*shown),
    title=rich.text.Text(_title(episode)),
    title_align="left",
  )


def episode_to_html(episode: AnsweredEpisode) -> str:
  """A block for a notebook: the prompt, then a table of the checkpoints' answers."""
  question = episode.question
  prompt = _NOT_KEPT if question is None else prompt_to_html(question.turns)
  rows = [
    [
      checkpoint_title(answer.checkpoint),
      *_score_cells(answer, len(episode.choices)),
      describe_answer(episode, answer),
    ]
    for answer in episode.answers
  ]
  table = table_to_html(["checkpoint", *_choice_titles(episode), "answer"], rows)
  return (
    '<div style="border:1px solid #8886;border-radius:6px;padding:.7em;margin:.4em 0">'
    f"<b>{html.escape(_title(episode))}</b>{prompt}"
    f'<p style="opacity:.7">{html.escape(describe_hypotheses(episode))}</p>'
    f"{table}</div>"
  )


def item_to_terminal(item: ProbeItem) -> rich.console.RenderableType:
  """A question that nobody has answered yet: the prompt and what is right."""
  prompt = item.prompt
  words = [
    f"right: {prompt.choices[prompt.answer]}",
    f"choices: {', '.join(prompt.choices)}" if len(prompt.choices) > 1 else "open",
    "generated" if item.kind is AnswerKind.GENERATE else "ranked",
  ]
  if item.prior is not None and item.prior != item.context:
    words.append(f"the meaning implies {prompt.choices[item.prior]}")
  setting = setting_title(item.probe, item.setting)
  title = f"{setting}, {item.task}, seed {item.seed}, query {item.query}"
  body = rich.console.Group(
    prompt_to_terminal(prompt.turns),
    rich.text.Text("\n" + "; ".join(words), style="dim"),
  )
  return rich.panel.Panel(body, title=rich.text.Text(title), title_align="left")


def table_to_html(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """A plain table; cells are escaped."""
  head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
  body = "".join(
    "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
    for row in rows
  )
  return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def answer_table(episode: AnsweredEpisode) -> rich.table.Table:
  """Log-probabilities in nats, one row per checkpoint."""
  table = rich.table.Table(box=None, padding=(0, 2, 0, 0))
  for title in ("checkpoint", *_choice_titles(episode), "answer"):
    is_number = title not in ("checkpoint", "answer")
    table.add_column(rich.text.Text(title), justify="right" if is_number else "left")
  for answer in episode.answers:
    style = "green" if answer.correct else "red"
    table.add_row(
      rich.text.Text(checkpoint_title(answer.checkpoint)),
      *_score_cells(answer, len(episode.choices)),
      rich.text.Text(describe_answer(episode, answer), style=style),
    )
  return table


def describe_hypotheses(episode: AnsweredEpisode) -> str:
  """What is right, and what exemplars and meaning imply, in one line."""
  parts = [f"right: {episode.choices[episode.label]}"]
  for name, place in (("exemplars", episode.context), ("meaning", episode.prior)):
    if place is not None and episode.context != episode.prior:
      parts.append(f"{name} imply: {episode.choices[place]}")
  return "; ".join(parts).replace("meaning imply", "meaning implies")


def describe_answer(episode: AnsweredEpisode, answer: Answer) -> str:
  """The answer, whether it is right, and which hypothesis it follows."""
  if answer.text is not None:
    word = repr(answer.text)
  elif answer.prediction is None:
    word = "none"
  else:
    word = episode.choices[answer.prediction]
  mark = "right" if answer.correct else "wrong"
  follows = "" if answer.outcome is None else f", {answer.outcome}"
  return f"{word} ({mark}{follows})"


def _title(episode: AnsweredEpisode) -> str:
  setting = setting_title(episode.probe, episode.setting)
  return f"{setting}, {episode.task}, seed {episode.seed}, query {episode.query}"


def _choice_titles(episode: AnsweredEpisode) -> list[str]:
  is_ranked = any(answer.log_likelihoods for answer in episode.answers)
  return [f"log p({word})" for word in episode.choices] if is_ranked else []


def _score_cells(answer: Answer, count: int) -> list[str]:
  if not answer.log_likelihoods:
    return []
  assert len(answer.log_likelihoods) == count, "one number per choice"
  return [
    f"{value:.3f}" if math.isfinite(value) else "" for value in answer.log_likelihoods
  ]
