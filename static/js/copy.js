// What copying needs is loaded when somebody is about to copy: points at a Copy button, comes to one, or selects text.

let clipboard;
const load = () => import("./js/on_demand/clipboard.js").then((module) => (clipboard = module));
const copyButton = ({ target }) => target.closest?.(".copy, .copy-message, .copy-as");
const prepare = (isNeeded) => clipboard || !isNeeded || load().catch(() => {});

addEventListener("pointerover", (event) => prepare(copyButton(event)));
addEventListener("focusin", async (event) => {
  await prepare(copyButton(event));
  if (event.target.matches?.(".copy[data-new]")) clipboard?.copyNewLink(event.target);
});
addEventListener("selectionchange", () => prepare(!getSelection().isCollapsed), true);

addEventListener("click", async ({ target }) => {
  const button = target.closest(".download");
  if (button) (await import("./js/on_demand/code_file.js")).saveCode(button);
});

addEventListener("copy", (event) => clipboard?.copySelection(event));
addEventListener("click", async (event) => {
  const button = copyButton(event);
  // Some browsers no longer believe that somebody clicked once they had to wait.
  if (button) (clipboard ?? (await load())).copyByButton(button);
});
