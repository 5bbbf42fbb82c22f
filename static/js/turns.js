// What helps in a long conversation is loaded when there is one, or when somebody goes from turn to turn by key.

const on = addEventListener;

// In a field with text these keys belong to the text: on a Mac they move in it, or write.
on("keydown", (event) => {
  const { target, code, altKey, ctrlKey, metaKey, shiftKey } = event;
  if (!altKey || ctrlKey || metaKey || shiftKey || !/^(Arrow(Up|Down)|Comma|Period)$/.test(code)) return;
  if ((target.matches("textarea,input") && target.value) || !document.querySelector("#thread article")) return;
  event.preventDefault();
  import("./js/on_demand/turn_keys.js").then((module) => module.go(code));
});

let isWaiting;
function markPlace() {
  if (isWaiting || !document.querySelector(".outline")) return;
  isWaiting = requestAnimationFrame(async () => {
    isWaiting = 0;
    const module = await import("./js/on_demand/outline.js").catch(() => {});
    module?.markPlace();
  });
}
on("scroll", markPlace, true);
on("htmx:after:swap", markPlace);
