// What the site could not keep stays in this tab, and is in the box again when the site is back.

const box = document.getElementById("text");
const here = () => `${location}\n${box.value}`;

if (box) {
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    if (!/^(composer|draft)$/.test(ctx.sourceElement.id)) return;
    // Of somebody who never wrote the site keeps nothing, and says so: 204.
    sessionStorage.typed = ctx.response?.status === 200 ? "" : here();
  });
  const { typed } = sessionStorage;
  // Not where somebody has gone on elsewhere meanwhile.
  if (typed?.startsWith(here())) {
    box.value = typed.slice(typed.indexOf("\n") + 1);
    setTimeout(() => htmx.trigger(box, "input"));
  }
}

// While the site cannot be reached there is nothing to register.
onload = () => navigator.serviceWorker?.register("/sw.js").catch(() => {});
