// The page of imports: sends the files of its form, shows how much has arrived, and goes where the site leads. A refusal
// stands above the form. Without this the form sends them by itself.

const notice = () => document.getElementById("notice");

function showError(text) {
  const line = document.createElement("p");
  line.className = "notice";
  line.textContent = text;
  notice().replaceChildren(line);
}

function upload(form) {
  const request = new XMLHttpRequest();
  const bar = form.querySelector("progress");
  const button = form.querySelector("[type=submit]");
  const setBusy = (isBusy) => {
    bar.hidden = !isBusy;
    button.disabled = isBusy;
  };
  notice().replaceChildren();
  bar.value = 0;
  setBusy(true);
  request.upload.addEventListener("progress", ({ loaded, total }) => (bar.value = loaded / total));
  request.addEventListener("load", () => {
    if (request.status < 400) return location.assign(request.responseURL);
    setBusy(false);
    showError(new DOMParser().parseFromString(request.responseText, "text/html").body.textContent.trim());
  });
  request.addEventListener("error", () => {
    setBusy(false);
    showError(document.body.dataset.offline);
  });
  request.open("POST", form.action);
  // A refusal comes as a sentence instead of a page.
  request.setRequestHeader("HX-Request", "true");
  request.send(new FormData(form));
}

addEventListener("submit", (event) => {
  if (!event.target.matches(".upload")) return;
  event.preventDefault();
  upload(event.target);
});
