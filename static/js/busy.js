/* While a form is on its way its button turns and cannot be pressed again. data-not-busy on a form leaves it out. */
const LEAVING = ["HX-Redirect", "HX-Refresh", "HX-Location"]; // the answer leads elsewhere: stay busy until then

const icon = document.getElementById("busy-icon");
const sent = new WeakMap(); // a request of htmx -> the button that sent it

function begin(button) {
  if (!button || button.matches("[aria-busy=true]")) return;
  button.setAttribute("aria-busy", "true");
  button.disabled = true;
  button.prepend(icon.content.cloneNode(true));
}

function end(button) {
  button.removeAttribute("aria-busy");
  button.disabled = false;
  button.querySelector(".loader")?.remove();
}

const submitButton = (event, form) => event.submitter ?? form.querySelector("button:not([type=button])");

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.getAttribute("method") === "dialog" || "notBusy" in form.dataset) return;
  // after this event, because a disabled button's own name and value are not sent
  setTimeout(() => begin(submitButton(event, form)));
});

document.addEventListener("htmx:beforeRequest", ({ detail: { elt, xhr, requestConfig } }) => {
  const event = requestConfig.triggeringEvent;
  if ("notBusy" in elt.dataset) return;
  const button = elt.matches("button") ? elt : event?.type === "submit" ? submitButton(event, elt) : null;
  if (!button) return;
  sent.set(xhr, button);
  begin(button);
});

document.addEventListener("htmx:afterRequest", ({ detail: { xhr } }) => {
  const button = sent.get(xhr);
  if (button && !LEAVING.some((header) => xhr.getResponseHeader(header))) end(button);
});

window.addEventListener("pageshow", (event) => {
  if (event.persisted) document.querySelectorAll("button[aria-busy=true]").forEach(end);
});
