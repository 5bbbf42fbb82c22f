// A slider and the number beside it say the same; where the number is empty, the slider is at the default.

export function match(changed) {
  const twin = document.getElementById(changed.dataset.twin);
  if (twin) twin.value = changed.value.replace(",", ".") || twin.dataset.default;
}
