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

// An end of the selection as so many characters into its block: that outlives the elements that colours put around
// words. Outside the blocks nothing changes.
function locate(node, place) {
  const block = (node.nodeType === Node.TEXT_NODE ? node.parentElement : node).closest(".block");
  if (!block) return () => [node, Math.min(place, node.length ?? node.childNodes.length)];
  const range = document.createRange();
  range.setStart(block, 0);
  range.setEnd(node, place);
  const characters = range.toString().length;
  return () => point(block, characters);
}

function point(block, characters) {
  const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
  let left = characters;
  while (walker.nextNode()) {
    if (left <= walker.currentNode.length) return [walker.currentNode, left];
    left -= walker.currentNode.length;
  }
  return [block, block.childNodes.length];
}

let kept = null;

document.addEventListener("htmx:before:swap", (event) => {
  for (const task of event.detail.tasks) {
    if (task.swapSpec.style === "innerMorph" && task.target?.matches?.(".block")) grow(task.target, task.fragment);
  }
  const selection = getSelection();
  kept = !selection.isCollapsed && {
    text: selection.toString(),
    anchor: locate(selection.anchorNode, selection.anchorOffset),
    focus: locate(selection.focusNode, selection.focusOffset),
  };
});

document.addEventListener("htmx:after:swap", () => {
  const selection = getSelection();
  if (kept && selection.toString() !== kept.text) selection.setBaseAndExtent(...kept.anchor(), ...kept.focus());
});
