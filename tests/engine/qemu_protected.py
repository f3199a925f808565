"""The machine of protected_machine.py on QEMU: the same memory and registers, run there, and looked at through its gdb stub.

A ROM at F0000h takes the processor from reset into the state that a block at 7800h describes.  Handlers halt, so the end is
where CS:EIP stands still.  QEMU (TCG) is an independent reading of the manual, without limits and rights of data segments.
"""
import hashlib
import mmap
import socket
import subprocess
import time
import zlib

from protected_machine import CODE_OF, DATA_OF, GDT, LDT_SELECTOR, RAM, TSS_SELECTOR

from pyv86_nb.demo.assemble import assemble

BLOCK = 0x7800                                          # the page is ours, and not compared
PAGING = 0x80010011                                     # PG, WP, ET, PE
GDB_REGISTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags", "cs", "ss", "ds", "es", "fs", "gs")
STUB = f"""
    cli; lgdt cs:[0x20]; mov eax, 0x11; mov cr0, eax
    .byte 0x66, 0xEA; .long flat; .word 8
    .org 0x20
    .word 0x3FF; .long {GDT}
    .code32
flat: mov ax, 0x10; mov ds, ax; mov ss, ax; mov esp, 0x7700
    lidt [{BLOCK}]; mov ax, {LDT_SELECTOR}; lldt ax
    and byte ptr [{GDT + TSS_SELECTOR + 5}], 0xFD; mov ax, {TSS_SELECTOR}; ltr ax
    mov eax, [{BLOCK + 0x44}]; test eax, eax; jz flat_memory; mov cr3, eax
    mov eax, [{BLOCK + 0x54}]; test eax, eax; jz no_cr4; mov cr4, eax
no_cr4: mov eax, [{BLOCK + 0x58}]; test eax, eax; jz no_efer; mov ecx, 0xC0000080; xor edx, edx; wrmsr
no_efer: mov eax, [{BLOCK + 0x5C}]; mov cr0, eax
flat_memory:
    mov es, [{BLOCK + 0x0C}]; mov fs, [{BLOCK + 0x10}]; mov gs, [{BLOCK + 0x14}]
    mov ecx, [{BLOCK + 0x20}]; mov edx, [{BLOCK + 0x24}]; mov ebx, [{BLOCK + 0x28}]
    mov ebp, [{BLOCK + 0x2C}]; mov esi, [{BLOCK + 0x30}]; mov edi, [{BLOCK + 0x34}]
    test byte ptr [{BLOCK + 0x50}], 3; jnz outer
    mov ax, [{BLOCK + 0x08}]; push dword ptr [{BLOCK + 0x40}]; popfd; mov eax, [{BLOCK + 0x1C}]
    mov ss, [{BLOCK + 0x18}]; mov esp, [{BLOCK + 0x38}]; mov ds, [{BLOCK + 0x08}]
    .byte 0x2E, 0xFF, 0x2D; .long {BLOCK + 0x4C}
outer: push dword ptr [{BLOCK + 0x18}]; push dword ptr [{BLOCK + 0x38}]; push dword ptr [{BLOCK + 0x40}]
    push dword ptr [{BLOCK + 0x50}]; push dword ptr [{BLOCK + 0x4C}]
    mov eax, [{BLOCK + 0x1C}]; mov ds, [{BLOCK + 0x08}]; .byte 0xCF
    .org 0xFFF0
    .code16
    .byte 0xEA; .word 0, 0xF000
    .org 0xFFFF
    nop
"""


class Qemu:
    def __init__(self, qemu, folder, cpu="pentium2"):
        (folder / "rom.bin").write_bytes(assemble(STUB, 0xF0000)[:0x10000])
        path, ram = str(folder / "gdb"), folder / "ram"
        self.process = subprocess.Popen(
            [qemu, "-M", "isapc", "-cpu", cpu, "-m", "16", "-object", f"memory-backend-file,id=ram,size=16M,mem-path={ram},share=on",
             "-machine", "memory-backend=ram", "-bios", str(folder / "rom.bin"), "-display", "none", "-serial", "none", "-S",
             "-monitor", "none", "-vga", "none", "-net", "none",
             "-chardev", f"socket,path={path},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb"])
        self.socket = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + 60
        while not (ram.exists() and ram.stat().st_size and self.socket.connect_ex(path) == 0):      # QEMU listens before it has memory
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise RuntimeError(f"QEMU does not start (status {self.process.poll()})")
            time.sleep(0.05)
        self.socket.settimeout(20)
        self.buffer, self.memory, self.known = b"", bytes(RAM), {}
        with open(ram, "rb") as f:                       # to read; what is written goes by the stub, which drops translated code
            self.ram = mmap.mmap(f.fileno(), RAM, prot=mmap.PROT_READ)
        assert self.ask("Qqemu.PhyMemMode:1") == "OK"

    def close(self):
        self.process.kill()
        self.process.wait()

    def send(self, text):
        data = text.encode()
        self.socket.sendall(b"$" + data + b"#%02x" % (sum(data) & 255))

    def answer(self):
        while True:
            start, end = self.buffer.find(b"$"), self.buffer.find(b"#")
            if start >= 0 and end >= 0 and len(self.buffer) >= end + 3:
                text, self.buffer = self.buffer[start + 1:end].decode(), self.buffer[end + 3:]
                self.socket.sendall(b"+")
                return text
            more = self.socket.recv(1 << 20)
            if not more:
                raise OSError("QEMU has gone")
            self.buffer += more

    def ask(self, text):
        self.send(text)
        return self.answer()

    def registers(self):
        words = bytes.fromhex(self.ask("g").replace("x", "0"))
        return {n: int.from_bytes(words[4 * i:4 * i + 4], "little") for i, n in enumerate(GDB_REGISTERS)}

    def run(self, memory, cpl=0, **registers):
        """Memory (bytes from 0) and registers as Machine.enter takes them; (registers, memory) at the end.  Each is run once: what
        the next tier asks is known."""
        key = hashlib.sha256(memory).digest(), cpl, tuple(sorted(registers.items()))
        if key in self.known:
            now, after = self.known[key]
            return now, zlib.decompress(after)
        v = dict.fromkeys(("eax", "ecx", "edx", "ebx", "ebp", "esi", "edi", "fs", "gs", "cr3"), 0)
        v |= {"cr4": 0, "efer": 0, "cr0": PAGING, "eflags": 2, "ds": DATA_OF[cpl], "es": DATA_OF[cpl], "ss": DATA_OF[cpl], "cs": CODE_OF[cpl]} | registers
        block = bytearray(0x60)
        block[0:6] = b"\xff\x07\x00\x20\x00\x00"
        for at, n in ((0x08, "ds"), (0x0C, "es"), (0x10, "fs"), (0x14, "gs"), (0x18, "ss"), (0x1C, "eax"), (0x20, "ecx"), (0x24, "edx"), (0x28, "ebx"),
                      (0x2C, "ebp"), (0x30, "esi"), (0x34, "edi"), (0x38, "esp"), (0x40, "eflags"), (0x44, "cr3"), (0x4C, "eip"), (0x50, "cs"),
                      (0x54, "cr4"), (0x58, "efer"), (0x5C, "cr0")):
            block[at:at + 4] = v[n].to_bytes(4, "little")
        wanted = bytearray(memory)
        wanted[BLOCK:BLOCK + len(block)] = block
        self.ask("qRcmd," + b"system_reset".hex())
        for at in range(0, len(wanted), 0x400):
            piece = bytes(wanted[at:at + 0x400])
            if piece != self.memory[at:at + 0x400]:
                assert self.ask(f"M{at:x},{len(piece):x}:{piece.hex()}") == "OK"
        last = None
        for _ in range(500):
            self.send("c")
            time.sleep(0.002)
            self.socket.sendall(b"\x03")
            stop = self.answer()
            now = self.registers()
            if stop[0] not in "ST" or (now["eip"] > 0 and now["eip"] < RAM and self.ram[now["eip"] - 1] == 0xF4 and now == last):
                break
            last = now
        self.memory = bytes(self.ram)
        self.known[key] = now, zlib.compress(self.memory[:len(memory)], 1)
        return now, self.memory[:len(memory)]
