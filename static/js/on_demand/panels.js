// The menus of answers and of rows, one popover for each of them, the form to edit a question in its place, and the
// prompt report beside the conversation.

const on = addEventListener;
const id = (name) => document.getElementById(name);

const load = (link, target) => htmx.ajax("GET", link.href, { source: link, target, swap: "innerHTML show:none" });

async function openMenu(link, name) {
  const menu = id(name);
  await load(link, menu);
  // Only where there is a voice.
  if (window.speechSynthesis) menu.querySelector(".speech-entry")?.removeAttribute("hidden");
  // Where the menu was opened from is where it stands, and where the focus goes back to.
  menu.showPopover({ source: link });
  link.ariaExpanded = true;
  menu.addEventListener("beforetoggle", () => (link.ariaExpanded = false), { once: true });
}

function closePanel(close) {
  id("report-panel").replaceChildren();
  document.querySelector(`${close.hash} .signature`)?.focus();
}

export function useTool(tool) {
  if (tool.matches(".note-close")) tool.parentElement.remove();
  else if (tool.matches(".report-panel-close")) closePanel(tool);
  else if (tool.matches(".edit-button")) load(tool, tool.closest("article"));
  else if (tool.matches(".signature, .report-entry")) load(tool, id("report-panel"));
  else openMenu(tool, tool.matches(".row-action") ? "row-menu" : "answer-menu");
}

// What was chosen is done, and the menu with it.
on("click", ({ target }) => {
  const entry = target.closest?.(":is(#answer-menu, #row-menu) .action");
  if (!entry) return;
  entry.closest("[popover]").hidePopover();
  if (entry.matches(".quote-answer")) import("./quote.js").then((module) => module.quoteAnswer(entry));
  if (entry.matches(".speech-button")) import("./speech.js").then((module) => module.beginSpeech(entry));
});
