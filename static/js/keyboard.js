// Keys activate what names them in data-keys, and arrows move among what a list names in data-arrows.

const find = (selector) => [...document.querySelectorAll(selector)];

// Keys with which an input method composes belong to it. This listener comes before all others, so none of them hears
// such a key. Safari tells the last one of a composition only by its code.
addEventListener("keydown", (event) => {
  if (!event.isComposing && event.keyCode !== 229) return;
  event.stopImmediatePropagation();
  // A dialog would close.
  if (event.key === "Escape") event.preventDefault();
}, true);

// What is open closes by itself. Else Escape gives up what the focus is in, or stops a voice or an answer, or leads back to
// the text.
function findEscape() {
  if (find(":popover-open,dialog[open],#model-picker[open]")[0]) return;
  return find(':is(li,form,aside):focus-within [data-keys="Escape"]:not(.stop)').pop() ?? find(".stop,.hush,main").pop();
}

addEventListener("keydown", (event) => {
  const { target, key, code } = event;
  // What fills a form in by itself sends events without a key, or to the whole page.
  if (!key || !target.closest || event.altKey) return;
  // Another script has other letters on the same keys.
  const letter = key > "~" && code.startsWith("Key") ? code[3] : key;
  const keys = (event.ctrlKey ? "Control+" : event.metaKey ? "Meta+" : "") + (event.shiftKey && letter > "@" ? "Shift+" : "") + letter;
  // What writes, Home and End belong to the field that one writes into, and every field has a name.
  if (target.matches("[name]") && !keys[4] && keys !== "F2") return;
  const group = target.closest("[data-arrows],body");
  const items = [...group.querySelectorAll(group.dataset.arrows)];
  const index = items.indexOf(target);
  const next = index + 1 && { ArrowUp: items[index - 1], ArrowDown: items[index + 1], Home: items[0], End: items.at(-1) }[keys];
  const chosen = next || (keys === "Escape" ? findEscape() : find(`[data-keys="${CSS.escape(keys)}"i]`).pop());
  if (!chosen) return;
  event.preventDefault();
  next || chosen.matches("main") ? chosen.focus() : chosen.click();
}, true);

// What stands for something else on the page clicks the last of it that can be seen, or leads to it.
addEventListener("click", (event) => {
  const { clicks, leads } = event.target.closest?.("[data-clicks],[data-leads]")?.dataset ?? {};
  const chosen = find(clicks ?? leads ?? "x").findLast((each) => each.checkVisibility());
  if (clicks) return chosen?.click();
  if (!chosen) return;
  event.preventDefault();
  chosen.tabIndex = -1;
  chosen.focus();
});
