"""What the screen costs, in a real JupyterLab page: kernel CPU of a text refresh beside ipycanvas' put_image_data, latency of a key,
and how late the kernel's main thread is while the guest runs.

    python bench/notebook.py [--json]

Both ways of refreshing are measured in the same kernel, on the same page, with the same pictures; CPU is `time.thread_time()` of the thread that
looks, compares, encodes and sends.  Needs chromium and playwright, as the tests in tests/browser do.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import sys
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser"), str(ROOT / "tests" / "notebook"), str(ROOT / "bench")]

FRAMES = 90
COST = """import json, threading, time, numpy as np
from fake_vm import FakeVM
from pyv86_nb.notebook.pc_view import view
vm = FakeVM(); w = view(vm); w"""
OURS = f"""w.sender.close(); time.sleep(.3)
from pyv86_nb.notebook.sender import Sender
def refresh(change):
    sender = Sender(vm, w.screen); costs = []
    def work():
        for i in range({FRAMES}):
            change(i)
            before = time.thread_time(); sender.look(time.monotonic()); costs.append(time.thread_time() - before)
            time.sleep(1 / 30)
    thread = threading.Thread(target=work); thread.start(); thread.join()
    return 1000 * float(np.mean(costs[5:]))
def echo(i): vm.cells[12, i % 80] ^= 1
def scroll(i): vm.cells[:-1] = vm.cells[1:].copy(); vm.cells[-1] = np.random.default_rng(i).integers(0x720, 0x77f, 80)
print(json.dumps([refresh(echo), refresh(scroll)]))"""
THEIRS = f"""import ipycanvas
canvas = ipycanvas.Canvas(width=720, height=400)
display(canvas)
rgba = np.full((400, 720, 4), 255, np.uint8)
def put(change):
    costs = []
    def work():
        for i in range({FRAMES}):
            change(i); rgba[..., :3] = vm.picture()
            before = time.thread_time(); canvas.put_image_data(rgba); costs.append(time.thread_time() - before)
            time.sleep(1 / 30)
    thread = threading.Thread(target=work); thread.start(); thread.join()
    return 1000 * float(np.mean(costs[5:]))
print(json.dumps([put(echo), put(scroll)]))"""
KEYS = "print(json.dumps([[e[0], e[3]] for e in vm.events if e[2] == 'key_down']))"


def lateness(seconds: float = 3.0, period: float = 0.005) -> list[float]:
    """How late, in ms, a thread wakes that asks to be woken every `period` seconds; call it in the thread in question."""
    late = []
    end = time.perf_counter() + seconds
    due = time.perf_counter() + period
    while due < end:
        time.sleep(max(due - time.perf_counter(), 0))
        late.append(1000 * (time.perf_counter() - due))
        due = max(due + period, time.perf_counter())
    return late


def quantile(values: list[float], q: float) -> float:
    """The value below which a fraction `q` lies."""
    return sorted(values)[min(int(q * len(values)), len(values) - 1)]


def lateness_while_running() -> dict[str, float]:
    """Main-thread lateness without and with a guest that runs flat out in its thread."""
    from pyv86_nb import VM

    quiet = lateness()
    with VM(bare="real", clock="virtual") as vm:
        vm.load(0x7C00, b"\x40\xeb\xfd", entry=0x7C00)  # again: inc ax; jmp again
        vm.start()
        time.sleep(1)
        busy = lateness()
        vm.pause()
    return {
        "main thread late, quiet, p99 ms": quantile(quiet, 0.99),
        "main thread late, guest running, p99 ms": quantile(busy, 0.99),
    }


def in_the_page() -> dict[str, float]:
    """Refresh costs and key latency in JupyterLab."""
    import jlab
    from playwright.sync_api import sync_playwright

    lab = jlab.Lab()
    try:
        lab.write("bench.ipynb", [COST, OURS, THEIRS, KEYS])
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=jlab.CHROMIUM, args=jlab.CHROME_ARGS)
            page = jlab.Notebook(browser, lab, "bench.ipynb")
            page.run(0)
            page.page.locator(".pyv86-box canvas").wait_for()
            time.sleep(1)
            latency = key_latency(page)
            echo, scroll = page.value(1)
            their_echo, their_scroll = page.value(2, timeout=180)
            browser.close()
    finally:
        lab.close()
    return {
        "text refresh, one cell, kernel ms": echo,
        "text refresh, all cells, kernel ms": scroll,
        "put_image_data, one cell, kernel ms": their_echo,
        "put_image_data, all cells, kernel ms": their_scroll,
        "ratio, one cell": their_echo / echo,
        "ratio, all cells": their_scroll / scroll,
        "key to Python, median ms": statistics.median(latency),
        "key to Python, worst ms": max(latency),
    }


def key_latency(page: Any, presses: int = 40) -> list[float]:
    """From the keydown event's time stamp in the page to the machine's input queue, in ms, for each press."""
    page.page.evaluate(
        """() => { window.pressed = [];
            window.addEventListener('keydown', e => window.pressed.push(performance.timeOrigin + e.timeStamp), {capture: true}); }"""
    )
    page.page.locator(".pyv86-box").first.click()
    for _ in range(presses):
        page.page.keyboard.press("k")
        time.sleep(0.05)
    time.sleep(0.3)
    pressed = page.page.evaluate("window.pressed")[:presses]
    handled = [when for when, code in page.value(3) if code == "KeyK"]
    return [1000 * arrival - press for arrival, press in zip(handled, pressed, strict=True)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    figures = {**in_the_page(), **lateness_while_running()}
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<42} {value:8.2f}")


if __name__ == "__main__":
    main()
