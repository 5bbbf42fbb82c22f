// What was done with the waiting message took its buttons away: where one goes on is loaded with the first of that.

addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
  if (/waiting-message/.test(ctx.request?.action)) import("./js/on_demand/returned_text.js").then((module) => module.goOn());
});
