"use strict";

// The colours of the page: as the system has them, light or dark.
const THEMES = { "": "as the system", light: "light", dark: "dark" };

function nextTheme() {
  const names = Object.keys(THEMES);
  const now = document.documentElement.dataset.theme ?? "";
  const next = names[(names.indexOf(now) + 1) % names.length];
  if (next) document.documentElement.dataset.theme = next;
  else delete document.documentElement.dataset.theme;
  document.getElementById("theme").setAttribute("aria-label", `Colours: ${THEMES[next]}`);
}

document.getElementById("theme").addEventListener("click", nextTheme);
