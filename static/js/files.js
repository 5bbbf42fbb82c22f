// Files that are dropped or pasted never take the place of the page. What becomes of them is loaded with the first one.

function hand(event) {
  const { type, target, dataTransfer, clipboardData } = event;
  const { types, items } = dataTransfer ?? clipboardData ?? {};
  if (!types?.includes("Files") || target.matches?.("[type=file]")) return;
  // Text that is copied with its formatting may bring a picture of it along.
  if (clipboardData && types.includes("text/html") && types.includes("text/plain")) return;
  event.preventDefault();
  // They can be read only now, and only this tells what is a folder.
  const found = [...items].map((item) => [item.getAsFile(), item.webkitGetAsEntry?.()?.isDirectory]);
  import("./js/on_demand/files.js").then(({ handle }) => handle(type, found, target));
}

for (const type of ["dragover", "drop", "paste"]) addEventListener(type, hand);
