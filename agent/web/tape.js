// The bar under a recording: play, hold, scrub. `send` hands a message to the server.

const SEEK_MS = 80; // while a finger drags, so many milliseconds apart
const $ = (id) => document.getElementById(id);
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

export class TapeBar {
  constructor(send) {
    Object.assign(this, { send, tape: null, rate: 0, isHeld: false, sent: 0 });
    $("play").addEventListener("click", () => this.#toggle());
    $("rate").addEventListener("change", () => { if (this.rate) this.#play(Number($("rate").value)); });
    $("time").addEventListener("input", () => {
      this.isHeld = true;
      this.#tell(Number($("time").value));
      const now = performance.now();
      if (now - this.sent < SEEK_MS) return;
      this.sent = now;
      this.#seek();
    });
    $("time").addEventListener("change", () => { this.isHeld = false; this.#seek(); });
    addEventListener("keydown", (event) => {
      if (!this.tape || event.target.matches("input, select, button, canvas")) return;
      const step = { ArrowLeft: -5, ArrowRight: 5, ",": -0.1, ".": 0.1 }[event.key];
      if (event.key === " ") this.#toggle();
      else if (step) { $("time").value = Number($("time").value) + step; this.#seek(); } else return;
      event.preventDefault();
    });
  }

  // What there is to play; null hides the bar.
  load(tape) {
    this.tape = tape;
    $("tape").hidden = !tape;
    document.body.classList.toggle("taped", Boolean(tape));
    if (!tape) return;
    document.title = `${tape.name} – Nod`;
    $("time").max = tape.end_s - tape.start_s;
  }

  // Where the server is with it.
  show({ time_s, rate }) {
    this.rate = rate;
    $("play").textContent = rate ? "❙❙" : "▶";
    $("play").setAttribute("aria-label", rate ? "hold" : "play");
    $("play").setAttribute("aria-pressed", Boolean(rate));
    if (this.isHeld || !this.tape) return;
    $("time").value = time_s - this.tape.start_s;
    this.#tell(time_s - this.tape.start_s);
  }

  #tell(seconds) {
    $("clock").textContent = `${clock(seconds)} / ${clock(this.tape.end_s - this.tape.start_s)}`;
  }
  #toggle() { this.#play(this.rate ? 0 : Number($("rate").value)); }
  #play(rate) { this.send({ type: "play", rate }); }
  #seek() { this.send({ type: "seek", time_s: this.tape.start_s + Number($("time").value) }); }
}
