// What this tab remembers: the place of the list from page to page, and a text that the site could not keep, which is in
// the box again when the site is back.

// Browsers that block what sites store have no storage here, or throw when it is asked for. Then nothing is remembered.
const openStorage = () => {
  try {
    return sessionStorage ?? {};
  } catch {
    return {};
  }
};
const memory = openStorage();

const list = () => document.querySelector("#conversations") ?? {};
if (memory.top) list().scrollTop = memory.top;
addEventListener("pagehide", () => remember("top", list().scrollTop));

const box = () => document.getElementById("text");
const draftKey = () => `${location}\n${box().value}`;

// A storage that is full throws, too.
function remember(name, value) {
  try {
    memory[name] = value;
  } catch {}
}

addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
  if (!ctx.sourceElement.isConnected || !/^(composer|draft)$/.test(ctx.sourceElement.id)) return;
  // Of somebody who never wrote the site keeps nothing, and says so: 204.
  remember("typed", ctx.response?.status === 200 ? "" : draftKey());
});

function putBack() {
  const { typed } = memory;
  // Not where somebody has gone on elsewhere meanwhile.
  if (!box() || !typed?.startsWith(draftKey())) return;
  box().value = typed.slice(typed.indexOf("\n") + 1);
  setTimeout(() => htmx.trigger(box(), "input"));
}
putBack();
addEventListener("chat:page-open", putBack);
