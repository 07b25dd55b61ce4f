/* Numbers that move: the socket sends only those that changed, as JSON, {"system-cpu": "18"}. They go to the
   [data-figure] of that name: into its text, or into a bar's value. One with data-point is told that it is due. */
const BAR = "PROGRESS";

function show(element, value) {
  if (element.dataset.point !== undefined) {
    if (element.dataset.point === value) return;
    element.dataset.point = value;
    htmx.trigger(element, "due");
  } else if (element.tagName === BAR) {
    element.value = Number(value);
  } else if (element.textContent !== value) {
    element.textContent = value;
  }
}

document.addEventListener("htmx:wsBeforeMessage", (event) => {
  const { message } = event.detail;
  if (!message.startsWith("{")) return;
  event.preventDefault(); // it is no HTML
  for (const [name, value] of Object.entries(JSON.parse(message))) {
    for (const element of document.querySelectorAll(`[data-figure="${name}"]`)) show(element, value);
  }
});
