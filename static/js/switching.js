// Links and forms of the site exchange the column beside the list, and leave the rest of the page as it is. They stay
// links: the address, the title, the history and the place that one had on a page go on as between pages.

const on = addEventListener;
const onDocument = document.addEventListener.bind(document);
const id = (name) => document.getElementById(name);
const places = {};
// The page that is open, as the history knows it; where a link leads on a page; when the reader last moved the list.
let here;
let hash = "";
let movedAt = -1000;
// What is open when one leaves closes; what is opened while the next page is on its way stays.
let opened = [];

const isColumn = (ctx) => ctx?.target?.id === "page";

function load(method, url, options) {
  opened = document.querySelectorAll(":popover-open");
  htmx.ajax(method, url, { source: id("page"), target: "#page", swap: "outerHTML settle:0", push: "true", headers: { "HX-Target": "div#page" }, ...options });
}

// Only where a whole page is there to stay.
function columnUrl(event) {
  const link = event.target.closest?.("a[href]");
  if (!link?.matches(":not([data-sheet], [download], [target])") || link.origin !== location.origin || !id("palette") || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  // What is on this page is shown by the browser.
  if (!link.href.startsWith(location.href.split("#")[0] + "#")) return link;
}

// Whoever moves a mouse or comes to the list is about to follow a link; a page that moves below a mouse tells of that, too.
function prepare({ movementX, movementY, target }) {
  if (!movementX && !movementY && !target.closest?.("nav:focus-within")) return;
  removeEventListener("pointermove", prepare);
  import("./js/on_demand/page_ahead.js").catch(() => {});
}
on("pointermove", prepare);
on("focusin", prepare);

on("click", (event) => {
  const link = columnUrl(event);
  if (!link) return;
  event.preventDefault();
  // Leaving a temporary chat erases it, which is asked once.
  if (id("temporary-question")?.hidden && !link.href.startsWith(location.href.split(/[?#]/)[0])) {
    return import("./js/on_demand/temporary_question.js").then((module) => module.ask(link.href));
  }
  ({ hash } = link);
  // What is typed from now on is for the next page.
  id("text")?.blur();
  load("GET", link.href);
});

on("submit", (event) => {
  const form = event.target;
  const method = form.getAttribute("method") ?? "get";
  if (event.defaultPrevented || !id("palette") || /multipart|dialog/.test(form.enctype + form.method)) return;
  event.preventDefault();
  hash = "";
  if (!form.matches(".htmx-request")) load(method, event.submitter?.getAttribute("formaction") ?? form.getAttribute("action"), { source: form, event });
});

onDocument("htmx:before:history:restore", (event) => {
  event.preventDefault();
  hash = location.hash;
  id("palette") ? load("GET", location.href, { push: "false", isBack: true }) : location.reload();
});

on("chat:go-back", () => history.back());

// A file, a page with another frame, and a site that was updated meanwhile are loaded as ever.
on("htmx:before:response", (event) => {
  const { ctx } = event.detail;
  const { raw, headers } = ctx.response;
  const version = headers.get("Page-Version");
  if (!/^(page|sheet)$/.test(ctx.target?.id) || version === document.body.dataset.version) return;
  // What answers a form itself holds what was typed.
  if (ctx.request.method !== "GET" && !raw.redirected) return;
  event.preventDefault();
  ctx.isBack ? location.reload() : location.assign(raw.url + hash);
});

// The browser has a page for when the site cannot be reached.
on("htmx:error", ({ detail: { ctx } }) => {
  if (isColumn(ctx) && ctx.request.method === "GET") location.assign(ctx.request.action);
});

on("htmx:before:swap", ({ detail: { ctx } }) => {
  if (!isColumn(ctx)) return;
  places[here] = id("main").scrollTop;
  htmx.trigger(document.body, "chat:page-leave");
});

onDocument("htmx:before:history:update", ({ detail }) => {
  const entry = detail.history;
  if (new URL(entry.path, location).href === location.href.split("#")[0]) entry.type = "replace";
});

const number = () => history.replaceState({ htmx: true, place: (here = Date.now()) }, "");
onDocument("htmx:after:history:push", number);
onDocument("htmx:after:history:replace", number);

on("scroll", ({ target, timeStamp }) => {
  if (target.id === "conversations") movedAt = timeStamp;
}, true);

function markRow() {
  const [address] = location.href.split(/[?#]/);
  for (const link of document.querySelectorAll("#sidebar :is(.entry, .row-title, .sidebar-foot a)")) {
    link.ariaCurrent = link.href === address ? "page" : null;
  }
  const row = document.querySelector(".row-title[aria-current]");
  if (performance.now() > movedAt + 1000) row?.scrollIntoView({ block: "nearest" });
}

onDocument("htmx:after:history:update", () => setTimeout(markRow));
setTimeout(markRow);

on("htmx:after:swap", ({ detail: { ctx } }) => {
  if (!isColumn(ctx)) return;
  const page = id("page");
  const text = id("text");
  const heading = page.querySelector("h1");
  for (const each of opened) if (each.isConnected) each.hidePopover();
  const message = new URLSearchParams(location.search).get("message");
  hash ||= message && `#message-${message}`;
  if (ctx.isBack) {
    here = history.state?.place;
    markRow();
    id("main").scrollTop = places[here] ?? 0;
  } else if (hash) {
    location.replace(hash);
    number();
  }
  hash = "";
  if (!document.activeElement.matches(".page *, .toast *")) (text && !matchMedia("(pointer: coarse)").matches ? text : heading).focus({ preventScroll: true });
  id("announcer").textContent = heading.textContent;
  htmx.trigger(document.body, "chat:page-open");
  const typed = id("typed");
  if (text && typed.value) {
    text.value += typed.value;
    htmx.trigger(text, "input");
  }
  typed.value = "";
  if (ctx.request.method !== "GET") htmx.trigger(document.body, "chat:list-changed");
});
