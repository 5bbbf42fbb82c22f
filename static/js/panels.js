// What opens from a message or a row of the list is loaded with the first click. There are hundreds of these links on a
// page, so they carry no attributes of htmx.

const TOOLS = ".signature,.more-button,.regenerate-menu,.regenerate-entry,.report-entry,.report-panel-close,.note-close,.edit-button,.row-action";

addEventListener("click", (event) => {
  const tool = event.target.closest?.(TOOLS);
  if (!tool || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  import("./js/on_demand/panels.js").then((module) => module.useTool(tool));
});
