// The menu of a row is fetched when it is opened; what shows it is loaded with the first one.

addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
  if (ctx.target?.id === "row-menu") import("./js/on_demand/row_menu.js").then(({ open }) => open(ctx));
});
