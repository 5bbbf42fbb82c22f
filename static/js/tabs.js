// Keeps a tab in step with the site: it tells where it is, and asks what is new when it is looked at again.

const YEAR_SECONDS = 365 * 24 * 3600;
const PAUSE_MS = 1000;

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) document.cookie = `chatsite_timezone=${zone}; path=/; max-age=${YEAR_SECONDS}; samesite=lax`;

let asked = performance.now();

function refresh() {
  if (document.hidden || performance.now() - asked < PAUSE_MS) return;
  asked = performance.now();
  document.body.dispatchEvent(new CustomEvent("refresh"));
}

document.addEventListener("visibilitychange", refresh);
addEventListener("focus", refresh);
addEventListener("online", refresh);
// A temporary conversation hears that its page was left; one that comes back says so itself.
addEventListener("pagehide", () => document.body.dispatchEvent(new CustomEvent("leave")));
addEventListener("pageshow", (event) => event.persisted && refresh());
