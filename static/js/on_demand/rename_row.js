// A row gives its place to the form with its title, for whoever has a mouse: two taps with a finger mean something else.

// The page that the first click opens takes the focus when it is there.
export async function rename(link) {
  if (!matchMedia("(pointer: fine)").matches) return;
  while (document.querySelector(".page.htmx-request")) {
    await new Promise((resolve) => addEventListener("chat:page-open", resolve, { once: true }));
  }
  const row = document.getElementById(link.parentNode.id);
  htmx.ajax("GET", `${link.href}/title`, { source: row, target: row, swap: "outerHTML", push: "false" });
}
