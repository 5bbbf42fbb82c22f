// What is being read stays as it is while the text grows: text that is selected stays selected.

// Setting the value of a text node throws away what was selected in it; appending to it does not.
function grow(now, next) {
  const old = [...now.childNodes];
  [...next.childNodes].forEach((node, place) => {
    const mine = old[place];
    if (mine?.nodeType !== node.nodeType || mine.nodeName !== node.nodeName) return;
    if (node.nodeType !== Node.TEXT_NODE) grow(mine, node);
    else if (node.data.startsWith(mine.data)) mine.appendData(node.data.slice(mine.data.length));
  });
}

// An end of the selection as so many letters into its block: that outlives the elements and the white space that come
// to stand between them. Outside the blocks nothing changes.
function locate(node, place, first) {
  const block = (node.nodeType === Node.TEXT_NODE ? node.parentElement : node).closest(".block");
  if (!block) return () => [node, Math.min(place, node.length ?? node.childNodes.length)];
  const range = document.createRange();
  range.setStart(block, 0);
  range.setEnd(node, place);
  const letters = range.toString().replace(/\s/g, "").length;
  return () => point(block, letters, first);
}

function point(block, letters, first) {
  const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
  let left = first ? letters : letters - 1;
  while (left >= 0 && walker.nextNode()) {
    const { data } = walker.currentNode;
    for (let place = 0; place < data.length; place++) {
      if (/\S/.test(data[place]) && left-- === 0) return [walker.currentNode, first ? place : place + 1];
    }
  }
  return [block, left < 0 ? 0 : block.childNodes.length];
}

// Where the end of the page is kept in view, what opens would push its own beginning out of it.
addEventListener("toggle", ({ target }) => {
  if (target.open) target.querySelector("summary")?.scrollIntoView({ block: "nearest" });
}, true);

// The page counts its place from its end, and follows it by itself; away from there one is told what comes to it.
const NEAR = -24;
const main = () => document.getElementById("main");
const far = () => main().scrollTop < NEAR;
const tell = (yes) => document.querySelector(".newest")?.classList.toggle("unseen", yes);

addEventListener("scroll", () => far() || tell(false), true);

addEventListener("click", (event) => {
  if (!event.target.closest(".unseen")) return;
  event.preventDefault();
  main().focus();
  main().scrollTop = 0;
});

let kept = null;

addEventListener("htmx:before:swap", ({ detail }) => {
  for (const { target, swapSpec, fragment } of detail.tasks) {
    // A page that follows its end would follow what is added there, too; one step above the end it stays.
    if (target?.id === "later" && !main().scrollTop) main().scrollTop = -1;
    if (far() && target?.matches?.("#thread, [aria-busy] .prose, [aria-busy] .block")) tell(true);
    if (swapSpec.style === "innerMorph" && target?.matches?.(".block")) grow(target, fragment);
  }
  const selection = getSelection();
  kept = null;
  if (selection.isCollapsed) return;
  const range = selection.getRangeAt(0);
  kept = {
    text: `${selection}`,
    start: locate(range.startContainer, range.startOffset, true),
    end: locate(range.endContainer, range.endOffset, false),
    backwards: selection.direction === "backward",
  };
});

addEventListener("htmx:after:swap", () => {
  if (!kept || `${getSelection()}` === kept.text) return;
  const ends = [kept.start(), kept.end()];
  if (kept.backwards) ends.reverse();
  getSelection().setBaseAndExtent(...ends[0], ...ends[1]);
});
