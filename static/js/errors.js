/* A request of htmx that failed says so in a toast: with the server's sentence where it sent one, else with ours. */
const LONGEST = 300; // characters of a server's sentence; more is not a sentence

const toasts = document.getElementById("toasts");
const template = document.getElementById("error-toast");

function say(sentence) {
  const last = toasts.lastElementChild?.querySelector("p");
  if (last?.textContent === sentence) return;
  const toast = template.content.firstElementChild.cloneNode(true);
  toast.querySelector("p").textContent = sentence;
  toasts.append(toast);
}

function sentByServer(xhr) {
  const type = xhr.getResponseHeader("Content-Type") ?? "";
  if (type.startsWith("text/plain") && xhr.responseText.length <= LONGEST) return xhr.responseText.trim();
  if (!type.startsWith("application/json")) return "";
  try {
    const { detail } = JSON.parse(xhr.responseText);
    return typeof detail === "string" ? detail : "";
  } catch (error) {
    if (error instanceof SyntaxError) return "";
    throw error;
  }
}

function ours(status) {
  const words = toasts.dataset;
  if (status >= 500) return words.fault;
  if (status === 401 || status === 403) return words.forbidden;
  if (status === 404 || status === 410) return words.missing;
  return words.refused;
}

document.addEventListener("htmx:responseError", ({ detail: { xhr } }) => {
  say(sentByServer(xhr) || ours(xhr.status));
});
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () => say(toasts.dataset.unreachable));
}
