// Where the site cannot be reached, a page of its own says so. That page is kept in the browser, and nothing else is:
// conversations are not for whoever opens this browser next. The server puts the edition of that page in front.
// Addresses are relative to this file, since the site may be in a sub-path.

addEventListener("install", (event) => {
  event.waitUntil(caches.open("offline").then((cache) => cache.add("offline")));
});

addEventListener("fetch", (event) => {
  const { method, mode } = event.request;
  // What was posted is kept by the browser itself, which offers to send it again.
  if (mode !== "navigate" || method !== "GET") return;
  event.respondWith(fetch(event.request).catch(() => caches.match("offline")));
});

// Where only this may show that a long answer is done (`on_demand/notification.js`), it leads to the answer.
addEventListener("notificationclick", ({ notification }) => {
  notification.close();
  clients.openWindow(notification.data);
});
