"""What the screen costs, in a real JupyterLab page: kernel CPU of a text refresh beside ipycanvas' put_image_data, and a key's way to IRQ1.

Both ways of refreshing are measured in the same kernel, on the same page, with the same pictures; CPU is `time.thread_time()` of the thread that
looks, compares, encodes and sends.  A key's way ends when a thread that looks at the trace's ring a thousand times a second sees the raise of
IRQ1, so up to 1 ms of it is the looking.  (It reads the ring itself: `vm.trace.irq` would stop the machine between two slices
for each look.)  Needs chromium and playwright, as tests/browser does.
"""

from __future__ import annotations

import pathlib
import sys
import time
from typing import Any

from common import median, report, row

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

FRAMES, KEYS = 90, 40
FAKE = f"""import json, threading, time, numpy as np
from fake_vm import FakeVM
from pyv86_nb.notebook.pc_view import view
from pyv86_nb.notebook.sender import Sender
def costs(screen, do):
    spent = []
    def work():
        for i in range({FRAMES}):
            began = time.thread_time(); do(i); spent.append(time.thread_time() - began); time.sleep(1 / 30)
    thread = threading.Thread(target=work); thread.start(); thread.join()
    return 1000 * float(np.mean(spent[5:]))
vm = FakeVM(); w = view(vm); w"""
ECHO = "vm.cells[12, i % 80] ^= 1"
SCROLL = "vm.cells[:-1] = vm.cells[1:].copy(); vm.cells[-1] = 0x721 + i % 90"
OURS = f"""w.sender.close(); time.sleep(.3)
sender = Sender(vm, w.screen)
def echo(i): {ECHO}; sender.look(time.monotonic())
def scroll(i): {SCROLL}; sender.look(time.monotonic())
print(json.dumps([costs(w.screen, echo), costs(w.screen, scroll)]))"""
THEIRS = f"""import ipycanvas
canvas = ipycanvas.Canvas(width=720, height=400)
display(canvas)
pictures = []
for i in range({FRAMES}):
    {SCROLL}
    pictures.append(np.dstack([vm.picture(), np.full((400, 720), 255, np.uint8)]))
print(json.dumps(costs(canvas, lambda i: canvas.put_image_data(pictures[i]))))"""
POWER_ON = """from pyv86_nb import VM, demo
pc = VM(bare='real', clock='wall'); pc.load(0x7C00, demo.program(), entry=0x7C00); pc.start()
pc"""
REAL = """shown = view(pc); shown.sender.close(); time.sleep(.3)
sender = Sender(pc, shown.screen); before = shown.screen.messages_sent
cost = costs(shown.screen, lambda i: sender.look(time.monotonic()))
print(json.dumps([cost, shown.screen.messages_sent - before])); pc.close()"""
WATCH = """from pyv86_nb.engine.irq_trace import HEAD, EVENT, LINE, RAISE
pc.pause(); bus = pc._machine.board.bus; seen = int(bus.irq[HEAD]); pc.start(); raised = []; watching = True
def watch():
    global seen
    while watching:
        while seen < bus.irq[HEAD]:
            row = bus.ring[seen % len(bus.ring)]; seen += 1
            if row[EVENT] == RAISE and row[LINE] == 1: raised.append(time.time())
        time.sleep(.001)
threading.Thread(target=watch, daemon=True).start()"""
RAISED = "watching = False; print(json.dumps(raised))"


def key_latency(page: Any) -> list[float]:
    """From the keydown event's time stamp in the page to the raise of IRQ1, in ms, for each press."""
    page.run(4)
    page.page.evaluate(
        """() => { window.pressed = [];
            window.addEventListener('keydown', e => window.pressed.push(performance.timeOrigin + e.timeStamp), {capture: true}); }"""
    )
    page.cell(3).locator(".pyv86-box").click()
    for _ in range(KEYS):
        page.page.keyboard.down("k")
        time.sleep(0.03)
        page.page.keyboard.up("k")
        time.sleep(0.03)
    time.sleep(0.3)
    pressed = page.page.evaluate("window.pressed")[:KEYS]
    raised = page.value(5)
    if len(raised) != 2 * KEYS:
        raise RuntimeError(f"{KEYS} keys pressed and released raised IRQ1 {len(raised)} times, not {2 * KEYS}")
    return [1000 * arrival - press for arrival, press in zip(raised[::2], pressed, strict=True)]


def main() -> None:
    """Print the rows."""
    import jlab

    what = "text refresh, kernel CPU"
    if missing := jlab.missing():
        report([row(what, f"not measured: {missing}", "≤ 1 ms", None)])
        return
    from playwright.sync_api import sync_playwright

    lab = jlab.Lab()
    try:
        lab.write("bench.ipynb", [FAKE, OURS, THEIRS, POWER_ON, WATCH, RAISED, REAL])
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=jlab.CHROMIUM, args=jlab.CHROME_ARGS)
            page = jlab.Notebook(browser, lab, "bench.ipynb", viewport=(1400, 2400))
            page.run(0)
            page.page.locator(".pyv86-box canvas").wait_for()
            time.sleep(1)
            echo, scroll = page.value(1)
            theirs = page.value(2, timeout=180)
            page.run(3, timeout=180)
            page.cell(3).locator(".pyv86-box canvas").wait_for()
            time.sleep(2)
            late = sorted(key_latency(page))
            cost, sent = page.value(6, timeout=180)
            browser.close()
    finally:
        lab.close()
    peer = f"put_image_data {theirs:.1f} ms"
    typical = median(late)
    report(
        [
            row(what, f"{echo:.2f} ms", "≤ 1 ms", echo <= 1, peer, "one cell changed"),
            row(what, f"{scroll:.2f} ms", "≤ 1 ms", scroll <= 1, peer, "all cells changed"),
            row(
                what,
                f"{cost:.2f} ms",
                "≤ 1 ms",
                cost <= 1,
                peer,
                f"the demonstration disk running, {sent} of {FRAMES} looks sent",
            ),
            row(
                "key in the browser to IRQ1",
                f"median {typical:.1f} ms, worst {late[-1]:.1f} ms",
                "≤ 10 ms median",
                typical <= 10,
            ),
        ]
    )


if __name__ == "__main__":
    main()
