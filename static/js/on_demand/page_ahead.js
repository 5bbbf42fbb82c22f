// A page is there sooner: it is asked for when the mouse is pressed on a link of the list, a tenth of a second before
// that is a click, and of a long conversation its end comes first.

// What was pressed longer ago than a click takes may have changed meanwhile.
const MAX_AGE_MS = 1000;
const LINKS = "#sidebar a:is(.entry, .row-title, .sidebar-foot a)";
const PREFER = { Prefer: "return=minimal" };
// As htmx asks for a column.
const HEADERS = { "HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#page", Accept: "text/html", ...PREFER };

let ahead = {};

addEventListener("pointerdown", ({ target, button, pointerType, ctrlKey, metaKey, shiftKey, altKey, timeStamp }) => {
  const link = target.closest?.(LINKS);
  if (!link || button || pointerType !== "mouse" || ctrlKey || metaKey || shiftKey || altKey) return;
  const page = fetch(link.href, { headers: HEADERS });
  ahead = { url: link.href, timeStamp, page };
  // A site that cannot be reached is spoken of when there is a click.
  page.catch(() => {});
});

addEventListener("htmx:before:request", ({ timeStamp, detail: { ctx } }) => {
  const { action, method, headers } = ctx.request;
  // Going back, one comes to the place where one was, which may be far from the end.
  if (ctx.target?.id !== "page" || method !== "GET" || ctx.isBack) return;
  Object.assign(headers, PREFER);
  const { url, page } = ahead;
  if (new URL(action, location).href === url && timeStamp < ahead.timeStamp + MAX_AGE_MS) ctx.fetch = () => page;
  ahead = {};
});
