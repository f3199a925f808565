"""Our chips and memory map around somebody else's processor: Unicorn runs the firmware, so that a fault in a chip is not taken for one of our engine.

There are no hardware interrupts here (Unicorn takes none), and time passes by a stated number of ticks at each port access.
"""
import numpy as np
import unicorn
from unicorn import x86_const as X

from pyv86_nb.board import firmware
from pyv86_nb.board.backplane import Backplane
from pyv86_nb.board.memory_map import MemoryMap, store_bytes
from pyv86_nb.devices.clock import Clock
from pyv86_nb.devices.debug_ports import DebugPorts
from pyv86_nb.devices.fw_cfg import FwCfg, e820
from pyv86_nb.devices.i440fx import I440fx
from pyv86_nb.devices.pic_8259 import Pic8259
from pyv86_nb.devices.piix3 import Piix3
from pyv86_nb.devices.piix4_pm import Piix4Pm
from pyv86_nb.devices.pit_8254 import Pit8254
from pyv86_nb.devices.port_92 import Port92
from pyv86_nb.devices.rtc_mc146818 import RtcMc146818
from pyv86_nb.devices.system_port_b import SystemPortB
from pyv86_nb.devices.vga import WINDOW, Vga
from pyv86_nb.engine.memory import PhysicalMemory

RAM = 32 << 20
NOBODY = 1 << 50


class UnicornPc:
    def __init__(self):
        b = self.board = Backplane(Clock())
        self.host, isa, self.pm, self.vga, self.debug = I440fx("host"), Piix3("isa"), Piix4Pm("pm"), Vga("vga"), DebugPorts("debug")
        self.host.connect(1, 0, isa.header, isa)
        self.pm_function = self.host.connect(1, 3, self.pm.header, self.pm)
        vga_function = self.host.connect(2, 0, self.vga.header, self.vga)
        b.at(0x20, Pic8259("pic1", True, 0xF8)); b.at(0xA0, Pic8259("pic2", False, 0xDE)); b.at(0x40, Pit8254("pit"))
        b.at(0x61, SystemPortB("port61")); b.at(0x70, rtc := RtcMc146818("rtc")); b.at(0x92, Port92("port92"))
        b.at(0xCF8, self.host); b.at(0xCF9, isa, "reset"); b.at(0xB2, self.pm, "apm"); b.at(0xAFE0, self.pm, "gpe")
        b.at(0x3C0, self.vga); b.at(0x3D0, self.vga, "color"); b.at(0x3B0, self.vga, "mono"); b.at(0x1CE, self.vga, "vbe")
        b.at(0x510, FwCfg("fw_cfg", RAM, files={"etc/e820": e820([(0, RAM, 1)])}))
        b.at(0x80, self.debug, "post"); b.at(0xE9, self.debug, "e9"); b.at(0x402, self.debug, "log")
        b.power_on()
        blocks = RAM - (16 << 20) >> 16
        rtc.ram[0x34], rtc.ram[0x35] = blocks & 255, blocks >> 8
        bios = firmware.bios()
        self.memory = PhysicalMemory(RAM, store_bytes(bios, self.vga))
        self.map = MemoryMap(self.memory, self.host, bios, firmware.vga_bios(), self.vga, vga_function, b.region(WINDOW, self.vga))
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

    # what the processor asks of the board
    def _in(self, uc, port, size, _):
        self.board.advance(300)
        return self.board.read(port, size)

    def _out(self, uc, port, size, v, _):
        self.board.advance(100)
        self.board.write(port, v, size)
        if self.host.REMAP or self.vga.REMAP: uc.emu_stop()

    def _read(self, uc, offset, size, _): return self.board.memory_read(0, WINDOW + offset, size)

    def _write(self, uc, offset, size, v, _):
        self.memory_writes += 1
        self.board.memory_write(0, WINDOW + offset, size, v & (1 << 8 * size) - 1)

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
        """What a board does on REMAP, and Unicorn's own map after it."""
        self.host.announce()
        self.map.remap()
        base = Piix4Pm.base(self.pm_function.config)
        self.board.move(self.pm, "pm", *([] if base is None else [base]))
        self.board.place()
        self.host.REMAP = self.vga.REMAP = 0
        self.board.settle()
        if self.changed: self._show()

    def _show(self):
        m, self.changed = self.memory, False
        read, write, region, page = m.read_frame.astype(np.int64), m.write_frame > 0, m.region.astype(np.int64), np.arange(1 << 20)
        key = np.where(region > 0, -region, np.where(read > 0, (read - page) * 2 + write, NOBODY))
        cuts = [0, *(np.flatnonzero(np.diff(key)) + 1).tolist(), 1 << 20]
        wanted = {a: (z, int(key[a])) for a, z in zip(cuts, cuts[1:], strict=False) if key[a] != NOBODY}
        for a, (z, k) in list(self.shown.items()):
            if wanted.get(a) != (z, k): self.uc.mem_unmap(a << 12, z - a << 12); del self.shown[a]
        for a, (z, k) in wanted.items():
            if a in self.shown: continue
            if region[a]: self.uc.mmio_map(a << 12, z - a << 12, self._read, None, self._write, None)
            else:
                rights = unicorn.UC_PROT_ALL if write[a] else unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
                self.uc.mem_map_ptr(a << 12, z - a << 12, rights, m.host.ctypes.data + (int(read[a]) - 1) * 4096)
        self.shown = wanted

    def run(self, until, slices=400):
        """Run until `until(self)`, asked whenever Unicorn comes back; at most that many milliseconds of it."""
        while slices and not until(self):
            if self.host.REMAP or self.vga.REMAP: self.remap()
            self.uc.emu_start(self.eip, 0xFFFFFFFF, timeout=50_000)
            self.eip = self.uc.reg_read(X.UC_X86_REG_EIP)
            if self.vector is not None: self.software_interrupt(self.vector); self.vector = None
            elif not self.host.REMAP: slices -= 1
            self.log += self.debug.drain().decode("latin1")
        return until(self)
