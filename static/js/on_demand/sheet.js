// A sheet shows the main part of a page over the conversation, until it is closed or something was saved in it.

const sheet = () => document.getElementById("sheet");
const options = () => ({ source: sheet(), target: sheet(), swap: "innerHTML settle:0", headers: { "HX-Target": "dialog#sheet" } });

export async function openSheet(url) {
  // A menu gives the focus back to its button, and so will the sheet.
  for (const menu of document.querySelectorAll(":popover-open")) menu.hidePopover();
  await htmx.ajax("GET", url, options());
  if (!sheet().open) sheet().showModal();
}

const close = () => sheet().close();

// The same page with other values stays in the sheet; the page below is the way out of it.
addEventListener("click", (event) => {
  const link = event.target.closest?.("#sheet a[href]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || link.download || link.hasAttribute("hx-get")) return;
  const isBelow = link.href === location.href.split(/[?#]/)[0];
  const shown = sheet().querySelector("form[action]:not([hx-post])")?.getAttribute("action").split("?")[0];
  if (!isBelow && link.pathname !== shown) return;
  event.preventDefault();
  isBelow ? close() : openSheet(link.href);
}, true);

addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.closest("#sheet") || form.matches("[hx-post], [method=dialog]")) return;
  event.preventDefault();
  const url = event.submitter?.getAttribute("formaction") ?? form.getAttribute("action");
  htmx.ajax(form.getAttribute("method") ?? "get", url, { ...options(), source: form, event });
}, true);

// What was saved may show in the page below.
addEventListener("chat:list-changed", () => {
  if (!sheet().open) return;
  close();
  sheet().replaceChildren();
  htmx.trigger(document.body, "chat:refresh");
});
addEventListener("chat:page-open", close);
addEventListener("close", ({ target }) => {
  if (target !== sheet()) return;
  target.replaceChildren();
  // What was saved may have renewed the button that led here.
  if (document.activeElement === document.body) document.querySelector("#conversation-menu button")?.focus();
}, true);
