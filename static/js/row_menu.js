// The menu of a row is fetched when it is opened, and stands beside its button.

const menu = () => document.getElementById("row-menu");

addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
  if (ctx.target !== menu()) return;
  menu().showPopover({ source: ctx.sourceElement });
  menu().querySelector(".action").focus();
});
addEventListener("click", ({ target }) => target.closest("#row-menu .action") && menu().hidePopover());
