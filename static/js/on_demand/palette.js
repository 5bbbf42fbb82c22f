// The palette: the focus stays in its box, while arrows move what Enter opens.

const box = () => document.querySelector(".palette-box");
const options = () => [...document.querySelectorAll("#palette-results [role=option]")];
const active = () => document.getElementById(box().getAttribute("aria-activedescendant"));
// Whether the reader chose, or what stands first is still what Enter opens.
let isChosen = false;

function activate(option) {
  for (const each of options()) each.ariaSelected = each === option;
  box().setAttribute("aria-activedescendant", option?.id ?? "");
  option?.scrollIntoView({ block: "nearest" });
}

// The lines that are there may be those of fewer letters; the site finds the first one of all by itself.
const isCurrent = () => document.querySelector("#palette-results").dataset.query === box().value;

function open(event) {
  const option = active();
  if (!option || !(isChosen || isCurrent())) return;
  event.preventDefault();
  if (option.href && (event.ctrlKey || event.metaKey)) window.open(option.href, "_blank", "noopener");
  else option.click();
}

addEventListener("keydown", (event) => {
  if (!event.target.matches?.(".palette-box") || event.altKey) return;
  if (event.key === "Enter") return open(event);
  const all = options();
  const index = all.indexOf(active());
  const next = { ArrowDown: all[index + 1] ?? all[0], ArrowUp: all[index - 1] ?? all.at(-1), PageDown: all[index + 8] ?? all.at(-1), PageUp: all[index - 8] ?? all[0] }[event.key];
  if (!next) return;
  event.preventDefault();
  isChosen = true;
  activate(next);
});

addEventListener("input", ({ target }) => {
  if (target.matches(".palette-box")) isChosen = false;
});

addEventListener("htmx:after:swap", ({ detail }) => {
  if (detail.ctx?.sourceElement === box()) activate((isChosen && active()) || options()[0]);
});

// At once, since a palette that closes and opens again in one moment tells only that it is open.
addEventListener("beforetoggle", ({ target, newState }) => {
  if (target.id !== "palette") return;
  isChosen = false;
  // What was looked for is found; the next time begins anew.
  if (newState === "closed") box().value = "";
}, true);
