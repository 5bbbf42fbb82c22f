// What a slider and the number beside it have in common is loaded when one of them is changed.

addEventListener("input", ({ target }) => {
  if (target.dataset.twin) import("./js/on_demand/sliders.js").then(({ match }) => match(target));
});
