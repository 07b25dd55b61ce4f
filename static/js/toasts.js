/* Toasts go by themselves after a while, but not under the pointer or the focus, and when they are dismissed. */
const STAY = 8000; // ms

const toasts = document.getElementById("toasts");

function goAfter(toast, time) {
  setTimeout(() => {
    if (toast.matches(":hover, :focus-within")) goAfter(toast, 2000);
    else toast.remove();
  }, time);
}

for (const toast of toasts.querySelectorAll(".toast")) goAfter(toast, STAY);
new MutationObserver((changes) => {
  for (const change of changes) {
    for (const node of change.addedNodes) if (node instanceof Element) goAfter(node, STAY);
  }
}).observe(toasts, { childList: true });

document.addEventListener("click", (event) => {
  event.target.closest("[data-dismiss]")?.closest(".toast, .notice")?.remove();
});
