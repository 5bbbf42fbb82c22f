// The second click on a row renames it in its place; the first one opens it at once.

addEventListener("dblclick", ({ target }) => {
  if (target.matches(".row-title")) import("./js/on_demand/rename_row.js").then(({ rename }) => rename(target));
});
