// A text that is too long is not sent: how long it is stands below it, and Send says so, too.

const id = (name) => document.getElementById(name);

// As the site counts: letters of any size, without the empty lines around them.
const lengthOf = (text) => [...text.trimEnd().replace(/^\s*\n/, "")].length;

export function check() {
  const text = id("text");
  if (!text) return;
  const { maxLength } = text.dataset;
  const count = text.textLength > maxLength ? lengthOf(text.value) : 0;
  // Grouped as the site groups the limit beside it.
  const number = count.toLocaleString(document.documentElement.lang, { useGrouping: "always" });
  id("length-error").textContent = count > maxLength ? id("length").dataset.tooLong.replace("#", number) : "";
  id("composer-button").lastElementChild.setAttribute("aria-disabled", count > maxLength);
}

// The button is another one once an answer is done.
addEventListener("htmx:after:swap", check);

// Before the text is taken out of its box.
addEventListener("htmx:before:request", (event) => {
  if (event.detail.ctx.sourceElement.id !== "composer" || !id("length-error")?.textContent) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  id("text").focus();
}, true);
