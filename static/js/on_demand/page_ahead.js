// A page is there sooner: it is asked for when the mouse is pressed on a link of the list, a tenth of a second before
// that is a click, or when keys have led to one, and of a long conversation its end comes first.

// What was asked for longer ago than a click takes may have changed meanwhile.
const MAX_AGE_MS = 1000;
// Arrow keys pass the rows on their way sooner.
const REST_MS = 100;
const LINKS = "#sidebar a:is(.entry, .row-title, .sidebar-foot a)";
const PREFER = { Prefer: "return=minimal" };
// As htmx asks for a column.
const HEADERS = { "HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#page", Accept: "text/html", ...PREFER };

let ahead = {};
let rest;

function ask({ href }) {
  const page = fetch(href, { headers: HEADERS });
  ahead = { url: href, askedAt: performance.now(), page };
  // A site that cannot be reached is spoken of when there is a click.
  page.catch(() => {});
}

addEventListener("pointerdown", ({ target, button, pointerType, ctrlKey, metaKey, shiftKey, altKey }) => {
  const link = target.closest?.(LINKS);
  if (!link || button || pointerType !== "mouse" || ctrlKey || metaKey || shiftKey || altKey) return;
  ask(link);
});

function waitForRest({ target }) {
  clearTimeout(rest);
  const isAhead = target.matches?.(LINKS) && target.matches(":focus-visible:not([aria-current])");
  if (isAhead) rest = setTimeout(ask, REST_MS, target);
}
addEventListener("focusin", waitForRest);
// The row that keys led to before this was loaded.
waitForRest({ target: document.activeElement });

addEventListener("htmx:before:request", ({ timeStamp, detail: { ctx } }) => {
  const { action, method, headers } = ctx.request;
  // Going back, one comes to the place where one was, which may be far from the end.
  if (ctx.target?.id !== "page" || method !== "GET" || ctx.isBack) return;
  clearTimeout(rest);
  Object.assign(headers, PREFER);
  const { url, page } = ahead;
  if (new URL(action, location).href === url && timeStamp < ahead.askedAt + MAX_AGE_MS) ctx.fetch = () => page;
  ahead = {};
});
