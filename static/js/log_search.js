/* The search in a log, [data-q] being what its lines were searched for: Enter goes to the next hit, Shift+Enter to the
   one before it, Escape back to the end of the log, and / from anywhere on the page into the field.
   Lines that are put before others move nothing that one reads. */
const field = () => document.getElementById("log-search");
const view = () => document.getElementById("log-view");
const hits = () => [...(view()?.querySelectorAll(".log li:has(mark)") ?? [])];

let current = null; // the line of the hit that was gone to
let fromEnd = null; // px from the place that one reads to the end of the list, while earlier lines come

function go(step) {
  const all = hits();
  if (!all.length) return;
  const from = all.indexOf(current);
  const to = from < 0 ? (step > 0 ? 0 : all.length - 1) : (from + step + all.length) % all.length;
  current?.classList.remove("here");
  current = all[to];
  current.classList.add("here");
  current.scrollIntoView({ block: "nearest" });
  const count = document.getElementById("log-count");
  count.dataset.all ||= count.textContent;
  count.textContent = count.dataset.nth.replace("%n", (to + 1).toLocaleString()).replace("%s", count.dataset.all);
}

function leave() {
  field().value = "";
  const level = document.querySelector("#log-levels input");
  if (level) level.value = "";
  field().form.requestSubmit();
}

function begin() {
  current = null;
  const [shown, input] = [view(), field()];
  if (!shown || !input) return;
  delete document.getElementById("log-count").dataset.all;
  if (document.activeElement !== input) input.value = shown.dataset.q;
  const some = hits().length > 0;
  for (const button of document.querySelectorAll("[data-log-step]")) button.hidden = !some;
  shown.querySelector(".here")?.scrollIntoView({ block: "center" });
}

document.addEventListener("keydown", (event) => {
  const { key, target, shiftKey, ctrlKey, metaKey, altKey, isComposing } = event;
  const input = field();
  if (!input || ctrlKey || metaKey || altKey || isComposing) return;
  if (key === "/" && !target.closest("input, textarea, select, [contenteditable], dialog")) {
    event.preventDefault();
    input.focus();
    input.select();
  } else if (target === input && key === "Enter" && input.value === view().dataset.q && input.value) {
    event.preventDefault();
    go(shiftKey ? -1 : 1);
  } else if (target === input && key === "Escape") {
    event.preventDefault();
    leave();
  }
});

document.addEventListener("click", ({ target }) => {
  const button = target.closest?.("[data-log-step]");
  if (button) go(Number(button.dataset.logStep));
});

document.addEventListener("htmx:beforeSwap", ({ target }) => {
  const list = target.id === "log-earlier" ? target.parentElement : null;
  fromEnd = list && list.scrollHeight - list.scrollTop;
});
document.addEventListener("htmx:afterSettle", ({ target }) => {
  if (fromEnd !== null) {
    const list = view().querySelector(".log");
    list.scrollTop = list.scrollHeight - fromEnd;
    fromEnd = null;
  }
  if (target.id === "log-view" || target.id === "instance-log") begin();
});

begin();
