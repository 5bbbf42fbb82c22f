// The page for printing: the browser asks how to print as soon as everything is there, and again by the button.

document.getElementById("print").addEventListener("click", () => print());

// Tables and code are broken into lines, and a formula cannot be: one that is wider than paper is made smaller.
const PAPER_WIDTH = 640;
for (const formula of document.querySelectorAll(".formula")) {
  if (formula.scrollWidth > PAPER_WIDTH) formula.style.zoom = PAPER_WIDTH / formula.scrollWidth;
}

// Not where somebody comes back to it or loads it once more.
const [navigation] = performance.getEntriesByType("navigation");
if (navigation?.type === "navigate") addEventListener("load", () => document.fonts.ready.then(() => print()));
