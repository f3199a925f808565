"""Unicorn (QEMU's translator) in the worlds of worlds.py: instruction by instruction, paging, segment bases, 16-bit code.

It knows no segment limits, delivers no exceptions to a handler that hooks them, and its error codes cannot be read: what it
is not asked is tested against the manual, in the other files.
"""
import struct

import unicorn as U
from unicorn import x86_const as C
from worlds import CODE, CODE0, DATA0, INNER, RAM

from pyv86_nb.engine.isa import flags as F

GENERAL = [getattr(C, f"UC_X86_REG_E{n}") for n in ("AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI")]
SEGMENTS = [getattr(C, f"UC_X86_REG_{n}S") for n in "ECSDFG"]
FP = [getattr(C, f"UC_X86_REG_FP{i}") for i in range(8)]                  # pairs of significand and exponent; MM0 to MM7 it does not know
XMM = [getattr(C, f"UC_X86_REG_XMM{i}") for i in range(8)]
EIP, EFLAGS, CR2 = C.UC_X86_REG_EIP, C.UC_X86_REG_EFLAGS, C.UC_X86_REG_CR2


class Oracle:
    def __init__(self, world):
        self.world, self.u = world, U.Uc(U.UC_ARCH_X86, U.UC_MODE_32 if world.protected else U.UC_MODE_16)
        u = self.u
        u.mem_map(0, RAM)
        u.mem_write(0, world.image)
        u.hook_add(U.UC_HOOK_INTR, self._interrupt)
        u.reg_write(C.UC_X86_REG_GDTR, (0, *world.tables[0], 0))
        u.reg_write(C.UC_X86_REG_IDTR, (0, world.tables[1][0], 0, 0))
        u.reg_write(C.UC_X86_REG_CR4, world.control[3])
        if world.protected:
            for r, (selector, base, limit, rights) in zip((C.UC_X86_REG_TR, C.UC_X86_REG_LDTR), world.system, strict=True):
                u.reg_write(r, (selector, base, limit, rights << 8))
            u.reg_write(C.UC_X86_REG_CR3, world.control[2])
            u.reg_write(C.UC_X86_REG_CR0, world.control[0])
            u.reg_write(SEGMENTS[1], CODE0)
            u.reg_write(SEGMENTS[2], DATA0)
        selectors = [s[0] for s in world.segments]
        if world.ring:                                   # to the user by IRET
            u.mem_write(INNER - 64, struct.pack("<9I", world.eip, selectors[1], world.eflags | 2, world.sp, selectors[2], selectors[0], *selectors[3:]))
            u.mem_write(CODE, b"\xcf")
            u.reg_write(GENERAL[4], INNER - 64)
            u.emu_start(CODE, RAM - 16, count=1)
        if not world.eflags & F.VM:
            for s in (1, 2, 0, 3, 4, 5) if not world.ring else (0, 3, 4, 5):
                u.reg_write(SEGMENTS[s], selectors[s])
        self.context = u.context_save()

    def _interrupt(self, u, n, _):
        self.fault = n
        u.emu_stop()

    def run(self, memory, regs, eflags, count, end, xmm=(0,) * 24):
        """(registers, EIP, EFLAGS, selectors, CR2, vector or None, memory, words of the XMM and MMX registers)"""
        u, self.fault = self.u, None
        u.context_restore(self.context)
        u.mem_write(0, memory)
        u.ctl_remove_cache(CODE, CODE + 0x1000)
        u.ctl_flush_tb()
        u.reg_write(C.UC_X86_REG_CR3, self.world.control[2])                # empties its TLB
        for r, v in zip(GENERAL, regs, strict=True):
            u.reg_write(r, v)
        for i, r in enumerate(XMM):
            u.reg_write(r, xmm[2 * i] | xmm[2 * i + 1] << 64)
        for r, v in zip(FP, xmm[16:], strict=True):
            u.reg_write(r, (v, 0))
        u.reg_write(C.UC_X86_REG_MXCSR, 0x1F80)
        u.reg_write(EFLAGS, eflags)
        try:
            u.emu_start(self.world.eip, end, count=count)
        except U.UcError as e:
            self.fault = self.fault if self.fault is not None else {U.UC_ERR_INSN_INVALID: 6}.get(e.errno, "lost")
        return ([u.reg_read(r) for r in GENERAL], u.reg_read(EIP), u.reg_read(EFLAGS), [u.reg_read(r) for r in SEGMENTS], u.reg_read(CR2),
                self.fault, bytes(u.mem_read(0, RAM)), [u.reg_read(r) >> k & (1 << 64) - 1 for r in XMM for k in (0, 64)] + [u.reg_read(r)[0] for r in FP])


