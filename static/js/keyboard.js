// Keys activate what names them in data-keys, and arrows move among what a list names in data-arrows. The list of
// conversations keeps its place from page to page.

const list = document.querySelector("#conversations,main");
list.scrollTop = sessionStorage.top;
addEventListener("pagehide", () => (sessionStorage.top = list.scrollTop));

addEventListener("keydown", (event) => {
  const { target, key } = event;
  const keys = (event.ctrlKey ? "Control+" : event.metaKey ? "Meta+" : "") + (event.shiftKey && key > "@" ? "Shift+" : "") + key;
  // What writes, Home and End belong to the field that one writes into, and every field has a name.
  if (event.altKey || (target.matches("[name]") && !keys[4])) return;
  const box = target.closest("[data-arrows],body");
  const lines = [...box.querySelectorAll(box.dataset.arrows)];
  const at = lines.indexOf(target);
  const line = at + 1 && { ArrowUp: lines[at - 1], ArrowDown: lines[at + 1], Home: lines[0], End: lines.at(-1) }[keys];
  // A popover has the short keys for itself, and closes by Escape.
  if (!line && !keys[6] && document.querySelector(":popover-open")) return;
  // Else Escape gives up what the focus is in, or leads back to the text.
  const escape = keys === "Escape" && ":is(li,form):focus-within";
  const all = document.querySelectorAll(`${escape || "body"} [data-keys="${CSS.escape(keys)}"i]`);
  const found = line || [...all].pop() || (escape && document.querySelector("main"));
  if (!found) return;
  event.preventDefault();
  line || found.matches("main,[name]") ? found.focus() : found.click();
}, true);
