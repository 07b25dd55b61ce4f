/* A dialog that comes with a fragment, <dialog data-open>, opens at once, and goes when it is closed. */
document.addEventListener("htmx:load", ({ detail: { elt } }) => {
  const dialog = elt.matches("dialog[data-open]") ? elt : elt.querySelector("dialog[data-open]");
  if (!dialog || dialog.open) return;
  dialog.showModal();
  dialog.addEventListener("close", () => dialog.remove());
});
