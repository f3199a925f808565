"""Our chips and memory map around somebody else's processor: Unicorn runs the firmware, so that a fault in a chip is not taken for one of our engine.

There are no hardware interrupts here (Unicorn takes none), and time passes by a stated number of ticks at each port access.
"""
import numpy as np
import unicorn
from unicorn import x86_const as X

from pyv86_nb.board import firmware
from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.board.memory_map import store_bytes
from pyv86_nb.devices.vga import WINDOW, Vga
from pyv86_nb.engine.memory import PhysicalMemory

RAM = 32 << 20
NOBODY = 1 << 50


class UnicornPc:
    def __init__(self):
        bios = firmware.bios()
        self.memory = PhysicalMemory(RAM, store_bytes(bios, Vga))
        b = self.board = at_pc(self.memory, bios=bios, vga_bios=firmware.vga_bios())
        self.host, self.vga, self.debug = (b.chips[n] for n in ("bridge", "vga", "debug"))
        self.region = next(number for number, (_, chip, _) in b.regions.items() if chip is self.vga)
        self.changed, self.shown = True, {}
        self.memory.changed = lambda first, last: setattr(self, "changed", True)
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
        self.uc.hook_add(unicorn.UC_HOOK_INSN, self._in, None, 1, 0, X.UC_X86_INS_IN)
        self.uc.hook_add(unicorn.UC_HOOK_INSN, self._out, None, 1, 0, X.UC_X86_INS_OUT)
        self.uc.hook_add(unicorn.UC_HOOK_MEM_UNMAPPED, self._nobody)
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._interrupt)
        self.uc.reg_write(X.UC_X86_REG_CR0, 0x10)
        for r in (X.UC_X86_REG_DS, X.UC_X86_REG_ES, X.UC_X86_REG_SS, X.UC_X86_REG_FS, X.UC_X86_REG_GS): self.uc.reg_write(r, 0)
        self.uc.reg_write(X.UC_X86_REG_CS, 0xF000)
        self.eip, self.vector, self.log, self.memory_writes = 0xFFF0, None, "", 0

    @property
    def moved(self): return self.board.chips["cpu"].REMAP

    # what the processor asks of the board
    def _in(self, uc, port, size, _):
        self.board.advance(300)
        return self.board.read(port, size)

    def _out(self, uc, port, size, v, _):
        self.board.advance(100)
        self.board.write(port, v, size)
        if self.moved: uc.emu_stop()

    def _read(self, uc, offset, size, _): return self.board.memory_read(self.region, WINDOW + offset, size)

    def _write(self, uc, offset, size, v, _):
        self.memory_writes += 1
        self.board.memory_write(self.region, WINDOW + offset, size, v & (1 << 8 * size) - 1)

    def _nobody(self, uc, access, address, size, v, _):
        """FFh, but for the local APIC's page, which SeaBIOS takes as given: zeros."""
        page = address & ~0xFFF
        uc.mem_map(page, 4096)
        uc.mem_write(page, bytes(4096) if page == 0xFEE00000 else b"\xff" * 4096)
        return True

    def _interrupt(self, uc, n, _):
        self.vector = n
        uc.emu_stop()

    def software_interrupt(self, n):
        """INT n in real mode; Unicorn leaves it to us."""
        uc = self.uc
        ss, sp, flags = uc.reg_read(X.UC_X86_REG_SS) << 4, uc.reg_read(X.UC_X86_REG_SP) - 6 & 0xFFFF, uc.reg_read(X.UC_X86_REG_EFLAGS)
        frame = (self.eip & 0xFFFF, uc.reg_read(X.UC_X86_REG_CS), flags & 0xFFFF)
        uc.mem_write(ss + sp, b"".join(v.to_bytes(2, "little") for v in frame))
        uc.reg_write(X.UC_X86_REG_SP, sp)
        uc.reg_write(X.UC_X86_REG_EFLAGS, flags & ~0x300)
        entry = uc.mem_read(4 * n, 4)
        uc.reg_write(X.UC_X86_REG_CS, int.from_bytes(entry[2:], "little"))
        self.eip = int.from_bytes(entry[:2], "little")

    def remap(self):
        self.board.remap()
        if self.changed: self._show()

    def _show(self):
        m, self.changed = self.memory, False
        read, write, region = (t[:1 << 20].astype(np.int64) for t in (m.read_frame, m.write_frame > 0, m.region))
        page = np.arange(1 << 20)
        key = np.where(region > 0, -region, np.where(read > 0, (read - page) * 2 + write, NOBODY))
        cuts = [0, *(np.flatnonzero(np.diff(key)) + 1).tolist(), 1 << 20]
        wanted = {a: (z, int(key[a])) for a, z in zip(cuts, cuts[1:], strict=False) if key[a] != NOBODY}
        for a, (z, k) in list(self.shown.items()):
            if wanted.get(a) != (z, k): self.uc.mem_unmap(a << 12, z - a << 12); del self.shown[a]
        for a, (z, _) in wanted.items():
            if a in self.shown: continue
            if region[a]: self.uc.mmio_map(a << 12, z - a << 12, self._read, None, self._write, None)
            else:
                rights = unicorn.UC_PROT_ALL if write[a] else unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
                self.uc.mem_map_ptr(a << 12, z - a << 12, rights, m.host.ctypes.data + (int(read[a]) - 1) * 4096)
        self.shown = wanted

    def run(self, until, slices=400):
        """Run until `until(self)`, asked whenever Unicorn comes back; at most that many slices that nothing ends early.  By
        count, for where a stop by the clock falls Unicorn does not always know its EIP."""
        while slices and not until(self):
            if self.moved or self.changed: self.remap()
            self.uc.emu_start(self.eip, 0xFFFFFFFF, count=1_000_000)
            self.eip = self.uc.reg_read(X.UC_X86_REG_EIP)
            if self.vector is not None: self.software_interrupt(self.vector); self.vector = None
            elif not self.moved: slices -= 1
            self.log += self.debug.drain().decode("latin1")
        return until(self)
