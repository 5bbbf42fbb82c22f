// The list of who answers is looked after from the first click on it.

addEventListener("click", ({ target }) => target.closest?.("#model-picker") && import("./js/on_demand/model_picker.js"));
