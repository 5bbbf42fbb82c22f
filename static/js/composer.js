// The composer: Enter sends, what is sent is seen at once, what could not be sent comes back and a sentence says why.

const root = document.documentElement;
const on = document.addEventListener.bind(document);
const id = (name) => document.getElementById(name);
// What is under way, until the site has answered.
let sent = "";
let unkept = false;

// What is said of the network is gone as soon as it is back.
function say(kind) {
  const line = document.createElement("p");
  line.id = kind;
  line.className = "notice";
  line.textContent = document.body.dataset[kind];
  id("notice")?.replaceChildren(line);
}

const unsay = (kind) => id(kind)?.remove();

// Says what is too long. Browsers without `field-sizing` need to be told how high the text is.
function fit(text) {
  const { most } = text.dataset;
  const count = text.textLength > most ? [...text.value.trim()].length : 0;
  const told = id("length").dataset.over.replace("#", count.toLocaleString(root.lang));
  id("excess").textContent = count > most ? told : "";
  if (CSS.supports("field-sizing", "content")) return;
  text.style.height = 0;
  text.style.height = `${text.scrollHeight}px`;
}

// Where there is no real keyboard, Enter begins a line, and a keyboard on the screen would hide the answer.
const keyboard = () => !matchMedia("(pointer: coarse)").matches;

on("keydown", (event) => {
  const text = event.target;
  // While an input method composes, Enter belongs to it.
  if (text.id !== "text" || event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
  const plain = keyboard() && root.dataset.enter === "send" && !event.shiftKey;
  if (!plain && !event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  if (text.value.trim()) text.form.requestSubmit(text.form.querySelector(".send:not(.stop)"));
});

if (id("text")) fit(id("text"));

on("input", ({ target }) => {
  if (target.id !== "text") return;
  fit(target);
  unkept = true;
});

const composer = (event) => event.detail.ctx?.sourceElement?.id === "composer" && id("composer");

// The question stands where it will stand, as the site will write it, and the box is free for the next one.
on("htmx:before:request", (event) => {
  const form = composer(event);
  const text = id("text");
  if (!form || form.querySelector(".stop")) return;
  if (!text.value.trim()) {
    event.preventDefault();
    return text.focus();
  }
  id("notice").replaceChildren();
  sent = text.value;
  text.value = "";
  fit(text);
  const like = id("sending-like").content.cloneNode(true);
  like.querySelector(".question").textContent = sent.trim();
  const told = id("next-answerer");
  if (told) like.querySelector("[aria-busy]").prepend(told);
  id("thread").append(like);
  id("main").scrollTop = 0;
});

// What was typed meanwhile was not sent, and is kept below what could not be sent.
function settle(done) {
  const text = id("text");
  const told = id("next-answerer");
  if (told) id("thread").append(told);
  id("sending")?.remove();
  if (!done && sent) text.value = text.value ? `${sent}\n${text.value}` : sent;
  sent = "";
  unkept = false;
  if (text.value) text.dispatchEvent(new Event("input", { bubbles: true }));
  fit(text);
  if (done && keyboard()) text.focus();
}

on("htmx:after:request", (event) => {
  unsay("offline");
  if (composer(event)) settle(event.detail.ctx.response.status < 400);
});

// What was typed in the last moment is kept, too, and what may never have arrived.
addEventListener("pagehide", () => {
  if (sent) settle(false);
  if (unkept) htmx.trigger("#draft-leave", "leave");
});

// The list of who answers closes when one looks elsewhere.
function close({ key, target }) {
  const list = id("answerer");
  if (!list?.open || (key ? key !== "Escape" : list.contains(target))) return;
  list.open = false;
  if (key) list.querySelector("summary").focus();
}

on("click", close);
on("keydown", close);
on("invalid", ({ target }) => target.closest("details")?.setAttribute("open", ""), true);

on("htmx:error", (event) => {
  if (composer(event)) settle(false);
  // What asks again by itself does not bother anybody.
  if (/^(submit|click)$/.test(event.detail.ctx?.sourceEvent?.type)) say("offline");
});

on("htmx:sse:error", () => say("lost"));
on("htmx:sse:after:connection", () => unsay("lost"));
