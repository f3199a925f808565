// A serial terminal in a notebook: the browser's half of terminal.py, as an anywidget (xterm/xterm.mjs stands before it and names Terminal).
//
// The line's output is a stream with positions.  A view knows how far it has read; a message says from where to where it goes, so a view
// takes what it lacks and never anything twice.  One that has missed something, or whose page was too slow, forgets and asks again:
// it gets the end of the stream, which is what a person would look at.

const TOO_MUCH = 2 << 20; // bytes not yet interpreted: this page cannot follow
const ASK_AGAIN_MS = [2000, 4000, 8000, 16000, 32000]; // a kernel that was busy, or a message that was lost

// Questions of the guest that xterm.js answers: where the cursor is, what the terminal can do, which colours it has.  With several views
// one may answer; and none while it reads what was said before it was there, or the guest would get answers as if they were typed.
const QUESTIONS = {
  csi: [{ final: "n" }, { prefix: "?", final: "n" }, { final: "c" }, { prefix: ">", final: "c" }, { prefix: "=", final: "c" },
    { intermediates: "$", final: "p" }, { prefix: "?", intermediates: "$", final: "p" }],
  dcs: [{ intermediates: "$", final: "q" }],
  osc: [4, 10, 11, 12],
};

const COPY = (e) => e.ctrlKey && e.shiftKey && e.code === "KeyC";
const PASTE = (e) => e.ctrlKey && e.shiftKey && e.code === "KeyV";

class SerialView {
  constructor(model, el) {
    this.model = model;
    this.id = crypto.getRandomValues(new Uint32Array(2)).join("-");
    this.at = -1; // position in the stream; -1: has nothing yet
    this.pending = 0;
    this.replaying = false;
    this.leads = false;
    this.lifetime = new AbortController();
    const { signal } = this.lifetime;

    this.root = document.createElement("div");
    this.root.className = "pyv86-terminal";
    this.root.dataset.lmSuppressShortcuts = "true";
    this.line = document.createElement("div");
    this.line.className = "pyv86-terminal-line";
    this.line.textContent = model.get("title");
    el.append(this.root, this.line);

    const font = getComputedStyle(document.documentElement).getPropertyValue("--jp-code-font-family").trim();
    this.terminal = new Terminal({
      cols: model.get("columns"),
      rows: model.get("rows"),
      scrollback: model.get("scrollback"),
      fontFamily: font || "monospace",
      fontSize: 13,
      minimumContrastRatio: 1, // the guest's colours as they are
      theme: { background: "#101216", foreground: "#d6d9de" },
    });
    this.terminal.open(this.root);
    this.terminal.onData((text) => this.send({ t: "data", text }));
    this.terminal.onBinary((text) => this.send({ t: "bytes" }, [Uint8Array.from(text, (c) => c.charCodeAt(0))]));
    this.terminal.attachCustomKeyEventHandler((e) => this.key(e));
    this.keepQuestions();

    // xterm.js stops the keys it takes; the rest, and all key-ups, must not reach JupyterLab either
    for (const type of ["keydown", "keyup", "keypress", "paste", "copy", "contextmenu"]) {
      this.root.addEventListener(type, (e) => e.stopPropagation(), { signal });
    }
    this.root.addEventListener("focusin", () => this.send({ t: "focus" }), { signal });
    window.addEventListener("pagehide", () => this.send({ t: "gone" }), { signal });
    this.onMessage = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.onMessage);
    this.ask(0);
  }

  /** Ask for the stream, until it comes. */
  ask(attempt) {
    clearTimeout(this.timer);
    if (this.lifetime.signal.aborted || this.at >= 0) return;
    this.send({ t: "ready" });
    if (attempt < ASK_AGAIN_MS.length) this.timer = setTimeout(() => this.ask(attempt + 1), ASK_AGAIN_MS[attempt]);
  }

  remove() {
    this.send({ t: "gone" });
    this.lifetime.abort();
    this.model.off("msg:custom", this.onMessage);
    this.terminal.dispose();
  }

  send(message, buffers) {
    try {
      this.model.send({ ...message, c: this.id }, undefined, buffers);
    } catch (error) {
      console.debug("pyv86_nb: not sent, the kernel is gone", error);
    }
  }

  /** Whether xterm.js shall see the key. */
  key(e) {
    if (PASTE(e)) return false; // the browser raises its paste event, which xterm.js takes
    if (!COPY(e)) return true;
    e.preventDefault();
    if (e.type === "keydown") navigator.clipboard?.writeText(this.terminal.getSelection()).catch(() => {});
    return false;
  }

  keepQuestions() {
    const { parser } = this.terminal;
    const silent = () => this.replaying || !this.leads; // true: dealt with, no answer
    for (const id of QUESTIONS.csi) parser.registerCsiHandler(id, silent);
    for (const id of QUESTIONS.dcs) parser.registerDcsHandler(id, silent);
    for (const id of QUESTIONS.osc) parser.registerOscHandler(id, (data) => data.includes("?") && silent());
  }

  receive(message, buffers) {
    if (message.k === "say") {
      this.line.textContent = message.text;
      return;
    }
    this.leads = message.leader === this.id;
    if (message.k !== "text") return;
    const { from, to, fresh, only, note } = message;
    if (only && only !== this.id) return;
    if (fresh) this.begin(from, note);
    if (this.at < 0 || (to <= this.at && !fresh)) return;
    if (from > this.at || this.pending > TOO_MUCH) {
      this.at = -1;
      if (!this.pending) this.ask(0);
      return;
    }
    const [{ buffer, byteOffset, byteLength }] = buffers;
    this.write(new Uint8Array(buffer, byteOffset, byteLength).slice(this.at - from), to, fresh);
  }

  begin(from, note) {
    this.terminal.reset();
    this.terminal.write(note);
    this.at = from;
    this.replaying = true;
  }

  write(bytes, to, replay) {
    this.at = to;
    this.pending += bytes.length;
    this.terminal.write(bytes, () => {
      this.pending -= bytes.length;
      if (replay) this.replaying = false;
      if (!this.pending && this.at < 0) this.ask(0);
      else this.send({ t: "ack", at: to });
    });
  }
}

export default {
  render({ model, el }) {
    const view = new SerialView(model, el);
    return () => view.remove();
  },
};
