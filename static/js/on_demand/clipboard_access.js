// The ways to the clipboard: that of the browser, the old command, and at last the reader's own hand.

async function writeToClipboard({ text, html }) {
  // Some browsers want the promise and not its outcome, or else they no longer believe that somebody clicked.
  const types = { "text/plain": Promise.resolve(text).then((all) => new Blob([all], { type: "text/plain" })) };
  if (html) types["text/html"] = new Blob([html], { type: "text/html" });
  await navigator.clipboard.write([new ClipboardItem(types)]);
}

// For pages that are not secure, as many sites at home, and for browsers that refuse the clipboard.
function copyByCommand(text, html) {
  const focused = document.activeElement;
  const box = document.createElement("textarea");
  box.className = "visually-hidden";
  box.value = text;
  const onCopy = (event) => fillClipboard(event, text, html);
  document.body.append(box);
  box.select();
  box.addEventListener("copy", onCopy);
  const done = document.execCommand("copy");
  box.remove();
  focused?.focus({ preventScroll: true });
  return done;
}

export function fillClipboard(event, text, html) {
  event.clipboardData.setData("text/plain", text);
  if (html) event.clipboardData.setData("text/html", html);
  event.preventDefault();
}

// The last way: the text is shown and selected, and the reader copies it.
export function showToCopyByHand(text) {
  const { copyByHand, close } = document.body.dataset;
  const [dialog, words, box, button] = ["dialog", "p", "textarea", "button"].map((name) => document.createElement(name));
  dialog.className = "palette shortcut-dialog copy-by-hand";
  words.textContent = copyByHand;
  box.value = text;
  box.readOnly = true;
  box.ariaLabel = copyByHand;
  box.className = "field";
  button.textContent = close;
  button.className = "button";
  button.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(words, box, button);
  document.body.append(dialog);
  dialog.showModal();
  box.select();
}

export async function tryToCopy(source) {
  try {
    await writeToClipboard(source);
    return true;
  } catch {
    return copyByCommand(await source.text, source.html);
  }
}
