/* What is left of the time to a moment ahead: <time datetime="ISO 8601" data-until> in words, "1 min 08 s", and
   <progress data-began data-until> as a bar, which is full only when the page is told so. */
const [minute, second] = document.body.dataset.units.split(" ").slice(-2);
const NEARLY = 0.98; // of the bar: an estimate never says that it is done

function words(seconds) {
  const m = Math.floor(seconds / 60);
  const s = seconds % 60;
  return m ? `${m} ${minute} ${String(s).padStart(2, "0")} ${second}` : `${s} ${second}`;
}

function refresh() {
  if (document.hidden) return;
  const now = new Date();
  for (const element of document.querySelectorAll("time[data-until]")) {
    const left = words(Math.max(0, Math.ceil((new Date(element.dateTime) - now) / 1000)));
    if (element.textContent !== left) element.textContent = left;
  }
  for (const bar of document.querySelectorAll("progress[data-until]")) {
    const began = new Date(bar.dataset.began);
    bar.value = Math.min(NEARLY, Math.max(0, (now - began) / (new Date(bar.dataset.until) - began)));
  }
}

refresh();
setInterval(refresh, 1000);
document.addEventListener("htmx:load", refresh);
