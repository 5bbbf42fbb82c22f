// Asks before something leaves the device, or interrupts, in the place where errors are told. The answer is a preference.

const place = () => document.getElementById("notice");

// Says something in that place.
export function tell(words) {
  const line = document.createElement("p");
  line.className = "notice quiet";
  line.textContent = words;
  place()?.replaceChildren(line);
}

export function remember({ name, url }, value) {
  return htmx.ajax("POST", url, { source: document.body, target: "#announcer", swap: "none", values: { [name]: value } });
}

// Shows the question of an address. Resolves with the value of the button that was pressed, if one was.
export async function ask(address, prepare = () => {}, takesFocus = true) {
  await htmx.ajax("GET", address, { source: document.body, target: place(), swap: "innerHTML show:none" });
  const question = place()?.querySelector(".permission");
  if (!question) return "";
  prepare(question);
  if (takesFocus) question.querySelector("button:not([hidden])").focus();
  return new Promise((resolve) => {
    question.addEventListener("click", ({ target }) => {
      const button = target.closest("button");
      if (!button) return;
      question.remove();
      if (button.matches(".remembered")) remember(question.dataset, button.value);
      resolve(button.value);
    });
  });
}
