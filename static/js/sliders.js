// A slider and the number beside it say the same; where the number is empty, the slider is at the default.
document.addEventListener("input", ({ target }) => {
  const twin = document.getElementById(target.dataset.twin)
  if (twin) twin.value = target.value.replace(",", ".") || twin.dataset.default
})
