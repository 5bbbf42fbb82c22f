// Whether a temporary chat is left, and with that erased, is asked in the place of what says that it is temporary.

const question = () => document.getElementById("temporary-question");
// Where the focus was, or the text where that closes.
let from;

export function ask(href) {
  const erase = question().querySelector("a");
  // A drawer would lie over the question.
  const open = [...document.querySelectorAll(":popover-open")];
  from = open.length ? document.getElementById("main") : document.activeElement;
  for (const each of open) each.hidePopover();
  erase.href = href;
  question().hidden = false;
  erase.focus();
}

addEventListener("click", ({ target }) => {
  if (!target.matches("#temporary-question .stay")) return;
  question().hidden = true;
  from.focus();
});
