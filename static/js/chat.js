/* The chat page: Enter sends, the feed follows the text unless one scrolls up, a suggestion fills the composer. */
const NEAR = 48; // px from the end that still count as the end

const feed = document.querySelector("[data-follow]");
const composer = document.querySelector("[data-composer]");
const say = composer?.querySelector("textarea");
let following = true;

function toEnd() {
  feed.scrollTop = feed.scrollHeight;
}

feed.addEventListener("scroll", () => {
  following = feed.scrollHeight - feed.scrollTop - feed.clientHeight < NEAR;
});
new MutationObserver(() => following && toEnd()).observe(feed, {
  childList: true,
  characterData: true,
  subtree: true,
});
new ResizeObserver(() => following && toEnd()).observe(feed); // the keyboard of a phone comes and goes
toEnd();

function send() {
  const button = composer.querySelector("[data-send]"); // while an answer is written there is Stop in its place
  if (button && !button.disabled && say.value.trim()) composer.requestSubmit(button);
}

say?.addEventListener("keydown", (event) => {
  const composing = event.isComposing || event.keyCode === 229; // Enter then takes a word of an input method
  if (event.key !== "Enter" || event.shiftKey || composing) return;
  event.preventDefault();
  if (!event.repeat) send();
});

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target === composer) following = true;
});

document.addEventListener("htmx:afterRequest", ({ target, detail }) => {
  if (target !== composer || !detail.successful) return; // refused: what was typed stays
  say.value = "";
  say.focus();
});

document.addEventListener("click", (event) => {
  const suggestion = event.target.closest("[data-say]");
  if (!suggestion) return;
  say.value = suggestion.dataset.say;
  send();
});

document.getElementById("instance")?.addEventListener("change", ({ target }) => {
  if (say) say.placeholder = say.dataset.writeTo.replace("%s", target.selectedOptions[0].text);
});
