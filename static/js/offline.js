// The page for when the site cannot be reached. While that is so, there is nothing to register; where site data is
// blocked, asking for the service worker may throw.

const worker = new URL("../sw.js", import.meta.url);

onload = async () => {
  try {
    await navigator.serviceWorker?.register(worker);
  } catch {}
};
