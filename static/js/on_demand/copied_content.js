// What is copied of a page: its words as they are laid out, and HTML that every program understands.

// What stands among the words and is none of them.
const CONTROLS = "figcaption, footer, button, form, .in-progress, .change-notice, .day-line, .load-more-before, .load-more-after";
// Elements that give the words in them a meaning, also where only a part of them is selected.
const MEANINGFUL = "a, strong, em, s, code, pre, ol, ul, blockquote, table, thead, tbody, tr, .question";
const WRAPPERS = "div, figure, section, article, span, i";
const KEPT_ATTRIBUTES = /^(href|start|align|border|cellspacing|cellpadding)$/;

// A formula is copied as what it was written as: its letters alone would say something else.
function replaceFormula(math) {
  const source = math.querySelector("annotation")?.textContent;
  const mark = math.getAttribute("display") === "block" ? "$$" : "$";
  if (source) math.replaceWith(mark + source.trim() + mark);
}

// Leaves the words of a copied element, each as it looks.
export function removeControls(element) {
  for (const control of element.querySelectorAll(CONTROLS)) control.remove();
  for (const math of element.querySelectorAll("math")) replaceFormula(math);
  for (const box of element.querySelectorAll(".todo")) box.replaceWith(box.matches(".done") ? "☑ " : "☐ ");
  return element;
}

// Leaves what every program understands: no colors, which would be those of this page, and nothing that only it needs.
export function toPlainHtml(element) {
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

export const withoutLastLineEnd = (text) => text.replace(/\n$/, "");

export function boxOf(...nodes) {
  const box = document.createElement("div");
  box.append(...nodes);
  return box;
}

// Words are read as they are laid out, for which their element has to be on the page.
export function readOnPage(element, read) {
  const place = boxOf(element);
  place.className = "visually-hidden";
  document.body.append(place);
  const text = read(element);
  place.remove();
  return text;
}

// A cell with a line end or a tab is quoted, as spreadsheets do it.
export function toTabSeparated(copied) {
  const quote = (text) => (/[\t\n"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const cells = (row) => [...row.cells].map((cell) => quote(cell.innerText.trim())).join("\t");
  return readOnPage(copied, () => [...copied.querySelectorAll("tr")].map(cells).join("\n"));
}

// The selected part, inside the elements that give it its meaning.
export function cloneSelection(range) {
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
