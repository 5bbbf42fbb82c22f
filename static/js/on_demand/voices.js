// The voices of the browser. Those of the device come first: others send the text to whoever made the browser.

const PAUSE = 1000;
const base = (language) => language.toLowerCase().split(/[-_]/)[0];

// Some browsers have to look for them first.
async function listVoices() {
  if (!speechSynthesis.getVoices().length) {
    await new Promise((resolve) => {
      speechSynthesis.addEventListener("voiceschanged", resolve, { once: true });
      setTimeout(resolve, PAUSE);
    });
  }
  return speechSynthesis.getVoices();
}

// The one of the reader's country, or else the usual one.
function choose(voices, language) {
  const able = voices.filter((voice) => base(voice.lang) === base(language));
  return able.find((voice) => navigator.languages.includes(voice.lang.replace("_", "-"))) ?? able.find((voice) => voice.default) ?? able[0];
}

export async function findVoice(language) {
  const voices = await listVoices();
  return choose(voices.filter((voice) => voice.localService), language) ?? choose(voices, language);
}
