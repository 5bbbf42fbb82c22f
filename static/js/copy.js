// Copy buttons: the text of an answer as it was written, or the code of one block.

const SHOWN_MS = 1600;

async function source(button) {
  if (!button.dataset.text) return button.closest("figure").querySelector("code").textContent;
  const response = await fetch(button.dataset.text);
  if (!response.ok) throw new Error(response.statusText);
  return response.text();
}

// Browsers give the clipboard to secure pages only, and many sites at home are none.
function copyByHand(text) {
  const area = document.createElement("textarea");
  area.className = "visually-hidden";
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

async function copy(button) {
  const text = source(button);
  if (!navigator.clipboard?.write) return copyByHand(await text);
  // Some browsers want the promise and not its outcome, or else they no longer believe that somebody clicked.
  const blob = text.then((words) => new Blob([words], { type: "text/plain" }));
  await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
  return true;
}

function show(button, done) {
  const { copied, copyFailed } = document.body.dataset;
  const place = button.querySelector(".copy-word") ?? button;
  place.dataset.word ??= place.textContent;
  place.textContent = done ? copied : copyFailed;
  button.classList.toggle("copied", done);
  document.getElementById("announcer").textContent = place.textContent;
  clearTimeout(button.timer);
  button.timer = setTimeout(() => {
    place.textContent = place.dataset.word;
    button.classList.remove("copied");
  }, SHOWN_MS);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy, button.copy-message");
  if (button) show(button, await copy(button).catch(() => false));
});
