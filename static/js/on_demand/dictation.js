// Dictation: what is said is written into the message box at the caret, first as a guess and then as it was understood.
// Where the browser can do that on the device, it does; else it is asked whether the sound may leave it.

import { ask, tell } from "./permission.js";

const Recognition = window.SpeechRecognition ?? window.webkitSpeechRecognition;
const box = () => document.getElementById("text");
// What is under way, until it is over.
let dictation = null;

// That of the page, as it is spoken in the reader's country.
const language = () => navigator.languages.find((each) => each.split("-")[0] === document.documentElement.lang) ?? document.documentElement.lang;

// Whether the device itself can, could with a download, or cannot.
async function availability() {
  try {
    return await Recognition.available({ langs: [language()], processLocally: true });
  } catch {
    return "unavailable";
  }
}

async function install(button) {
  button.ariaBusy = true;
  const isInstalled = await Recognition.install({ langs: [language()], processLocally: true }).catch(() => false);
  button.ariaBusy = null;
  if (!isInstalled) tell(button.dataset.failed);
  return isInstalled && "device";
}

// Resolves with where the sound goes, or with nothing if nobody may listen.
async function choosePlace(button) {
  const found = await availability();
  const { question } = button.dataset;
  if (found === "available") return "device";
  if (question === undefined) return "maker";
  const answer = await ask(question, (shown) => {
    shown.querySelector("[value=install]").hidden = found === "unavailable";
  });
  if (answer === "install") return install(button);
  if (answer === "on") delete button.dataset.question;
  return answer && "maker";
}

// Where the words go: what was typed or sent meanwhile is left alone, and so is what was written of speech before.
function anchor() {
  const { value, selectionStart, selectionEnd } = box();
  Object.assign(dictation, { before: value.slice(0, selectionStart), after: value.slice(selectionEnd), first: dictation.count, shown: value });
}

function write({ results }) {
  const text = box();
  if (text.value !== dictation.shown) anchor();
  dictation.count = results.length;
  const understood = Array.from(results).slice(dictation.first).map((result) => result[0].transcript.trim()).filter(Boolean).join(" ");
  if (!understood) return;
  const { before, after } = dictation;
  const start = before + (/\S$/.test(before) ? " " : "") + understood;
  text.value = dictation.shown = start + (/^\S/.test(after) ? " " : "") + after;
  text.setSelectionRange(start.length, start.length);
  text.dispatchEvent(new Event("input", { bubbles: true }));
}

function showState(button, isOn) {
  button.ariaPressed = isOn;
  // While it listens, Escape ends it.
  isOn ? button.setAttribute("data-keys", "Escape") : button.removeAttribute("data-keys");
}

function end(button) {
  dictation = null;
  showState(button, false);
}

function start(button, place) {
  const recognition = new Recognition();
  Object.assign(recognition, { lang: language(), continuous: true, interimResults: true });
  if (place === "device") recognition.processLocally = true;
  dictation = { recognition, button, count: 0 };
  anchor();
  const isCurrent = () => dictation?.recognition === recognition;
  recognition.onresult = (event) => isCurrent() && write(event);
  recognition.onend = () => isCurrent() && end(button);
  recognition.onerror = ({ error }) => {
    if (!/^(no-speech|aborted)$/.test(error)) tell(button.dataset[/not-allowed/.test(error) ? "blocked" : "failed"]);
  };
  recognition.start();
  showState(button, true);
  // A keyboard on the screen would cover what is written.
  (matchMedia("(pointer: coarse)").matches ? button : box()).focus();
}

export async function toggle(button) {
  // What was understood last is still written.
  if (dictation) return dictation.recognition.stop();
  if (button.ariaBusy) return;
  const place = await choosePlace(button);
  if (place && button.isConnected && !dictation) start(button, place);
}

addEventListener("chat:page-leave", () => {
  if (!dictation) return;
  const { recognition, button } = dictation;
  end(button);
  recognition.abort();
});
