// The list of who answers is looked after from the moment in which somebody comes to it.

const load = ({ target }) => target.closest?.("#model-picker") && import("./js/on_demand/model_picker.js");
addEventListener("focusin", load);
addEventListener("click", load);
