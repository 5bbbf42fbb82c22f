// What opens from the row under an answer is loaded with the first click. There are hundreds of these links on a page,
// so they carry no attributes of htmx.

const TOOLS = ".signature,.more-button,.regenerate-menu,.regenerate-entry,.report-entry,.report-panel-close,.note-close";

addEventListener("click", (event) => {
  const tool = event.target.closest?.(TOOLS);
  if (!tool || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  import("./js/on_demand/answer_panels.js").then((module) => module.useTool(tool));
});
