// A part of an answer is quoted: a button at the selection puts it into the message box.

const id = (name) => document.getElementById(name);
// Time for a selection to be drawn to its end.
const PAUSE = 250;
let timer;

function quote(words) {
  const box = id("text");
  const lines = words.trim().replace(/\n{3,}/g, "\n\n").split("\n").map((line) => `> ${line}`.trimEnd());
  box.value = `${box.value.trim() ? `${box.value.trimEnd()}\n\n` : ""}${lines.join("\n")}\n\n`;
  box.focus();
  box.setSelectionRange(box.value.length, box.value.length);
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

// What a selection of this part would say.
function lettersOf(part) {
  const words = part.cloneContents();
  for (const control of words.querySelectorAll("figcaption, button, annotation")) control.remove();
  return words.textContent.replace(/\s/g, "");
}

// The selection, where all of it is in one answer. Three clicks on the last paragraph end where the next one begins.
function selectedRange() {
  const selection = getSelection();
  if (selection.isCollapsed || !selection.rangeCount || !id("text")) return null;
  const range = selection.getRangeAt(0);
  const { startContainer: start } = range;
  const prose = (start.closest ? start : start.parentElement).closest("#thread .prose");
  if (!prose || prose.contains(range.endContainer)) return prose && range;
  const part = range.cloneRange();
  part.setEnd(prose, prose.childNodes.length);
  return lettersOf(part) === `${selection}`.replace(/\s/g, "") ? part : null;
}

function showButton() {
  document.querySelector(".quote-button")?.remove();
  const range = selectedRange();
  if (!range) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button small quote-button";
  button.textContent = id("answer-menu").dataset.quote;
  // Pressing it would give up the selection.
  button.addEventListener("pointerdown", (event) => event.preventDefault());
  button.addEventListener("click", () => {
    quote(`${getSelection()}`);
    button.remove();
  });
  button.setAttribute("aria-keyshortcuts", "Control+Shift+U Meta+Shift+U");
  // Inside the answer it comes next when one goes on by Tab from there.
  range.startContainer.parentElement.closest("article").append(button);
  const { right, bottom, top } = [...range.getClientRects()].at(-1) ?? range.getBoundingClientRect();
  const below = bottom + button.offsetHeight + 60 < innerHeight;
  button.style.left = `${Math.max(8, Math.min(right, innerWidth - button.offsetWidth - 8))}px`;
  button.style.top = `${Math.max(8, below ? bottom + 6 : top - button.offsetHeight - 6)}px`;
}

const plan = () => {
  clearTimeout(timer);
  timer = setTimeout(showButton, PAUSE);
};
addEventListener("selectionchange", plan, true);
addEventListener("scroll", () => document.querySelector(".quote-button")?.remove(), true);
plan();

// The same by key. Another script has other letters on it.
addEventListener("keydown", (event) => {
  const { key, code, ctrlKey, metaKey, shiftKey, altKey } = event;
  const isKey = /^u$/i.test(key) || (key > "~" && code === "KeyU");
  if (!isKey || !shiftKey || altKey || ctrlKey === metaKey || !selectedRange()) return;
  event.preventDefault();
  quote(`${getSelection()}`);
  getSelection().removeAllRanges();
});

// From the menu of an answer: what is selected of it, or all of it.
export function quoteAnswer(entry) {
  const answer = id(entry.closest("[data-message]").dataset.message);
  const range = selectedRange();
  // A selection leaves out the words on buttons.
  if (!range || !answer.contains(range.startContainer)) getSelection().selectAllChildren(answer.querySelector(".prose"));
  quote(`${getSelection()}`);
  getSelection().removeAllRanges();
}
