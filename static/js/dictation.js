// Where the browser turns speech into text there is a button for it; what it does is loaded with the first click.

if (isSecureContext && (window.SpeechRecognition ?? window.webkitSpeechRecognition)) document.documentElement.classList.add("can-dictate");

addEventListener("click", ({ target }) => {
  if (target.matches?.(".dictate")) import("./js/on_demand/dictation.js").then(({ toggle }) => toggle(target));
});
