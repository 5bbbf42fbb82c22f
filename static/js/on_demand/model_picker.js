// The list of who answers. What the arrow keys only pass is not chosen: the site is told where they stopped when the list
// closes, which it also does when one looks elsewhere.

const picker = () => document.getElementById("model-picker");
// While an arrow key is down, and the option that it led to.
let isWalking = false;
let passed;

function tell() {
  const option = passed;
  passed = undefined;
  option?.dispatchEvent(new Event("change", { bubbles: true }));
}

function close(hasFocus) {
  picker().open = false;
  if (hasFocus) picker().querySelector("summary").focus();
}

addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (!picker()?.open) return;
  isWalking = key.startsWith("Arrow") && target.type === "radio";
  const isChosen = key === "Enter" && target.closest("#model-picker-list") && target.matches("input");
  // Enter would send what is in the box.
  if (isChosen) event.preventDefault();
  if (isChosen || key === "Escape") close(true);
});

for (const type of ["keyup", "pointerdown"]) addEventListener(type, () => (isWalking = false), true);

addEventListener("change", (event) => {
  if (!event.target.closest("#model-picker-list")) return;
  if (isWalking) {
    event.stopPropagation();
    passed = event.target;
  } else if (event.target !== passed) passed = undefined;
}, true);

addEventListener("click", ({ target }) => picker()?.open && !picker().contains(target) && close());
addEventListener("toggle", ({ target }) => target === picker() && !target.open && tell(), true);
addEventListener("chat:page-leave", tell);
