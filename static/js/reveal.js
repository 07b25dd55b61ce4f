/* data-reveal="#id" shows the password in that field, and hides it again. */
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-reveal]");
  if (!button) return;
  const field = document.querySelector(button.dataset.reveal);
  const showing = field.type === "password";
  field.type = showing ? "text" : "password";
  button.toggleAttribute("data-on", showing);
  button.dataset.show ??= button.title;
  button.title = showing ? button.dataset.hide : button.dataset.show;
  button.setAttribute("aria-label", button.title);
});
