// Copying: what a Copy button stands for, or what is selected, as plain text and with its formatting.

// What stands among the words and is none of them.
const CONTROLS = "figcaption, footer, button, form, .in-progress, .change-notice, .day-line, .load-more-before, .load-more-after";
// Elements that give the words in them a meaning, also where only a part of them is selected.
const MEANINGFUL = "a, strong, em, s, code, pre, ol, ul, blockquote, table, thead, tbody, tr, .question";
const WRAPPERS = "div, figure, section, article, span";
const KEPT_ATTRIBUTES = /^(href|start|align|border|cellspacing|cellpadding)$/;

// A formula is copied as what it was written as: its letters alone would say something else.
function replaceFormula(math) {
  const source = math.querySelector("annotation")?.textContent;
  const mark = math.getAttribute("display") === "block" ? "$$" : "$";
  if (source) math.replaceWith(mark + source.trim() + mark);
}

// Leaves the words of a copied element, each as it looks.
function removeControls(element) {
  for (const control of element.querySelectorAll(CONTROLS)) control.remove();
  for (const math of element.querySelectorAll("math")) replaceFormula(math);
  for (const box of element.querySelectorAll(".todo")) box.replaceWith(box.matches(".done") ? "☑ " : "☐ ");
  return element;
}

// Leaves what every program understands: no colors, which would be those of this page, and nothing that only it needs.
function toPlainHtml(element) {
  for (const table of element.querySelectorAll("table")) {
    for (const [name, value] of [["border", 1], ["cellspacing", 0], ["cellpadding", 4]]) table.setAttribute(name, value);
  }
  for (const question of element.querySelectorAll(".question")) {
    question.replaceChildren(...question.textContent.split("\n").flatMap((line, index) => (index ? [document.createElement("br"), line] : line)));
  }
  for (const code of element.querySelectorAll("pre > code")) code.textContent = withoutLastLineEnd(code.textContent);
  for (const child of element.querySelectorAll("*")) {
    for (const { name } of [...child.attributes]) if (!KEPT_ATTRIBUTES.test(name)) child.removeAttribute(name);
  }
  for (const wrapper of element.querySelectorAll(WRAPPERS)) wrapper.replaceWith(...wrapper.childNodes);
  return element.innerHTML.trim();
}

const withoutLastLineEnd = (text) => text.replace(/\n$/, "");

function boxOf(...nodes) {
  const box = document.createElement("div");
  box.append(...nodes);
  return box;
}

// Words are read as they are laid out, for which their element has to be on the page.
function readOnPage(element, read) {
  const place = boxOf(element);
  place.className = "visually-hidden";
  document.body.append(place);
  const text = read(element);
  place.remove();
  return text;
}

// A cell with a line end or a tab is quoted, as spreadsheets do it.
function toTabSeparated(copied) {
  const quote = (text) => (/[\t\n"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const cells = (row) => [...row.cells].map((cell) => quote(cell.innerText.trim())).join("\t");
  return readOnPage(copied, () => [...copied.querySelectorAll("tr")].map(cells).join("\n"));
}

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

async function writeToClipboard({ text, html }) {
  // Some browsers want the promise and not its outcome, or else they no longer believe that somebody clicked.
  const types = { "text/plain": Promise.resolve(text).then((all) => new Blob([all], { type: "text/plain" })) };
  if (html) types["text/html"] = new Blob([html], { type: "text/html" });
  await navigator.clipboard.write([new ClipboardItem(types)]);
}

// For pages that are not secure, as many sites at home, and for browsers that refuse the clipboard.
function copyByCommand(text, html) {
  const focused = document.activeElement;
  const box = document.createElement("textarea");
  box.className = "visually-hidden";
  box.value = text;
  const onCopy = (event) => fillClipboard(event, text, html);
  document.body.append(box);
  box.select();
  box.addEventListener("copy", onCopy);
  const done = document.execCommand("copy");
  box.remove();
  focused?.focus({ preventScroll: true });
  return done;
}

function fillClipboard(event, text, html) {
  event.clipboardData.setData("text/plain", text);
  if (html) event.clipboardData.setData("text/html", html);
  event.preventDefault();
}

// The last way: the text is shown and selected, and the reader copies it.
function showToCopyByHand(text) {
  const { copyByHand, close } = document.body.dataset;
  const [dialog, words, box, button] = ["dialog", "p", "textarea", "button"].map((name) => document.createElement(name));
  dialog.className = "palette shortcut-dialog copy-by-hand";
  words.textContent = copyByHand;
  box.value = text;
  box.readOnly = true;
  box.ariaLabel = copyByHand;
  box.className = "field";
  button.textContent = close;
  button.className = "button";
  button.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(words, box, button);
  document.body.append(dialog);
  dialog.showModal();
  box.select();
}

async function tryToCopy(source) {
  try {
    await writeToClipboard(source);
    return true;
  } catch {
    return copyByCommand(await source.text, source.html);
  }
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

// The selected part, inside the elements that give it its meaning.
function cloneSelection(range) {
  let part = range.cloneContents();
  let around = range.commonAncestorContainer;
  while (!around.matches?.("td, th, li, article, main, body")) {
    if (around.matches?.(MEANINGFUL)) {
      const shell = around.cloneNode();
      shell.append(part);
      part = shell;
    }
    around = around.parentNode;
  }
  return boxOf(part);
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
