// A page that grows while it is read stays where the reader put it.

const on = addEventListener;

// Where the end of the page is kept in view, what opens would push its own beginning out of it.
on("toggle", ({ target }) =>
  // What a page has open from its beginning, nobody opened.
  target.querySelector(":scope[open]:focus-within > summary")?.scrollIntoView({ block: "nearest" }), true);

// The page counts its place from its end, and follows it by itself; away from there one is told what comes to it.
const main = () => document.getElementById("main");
const isScrolledUp = () => main().scrollTop < -24;
const mark = (name, yes) => document.querySelector(".scroll-bottom")?.classList.toggle(name, yes);

// What is pressed stays under the pointer until it is released, or an answer that grows would take it away.
let isHeld;
on("pointerdown", () => (isHeld = !main().scrollTop) && main().scrollTop--);
// A scroll bar that was drawn and a selection that was made leave the page where they are; a key presses nothing.
on("click", ({ detail }) => detail && isHeld && getSelection().isCollapsed && main().scrollTo(0, 0));

// Farther from there than a window is high, the way back is offered.
on("scroll", () => {
  const place = main();
  mark("is-far", place.scrollTop < -place.clientHeight);
  isScrolledUp() || mark("has-new", false);
}, true);

on("click", (event) => {
  if (!event.target.closest(".scroll-bottom") || document.getElementById("load-more-after")) return;
  event.preventDefault();
  main().focus();
  main().scrollTop = 0;
});

on("htmx:before:swap", ({ detail }) => {
  for (const { target } of detail.tasks) {
    // A page that follows its end would follow what is added there, too; one step above the end it stays.
    if (target?.id === "load-more-after") main().scrollTop ||= -1;
    if (isScrolledUp() && target?.matches?.("#thread, [aria-busy] .prose, [aria-busy] .block")) mark("has-new", true);
  }
});
