// The composer: Enter sends, what is sent is seen at once, what could not be sent comes back and a sentence says why.

const root = document.documentElement;
const on = addEventListener;
// The box of a message, and that of a question that is edited.
const BOXES = "[data-max-length]";
const id = (name) => document.getElementById(name);
// What is under way, until the site has answered.
let sent = "";
let isUnsaved = false;

// What is said of the network is gone as soon as it is back.
function showNotice(kind) {
  const line = document.createElement("p");
  line.id = kind;
  line.className = "notice";
  line.textContent = document.body.getAttribute(`data-${kind}`);
  id("notice")?.replaceChildren(line);
}

// As the site keeps a text: without empty lines around it, and with the indentation of its first line.
const trimLines = (text) => text.trimEnd().replace(/^\s*\n/, "");

// What counts is loaded with the first text that may be too long, and counts from then on by itself. Browsers without
// `field-sizing` need to be told how high the text is.
function autosize(text) {
  if (text.textLength > text.dataset.maxLength) import("./js/on_demand/length.js");
  if (CSS.supports("field-sizing", "content")) return;
  text.style.height = 0;
  text.style.height = `${text.scrollHeight}px`;
}

// Where there is no real keyboard, Enter begins a line, and a keyboard on the screen would hide the answer.
const hasKeyboard = () => !matchMedia("(pointer: coarse)").matches;

on("keydown", (event) => {
  const text = event.target;
  if (event.key !== "Enter" || !text.matches?.(BOXES)) return;
  const plain = hasKeyboard() && root.dataset.enter === "send" && !event.shiftKey;
  if (!plain && !event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  if (text.value.trim()) text.form.requestSubmit(text.form.querySelector(".send:not(.stop)"));
});

const open = () => id("text") && autosize(id("text"));
open();
on("chat:page-open", open);

// Browsers insert a text line by line, and with `dir="auto"` look at all of it for each: seconds for thousands of lines.
on("paste", ({ target }) => {
  if (target.dir !== "auto") return;
  target.dir = "";
  target.addEventListener("input", () => (target.dir = "auto"), { once: true });
});

on("input", ({ target }) => {
  if (!target.matches(BOXES)) return;
  autosize(target);
  isUnsaved ||= target.id === "text";
});

// Not of a page that was left meanwhile.
const composerOf = ({ detail }) => detail.ctx?.sourceElement === id("composer") && id("composer");

// The question stands where it will stand, as the site will write it, and the box is free for the next one.
on("htmx:before:request", (event) => {
  const form = composerOf(event);
  const text = id("text");
  if (!form) return;
  if (!text.value.trim()) {
    event.preventDefault();
    return text.focus();
  }
  id("notice").replaceChildren();
  sent = text.value;
  text.value = "";
  autosize(text);
  // While an answer is written the next question waits below it.
  if (!form.querySelector(".stop")) {
    const pending = id("pending-template").content.cloneNode(true);
    pending.querySelector(".question").textContent = trimLines(sent);
    pending.querySelector("[aria-busy]").prepend(id("next-change-notice") ?? "");
    id("thread").append(pending);
  }
  id("main").scrollTop = 0;
});

// What was typed meanwhile was not sent, and is kept below what could not be sent.
function finishSend(ok) {
  const text = id("text");
  id("thread").append(id("next-change-notice") ?? "");
  id("pending")?.remove();
  if (!ok) text.value = [sent, text.value].filter(Boolean).join("\n");
  sent = "";
  isUnsaved = false;
  if (text.value) htmx.trigger(text, "input");
  autosize(text);
  if (ok && hasKeyboard()) text.focus();
}

on("htmx:after:request", (event) => {
  id("offline")?.remove();
  const { sourceElement, response } = event.detail.ctx;
  if (composerOf(event)) finishSend(response.status < 400);
  // The page was left before the site had answered, so the list has not heard of it.
  else if (sourceElement.id === "composer") htmx.trigger(document.body, "chat:refresh");
});

// What was typed in the last moment is kept, too, and what may never have arrived.
on("chat:page-leave", () => {
  if (sent) finishSend(false);
  if (isUnsaved) htmx.trigger("#draft-leave", "chat:keep-draft");
  isUnsaved = false;
});

on("invalid", ({ target }) => target.closest("details")?.setAttribute("open", ""), true);

on("htmx:error", (event) => {
  if (composerOf(event)) finishSend(false);
  // What asks again by itself does not bother anybody.
  if (/^(submit|click)$/.test(event.detail.ctx?.sourceEvent?.type)) showNotice("offline");
});

on("htmx:sse:error", () => showNotice("connection-lost"));
on("htmx:sse:after:connection", () => id("connection-lost")?.remove());
