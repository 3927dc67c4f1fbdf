"use strict";

// Answers side by side: shows the questions that pass the filters.
function filterAnswers() {
  const filters = document.getElementById("answer-filters").elements;
  const words = filters.text.value.trim().toLowerCase();
  const questions = [...document.querySelectorAll("#answer-list > details")];
  for (const question of questions) {
    // One character per model: 1 is right, 0 is wrong.
    const verdict = question.dataset.right[Number(filters.model.value)];
    question.hidden = (filters.verdict.value !== "" && filters.verdict.value !== verdict)
      || (words !== "" && !question.textContent.toLowerCase().includes(words));
  }
  const shown = questions.filter((question) => !question.hidden).length;
  document.getElementById("answer-count").textContent =
    `${shown.toLocaleString("en")} of ${questions.length.toLocaleString("en")} questions`;
}

{
  const form = document.getElementById("answer-filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filterAnswers);
  form.addEventListener("reset", () => setTimeout(filterAnswers));
  filterAnswers();
}
