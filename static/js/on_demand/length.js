// A text that is too long is not sent: how long it is stands below it, and Send says so, too. That holds for a message
// and for a question that is edited.

// As the site counts: letters of any size, without the empty lines around them.
const lengthOf = (text) => [...text.trimEnd().replace(/^\s*\n/, "")].length;
const errorOf = (form) => form.querySelector(".length-error");

function check(text) {
  const { form, dataset } = text;
  const count = text.textLength > dataset.maxLength ? lengthOf(text.value) : 0;
  const isTooLong = count > dataset.maxLength;
  // Grouped as the site groups the limit beside it.
  const number = count.toLocaleString(document.documentElement.lang, { useGrouping: "always" });
  errorOf(form).textContent = isTooLong ? errorOf(form).parentElement.dataset.tooLong.replace("#", number) : "";
  form.querySelector(".send:not(.stop), .edit .row-buttons > .primary").setAttribute("aria-disabled", isTooLong);
}

function checkAll() {
  for (const text of document.querySelectorAll("[data-max-length]")) check(text);
}

checkAll();
addEventListener("input", ({ target }) => target.dataset?.maxLength && check(target));
// The button is another one once an answer is done, and a page has boxes of its own.
addEventListener("htmx:after:swap", checkAll);

// Before the text is taken out of its box.
addEventListener("htmx:before:request", (event) => {
  const form = event.detail.ctx.sourceElement;
  if (!form.matches?.("#composer, .edit form") || !errorOf(form)?.textContent) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  form.querySelector("[data-max-length]").focus();
}, true);
