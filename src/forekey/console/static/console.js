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

// What scrolls can be scrolled by keyboard.
const scrollable = () => {
  for (const plot of document.querySelectorAll(".plot")) {
    if (plot.scrollWidth > plot.clientWidth) plot.tabIndex = 0;
  }
};
scrollable();

// What takes longer to compute comes after the page. It was escaped by the service, and is parsed as a document of its
// own, which runs nothing.
const fetched = async (place) => {
  const answer = await fetch(place);
  if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
  return new DOMParser().parseFromString(await answer.text(), "text/html");
};
for (const place of document.querySelectorAll("[data-part]")) {
  const said = document.createElement("p");
  said.className = "soft";
  said.setAttribute("role", "status");
  said.textContent = "Computing …";
  place.append(said);
  fetched(`${place.dataset.part}&part=1`).then((parsed) => {
    place.replaceChildren(...parsed.body.childNodes);
    scrollable();
  }).catch(() => { said.textContent = "This could not be computed now; the link says why."; });
}

// The progress of an answer.
const follow = async () => {
  const place = document.querySelector("[data-until-done]");
  if (!place) return;
  try {
    const parsed = await fetched(location.href);
    const next = parsed.querySelector("[data-until-done]");
    if (!next) { location.reload(); return; }
    for (const part of ["[role=status]", ".log"]) {
      place.querySelector(part).textContent = next.querySelector(part).textContent;
    }
  } catch { /* asked again */ }
  setTimeout(follow, 1500);
};
setTimeout(follow, 1000);

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
