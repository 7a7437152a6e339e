// What pages gain where scripts run; everything can be read and done without. Text is only ever set as text.
"use strict";

// Commands can be copied.
for (const code of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "copy";
  button.setAttribute("aria-label", `copy ${code.textContent}`);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  code.after(button);
}

// What takes longer to compute comes after the page.
for (const place of document.querySelectorAll("[data-part]")) {
  const said = document.createElement("p");
  said.className = "soft";
  said.setAttribute("role", "status");
  said.textContent = "Computing what counts …";
  place.append(said);
  fetch(`${place.dataset.part}&part=1`)
    .then((answer) => { if (!answer.ok) throw new Error(answer.status); return answer.text(); })
    .then((text) => {
      // Escaped by the service; parsed as a document of its own, which runs nothing.
      const parsed = new DOMParser().parseFromString(text, "text/html");
      place.replaceChildren(...parsed.body.childNodes);
    })
    .catch(() => { said.remove(); });
}

// What scrolls can be scrolled by keyboard.
for (const plot of document.querySelectorAll(".plot")) {
  if (plot.scrollWidth > plot.clientWidth) plot.tabIndex = 0;
}

// The progress of an answer, without flicker.
if (document.querySelector('meta[http-equiv="refresh"]')) {
  document.querySelector("main").setAttribute("aria-busy", "true");
}

// Names of tables and columns are completed while a question is typed.
const field = document.querySelector("#pql");
if (field) {
  const names = JSON.parse(field.dataset.names);
  const chips = document.querySelector("#completions");
  const before = () => field.value.slice(0, field.selectionStart).match(/(`[^`\n]*(`(\.`?[^`\n]*)?)?|[\p{L}_][\p{L}\p{N}_.]*)$/u)?.[0] ?? "";
  const found = () => {
    const begun = before().toLowerCase();
    if (!begun) return [];
    const own = names.filter((name) => (name.toLowerCase().startsWith(begun) || name.toLowerCase().startsWith("`" + begun)) && name.length > begun.length);
    const inside = names.filter((name) => !own.includes(name) && name.toLowerCase().includes(`.${begun}`));
    return [...own, ...inside].slice(0, 8);
  };
  const complete = (name) => {
    const start = field.selectionStart - before().length;
    field.setRangeText(name, start, field.selectionStart, "end");
    show();
    field.focus();
  };
  const show = () => {
    const some = found();
    chips.hidden = some.length === 0;
    chips.replaceChildren(...some.map((name) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.textContent = name;
      chip.addEventListener("click", () => complete(name));
      return chip;
    }));
  };
  field.addEventListener("input", show);
  field.addEventListener("keydown", (event) => {
    const some = found();
    if (event.key === "Tab" && !event.shiftKey && some.length && !chips.hidden) {
      event.preventDefault();
      complete(some[0]);
    } else if (event.key === "Escape") {
      chips.hidden = true;
    }
  });
}
