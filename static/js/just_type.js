// What is typed where nothing can be written goes into the message box, with its first letter: the box has the focus
// before the browser writes. This listener comes before the one that keeps away from input methods.

const focusBox = (box) => box?.focus({ preventScroll: true });
// While another page is on its way, what is typed is kept for its box.
const text = () => document.querySelector(":has(> .page.htmx-request) > #typed, #text");

// A letter, or a key that begins one. Space scrolls and presses buttons, and keys with Ctrl or Alt are commands, except
// that of pasting; but AltGr writes, which Windows calls Ctrl and Alt, and Macs call Alt.
function writes(event) {
  const { key, altKey, shiftKey } = event;
  const isLetter = /^(Dead|Process|[^ ])$/u.test(key);
  if (event.getModifierState("AltGraph")) return isLetter;
  if (event.ctrlKey || event.metaKey) return !altKey && (/^v$/i.test(key) || (key > "~" && event.code === "KeyV"));
  return (shiftKey && key === "Insert") || (isLetter && (!altKey || navigator.platform.startsWith("Mac")));
}

addEventListener("keydown", (event) => {
  // What fills a form in by itself sends events without a key. Boxes and sliders have no use for letters.
  if (!event.key || event.target.closest?.(":read-write,select") || !writes(event)) return;
  const open = document.querySelector(":popover-open,dialog[open]");
  focusBox(open ? open.querySelector(".palette-box") : text());
}, true);

// Not where an address leads to a message, or something else has the focus or is about to get it.
const hasFocus = [...document.querySelectorAll("[autofocus],:focus")].some((each) => each.checkVisibility());
if (!matchMedia("(pointer: coarse)").matches && !location.hash && !hasFocus) focusBox(text());
