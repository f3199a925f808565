"""Drive a real JupyterLab page: a server with its own configuration, a notebook in headless Chromium (playwright), cells run by keys.

Everything lives in temporary folders; nothing is fetched from the internet.

    PYV86_SHOTS=folder     keep the screenshots of the tests
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from typing import Any

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
CHROME_ARGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ROOT = pathlib.Path(__file__).resolve().parents[2]
SETTINGS = {
    # news and update checks need the network
    "@jupyterlab/apputils-extension/notification": {
        "checkForUpdates": False,
        "fetchNews": "false",
        "doNotDisturbMode": True,
    },
    # what the page saves is what a test has asked it to save
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    # windowed cells re-attach DOM nodes under the driver's feet
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}


def missing() -> str | None:
    """What these tests need and this computer lacks, as a sentence; None if nothing."""
    if CHROMIUM is None:
        return "browser tests need chromium (apt-get install chromium)"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "browser tests need playwright (pip install playwright)"
    return None


PATIENCE = 90.0  # s: nobody waits so long unless something is wrong; a page or kernel may stand still for a while on a busy computer


def wait_until(condition: Callable[[], Any], timeout: float = PATIENCE, what: str = "condition") -> Any:
    """The first true value of `condition()`; TimeoutError if it is false when asked after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        late = time.monotonic() > end  # before the question: it may be this process that stood still
        value = condition()
        if value:
            return value
        if late:
            raise TimeoutError(f"{what} did not come true within {timeout} s")
        time.sleep(0.03)


class Lab:
    """A JupyterLab server on a free port."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="jlab-"))
        self.root = self.home / "notebooks"
        self.root.mkdir()
        for name, value in SETTINGS.items():
            path = self.home / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value))
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "run",
            "IPYTHONDIR": "ipython",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "notebook"), os.environ.get("PYTHONPATH", "")])
        environment = {
            **os.environ,
            **{name: str(self.home / folder) for name, folder in folders.items()},
            "PYTHONPATH": paths,
        }
        self.log = self.home / "lab.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
                    *(f"--port={self.port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={self.root}"),
                    *("--IdentityProvider.token=", "--ServerApp.password=", "--ServerApp.disable_check_xsrf=True"),
                    *("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
                    "--LabApp.extension_manager=readonly",
                ],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.root,
            )
        try:
            wait_until(self._answers, what="the JupyterLab server")
        except Exception as error:
            self.close()
            raise RuntimeError("JupyterLab did not start:\n" + self.tail) from error

    def _answers(self) -> bool:
        self.tail = self.log.read_text()[-2000:]
        if self.process.poll() is not None:
            raise RuntimeError("the server ended")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api", timeout=10).read()
        except OSError:
            return False
        return True

    def write(self, name: str, cells: list[str]) -> None:
        """A new notebook with these code cells."""
        import nbformat

        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}},
        )
        nbformat.write(notebook, self.root / name)

    def close(self) -> None:
        """End the server and its kernels, remove its folders."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.home, ignore_errors=True)


class Notebook:
    """A notebook open in a page of its own. `page` is playwright's."""

    def __init__(
        self, browser: Any, lab: Lab, name: str, *, viewport: tuple[int, int] = (1400, 1100), script: str = ""
    ) -> None:
        self.name, self.file = name, lab.root / name
        self.context = browser.new_context(
            viewport={"width": viewport[0], "height": viewport[1]}, accept_downloads=True
        )
        self.context.set_default_timeout(1000 * PATIENCE)
        self.page = self.context.new_page()
        self.console: list[tuple[str, str]] = []
        self.page.on("console", lambda message: self.console.append((message.type, message.text)))
        self.page.on("pageerror", lambda error: self.console.append(("pageerror", str(error))))
        if script:
            self.page.add_init_script(script)
        url = f"http://127.0.0.1:{lab.port}/lab/tree/{name}?reset"  # reset: an empty workspace
        self.page.goto(url, wait_until="domcontentloaded")
        self.wait_ready()

    def wait_ready(self) -> None:
        """The notebook is shown and its kernel is idle."""
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Notebook")
        idle = ".jp-Notebook-ExecutionIndicator[data-status='idle']"
        self.page.wait_for_selector(idle, state="attached")

    def dismiss_dialogs(self) -> None:
        """A slow machine can show "Select Kernel" or a disconnect notice: accept the default."""
        for _ in range(3):
            dialog = self.page.locator("dialog.jp-Dialog, .jp-Dialog").first
            if not dialog.count() or not dialog.is_visible():
                return
            dialog.locator(".jp-mod-accept").first.click(timeout=3000)
            time.sleep(0.3)

    def cell(self, i: int) -> Any:
        """Locator of code cell `i`."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(i)

    def prompt(self, i: int) -> str:
        """The text before cell `i`: "[ ]:", "[*]:" or its number."""
        return self.cell(i).locator(".jp-InputPrompt").inner_text()

    def run(self, i: int, *, wait: bool = True, timeout: float = PATIENCE) -> str:
        """Run cell `i` by Control+Enter; the text of its outputs once it has finished."""
        before = self.prompt(i)
        for attempt in range(6):  # a press while the session is still connecting is dropped, the panel may re-render
            self.dismiss_dialogs()
            try:
                self.cell(i).locator(".cm-content").click(timeout=5000)
                self.page.keyboard.press("Control+Enter")
                wait_until(lambda: self.prompt(i) != before, 10, "the cell's start")
                break
            except Exception:
                if attempt == 5:
                    raise
        if not wait:
            return ""
        wait_until(lambda: self.prompt(i).strip("[]: \xa0").isdigit(), timeout, f"the end of cell {i}")
        return self.text(i)

    def save(self) -> None:
        """Save by Control+s, which the notebook must get; the file has been written when this returns."""
        before = self.file.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        wait_until(lambda: self.file.stat().st_mtime_ns != before, what="the saved file")
        self.page.wait_for_selector(".jp-NotebookPanel.jp-mod-dirty", state="detached")

    def text(self, i: int) -> str:
        """What cell `i` has printed."""
        return "\n".join(self.cell(i).locator(".jp-OutputArea-output").all_inner_texts())

    def value(self, i: int, *, timeout: float = PATIENCE) -> Any:
        """Run cell `i`, which prints one line of JSON last, and parse it."""
        return json.loads(self.run(i, timeout=timeout).strip().splitlines()[-1])

    def pixels(self, canvas: Any) -> Any:
        """The canvas's picture as the page has it: uint8 (h, w, 3)."""
        import base64

        import numpy as np

        answer = canvas.evaluate(
            """c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let s = '';
                 for (let i = 0; i < d.length; i += 32768) s += String.fromCharCode(...d.subarray(i, i + 32768));
                 return [c.width, c.height, btoa(s)]; }"""
        )
        width, height, data = answer
        return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3]

    def shot(self, name: str) -> None:
        """Keep a screenshot if PYV86_SHOTS names a folder."""
        folder = os.environ.get("PYV86_SHOTS")
        if folder:
            self.page.screenshot(path=str(pathlib.Path(folder, name)))

    def close(self) -> None:
        """Close the page; its kernel stays until the server ends."""
        self.context.close()
