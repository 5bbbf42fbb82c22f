// The list of conversations goes and comes at once; the site keeps it meanwhile. The focus is not lost with it.

addEventListener("submit", ({ submitter }) => {
  if (submitter?.name !== "sidebar") return;
  document.documentElement.dataset.sidebar = submitter.value;
  if (document.activeElement.checkVisibility()) return;
  [...document.querySelectorAll(".sidebar-toggle")].find((each) => each.checkVisibility()).focus();
});
