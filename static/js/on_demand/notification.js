// Long answers that end in a tab that nobody looks at: the browser tells of them, if that is wanted. Whether it is, is
// asked once, when somebody comes back after the first.

import { ask, remember } from "./permission.js";

// The rows with an answer that was there when the tab was left, or was told of.
let known;
// What the reader said on this page, which is newer than what the list says.
let choice;
// The address of the question that is due.
let offer;

const marks = () => [...document.querySelectorAll(".row-unread")];
const rowOf = (mark) => mark.closest("li");
const noteAll = () => (known = new Set(marks().map((mark) => rowOf(mark).id)));

function notify(mark) {
  const { href, textContent: title } = rowOf(mark).querySelector(".row-title");
  const options = { body: mark.ariaLabel, tag: rowOf(mark).id };
  let shown;
  try {
    shown = new Notification(title, options);
  } catch {
    // Browsers of phones let only the service worker show one, which follows it to the answer, too (`sw.js`).
    const worker = navigator.serviceWorker?.ready;
    return worker?.then((found) => found.showNotification(title, { ...options, data: href })).catch(() => {});
  }
  shown.onclick = () => {
    focus();
    // The row may have been written anew meanwhile.
    const row = [...document.querySelectorAll(".row-title")].find((each) => each.href === href);
    row ? row.click() : location.assign(href);
    shown.close();
  };
}

function tellNew() {
  if (!document.hidden || !window.Notification || Notification.permission === "denied") return;
  for (const mark of marks().filter((each) => !known.has(rowOf(each).id))) {
    const { notify: listed, question } = mark.dataset;
    // The mark of a short answer says nothing of this.
    const wanted = listed && (choice ?? listed);
    if (wanted === "on" && Notification.permission === "granted") notify(mark);
    else if (wanted && wanted !== "off") offer = question;
  }
  noteAll();
}

async function makeOffer() {
  const address = offer;
  offer = "";
  let data;
  const answer = await ask(address, (question) => {
    data = { ...question.dataset };
    // Whoever does not answer is not asked again.
    choice = "off";
    remember(data, choice);
  }, false);
  if (answer !== "on" || (await Notification.requestPermission()) !== "granted") return;
  choice = "on";
  remember(data, choice);
}

// The first event that found new answers in a hidden tab: if the tab was just left, they are no news.
export function begin(type) {
  if (known) return;
  known = new Set();
  if (type === "visibilitychange") noteAll();
  addEventListener("htmx:finally:swap", tellNew);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) noteAll();
    else if (offer) makeOffer();
  });
  tellNew();
}
