// A starter fills the box in place, and Undo of the browser brings back what was there. As a link it loads a page.

addEventListener("click", (event) => {
  const starter = event.target.closest(".starters a");
  if (!starter || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  event.stopPropagation();
  document.getElementById("text").select();
  document.execCommand("insertText", false, starter.textContent);
}, true);
