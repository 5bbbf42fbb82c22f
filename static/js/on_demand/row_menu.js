// The menu of a row stands beside its button, and what was chosen in it closes it.

export function open({ target, sourceElement }) {
  target.showPopover({ source: sourceElement });
  target.querySelector(".action").focus();
}

addEventListener("click", ({ target }) => target.closest("#row-menu .action") && document.getElementById("row-menu").hidePopover());
