// The menus of answers, one popover for all of them, and the prompt report beside the conversation.

const on = addEventListener;
const id = (name) => document.getElementById(name);

async function open(link, place) {
  await htmx.ajax("GET", link.href, { source: link, target: `#${place}`, swap: "innerHTML show:none" });
  if (place !== "answer-menu") return;
  // Only where there is a voice.
  if (window.speechSynthesis) id(place).querySelector(".speech-entry")?.removeAttribute("hidden");
  // Where the menu was opened from is where it stands, and where the focus goes back to.
  id(place).showPopover({ source: link });
}

function closePanel(close) {
  id("report-panel").replaceChildren();
  document.querySelector(`${close.hash} .signature`)?.focus();
}

export function useTool(tool) {
  if (tool.matches(".note-close")) tool.parentElement.remove();
  else if (tool.matches(".report-panel-close")) closePanel(tool);
  else open(tool, tool.matches(".signature, .report-entry") ? "report-panel" : "answer-menu");
}

// What was chosen is done, and the menu with it.
on("click", ({ target }) => {
  const entry = target.closest?.("#answer-menu .action");
  if (!entry) return;
  id("answer-menu").hidePopover();
  if (entry.matches(".quote-answer")) import("./quote.js").then((module) => module.quoteAnswer(entry));
  if (entry.matches(".speech-button")) import("./speech.js").then((module) => module.beginSpeech(entry));
});
