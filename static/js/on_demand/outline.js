// The rail of questions marks the one that is read.

const idOf = (link) => link.getAttribute("href").split("/").pop();

// Questions that are not on the page are above or below those that are: the last one that began counts.
function findCurrent(links) {
  const main = document.getElementById("main");
  const { top, bottom } = main.getBoundingClientRect();
  // At the end of what is there, the last one is read, however short it is.
  const line = main.scrollTop > -24 ? bottom : top + (bottom - top) / 6;
  const messages = links.map((link) => document.getElementById(`message-${idOf(link)}`));
  const begun = messages.findLastIndex((message) => message?.getBoundingClientRect().top < line);
  return begun >= 0 ? begun : Math.max(0, messages.findIndex(Boolean) - 1);
}

export function markPlace() {
  const links = [...document.querySelectorAll(".outline-item")];
  const current = links[findCurrent(links)];
  if (!current || current.ariaCurrent) return;
  for (const link of links) {
    link.tabIndex = link === current ? 0 : -1;
    link.ariaCurrent = link === current ? "true" : null;
  }
}

// A list that opens begins where one reads.
let isOpen = false;
for (const type of ["pointerover", "focusin"]) {
  addEventListener(type, ({ target }) => {
    const wasOpen = isOpen;
    isOpen = Boolean(target.closest?.(".outline"));
    if (isOpen && !wasOpen) document.querySelector(".outline-item[aria-current]")?.scrollIntoView({ block: "center" });
  });
}
