// Copying: what a Copy button stands for, or what is selected, as plain text and with its formatting.

import { fillClipboard, showToCopyByHand, tryToCopy } from "./clipboard_access.js";
import { boxOf, cloneSelection, readOnPage, removeControls, toPlainHtml, toTabSeparated, withoutLastLineEnd } from "./copied_content.js";

async function fetchText(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(answer.status);
  return answer.text();
}

// The answer that a button stands under, or whose menu it is in.
const answerOf = (button) => button.closest("article") ?? document.getElementById(button.closest("[data-message]").dataset.message);

// What a button copies: its text, or a promise of it, and HTML where there is formatting.
function readSource(button) {
  if (button.value === "plain") {
    const words = removeControls(boxOf(answerOf(button).querySelector(".prose").cloneNode(true)));
    return { text: readOnPage(words, () => words.innerText.trim()) };
  }
  if (button.matches(".copy-message, .copy-as")) {
    const message = answerOf(button);
    // The text of an answer has an address beside that of its menu.
    const text = fetchText(message.querySelector(".more-button").href.replace(/actions$/, "text"));
    if (button.value) return { text };
    return { text, html: toPlainHtml(removeControls(boxOf(message.querySelector(".prose").cloneNode(true)))) };
  }
  const table = button.closest(".table")?.querySelector("table");
  if (table) {
    const copied = removeControls(boxOf(table.cloneNode(true)));
    return { text: toTabSeparated(copied), html: toPlainHtml(copied) };
  }
  return { text: withoutLastLineEnd(button.closest("figure").querySelector("code").textContent) };
}

async function copy(source) {
  const done = await tryToCopy(source);
  if (!done) showToCopyByHand(await source.text);
  return done;
}

function showResult(button, done) {
  button.word ??= button.textContent;
  button.textContent = document.querySelector("#announcer").textContent = document.body.dataset[done ? "copied" : "copyFailed"];
  button.classList.toggle("copied", done);
  // Long enough to be read.
  clearTimeout(button.timer);
  button.timer = setTimeout(() => {
    button.textContent = button.word;
    button.classList.remove("copied");
  }, 1600);
}

// Copies what a button stands for, and says on it whether that worked.
export async function copyByButton(button) {
  const done = await copy(readSource(button)).catch(() => false);
  // The menu is closed by then.
  showResult(button.value ? answerOf(button).querySelector(".copy-message") : button, done);
}

// A link that was just made is copied as soon as it is there. Where the browser refuses that, its button is at hand.
export async function copyNewLink(button) {
  const { linkCopied } = button.dataset;
  delete button.dataset.new;
  if (!(await tryToCopy(readSource(button)).catch(() => false))) return;
  button.textContent = document.querySelector("#announcer").textContent = linkCopied;
}

// Copies a selection in answers without buttons and without colors. Everything else is left to the browser.
export function copySelection(event) {
  const selection = getSelection();
  if (event.defaultPrevented || event.target.closest?.("input, textarea, dialog") || selection.rangeCount !== 1) return;
  const range = selection.getRangeAt(0);
  const { commonAncestorContainer: common } = range;
  const element = common.closest ? common : common.parentElement;
  if (range.collapsed || element.closest("math")) return;
  if (!element.closest(".prose") && ![...element.querySelectorAll(".prose")].some((prose) => range.intersectsNode(prose))) return;
  const part = removeControls(cloneSelection(range));
  const text = readOnPage(part, () => part.innerText.trim());
  fillClipboard(event, text, toPlainHtml(part));
}
