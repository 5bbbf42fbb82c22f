// What opens over the conversation is loaded with the first link that asks for it.

addEventListener("click", async (event) => {
  const link = event.target.closest?.("[data-sheet]");
  if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  try {
    (await import("./js/on_demand/sheet.js")).openSheet(link.href);
  } catch {
    location.assign(link.href);
  }
});
