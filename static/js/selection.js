// What keeps a selection through the changes of the page is loaded with the first selection.

const load = () => {
  if (getSelection().isCollapsed) return;
  removeEventListener("selectionchange", load, true);
  import("./js/on_demand/kept_selection.js").catch(() => {});
};
addEventListener("selectionchange", load, true);
