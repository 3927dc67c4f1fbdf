"use strict";

// An episode is a list; page.py (_pack) says what stands where.
const SETTING = 0, TASK = 1, SEED = 2, QUERY = 3, TURNS = 4, CHOICES = 5;
const LABEL = 6, CONTEXT = 7, PRIOR = 8, ANSWERS = 9, ASKED = 10;
// An answer is a list, too; the nats of the choices follow.
const CHOSEN = 0, OUTCOME = 1, RIGHT = 2, SEEN = 3, WRITTEN = 4, NATS = 5;

const ROW_HEIGHT = 72; // pixels, as in page.css: 4.5rem
const MARGIN = 8; // rows that are drawn above and below the visible ones
const byId = (id) => document.getElementById(id);

let data = null;
let shown = []; // numbers of the episodes that pass the filters
let current = -1; // number of the open episode

async function readData() {
  const packed = Uint8Array.from(atob(byId("data").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// ---- filters

function fill(id, options) {
  byId(id).replaceChildren(
    ...options.map(([value, title]) => element("option", { value }, title)),
  );
}

function fillFilters() {
  const count = data.checkpoints.length;
  const probes = [...new Set(data.settings.map(([probe]) => probe))];
  const settings = [["", "all"]];
  for (const probe of probes) {
    const inside = data.settings.map((s, i) => [s, i]).filter(([s]) => s[0] === probe);
    if (inside.length > 1) settings.push([`probe ${probe}`, `${probe}: all`]);
    for (const [s, i] of inside) settings.push([String(i), s[2]]);
  }
  fill("setting", settings);
  fill("task", [["", "all"], ...data.tasks.map((t, i) => [i, t])]);
  fill("checkpoint", data.checkpoints.map((t, i) => [i, t]));
  byId("checkpoint").value = String(count - 1);
  fill("answer", [
    ["", "any"], ["right", "right"], ["wrong", "wrong"],
    ...data.outcomes.map((o, i) => [`outcome ${i}`, o]),
  ]);
  fill("changed", [
    ["", "any"], ["changed", "changed"], ["right-wrong", "right → wrong"],
    ["wrong-right", "wrong → right"], ["same", "same answer"],
  ]);
  byId("changed-label").hidden = count < 2;
}

function changed(answers, how) {
  const first = answers[0], last = answers[answers.length - 1];
  if (how === "right-wrong") return first[RIGHT] && !last[RIGHT];
  if (how === "wrong-right") return !first[RIGHT] && last[RIGHT];
  const same = first[CHOSEN] === last[CHOSEN] && first[WRITTEN] === last[WRITTEN];
  return how === "same" ? same : !same;
}

function answered(answer, how) {
  if (how === "right") return answer[RIGHT] === 1;
  if (how === "wrong") return answer[RIGHT] === 0;
  return answer[OUTCOME] === Number(how.slice("outcome ".length));
}

/** Which texts hold the words; texts are few, so each is searched once. */
function textsWith(words) {
  const wanted = words.toLowerCase();
  const found = new Uint8Array(data.texts.length);
  data.lower ??= data.texts.map((text) => text.toLowerCase());
  data.lower.forEach((text, i) => { found[i] = text.includes(wanted) ? 1 : 0; });
  return found;
}

function applyFilters() {
  const words = byId("text").value.trim();
  const setting = byId("setting").value, task = byId("task").value;
  const who = Number(byId("checkpoint").value);
  const answer = byId("answer").value, how = byId("changed").value;
  const probe = setting.startsWith("probe ") ? setting.slice("probe ".length) : null;
  const found = words ? textsWith(words) : null;
  shown = [];
  data.episodes.forEach((e, number) => {
    if (probe !== null) {
      if (data.settings[e[SETTING]][0] !== probe) return;
    } else if (setting && e[SETTING] !== Number(setting)) return;
    if (task && e[TASK] !== Number(task)) return;
    if (answer && !answered(e[ANSWERS][who], answer)) return;
    if (how && !changed(e[ANSWERS], how)) return;
    if (found && !(e[TURNS] ?? e[CHOICES]).some((text) => found[text])) return;
    shown.push(number);
  });
  byId("count").textContent =
    `${shown.length.toLocaleString("en")} of ${data.episodes.length.toLocaleString("en")} episodes`;
  byId("list").scrollTop = 0;
  drawList();
}

// ---- the list: only the rows that can be seen are in the page

function drawList() {
  const list = byId("list");
  const first = Math.max(0, Math.floor(list.scrollTop / ROW_HEIGHT) - MARGIN);
  const count = Math.ceil(list.clientHeight / ROW_HEIGHT) + 2 * MARGIN;
  const rows = shown.slice(first, first + count).map((number, i) => {
    const row = element("li", {}, listLink(number));
    row.style.cssText =
      `position:absolute;left:0;right:0;top:${(first + i) * ROW_HEIGHT}px`;
    return row;
  });
  const end = element("li", { "aria-hidden": "true" });
  end.style.height = `${shown.length * ROW_HEIGHT}px`;
  list.replaceChildren(end, ...rows);
}

function listLink(number) {
  const e = data.episodes[number];
  const marks = e[ANSWERS].map((answer) =>
    element("span", { class: answer[RIGHT] ? "right" : "wrong" }, answer[RIGHT] ? "✓" : "✗"));
  const where = element("span", {}, `${data.settings[e[SETTING]][2]} · ${data.tasks[e[TASK]]}`);
  const link = element("a", { href: fragment(e), tabindex: "-1" },
    element("span", { class: "where" }, where, ...marks),
    element("span", { class: "query" },
      e[ASKED] < 0 ? `query ${e[QUERY]}` : data.texts[e[ASKED]]));
  if (number === current) link.setAttribute("aria-current", "true");
  return link;
}

// ---- one episode

function fragment(e) {
  const [probe, setting] = data.settings[e[SETTING]];
  const parts = [probe, setting, data.tasks[e[TASK]], e[SEED], e[QUERY]];
  return "#e=" + parts.map(encodeURIComponent).join("/");
}

function open(number) {
  current = number;
  const e = data.episodes[number];
  byId("episode").replaceChildren(...describe(e));
  byId("episode").scrollTop = 0;
  for (const link of byId("list").querySelectorAll("a[aria-current]")) {
    link.removeAttribute("aria-current");
  }
  const place = shown.indexOf(number);
  if (place >= 0) {
    const list = byId("list"), top = place * ROW_HEIGHT;
    if (top < list.scrollTop || top + ROW_HEIGHT > list.scrollTop + list.clientHeight) {
      list.scrollTop = Math.max(0, top - list.clientHeight / 2);
    }
  }
  drawList();
}

function describe(e) {
  const [, , title] = data.settings[e[SETTING]];
  const words = e[CHOICES].map((text) => data.texts[text]);
  const said = [`right: ${words[e[LABEL]]}`];
  if (e[CONTEXT] >= 0 && e[PRIOR] >= 0 && e[CONTEXT] !== e[PRIOR]) {
    said.push(`the exemplars imply ${words[e[CONTEXT]]}, the meaning of the words ${words[e[PRIOR]]}`);
  }
  return [
    element("h3", {}, `${title} · ${data.tasks[e[TASK]]}`),
    element("p", { class: "quiet" }, `seed ${e[SEED]}, query ${e[QUERY]} · `,
      element("a", { href: fragment(e) }, "link to this episode")),
    element("p", {}, said.join("; ")),
    element("div", { class: "answers" }, ...e[ANSWERS].map((a, i) => answerCard(e, a, i, words))),
    prompt(e, words),
  ];
}

function prompt(e, words) {
  const box = element("div", { class: "prompt" });
  if (!e[TURNS]) {
    box.append("The run did not keep the text of this question.");
    return box;
  }
  const turns = e[TURNS];
  for (let i = 0; i + 1 < turns.length; i += 2) {
    box.append(...marked(data.texts[turns[i]]),
      element("span", { class: "word" }, ...marked(data.texts[turns[i + 1]])), "\n\n");
  }
  box.append(element("strong", {}, ...marked(data.texts[turns[turns.length - 1]])), " ",
    element("span", { class: "word expected", title: "the right answer" }, words[e[LABEL]]));
  return box;
}

/** A text in which the words that are looked for are marked. */
function marked(text) {
  const wanted = byId("text").value.trim().toLowerCase();
  if (!wanted) return [text];
  const parts = [], lower = text.toLowerCase();
  let start = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, start)) {
    const end = at + wanted.length;
    parts.push(text.slice(start, at), element("mark", {}, text.slice(at, end)));
    start = end;
  }
  return [...parts, text.slice(start)];
}

function answerCard(e, answer, place, words) {
  const card = element("div", {}, element("h4", {}, data.checkpoints[place]));
  const verdict = [answer[RIGHT] ? "right" : "wrong"];
  if (answer[OUTCOME] >= 0) verdict.push(data.outcomes[answer[OUTCOME]]);
  const exemplars = e[TURNS] ? (e[TURNS].length - 1) / 2 : answer[SEEN];
  if (answer[SEEN] < exemplars) verdict.push(`saw ${answer[SEEN]} of ${exemplars} exemplars`);
  const given = answer[WRITTEN] >= 0 ? `“${data.texts[answer[WRITTEN]]}”`
    : answer[CHOSEN] >= 0 ? words[answer[CHOSEN]] : "none";
  card.append(element("p", { class: `verdict ${answer[RIGHT] ? "right" : "wrong"}` },
    element("b", {}, given), ` · ${verdict.join(", ")}`));
  const nats = answer.slice(NATS);
  const highest = Math.max(...nats);
  const total = nats.reduce((sum, value) => sum + Math.exp(value - highest), 0);
  nats.forEach((value, i) => {
    const share = Math.exp(value - highest) / total;
    const bar = element("i");
    bar.style.width = `${100 * share}%`;
    card.append(element("div", { class: i === answer[CHOSEN] ? "choice best" : "choice" },
      element("b", {}, words[i]),
      element("span", { class: "nats", title: "log-probability in nats, and the share among the choices" },
        `${value.toFixed(2)} nats, ${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`),
      element("span", { class: "track" }, bar)));
  });
  return card;
}

// ---- links and keys

function openFragment() {
  if (!location.hash.startsWith("#e=")) return false;
  const number = data.episodes.findIndex((e) => fragment(e) === location.hash);
  if (number < 0) {
    byId("episode").replaceChildren(element("p", { class: "quiet" },
      "The link's episode is not in this file, which may hold a sample."));
    return true;
  }
  open(number);
  // On a narrow screen the episode stands below the list.
  if (getComputedStyle(byId("list").parentElement).display === "block") {
    byId("episode").scrollIntoView();
  }
  return true;
}

function step(by) {
  const place = shown.indexOf(current);
  const next = Math.min(shown.length - 1, Math.max(0, place < 0 ? 0 : place + by));
  if (shown.length) location.hash = fragment(data.episodes[shown[next]]);
}

function onKey(event) {
  const typing = ["INPUT", "SELECT"].includes(document.activeElement?.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    byId("filters").reset();
    document.activeElement?.blur();
  } else if (typing) {
    return;
  } else if (event.key === "/") {
    byId("text").focus();
  } else if (event.key === "j" || (event.key === "ArrowDown" && document.activeElement === byId("list"))) {
    step(1);
  } else if (event.key === "k" || (event.key === "ArrowUp" && document.activeElement === byId("list"))) {
    step(-1);
  } else {
    return;
  }
  event.preventDefault();
}

async function start() {
  try {
    data = await readData();
  } catch (error) {
    byId("count").textContent =
      `The episodes cannot be read (${error.message}). Open the file in a current browser.`;
    return;
  }
  fillFilters();
  applyFilters();
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("input", applyFilters);
  byId("filters").addEventListener("reset", () => setTimeout(() => {
    byId("checkpoint").value = String(data.checkpoints.length - 1);
    applyFilters();
  }));
  byId("list").addEventListener("scroll", () => requestAnimationFrame(drawList));
  addEventListener("hashchange", openFragment);
  addEventListener("keydown", onKey);
  if (!openFragment() && shown.length) open(shown[0]);
  else if (location.hash.startsWith("#e=")) byId("count").scrollIntoView();
  document.documentElement.dataset.ready = "true";
}

start();
