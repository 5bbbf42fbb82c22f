// The title of a tab that is not looked at says how many answers are new.

function countNew() {
  const count = document.hidden && document.querySelectorAll(".row-unread").length;
  const title = document.title.replace(/^\(\d+\) /, "");
  document.title = count ? `(${count}) ${title}` : title;
}

addEventListener("htmx:finally:swap", countNew);
document.addEventListener("visibilitychange", countNew);
