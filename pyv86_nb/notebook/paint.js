// Painting: what the guest's screen looks like, kept in the browser and drawn into a canvas.
//
// A Painter holds the last known video state (see frames.py for the messages) and draws what differs from what is on the canvas.
// Messages only change the state; one animation frame later the newest state is painted, so frames that arrive faster than the
// browser can show them cost nothing and the latest always wins.  Cursor and character blinking happen here, without messages:
// the VGA divides its vertical retrace by 16 for the cursor and by 32 for characters (70 Hz in text modes).
//
// Not emulated: smooth scrolling, the split screen and underlining (MDA attribute 1) of text modes.

const RETRACE_MS = 1000 / 70.09;
const CURSOR_HALF_MS = 8 * RETRACE_MS;
const CHARACTER_HALF_MS = 16 * RETRACE_MS;
const SHOWN_NOTHING = 0xffffffff; // no cell looks like this
const HIDDEN = 1 << 16; // the character is in the dark half of its blinking
const CURSOR = 1 << 17; // the cursor is on this cell and lit

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

async function inflate(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Opaque pixels as one 32-bit word each, in the byte order of ImageData on this host. */
function coloursOf(rgb) {
  const pixels = new Uint8ClampedArray((rgb.length / 3) * 4);
  for (let i = 0, o = 0; i + 2 < rgb.length; i += 3, o += 4) {
    pixels[o] = rgb[i];
    pixels[o + 1] = rgb[i + 1];
    pixels[o + 2] = rgb[i + 2];
    pixels[o + 3] = 255;
  }
  return new Uint32Array(pixels.buffer);
}

class Painter {
  /** surface: {resize(w, h), put(image, x, y, w, h), show()}; visible(): does anybody look? */
  constructor(surface, visible) {
    this.surface = surface;
    this.visible = visible;
    this.running = false; // a stopped machine's cursor does not blink
    this.kind = null;
    this.mode = "";
    this.width = this.height = 0;
    this.palette = new Uint32Array(256).fill(0xff000000);
    this.font = null;
    this.cells = null;
    this.shown = new Uint32Array(0);
    this.scheduled = 0;
    this.timer = 0;
    this.frames = 0; // painted, for tests and curiosity
  }

  /** Take one message; resolves when the state holds it. Call in order. */
  async take(message, buffers) {
    const parts = buffers.map(bytesOf);
    if (message.k === "text") this.takeText(message, parts);
    else await this.takeGraphics(message, parts);
    this.mode = message.mode;
    this.schedule();
  }

  setSize(kind, width, height) {
    if (this.kind === kind && this.width === width && this.height === height) return;
    this.kind = kind;
    this.width = width;
    this.height = height;
    this.image = new ImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.pixels.fill(0xff000000);
    this.indices = kind === "indices" ? new Uint8Array(width * height) : null;
    this.dirty = [0, 0, width, height];
    this.shown.fill(SHOWN_NOTHING);
    this.surface.resize(width, height);
  }

  takeText(m, parts) {
    this.setSize("text", m.cols * m.cw, m.rows * m.ch);
    for (const [i, part] of m.has.entries()) {
      if (part === "font") {
        this.font = this.unpackFont(parts[i], m.glyphs * m.cw * m.ch);
        this.twoFonts = m.glyphs > 256;
      } else if (part === "palette") this.palette = coloursOf(parts[i]);
      else this.cells = new Uint16Array(parts[i].slice().buffer);
      if (part !== "cells") this.shown.fill(SHOWN_NOTHING);
    }
    if (this.shown.length !== m.rows * m.cols) this.shown = new Uint32Array(m.rows * m.cols).fill(SHOWN_NOTHING);
    if (this.text && this.text.blink !== m.blink) this.shown.fill(SHOWN_NOTHING); // attribute bit 7 means something else
    if (this.text && (this.text.cw !== m.cw || this.text.cursor.join() !== m.cursor.join())) {
      // a cursor of another shape on the same cell looks the same to `shown`
      const at = this.text.cursor[0] * this.text.cols + this.text.cursor[1];
      if (at < this.shown.length) this.shown[at] = SHOWN_NOTHING;
      this.cursorSince = performance.now(); // a cursor that moves is lit, as people expect of an echo
    }
    this.text = { cols: m.cols, rows: m.rows, cw: m.cw, ch: m.ch, cursor: m.cursor, blink: m.blink };
    this.blinks = m.cursor[4] || (m.blink && this.cells && this.cells.some((cell) => cell & 0x8000));
  }

  unpackFont(packed, length) {
    const font = new Uint8Array(length);
    for (let i = 0; i < length; i++) font[i] = (packed[i >> 3] >> (7 - (i & 7))) & 1;
    return font;
  }

  async takeGraphics(m, parts) {
    this.setSize(m.k, m.w, m.h);
    this.blinks = false;
    if (m.has.length) this.palette = coloursOf(parts[0]);
    for (const [i, [x, y, w, h, packed]] of m.rects.entries()) {
      const part = parts[m.has.length + i];
      const data = packed ? await inflate(part) : part;
      if (m.k === "indices") {
        for (let row = 0; row < h; row++) this.indices.set(data.subarray(row * w, row * w + w), (y + row) * this.width + x);
      } else {
        const colours = coloursOf(data);
        for (let row = 0; row < h; row++) this.pixels.set(colours.subarray(row * w, row * w + w), (y + row) * this.width + x);
      }
      this.soil(x, y, w, h);
    }
    if (m.has.length) this.soil(0, 0, m.w, m.h);
  }

  soil(x, y, w, h) {
    const d = this.dirty;
    this.dirty = d ? [Math.min(d[0], x), Math.min(d[1], y), Math.max(d[2], x + w), Math.max(d[3], y + h)] : [x, y, x + w, y + h];
  }

  schedule() {
    if (!this.scheduled && this.visible()) this.scheduled = requestAnimationFrame(() => this.paint());
  }

  stop() {
    cancelAnimationFrame(this.scheduled);
    clearTimeout(this.timer);
    this.scheduled = this.timer = 0;
  }

  paint() {
    this.scheduled = 0;
    clearTimeout(this.timer);
    if (!this.kind) return;
    const now = performance.now();
    if (this.kind === "text") {
      if (!this.font || !this.cells) return;
      this.paintText(now);
    } else if (this.kind === "indices") {
      this.paintIndices();
    }
    if (this.dirty) {
      const [x0, y0, x1, y1] = this.dirty;
      this.dirty = null;
      this.surface.put(this.image, x0, y0, x1 - x0, y1 - y0);
      this.surface.show();
      this.frames++;
    }
    if (this.blinks && this.running && this.visible()) {
      const phase = (now - (this.cursorSince || 0)) % CURSOR_HALF_MS; // characters change on every second of these
      this.timer = setTimeout(() => this.schedule(), CURSOR_HALF_MS - phase + 1);
    }
  }

  paintText(now) {
    const { cols, rows, cw, ch, cursor, blink } = this.text;
    const since = now - (this.cursorSince || 0);
    const cursorLit = cursor[4] && cursor[2] <= cursor[3] && (!this.running || Math.floor(since / CURSOR_HALF_MS) % 2 === 0);
    const dark = blink && this.running && Math.floor(since / CHARACTER_HALF_MS) % 2 === 1;
    const cursorAt = cursorLit && cursor[1] < cols && cursor[0] < rows ? cursor[0] * cols + cursor[1] : -1;
    for (let i = 0; i < rows * cols; i++) {
      const cell = this.cells[i];
      const look = cell | (dark && cell & 0x8000 ? HIDDEN : 0) | (i === cursorAt ? CURSOR : 0);
      if (look === this.shown[i]) continue;
      this.shown[i] = look;
      const x = (i % cols) * cw;
      const y = Math.floor(i / cols) * ch;
      this.paintCell(look, x, y);
      this.soil(x, y, cw, ch);
    }
  }

  paintCell(look, x, y) {
    const { cw, ch, cursor, blink } = this.text;
    const attribute = (look >> 8) & 0xff;
    const ink = this.palette[attribute & 15];
    const paper = this.palette[blink ? (attribute >> 4) & 7 : attribute >> 4];
    const glyph = (look & 0xff) | (this.twoFonts && attribute & 8 ? 256 : 0);
    const shape = look & HIDDEN ? paper : ink;
    let from = glyph * cw * ch;
    for (let line = 0; line < ch; line++) {
      const solid = look & CURSOR && line >= cursor[2] && line <= cursor[3];
      let to = (y + line) * this.width + x;
      for (let dot = 0; dot < cw; dot++, from++) this.pixels[to++] = solid ? ink : this.font[from] ? shape : paper;
    }
  }

  paintIndices() {
    if (!this.dirty) return;
    const [x0, y0, x1, y1] = this.dirty;
    for (let y = y0; y < y1; y++) {
      for (let x = x0, i = y * this.width + x0; x < x1; x++, i++) this.pixels[i] = this.palette[this.indices[i]];
    }
  }
}
