/* <time datetime="ISO 8601" data-until>: the seconds that are left, "20 s". */
const unit = document.body.dataset.units.split(" ").at(-1);

function refresh() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time[data-until]")) {
    const left = Math.max(0, Math.ceil((new Date(element.dateTime) - new Date()) / 1000));
    const words = `${left} ${unit}`;
    if (element.textContent !== words) element.textContent = words;
  }
}

refresh();
setInterval(refresh, 1000);
document.addEventListener("htmx:load", refresh);
