// The list of conversations goes and comes at once; the site keeps it meanwhile. The focus is not lost with it.

addEventListener("submit", ({ submitter }) => {
  if (submitter?.name !== "sidebar") return;
  document.documentElement.dataset.sidebar = submitter.value;
  document.activeElement.checkVisibility() || document.querySelector(`[name=sidebar]:not([value=${submitter.value}])`).focus();
});
