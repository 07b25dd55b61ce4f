/* Times that keep themselves true, from <time datetime="ISO 8601">:
   data-ago "12 min ago", data-since "2 h 14 min",
   data-local "13:18", data-local="seconds" "13:18:01", data-local="day" "Today 13:18",
   data-local="date" "24 Nov", data-local="moment" "24 Nov 13:18". */
const DAY = 86400; // seconds
const LIVE = "time[data-ago], time[data-since], time[data-local=day], time[data-local]:not([title])";

const language = document.documentElement.lang;
const [day, hour, minute, second] = document.body.dataset.units.split(" ");
const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clockSeconds = new Intl.DateTimeFormat(language, { timeStyle: "medium", hourCycle: "h23" });
const weekday = new Intl.DateTimeFormat(language, { weekday: "short" });
const date = new Intl.DateTimeFormat(language, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "medium", hourCycle: "h23" });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });

/* The largest two units, or only the first: 8040 -> "2 h 14 min". */
function span(seconds, units) {
  const pad = (number) => String(number).padStart(2, "0");
  const d = Math.floor(seconds / DAY);
  const h = Math.floor(seconds / 3600) % 24;
  const m = Math.floor(seconds / 60) % 60;
  const s = seconds % 60;
  const parts = d
    ? [`${d} ${day}`, `${h} ${hour}`]
    : h
      ? [`${h} ${hour}`, `${pad(m)} ${minute}`]
      : m
        ? [`${m} ${minute}`, `${pad(s)} ${second}`]
        : [`${s} ${second}`];
  return parts.slice(0, units).join(" ");
}

function dayOf(then, now) {
  const midnight = (moment) => new Date(moment.getFullYear(), moment.getMonth(), moment.getDate());
  const days = Math.round((midnight(now) - midnight(then)) / (DAY * 1000));
  if (days === 0 || days === 1) {
    const word = relative.format(-days, "day");
    return word.charAt(0).toLocaleUpperCase(language) + word.slice(1);
  }
  return days > 1 && days < 7 ? weekday.format(then) : date.format(then);
}

function text({ dataset }, then, now) {
  const seconds = Math.max(0, Math.floor((now - then) / 1000)); // a clock that is behind shows 0, not the future
  if ("ago" in dataset) return document.body.dataset.ago.replace("%s", span(seconds, 1));
  if ("since" in dataset) return span(seconds, 2);
  if (dataset.local === "seconds") return clockSeconds.format(then);
  if (dataset.local === "date") return date.format(then);
  if (dataset.local === "moment") return `${date.format(then)} ${clock.format(then)}`;
  if (dataset.local === "day") return `${dayOf(then, now)} ${clock.format(then)}`;
  return clock.format(then);
}

function refresh() {
  if (document.hidden) return;
  const now = new Date();
  for (const element of document.querySelectorAll(LIVE)) {
    const then = new Date(element.dateTime);
    if (Number.isNaN(then.getTime())) continue;
    const words = text(element, then, now);
    if (element.textContent !== words) element.textContent = words;
    if (!element.title) element.title = full.format(then);
  }
}

refresh();
setInterval(refresh, 1000);
document.addEventListener("visibilitychange", refresh);
document.addEventListener("htmx:load", refresh);
