// The screen of a PC in a notebook: the browser's half of pc_view.py, as an anywidget (no build; paint.js and input.js stand before it).
//
// One Screen per widget model and page takes the frames and paints them into the ipycanvas model's own context, so every ipycanvas
// view of it shows them and the whole ipycanvas API still draws on the same picture.  `cm.canvas`, `cm.ctx` and `cm.syncViews` are
// not documented by ipycanvas (0.14 is pinned); where they are missing an own <canvas> takes their place.
// One view per output: a focusable box with the picture and a status line below.

const SILENCE_MS = 3000; // without a sign from the kernel while somebody looks
const LISTEN_MS = 500;
const ASK_AGAIN_MS = [2000, 4000, 8000, 16000, 32000];

class IpycanvasSurface {
  constructor(manager, canvasModel) {
    this.manager = manager;
    this.model = canvasModel;
  }
  resize(width, height) {
    this.model.set({ width, height });
  }
  put(image, x, y, w, h) {
    this.model.ctx.putImageData(image, 0, 0, x, y, w, h);
  }
  show() {
    this.model.syncViews();
  }
  async view() {
    const view = await this.manager.create_view(this.model);
    view.el.tabIndex = -1; // the box has the focus, not the picture
    return { el: view.el, remove: () => view.remove() };
  }
}

class OwnSurface {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
    this.views = new Set();
  }
  resize(width, height) {
    for (const canvas of [this.canvas, ...this.views]) Object.assign(canvas, { width, height });
  }
  put(image, x, y, w, h) {
    this.context.putImageData(image, 0, 0, x, y, w, h);
  }
  show() {
    for (const canvas of this.views) canvas.getContext("2d").drawImage(this.canvas, 0, 0);
  }
  async view() {
    const el = document.createElement("canvas");
    Object.assign(el, { width: this.canvas.width, height: this.canvas.height });
    el.getContext("2d").drawImage(this.canvas, 0, 0);
    this.views.add(el);
    return { el, remove: () => (this.views.delete(el), el.remove()) };
  }
}

async function surfaceFor(model) {
  const reference = String(model.get("canvas") || "");
  if (reference && model.widget_manager) {
    try {
      const canvasModel = await model.widget_manager.get_model(reference.replace(/^IPY_MODEL_/, ""));
      if (canvasModel.ctx && canvasModel.canvas && canvasModel.syncViews) {
        return new IpycanvasSurface(model.widget_manager, canvasModel);
      }
    } catch (error) {
      console.warn("pyv86_nb: no ipycanvas in this page, using an own canvas", error);
    }
  }
  return new OwnSurface();
}

class Screen {
  constructor(model, surface) {
    this.model = model;
    this.surface = surface;
    this.client = crypto.getRandomValues(new Uint32Array(2)).join("-");
    this.views = new Set();
    this.reported = -1;
    this.lastSign = performance.now();
    this.asked = 0;
    this.queue = Promise.resolve();
    this.painter = new Painter(surface, () => this.visible() > 0);
    this.lifetime = new AbortController();
    const { signal } = this.lifetime;

    model.on("msg:custom", (message, buffers) => this.receive(message, buffers));
    model.on("change:status", () => this.showStatus());
    document.addEventListener("visibilitychange", () => this.countViews(), { signal });
    window.addEventListener("pagehide", () => this.send({ t: "views", gone: true }), { signal });
    this.listened = performance.now();
    const watch = setInterval(() => this.listenForKernel(), LISTEN_MS);
    signal.addEventListener("abort", () => clearInterval(watch));
    this.painter.running = !!(model.get("status") || {}).running;
    this.send({ t: "ready" });
  }

  close() {
    this.lifetime.abort();
    this.painter.stop();
  }

  send(message, buffers) {
    try {
      this.model.send({ ...message, c: this.client, v: this.visible() }, undefined, buffers);
    } catch (error) {
      console.debug("pyv86_nb: not sent, the kernel is gone", error); // restarted: the silence below says it
    }
  }

  receive(message, buffers) {
    this.sign();
    if (message.k === "beat") this.send({ t: "ack", n: message.n });
    else if (message.k === "say") this.say(message.text);
    else if (message.k === "focus") this.focus();
    else if (message.k === "download") this.download(message, buffers);
    else {
      this.queue = this.queue
        .then(() => this.painter.take(message, buffers))
        .then(() => this.fitAll())
        .then(() => message.ack && this.send({ t: "ack", n: message.n }))
        .catch((error) => console.error("pyv86_nb frame", error));
    }
  }

  // ---- who looks -----------------------------------------------------------------------------------------------------------

  visible() {
    if (document.hidden) return 0;
    let n = 0;
    for (const view of this.views) n += view.seen;
    return n;
  }

  countViews() {
    const n = this.visible();
    if (n && this.reported <= 0) {
      this.sign();
      this.painter.schedule(); // what changed while nobody looked
    }
    if (n === this.reported) return;
    this.reported = n;
    this.send({ t: "views" });
  }

  // ---- is the kernel there -------------------------------------------------------------------------------------------------

  sign() {
    this.lastSign = performance.now();
    this.asked = 0;
    for (const view of this.views) view.root.classList.remove("pyv86-silent");
  }

  listenForKernel() {
    const late = performance.now() - this.listened - LISTEN_MS;
    this.listened = performance.now();
    if (late > LISTEN_MS) this.lastSign += late; // it was this page that stood still: what has come meanwhile is still to be read
    const { state } = this.model.get("status") || {};
    if (!this.visible() || state === "closed") { // a closed machine has nothing more to say
      this.lastSign = performance.now();
      return;
    }
    const silence = performance.now() - this.lastSign;
    if (silence < SILENCE_MS) return;
    for (const view of this.views) view.root.classList.add("pyv86-silent");
    if (this.asked < ASK_AGAIN_MS.length && silence > SILENCE_MS + ASK_AGAIN_MS[this.asked]) {
      this.asked++;
      this.send({ t: "views" });
    }
  }

  // ---- what views show -----------------------------------------------------------------------------------------------------

  showStatus() {
    this.sign();
    const { running } = this.model.get("status") || {};
    if (this.painter.running !== !!running) {
      this.painter.running = !!running;
      this.painter.schedule();
    }
    for (const view of this.views) view.showStatus();
  }

  fitAll() {
    for (const view of this.views) view.fit();
  }

  say(text) {
    for (const view of this.views) view.say(text);
  }

  /** Give the keyboard back to the view whose toolbar was just used. */
  focus() {
    const used = document.activeElement?.closest(".pyv86-pc");
    if (!used) return;
    for (const view of this.views) if (used.contains(view.box)) view.box.focus({ preventScroll: true });
  }

  download({ name, type }, [data]) {
    if (document.hidden) return; // the same notebook open in another tab
    const url = URL.createObjectURL(new Blob([data], { type }));
    const link = Object.assign(document.createElement("a"), { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }
}

class View {
  constructor(screen, model, el, picture) {
    this.screen = screen;
    this.model = model;
    this.picture = picture;
    this.seen = 0;
    const make = (tag, name, parent) => {
      const node = document.createElement(tag);
      node.className = name;
      parent.append(node);
      return node;
    };
    this.root = make("div", "pyv86-screen", el);
    this.box = make("div", "pyv86-box", this.root);
    this.box.tabIndex = 0;
    this.box.dataset.lmSuppressShortcuts = "true";
    this.box.setAttribute("role", "application");
    this.box.append(picture.el);
    this.message = make("div", "pyv86-message", this.box);
    this.message.setAttribute("role", "status");
    this.line = make("div", "pyv86-status", this.root);
    this.lamp = make("span", "pyv86-lamp", this.line);
    this.parts = ["state", "mode", "time", "speed"].map((name) => make("span", `pyv86-${name}`, this.line));
    this.hint = make("span", "pyv86-hint", this.line);

    this.lifetime = new AbortController();
    const { signal } = this.lifetime;
    const channel = { send: (m, b) => screen.send(m, b), say: (text) => this.say(text) };
    this.input = attachInput(this.box, channel, { capture: () => model.get("mouse_capture") }, signal);
    for (const type of ["focus", "blur"]) this.box.addEventListener(type, () => this.showHint(), { signal });
    document.addEventListener("pointerlockchange", () => this.showHint(), { signal });
    this.onScale = () => this.fit();
    model.on("change:scale", this.onScale);
    this.observer = new IntersectionObserver(([...entries]) => {
      this.seen = entries.at(-1).isIntersecting ? 1 : 0;
      screen.countViews();
    });
    this.observer.observe(this.box);
    screen.views.add(this);
    this.fit();
    this.showStatus();
    this.showHint();
  }

  remove() {
    this.lifetime.abort();
    this.observer.disconnect();
    this.model.off("change:scale", this.onScale);
    this.screen.views.delete(this);
    this.screen.countViews();
    this.picture.remove();
  }

  /** CSS size of the picture. Modes of few dots or few lines were shown on the same glass, so they are doubled. */
  fit() {
    const { width, height, mode } = this.screen.painter;
    if (!width) return;
    const scale = this.model.get("scale");
    const w = width <= 400 ? 2 * width : width;
    const h = height <= 300 ? 2 * height : height;
    const style = this.picture.el.style;
    style.aspectRatio = `${w} / ${h}`;
    style.height = "auto";
    style.width = scale > 0 ? `${w * scale}px` : "100%";
    // whole multiples stay sharp; in between, smoothing looks better than stems of unequal width
    const zoom = (scale > 0 ? scale : this.picture.el.clientWidth / w) * (window.devicePixelRatio || 1);
    style.imageRendering = Math.abs(zoom - Math.round(zoom)) < 0.01 ? "pixelated" : "auto";
    this.root.classList.toggle("pyv86-fit", !(scale > 0));
    this.box.setAttribute("aria-label", `PC screen, ${mode}`);
  }

  showStatus() {
    const status = this.model.get("status") || {};
    this.lamp.dataset.state = status.running ? "running" : "stopped";
    const texts = [status.state, status.mode, status.time, status.speed];
    this.parts.forEach((part, i) => {
      if (part.textContent !== (texts[i] || "")) part.textContent = texts[i] || "";
    });
  }

  showHint() {
    const focused = document.activeElement === this.box;
    this.hint.textContent = this.input.locked()
      ? "mouse captured: Esc releases"
      : focused
        ? "Ctrl+Alt+G releases the keyboard"
        : "click the screen to type";
  }

  say(text) {
    this.message.textContent = text;
    clearTimeout(this.sayTimer);
    this.sayTimer = setTimeout(() => (this.message.textContent = ""), 6000);
  }
}

const screens = new Map(); // by token: initialize and render get different proxies of one model

export default {
  initialize({ model }) {
    const token = model.get("token");
    const screen = surfaceFor(model).then((surface) => new Screen(model, surface));
    screens.set(token, screen);
    return () => {
      screens.delete(token);
      screen.then((s) => s.close());
    };
  },
  async render({ model, el }) {
    const screen = await screens.get(model.get("token"));
    const view = new View(screen, model, el, await screen.surface.view());
    return () => view.remove();
  },
};
