// What this tab remembers: the place of the list from page to page, and a text that the site could not keep, which is in
// the box again when the site is back.

const on = addEventListener;

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
on("pagehide", () => remember("top", list().scrollTop));

const box = () => document.getElementById("text");
const draftKey = () => `${location}\n${box().value}`;

// A storage that is full throws, too.
function remember(name, value) {
  try {
    memory[name] = value;
  } catch {}
}

// Whoever comes back at once may be here before the site has what was written.
on("chat:keep-draft", () => remember("typed", draftKey()));

on("htmx:finally:request", ({ detail: { ctx } }) => {
  const { id, isConnected } = ctx.sourceElement;
  // Of somebody who never wrote the site keeps nothing, and says so: 204.
  const isKept = ctx.response?.status === 200;
  if (isConnected ? /^(composer|draft)$/.test(id) : isKept && id === "draft-leave") remember("typed", isKept ? "" : draftKey());
});

function putBack() {
  const { typed } = memory;
  // Not where somebody has gone on elsewhere meanwhile.
  if (!box() || !typed?.startsWith(draftKey())) return;
  box().value = typed.slice(typed.indexOf("\n") + 1);
  setTimeout(() => htmx.trigger(box(), "input"));
}
putBack();
on("chat:page-open", putBack);
