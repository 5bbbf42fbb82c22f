// The composer: Enter sends, what was sent goes away, what was not sent stays and a sentence says why.

const notice = () => document.getElementById("notice");
const sent = new WeakMap();
let unkept = false;

function say(sentence, kind) {
  const place = notice();
  if (!place) return;
  const line = document.createElement("p");
  line.className = "notice";
  line.dataset.kind = kind;
  line.textContent = sentence;
  place.replaceChildren(line);
}

function unsay(kind) {
  notice()?.querySelector(`[data-kind="${kind}"]`)?.remove();
}

function composerOf(event) {
  const form = event.detail.ctx?.sourceElement;
  return form?.id === "composer" ? form.elements.namedItem("text") : null;
}

// Browsers without `field-sizing` need to be told how high the text is.
function fit(text) {
  if (CSS.supports("field-sizing", "content")) return;
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight}px`;
}

// Where there is no real keyboard, Enter begins a line, and a keyboard on the screen would hide the answer.
const keyboard = () => !matchMedia("(pointer: coarse)").matches;

document.addEventListener("keydown", (event) => {
  const text = event.target;
  const typing = text.matches?.("#composer textarea") && event.key === "Enter" && !event.shiftKey;
  // While an input method composes, Enter belongs to it.
  if (!typing || event.isComposing || event.keyCode === 229 || !keyboard()) return;
  event.preventDefault();
  if (text.value.trim()) text.form.requestSubmit(text.form.querySelector(".send:not(.stop)"));
});

document.addEventListener("input", (event) => {
  const text = event.target;
  if (!text.matches("#composer textarea")) return;
  fit(text);
  unkept = true;
});

// What was typed in the last moment is kept, too.
addEventListener("pagehide", () => unkept && htmx.trigger("#draft", "leave"));

document.addEventListener("htmx:before:request", (event) => {
  const text = composerOf(event);
  if (text) sent.set(text, text.value);
});

document.addEventListener("htmx:after:request", (event) => {
  const text = composerOf(event);
  unsay("offline");
  if (!text || event.detail.ctx.response.status >= 400) return;
  // What was typed while the request was under way was not sent, and is kept.
  if (text.value === sent.get(text)) text.value = "";
  else text.dispatchEvent(new Event("input", { bubbles: true }));
  unkept = Boolean(text.value);
  fit(text);
  if (keyboard()) text.focus();
});

// The list of who answers closes when one looks elsewhere.
function close(event) {
  const list = document.getElementById("answerer");
  const away = event.key ? event.key === "Escape" : !list?.contains(event.target);
  if (!list?.open || !away) return;
  list.open = false;
  if (event.key) list.querySelector("summary").focus();
}

document.addEventListener("click", close);
document.addEventListener("invalid", ({ target }) => target.closest("details")?.setAttribute("open", ""), true);
document.addEventListener("keydown", close);

document.addEventListener("htmx:error", (event) => {
  // What asks again by itself does not bother anybody.
  const asked = event.detail.ctx?.sourceEvent?.type;
  if (asked === "submit" || asked === "click") say(document.body.dataset.offline, "offline");
});

document.addEventListener("htmx:sse:error", () => say(document.body.dataset.lost, "lost"));
document.addEventListener("htmx:sse:after:connection", () => unsay("lost"));
