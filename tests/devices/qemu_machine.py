"""QEMU's PC as an oracle for registers: a stopped machine whose ports and memory are driven through its qtest protocol."""
import json
import shutil
import socket
import subprocess
import tempfile

QEMU = shutil.which("qemu-system-i386")


class QemuMachine:
    """A `pc` machine with a standard VGA that never runs an instruction."""

    def __init__(self, *options):
        self.folder = tempfile.TemporaryDirectory()
        path = self.folder.name + "/qmp"
        self.process = subprocess.Popen(
            [QEMU, "-machine", "pc", "-m", "64", "-display", "none", "-vga", "std", "-nodefaults", "-net", "none", "-accel", "tcg", "-S",
             "-qtest", "stdio", "-qtest-log", "none", "-qmp", f"unix:{path},server=on,wait=off", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.path, self.qmp_file = path, None

    def close(self):
        self.process.kill()
        self.process.communicate()
        if self.qmp_file: self.qmp_file.close()
        self.folder.cleanup()

    def run(self, commands):
        """Answers of qtest commands (outb, inb, writeb, readb ...) as ints; None where there is none."""
        answers, commands = [], list(commands)
        for i in range(0, len(commands), 200):                             # pieces that fit both pipes
            piece = commands[i:i + 200]
            self.process.stdin.write("".join(c + "\n" for c in piece))
            self.process.stdin.flush()
            for c in piece:
                words = self._answer(c)
                answers.append(int(words[1], 16) if len(words) > 1 else None)
        return answers

    def _answer(self, command):
        words = ["IRQ"]
        while words[0] == "IRQ": words = self.process.stdout.readline().split()
        if words[0] != "OK": raise AssertionError(f"{command}: {words}")
        return words

    def line(self, command):
        """The answer of one command as text."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer(command)[1]

    def qmp(self, execute, **arguments):
        if self.qmp_file is None:
            s = socket.socket(socket.AF_UNIX)
            s.connect(self.path)
            self.qmp_file = s.makefile("rw")
            self.qmp_file.readline()
            self.qmp("qmp_capabilities")
        self.qmp_file.write(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
        self.qmp_file.flush()
        while True:
            answer = json.loads(self.qmp_file.readline())
            if "error" in answer: raise AssertionError(answer["error"])
            if "return" in answer: return answer["return"]

    def screen(self):
        """The picture as (h, w, 3) uint8."""
        import numpy as np
        name = self.folder.name + "/screen.ppm"
        self.qmp("screendump", filename=name)
        with open(name, "rb") as f: raw = f.read()
        kind, size, top, pixels = raw.split(b"\n", 3)
        w, h = map(int, size.split())
        assert kind == b"P6" and top == b"255"
        return np.frombuffer(pixels, np.uint8).reshape(h, w, 3)
