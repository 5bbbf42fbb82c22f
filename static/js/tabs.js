// Keeps a tab in step with the site: it tells where it is, and asks what is new when it is looked at again.

const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
document.cookie = `chatsite_timezone=${timeZone}; path=/; max-age=31536000; samesite=lax`;

const tell = (news) => document.body.dispatchEvent(new Event(news));
let asked = 0;

// Once a second is enough: the tab and its window are often looked at in the same moment.
function refresh({ timeStamp }) {
  if (document.hidden || timeStamp < asked + 1000) return;
  asked = timeStamp;
  tell("refresh");
}

document.addEventListener("visibilitychange", refresh);
addEventListener("focus", refresh);
addEventListener("online", refresh);
// A temporary conversation hears that its page was left; one that comes back says so itself.
addEventListener("pagehide", () => tell("leave"));
// A page from the browser's memory, or from before the click, may tell of a while ago. htmx begins one task after it was loaded.
addEventListener("pageshow", ({ persisted }) => {
  const [{ deliveryType }] = performance.getEntriesByType("navigation");
  if (persisted || /prefetch/.test(deliveryType)) setTimeout(tell, 0, "refresh");
});
