// ArrowUp in the empty message box opens the last question for editing, and one goes on at its end.

addEventListener("keydown", ({ target, key, altKey }) => {
  if (key !== "ArrowUp" || altKey || target.id !== "text" || target.value) return;
  if (document.querySelector("#thread [aria-busy]")) return;
  [...document.querySelectorAll("#thread .edit-button")].pop()?.click();
});

addEventListener("focusin", ({ target }) => {
  if (target.matches(".edit textarea")) target.isOpened ||= !target.setSelectionRange(1e9, 1e9);
});
