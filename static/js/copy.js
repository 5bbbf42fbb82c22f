// Copy buttons: the text of an answer as it was written, or the code of one block.

async function source(button) {
  const { text } = button.dataset;
  if (!text) return button.closest("figure").querySelector("code").textContent;
  const answer = await fetch(text);
  if (!answer.ok) throw answer;
  return answer.text();
}

// Browsers give the clipboard to secure pages only, and many sites at home are none.
function byHand(text) {
  const box = document.createElement("textarea");
  box.className = "visually-hidden";
  box.value = text;
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  return done;
}

async function copy(button) {
  const text = source(button);
  if (!navigator.clipboard?.write) return byHand(await text);
  // Some browsers want the promise and not its outcome, or else they no longer believe that somebody clicked.
  const blob = text.then((all) => new Blob([all], { type: "text/plain" }));
  await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
  return true;
}

function show(button, done) {
  const { copied, copyFailed } = document.body.dataset;
  const spot = button.querySelector(".copy-word") ?? button;
  spot.dataset.word ??= spot.textContent;
  spot.textContent = document.querySelector("#announcer").textContent = done ? copied : copyFailed;
  button.classList.toggle("copied", done);
  // Long enough to be read.
  clearTimeout(button.timer);
  button.timer = setTimeout(() => {
    spot.textContent = spot.dataset.word;
    button.classList.remove("copied");
  }, 1600);
}

document.addEventListener("click", async ({ target }) => {
  const button = target.closest(".copy, .copy-message");
  if (button) show(button, await copy(button).catch(() => false));
});
