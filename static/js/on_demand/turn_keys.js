// From turn to turn and from version to version by key.

// The turn that has the focus, or else the one that begins what is read.
function findCurrent(turns) {
  const focused = document.activeElement.closest("article");
  if (focused) return turns.indexOf(focused);
  const main = document.getElementById("main");
  if (main.scrollTop > -24) return turns.length - 1;
  const { top, bottom } = main.getBoundingClientRect();
  const middle = (top + bottom) / 2;
  return turns.findLastIndex((turn) => turn.getBoundingClientRect().top < middle);
}

function focusTurn(turn) {
  // Of compared answers the name of the model stands above.
  const heading = turn.querySelector("h2");
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  turn.scrollIntoView({ block: turn.offsetHeight > innerHeight / 2 ? "start" : "nearest" });
}

// Goes one turn up or down, or shows the version before or after this one, as its arrows do.
export function go(code) {
  const turns = [...document.querySelectorAll("#thread article")];
  const current = findCurrent(turns);
  const step = /Up|Comma/.test(code) ? -1 : 1;
  if (/Arrow/.test(code)) {
    // From the text to type into, the way up leads to the last turn.
    const isInThread = document.activeElement.closest("article");
    const next = turns[isInThread ? current + step : step < 0 ? current : current + 1];
    if (next) focusTurn(next);
  } else {
    turns[current]?.querySelector(`.versions [formaction*="direction=${step < 0 ? "previous" : "next"}"]`)?.click();
  }
}
