"""Make docs/power_on.png again: a real JupyterLab page in which a cell boots the demonstration disk and the next reads its interrupts.

    .venv/bin/python tools/picture.py
"""
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/browser")]

import jlab  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

CELLS = [
    'from pyv86_nb import VM, demo\n\nvm = VM(bare="real")\nvm.load(0x7C00, demo.program(), entry=0x7C00)\nvm.start()\nvm',
    'vm.trace.irq.frame().query("event == \'accept\'").tail(4)',
]


def main() -> None:
    server = jlab.Lab()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=jlab.CHROMIUM, args=jlab.CHROME_ARGS)
            server.write("power_on.ipynb", CELLS)
            notebook = jlab.Notebook(browser, server, "power_on.ipynb")
            page = notebook.page
            page.set_viewport_size({"width": 1180, "height": 1020})
            notebook.run(0, timeout=180)
            canvas = page.locator(".pyv86-box canvas").first
            canvas.wait_for(timeout=20000)
            canvas.click()
            time.sleep(3)
            for sign in "Hello from the notebook!":                 # with Shift as fingers press it: the guest sees keys, not text
                key = {"H": "Shift+KeyH", "!": "Shift+Digit1"}.get(sign, sign)
                page.keyboard.press(key, delay=40)
            time.sleep(2)
            notebook.run(1)
            time.sleep(1)
            page.screenshot(path=ROOT / "docs/power_on.png", clip={"x": 290, "y": 92, "width": 846, "height": 830})
            notebook.close()
            browser.close()
    finally:
        server.close()


if __name__ == "__main__":
    main()
