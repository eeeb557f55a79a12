// The connection to the server: what it says, and one picture of each stream at a time.

import { isWelcome, listen } from "./line.js";
import { decode } from "./stage.js";

const SOONEST = 500;
const LATEST = 5000;
const CLOCK_EVERY = 10000;

export class Live extends EventTarget {
  #socket = null;
  #look = null;
  #looked = "";
  #pause = SOONEST;
  #offset = 0; // the server's clock less this one, in ms
  #roundTrip = Infinity;
  #shown = Promise.resolve(); // once the picture that came last is drawn

  connect() {
    this.#socket = listen("/live", {
      opened: (socket) => this.#opened(socket),
      heard: (data, socket) => (typeof data === "string" ? this.#heard(JSON.parse(data)) : this.#queue(data, socket)),
      lost: ({ reason }) => this.#lost(reason),
    });
  }

  // What is shown from now on; said only when it is something else than before.
  look(look) {
    this.#look = look;
    const said = JSON.stringify({ do: "look", ...look });
    if (said !== this.#looked && this.#say(said)) this.#looked = said;
  }

  // Milliseconds from a moment of the server's clock to now.
  age(moment) {
    return Date.now() + this.#offset - moment;
  }

  #say(text) {
    const open = this.#socket?.readyState === WebSocket.OPEN;
    if (open) this.#socket.send(text);
    return open;
  }

  #opened(socket) {
    this.#looked = "";
    this.#roundTrip = Infinity;
    if (this.#look) this.look(this.#look);
    const ask = () => {
      if (socket.readyState !== WebSocket.OPEN) return;
      this.#say(JSON.stringify({ do: "clock", at: Date.now() }));
      setTimeout(ask, CLOCK_EVERY);
    };
    ask();
  }

  #heard(message) {
    this.#pause = SOONEST;
    if (message.say === "clock") this.#setClock(message);
    else this.dispatchEvent(new CustomEvent(message.say, { detail: message }));
  }

  // The quickest answer knows best: half of its round trip was the way here.
  #setClock({ at, now }) {
    const roundTrip = Date.now() - at;
    if (roundTrip > this.#roundTrip) return;
    this.#roundTrip = roundTrip;
    this.#offset = now - (at + roundTrip / 2);
  }

  // One after the other: a picture may be decoded sooner than the one before.
  #queue(data, socket) {
    this.#shown = this.#shown.then(() => this.#show(data, socket)).catch(console.error);
  }

  async #show(data, socket) {
    const length = new DataView(data).getUint32(0);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    try {
      const bitmap = await decode(new Uint8Array(data, 4 + length));
      this.dispatchEvent(new CustomEvent("picture", { detail: { header, bitmap } }));
      bitmap.close();
    } finally {
      if (socket.readyState === WebSocket.OPEN)
        socket.send(JSON.stringify({ do: "seen", stream: header.stream, look: header.look }));
    }
  }

  async #lost(reason) {
    this.dispatchEvent(new CustomEvent("lost", { detail: reason }));
    if (!(await isWelcome())) return;
    setTimeout(() => this.connect(), this.#pause);
    this.#pause = Math.min(2 * this.#pause, LATEST);
  }
}
