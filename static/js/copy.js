// What copying needs is loaded when somebody is about to copy: points at a Copy button, comes to one, or selects text.

const on = addEventListener;
let clipboard;
const load = () => import("./js/on_demand/clipboard.js").then((module) => (clipboard = module));
const copyButton = ({ target }) => target.closest?.(".copy, .copy-message, .copy-as");
const prepare = (isNeeded) => clipboard || !isNeeded || load().catch(() => {});

on("pointerover", (event) => prepare(copyButton(event)));
on("focusin", async (event) => {
  await prepare(copyButton(event));
  if (event.target.matches?.(".copy[data-new]")) clipboard?.copyNewLink(event.target);
});
on("selectionchange", () => prepare(!getSelection().isCollapsed), true);

on("click", async ({ target }) => {
  const button = target.closest(".download");
  if (button) (await import("./js/on_demand/code_file.js")).saveCode(button);
});

on("copy", (event) => clipboard?.copySelection(event));
on("click", async (event) => {
  const button = copyButton(event);
  // Some browsers no longer believe that somebody clicked once they had to wait.
  if (button) (clipboard ?? (await load())).copyByButton(button);
});
