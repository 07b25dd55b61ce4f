/* data-copy="#id" copies the text (or the value) of that element, and says so. */
const SHOWN = 2000; // ms that the tick stays

/* The clipboard of a page exists on https and localhost only; elsewhere the old command does it. */
async function copied(text, button) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch (error) {
      if (!(error instanceof DOMException)) throw error; // refused: the old command may still do it
    }
  }
  const area = document.createElement("textarea");
  area.className = "sr";
  area.value = text;
  button.after(area); // beside the button, because an open dialog makes all outside of it inert
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  button.focus();
  return done;
}

function say(sentence) {
  const status = document.getElementById("said");
  if (status) status.textContent = sentence;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  const text = (source.value ?? source.textContent).trim();
  if (await copied(text, button)) {
    const before = button.dataset.label ?? button.title;
    button.dataset.label = before;
    button.dataset.on = "";
    button.title = button.dataset.copied;
    say("");
    say(button.dataset.copied);
    setTimeout(() => {
      delete button.dataset.on;
      button.title = before;
    }, SHOWN);
  } else {
    getSelection().selectAllChildren(source);
    say(button.dataset.byHand);
    button.title = button.dataset.byHand;
  }
});
