// The title of a tab that is not looked at says how many answers are new; a notification may say so, too.

function countNew({ type }) {
  const count = document.hidden && document.querySelectorAll(".row-unread").length;
  const title = document.title.replace(/^\(\d+\) /, "");
  document.title = count ? `(${count}) ${title}` : title;
  if (count) import("./js/on_demand/notification.js").then(({ begin }) => begin(type));
}

addEventListener("htmx:finally:swap", countNew);
document.addEventListener("visibilitychange", countNew);
