/* The values of a [data-chart] under the pointer, and by the arrow keys. Its values stand in data-values, one list a
   line, divided by |; times follow from data-begin and data-step, in seconds. */
const language = document.documentElement.lang;
const clock = new Intl.DateTimeFormat(language, { timeStyle: "medium", hourCycle: "h23" });
const dayAndClock = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const LONG = 60; // seconds a point from which on its day is said too
const KEYS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

class Chart {
  constructor(figure) {
    this.figure = figure;
    this.cursor = figure.querySelector("[data-cursor]");
    this.readout = figure.querySelector("[data-readout]");
    this.now = this.readout.innerHTML;
    this.begin = Number(figure.dataset.begin);
    this.step = Number(figure.dataset.step);
    this.lines = figure.dataset.values.split("|").map((line) => line.split(" "));
    this.last = this.lines[0].length - 1;
    this.at = null;
    const drawing = figure.querySelector("svg");
    drawing.addEventListener("pointermove", (event) => {
      const box = drawing.getBoundingClientRect();
      const inset = parseFloat(getComputedStyle(drawing).paddingInlineStart);
      this.show(Math.round(((event.clientX - box.left - inset) / (box.width - inset)) * (this.last + 1) - 0.5));
    });
    drawing.addEventListener("pointerleave", () => document.activeElement === drawing || this.rest());
    drawing.addEventListener("blur", () => this.rest());
    drawing.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.rest();
      const move = KEYS[event.key];
      if (move === undefined) return;
      event.preventDefault();
      this.show((this.at ?? (move > 0 ? -1 : this.last + 1)) + move);
    });
  }

  show(wanted) {
    this.at = Math.min(Math.max(wanted, 0), this.last);
    const x = `${((this.at + 0.5) / (this.last + 1)) * 100}%`;
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    this.figure.dataset.shown = "";
    const then = new Date((this.begin + this.at * this.step) * 1000);
    const when = (this.step < LONG ? clock : dayAndClock).format(then);
    const names = this.figure.dataset.names.split("|");
    const values = this.lines.map((line, number) => `${names[number]} ${line[this.at]}`.trim());
    this.readout.textContent = `${values.join(" · ")} ${this.figure.dataset.unit} · ${when}`;
  }

  rest() {
    this.at = null;
    delete this.figure.dataset.shown;
    this.readout.innerHTML = this.now;
  }
}

const charts = new WeakSet();

function begin() {
  for (const figure of document.querySelectorAll("[data-chart]")) {
    if (charts.has(figure)) continue;
    charts.add(figure);
    new Chart(figure);
  }
}

begin();
document.addEventListener("htmx:load", begin);
