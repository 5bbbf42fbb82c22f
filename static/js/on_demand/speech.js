// An answer is read aloud, sentence by sentence, by a voice of the browser. The sentence is marked on the page, and kept
// in view for those who follow. Nothing is announced: that would be a second voice.

import { ask, tell } from "./permission.js";
import { readSentences } from "./spoken_text.js";
import { findVoice } from "./voices.js";

const id = (name) => document.getElementById(name);
// What is being read, until it is over.
let reading = null;

function isInView(range) {
  const { top, bottom } = range.getBoundingClientRect();
  return top >= id("main").getBoundingClientRect().top && bottom <= id("composer").getBoundingClientRect().top;
}

// Who has scrolled away reads something else.
function mark(range) {
  const isFollowing = !reading.sentence || isInView(reading.sentence.range);
  if (window.Highlight) CSS.highlights.set("spoken", new Highlight(range));
  if (!isFollowing || isInView(range)) return;
  const main = id("main");
  const { top, height } = main.getBoundingClientRect();
  main.scrollTop += range.getBoundingClientRect().top - top - height / 4;
}

// The voice for a sentence, or none if it may not speak. The words of the page itself are no reason to ask.
async function voiceFor({ language, isOfPage }) {
  const voice = await findVoice(language);
  const { data } = reading;
  if (isOfPage && reading.voice && !voice?.localService) return reading.voice;
  if (!voice) tell(data.noVoice);
  if (!voice || voice.localService || data.question === undefined) return voice;
  if ((await ask(data.question)) !== "any") return null;
  delete data.question;
  return voice;
}

async function speak(sentence) {
  const mine = reading;
  const turn = {};
  Object.assign(mine, { turn, upcoming: sentence });
  const voice = await voiceFor(sentence);
  if (reading !== mine || mine.turn !== turn || mine.isPaused) return;
  if (!voice) return stop();
  mark(sentence.range);
  const utterance = new SpeechSynthesisUtterance(sentence.words);
  utterance.voice = voice;
  utterance.lang = voice.lang;
  const isCurrent = () => reading === mine && mine.utterance === utterance;
  utterance.onend = () => isCurrent() && next();
  utterance.onerror = () => isCurrent() && stop();
  // It is kept: a browser may forget one that nobody holds, and then says nothing at its end.
  Object.assign(mine, { sentence, voice, utterance });
  speechSynthesis.speak(utterance);
}

function next() {
  const { value, done } = reading.sentences.next();
  return done ? stop() : speak(value);
}

function silence() {
  if (reading) reading.utterance = null;
  speechSynthesis.cancel();
}

// A pause ends in the same sentence, from its beginning: not every voice can stop in the middle of a word.
function togglePause({ currentTarget }) {
  reading.isPaused = !reading.isPaused;
  currentTarget.ariaPressed = reading.isPaused;
  reading.isPaused ? silence() : speak(reading.upcoming);
}

function stop() {
  if (!reading) return;
  const { bar, prose } = reading;
  silence();
  reading = null;
  if (window.Highlight) CSS.highlights.delete("spoken");
  const hadFocus = bar.contains(document.activeElement);
  bar.remove();
  document.querySelector("#notice .permission")?.remove();
  if (hadFocus) prose.closest("article")?.querySelector(".more-button")?.focus({ preventScroll: true });
}

export function beginSpeech(entry) {
  stop();
  speechSynthesis.cancel();
  const prose = id(entry.closest("[data-message]").dataset.message).querySelector(".prose");
  const bar = entry.nextElementSibling.content.firstElementChild.cloneNode(true);
  const [pause, end] = bar.querySelectorAll("button");
  pause.addEventListener("click", togglePause);
  end.addEventListener("click", stop);
  id("composer").append(bar);
  pause.focus({ preventScroll: true });
  const data = { ...bar.dataset };
  reading = { prose, bar, data, sentences: readSentences(prose, data.codeIn), sentence: null, isPaused: false };
  next();
}

addEventListener("chat:page-leave", stop);
addEventListener("htmx:after:swap", () => reading && !reading.prose.isConnected && stop());
