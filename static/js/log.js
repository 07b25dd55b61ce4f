/* The live log of [data-log]. The page brought its end; from data-offset on it comes over a socket, in batches that
   are acknowledged. A line is known by its offset, so that nothing is lost or doubled when the socket breaks.
   It follows only while the view is at the end. That its launch has ended the page learns by itself: [data-ended]. */
const MOST = 5000; // lines kept in the page
const END = 24; // px from the bottom that still count as the end
const ACK_EVERY = 4; // batches; an answer is for all before it too, and eight may be open
const LEVELS = { warning: "warn", error: "err" };
const PATIENCE = 4000; // ms between two attempts, at most

const row = document.createElement("template");
row.innerHTML = "<li><a></a><b></b><span></span></li>";

const offsetOf = (line) => Number(line.id.slice(3));

class Log {
  held = []; // batches that came while it was paused

  constructor(card) {
    this.card = card;
    this.frame = card.closest("section");
    this.list = card.querySelector(".log");
    this.chip = card.querySelector("[data-log-new]");
    this.button = this.frame.querySelector("[data-log-pause]");
    this.next = Number(card.dataset.offset);
    this.lines = new Map([...this.list.querySelectorAll("[id^=at-]")].map((line) => [offsetOf(line), line]));
    this.following = true;
    this.paused = false;
    this.unseen = 0;
    this.tries = 0;
    this.button.hidden = false;
    this.button.addEventListener("click", () => this.pause(!this.paused));
    this.chip.addEventListener("click", () => this.toEnd());
    this.list.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.scrollDown();
    this.connect();
  }

  connect() {
    this.held = []; // the new socket brings them again
    const address = new URL(this.card.dataset.log, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.searchParams.set("offset", this.next);
    this.socket = new WebSocket(address);
    this.socket.addEventListener("open", () => this.say(this.paused ? "paused" : "live"));
    this.socket.addEventListener("message", ({ data }) => this.take(JSON.parse(data)));
    this.socket.addEventListener("close", () => this.again());
  }

  again() {
    if (!this.card.isConnected) return; // a later launch has taken its place
    if (this.ended) return;
    this.say("lost");
    setTimeout(() => this.card.isConnected && this.connect(), Math.min(500 * 2 ** this.tries++, PATIENCE));
  }

  get state() {
    return this.frame.querySelector("[data-log-state]"); // the page may have put a new one there
  }

  get ended() {
    return "ended" in this.state.dataset;
  }

  say(what) {
    const { state } = this;
    const words = state.dataset[what];
    if (this.ended) this.button.hidden = !this.paused;
    else if (state.textContent !== words) state.textContent = words;
  }

  take({ seq, lines, next_offset: next }) {
    this.tries = 0;
    this.say(this.paused ? "paused" : "live");
    if (this.paused) {
      this.held.push({ seq, lines, next }); // not acknowledged: the sender waits
      return;
    }
    this.show(lines);
    this.next = next;
    if (seq % ACK_EVERY === 0) this.socket.send(JSON.stringify({ ack: seq }));
  }

  show(lines) {
    this.look(); // the view may have moved since the last event of it
    const fresh = document.createDocumentFragment();
    let added = 0;
    for (const line of lines) {
      const known = this.lines.get(line.offset);
      if (known) {
        this.write(known, line);
        continue;
      }
      const element = row.content.firstElementChild.cloneNode(true);
      this.write(element, line);
      this.lines.set(line.offset, element);
      fresh.append(element);
      added += 1;
    }
    this.list.append(fresh);
    if (this.following) {
      this.trim();
      this.scrollDown();
    } else if (added) {
      this.unseen += added;
      this.tell();
    }
  }

  write(element, { offset, time, level, text }) {
    const [link, word, words] = element.children;
    element.id = `at-${offset}`;
    element.className = LEVELS[level] ?? "";
    if (time && link.firstChild?.dateTime !== time) {
      const clock = document.createElement("time");
      clock.dateTime = time;
      clock.dataset.local = "seconds";
      clock.textContent = new Date(time).toLocaleTimeString(document.documentElement.lang, { hourCycle: "h23" });
      link.href = this.addressOf(offset);
      link.title = this.card.dataset.link;
      link.replaceChildren(clock);
    }
    if (level === "error") this.tellError(offset);
    const shown = level === "warning" ? "WARN" : level.toUpperCase();
    if (word.textContent !== shown) word.textContent = shown;
    if (words.textContent !== text) words.textContent = text;
  }

  addressOf(offset) {
    return `${this.card.dataset.lines}?at=${offset}#at-${offset}`;
  }

  tellError(offset) {
    const first = this.frame.querySelector("[data-log-error][hidden]");
    if (!first) return;
    first.href = this.addressOf(offset);
    first.hidden = false;
  }

  /* Only while it follows: what one reads does not move. A flood must not fill the page either. */
  trim() {
    let over = this.list.childElementCount - MOST;
    if (over <= 0) return;
    const earlier = this.list.querySelector("#log-earlier");
    for (let oldest; over > 0; over -= 1) {
      oldest = earlier ? earlier.nextElementSibling : this.list.firstElementChild;
      this.lines.delete(offsetOf(oldest));
      oldest.remove();
    }
    if (earlier) this.leadTo(earlier.querySelector("a"), offsetOf(earlier.nextElementSibling));
  }

  leadTo(link, before) {
    link.search = new URLSearchParams({ before });
    link.setAttribute("hx-vals", JSON.stringify({ before }));
  }

  tell() {
    if (this.list.childElementCount > 2 * MOST) this.trim();
    const { one, many } = this.chip.dataset;
    this.chip.textContent = this.unseen === 1 ? one : many.replace("%s", this.unseen.toLocaleString());
    this.chip.hidden = false;
  }

  /* A view that was moved up stays; at the end it follows again. That the text grew is no move. */
  look() {
    const { scrollHeight, scrollTop, clientHeight } = this.list;
    if (scrollTop < this.top - 1) this.following = false;
    if (scrollHeight - scrollTop - clientHeight < END) this.following = true;
    this.top = scrollTop;
  }

  scrolled() {
    this.look();
    if (!this.following) return;
    this.unseen = 0;
    this.chip.hidden = true;
  }

  scrollDown() {
    this.list.scrollTop = this.list.scrollHeight;
    this.top = this.list.scrollTop;
  }

  toEnd() {
    if (this.paused) this.pause(false);
    this.following = true;
    this.trim();
    this.scrollDown();
    this.scrolled();
    this.list.focus();
  }

  pause(on) {
    this.paused = on;
    this.button.setAttribute("aria-pressed", String(on));
    this.button.toggleAttribute("data-on", on);
    const [pause, follow] = this.button.querySelectorAll("span");
    pause.hidden = on;
    follow.hidden = !on;
    this.say(on ? "paused" : "live");
    if (on) return;
    for (const { seq, lines, next } of this.held.splice(0)) this.take({ seq, lines, next_offset: next });
  }
}

const logs = new Map(); // card -> its log

function begin() {
  for (const [card, log] of logs) {
    if (card.isConnected) continue;
    logs.delete(card);
    log.socket.close();
  }
  for (const list of document.querySelectorAll("[data-log-end]")) {
    if (!list.closest("[data-log]")) list.scrollTop = list.scrollHeight; // it has ended: nothing more will come
    list.removeAttribute("data-log-end");
  }
  for (const card of document.querySelectorAll("[data-log]")) {
    if (!logs.has(card)) logs.set(card, new Log(card));
  }
  for (const log of logs.values()) if (log.ended) log.say("ended");
}

begin();
document.addEventListener("htmx:load", begin);
