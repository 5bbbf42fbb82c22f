// Text that is selected stays selected while the page around it changes, and can be quoted.

import "./quote.js";

// Setting the value of a text node throws away what was selected in it; appending to it does not.
function appendText(now, next) {
  const old = [...now.childNodes];
  [...next.childNodes].forEach((node, index) => {
    const current = old[index];
    if (current?.nodeName !== node.nodeName) return;
    if (!(node instanceof Text)) appendText(current, node);
    else if (node.data.startsWith(current.data)) current.appendData(node.data.slice(current.data.length));
  });
}

// An end of the selection as so many letters into its block, and a function that finds it again: that outlives the
// elements and the white space that come to stand between them. Outside the blocks nothing changes.
function savePosition(node, offset, isStart) {
  const block = (node.closest ? node : node.parentElement).closest(".block");
  if (!block) return () => [node, Math.min(offset, node.length ?? node.childNodes.length)];
  const range = document.createRange();
  range.setStart(block, 0);
  range.setEnd(node, offset);
  const letterCount = `${range}`.replace(/\s/g, "").length;
  return () => {
    const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
    let remaining = isStart ? letterCount : letterCount - 1;
    while (remaining >= 0 && walker.nextNode()) {
      const { data } = walker.currentNode;
      for (let index = 0; index < data.length; index++) {
        if (/\S/.test(data[index]) && remaining-- === 0) return [walker.currentNode, isStart ? index : index + 1];
      }
    }
    return [block, remaining < 0 ? 0 : block.childNodes.length];
  };
}

let saved;

addEventListener("htmx:before:swap", ({ detail }) => {
  for (const { target, swapSpec, fragment } of detail.tasks) {
    if (swapSpec.style === "innerMorph" && target?.matches?.(".block")) appendText(target, fragment);
  }
  const selection = getSelection();
  const isBackward = selection.direction === "backward";
  saved = !selection.isCollapsed && {
    text: `${selection}`,
    anchor: savePosition(selection.anchorNode, selection.anchorOffset, !isBackward),
    focus: savePosition(selection.focusNode, selection.focusOffset, isBackward),
  };
});

addEventListener("htmx:after:swap", () => {
  if (!saved || `${getSelection()}` === saved.text) return;
  getSelection().setBaseAndExtent(...saved.anchor(), ...saved.focus());
});
