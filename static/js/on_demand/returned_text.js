// After something was done with the waiting message one goes on in the box, where its text may be again.

export function goOn() {
  const text = document.getElementById("text");
  const returned = document.getElementById("returned");
  if (returned) {
    text.value = [returned.textContent, text.value].filter(Boolean).join("\n\n");
    returned.remove();
    htmx.trigger(text, "input");
  } else if (matchMedia("(pointer: coarse)").matches) return;
  text?.focus();
}
