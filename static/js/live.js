/* Nobody looks at a hidden page: its socket, [data-live], rests until it is seen again, and then brings all anew. */
const sockets = new Map(); // element -> the socket of htmx

function say(socket) {
  socket.send(JSON.stringify({ paused: document.hidden }));
}

document.addEventListener("htmx:wsOpen", ({ target, detail: { socketWrapper } }) => {
  if (!target.matches("[data-live]")) return;
  sockets.set(target, socketWrapper);
  if (document.hidden) say(socketWrapper);
});
document.addEventListener("htmx:wsClose", ({ target }) => sockets.delete(target));
document.addEventListener("visibilitychange", () => sockets.forEach(say));
