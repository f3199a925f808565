// Input: what a person does to the screen, sent to the machine.
//
// Keys travel by `code` (the place on the keyboard, not the letter), down and up, repeats included; the machine's own keyboard
// makes scan codes of them.  While the screen has the focus no key reaches JupyterLab or the page: the default is prevented, the
// event goes no further, and the box carries data-lm-suppress-shortcuts; each alone stops JupyterLab, VS Code needs the second.
// A blur lets go of every key, or a Ctrl held while switching windows would stay down in the guest for ever.
// The mouse is passed on while it is captured (pointer lock), as movements, for a PS/2 mouse knows nothing else.

const MOUSE_EVERY_MS = 8;
const CLICK = 100; // CSS pixels that a click of the wheel scrolls; a pad that is stroked sends many small pieces
const PIXELS = [1, CLICK / 3, 8 * CLICK]; // by WheelEvent.deltaMode: pixels, lines, pages
const LARGEST_DROP = 4 << 20; // no floppy is larger than 2.88 MB

const LEAVE = (e) => e.ctrlKey && e.altKey && e.code === "KeyG";
const PASTE = (e) => (e.ctrlKey || e.metaKey) && e.shiftKey && e.code === "KeyV";

/**
 * box: the focusable element; screen: {send(message, buffers), say(text)}; options: {capture(): may the mouse be captured?}.
 * Returns {locked(): bool}.  Listeners are removed with `signal`.
 */
function attachInput(box, screen, options, signal) {
  const held = new Set();
  let mouse = null; // [dx, dy, dz, buttons] not yet sent
  let buttons = 0; // that the machine was told are down
  let turned = 0; // of the wheel, less than a click
  let timer = 0;

  const locked = () => document.pointerLockElement === box;
  const ours = (e) => {
    e.preventDefault();
    e.stopPropagation();
  };
  const listen = (type, f, more = {}) => box.addEventListener(type, f, { capture: true, signal, ...more });

  function flush() {
    clearTimeout(timer);
    timer = 0;
    if (mouse) screen.send({ t: "mouse", e: mouse });
    mouse = null;
  }
  function key(down, code, repeat) {
    flush(); // keep the order of clicks and keys
    if (down) held.add(code);
    else held.delete(code);
    screen.send({ t: "key", d: down, code, repeat });
  }
  function releaseAll() {
    flush();
    if (held.size || buttons) screen.send({ t: "release" });
    held.clear();
    buttons = 0;
  }
  function leave() {
    releaseAll();
    if (locked()) document.exitPointerLock();
    box.blur();
  }

  listen("keydown", (e) => {
    if (e.isComposing) return;
    if (LEAVE(e)) {
      ours(e);
      leave();
      return;
    }
    if (PASTE(e)) {
      e.stopPropagation(); // but let the browser raise its paste event
      releaseAll();
      return;
    }
    ours(e);
    if (e.code) key(true, e.code, e.repeat);
    else if (e.key.length === 1) screen.send({ t: "paste", text: e.key }); // keyboards on glass have no places
  });
  listen("keyup", (e) => {
    ours(e);
    if (!held.has(e.code)) return; // went down elsewhere, or was let go already
    key(false, e.code, false);
    // macOS swallows the key-ups of everything pressed together with Command
    if (e.code.startsWith("Meta")) releaseAll();
  });
  listen("keypress", ours);
  listen("blur", releaseAll);
  document.addEventListener("visibilitychange", () => document.hidden && releaseAll(), { signal });
  signal.addEventListener("abort", releaseAll);
  // Escape takes the mouse from the machine, with a button perhaps still down
  document.addEventListener("pointerlockchange", () => !locked() && buttons && releaseAll(), { signal });

  function move(e, wheel) {
    mouse = mouse || [0, 0, 0, 0];
    mouse[0] += e.movementX || 0;
    mouse[1] += e.movementY || 0;
    mouse[2] += wheel;
    mouse[3] = buttons = e.buttons; // 1 left, 2 right, 4 middle: as in a PS/2 packet
    if (!timer) timer = setTimeout(flush, MOUSE_EVERY_MS);
  }
  function clicks(e) {
    if (turned * e.deltaY < 0) turned = 0; // it has turned round
    turned += e.deltaY * PIXELS[e.deltaMode];
    const whole = Math.trunc(turned / CLICK);
    turned -= whole * CLICK;
    return whole;
  }
  listen("mousedown", (e) => {
    if (e.button === 0) e.preventDefault(); // no text selection
    box.focus({ preventScroll: true });
  });
  for (const [type, wheel] of [["mousedown", 0], ["mouseup", 0], ["mousemove", 0], ["mouseout", 0], ["wheel", 1]]) {
    listen(type, (e) => {
      e.stopPropagation(); // or ipycanvas sends a message for each; the page may still scroll and show its menu
      if (!locked()) return;
      e.preventDefault();
      move(e, wheel && clicks(e));
      if (type === "mousedown" || type === "mouseup") flush();
    }, { passive: false });
  }
  listen("contextmenu", (e) => locked() && ours(e));
  listen("dblclick", async (e) => {
    ours(e);
    if (locked() || !options.capture()) return;
    try {
      await box.requestPointerLock();
    } catch (error) {
      screen.say("The browser refused to capture the mouse.");
    }
  });
  for (const type of ["touchstart", "touchmove", "touchend", "touchcancel"]) {
    listen(type, (e) => e.stopPropagation(), { passive: true }); // a tap arrives as a click
  }

  listen("paste", (e) => {
    ours(e);
    const text = e.clipboardData.getData("text");
    if (text) screen.send({ t: "paste", text });
  });
  const carriesFiles = (e) => [...(e.dataTransfer?.types || [])].includes("Files");
  listen("dragover", (e) => {
    if (!carriesFiles(e)) return;
    ours(e);
    box.classList.add("pyv86-drop");
  });
  listen("dragleave", () => box.classList.remove("pyv86-drop"));
  listen("drop", async (e) => {
    box.classList.remove("pyv86-drop");
    if (!carriesFiles(e)) return;
    ours(e);
    const [file] = e.dataTransfer.files;
    if (!file) return;
    if (file.size > LARGEST_DROP) {
      screen.say(`${file.name} has ${file.size} bytes; a floppy image has at most 2949120.`);
      return;
    }
    screen.send({ t: "insert", name: file.name }, [await file.arrayBuffer()]);
  });

  return { locked };
}
