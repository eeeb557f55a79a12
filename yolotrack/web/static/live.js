// The connection to the server: what it says, and one picture of each stream at a time.

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

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/live`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened(socket);
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.#heard(JSON.parse(data)) : this.#show(data, socket));
    socket.onclose = (event) => this.#closed(event, socket);
    this.#socket = socket;
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

  async #show(data, socket) {
    const length = new DataView(data).getUint32(0);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    try {
      const bitmap = await createImageBitmap(new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }));
      this.dispatchEvent(new CustomEvent("picture", { detail: { header, bitmap } }));
      bitmap.close();
    } finally {
      if (socket.readyState === WebSocket.OPEN)
        socket.send(JSON.stringify({ do: "seen", stream: header.stream, look: header.look }));
    }
  }

  async #closed(event, socket) {
    if (socket !== this.#socket) return;
    this.dispatchEvent(new CustomEvent("lost", { detail: event.reason }));
    const answer = await fetch("/", { method: "HEAD", headers: { Accept: "text/html" } }).catch(() => null);
    if (answer?.status === 401) return location.reload(); // the server began anew: it asks for the token
    setTimeout(() => this.connect(), this.#pause);
    this.#pause = Math.min(2 * this.#pause, LATEST);
  }
}
