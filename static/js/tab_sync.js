// Keeps a tab in step with the site: it tells where it is, and asks what is new when it is looked at again.

// Without a time zone, and where cookies are blocked so that this throws, the site uses its own time.
function sendTimeZone() {
  const { timezoneCookie } = document.body.dataset;
  try {
    const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
    if (timeZone && timezoneCookie) document.cookie = timezoneCookie.replace("%", timeZone);
  } catch {}
}

sendTimeZone();

const on = addEventListener;
const emit = (name) => htmx.trigger(document.body, name);
let lastRefresh = 0;

// Once a second is enough: the tab and its window are often looked at in the same moment.
function refresh({ timeStamp }) {
  if (document.hidden || timeStamp < lastRefresh + 1000) return;
  lastRefresh = timeStamp;
  emit("chat:refresh");
}

document.addEventListener("visibilitychange", refresh);
on("focus", refresh);
on("online", refresh);
// A temporary conversation hears that its page was left; one that comes back says so itself.
on("pagehide", () => emit("chat:page-leave"));
// A page from the browser's memory may tell of a while ago.
on("pageshow", ({ persisted }) => persisted && emit("chat:refresh"));
