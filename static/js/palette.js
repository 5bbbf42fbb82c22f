// What the palette needs is loaded when it opens.

addEventListener("beforetoggle", ({ target }) => {
  if (target.id === "palette") import("./js/on_demand/palette.js").catch(() => {});
}, true);
