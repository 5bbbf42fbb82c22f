// Whether a temporary chat is left, and with that erased, is asked in the place of what says that it is temporary.

const question = () => document.getElementById("temporary-question");

export function ask(href) {
  const erase = question().querySelector("a");
  erase.href = href;
  question().hidden = false;
  erase.focus();
}

addEventListener("click", ({ target }) => {
  if (target.matches("#temporary-question .stay")) question().hidden = true;
});
