/* Says when the page's live socket is gone, and keeps trying to open it again, whatever it was closed with. */
const PATIENCE = 700; // ms before anything is said: a short break, or leaving the page, is nobody's business
const RETRIED_BY_HTMX = [1006, 1011, 1012, 1013];

const banner = document.getElementById("connection");
const down = new Set(); // elements whose socket is closed
let timer = null;

const delay = (tries) => Math.min(500 * 2 ** tries, 4000) * (0.5 + Math.random() / 2); // ms, at most 4 s
htmx.config.wsReconnectDelay = delay;

function show() {
  timer = null;
  banner.hidden = down.size === 0;
}

document.addEventListener("htmx:wsClose", ({ target, detail }) => {
  if (!target.isConnected) return;
  down.add(target);
  timer ??= setTimeout(show, PATIENCE);
  if (!RETRIED_BY_HTMX.includes(detail.event.code)) {
    setTimeout(() => target.isConnected && detail.socketWrapper.reconnect(), delay(3));
  }
});

document.addEventListener("htmx:wsOpen", ({ target }) => {
  down.delete(target);
  for (const element of down) if (!element.isConnected) down.delete(element);
  if (down.size === 0) banner.hidden = true;
});
