"""A machine of worlds.py with the FPU in a given state, one x87 instruction, and what has become of both; the same asked of the
host's own unit (host_fpu.py)."""
from host_fpu import MEMORY, State
from worlds import CODE, DATA, Machine

from pyv86_nb.engine import state as S
from pyv86_nb.engine.isa.wide import wrap

EDX_IS_DATA = [0, 0, DATA, 0, 0x22800, 0, 0, 0]
ALL = (1 << 64) - 1


def set_fpu(m, s):
    cpu = m.cpu
    cpu.ftop = s.fsw >> 11 & 7
    for i, (significand, exponent) in enumerate(s.st):
        register = cpu.st[cpu.ftop + i & 7]
        register.significand, register.exponent = wrap(significand), exponent
    cpu.fcw, cpu.fsw, cpu.ftw = s.fcw, s.fsw & 0xC77F | (0x8080 if s.fsw & ~s.fcw & 63 else 0), s.tags
    cpu.fop, cpu.fip, cpu.fcs, cpu.fdp, cpu.fds = s.env


def get_fpu(m, memory=bytes(MEMORY)):
    cpu = m.cpu
    registers = [cpu.st[cpu.ftop + i & 7] for i in range(8)]
    return State([(r.significand & ALL, r.exponent) for r in registers], cpu.fcw, cpu.fsw | cpu.ftop << 11, cpu.ftw, memory,
                 m.p.get("eflags"), cpu.reg[S.EAX], (cpu.fop, cpu.fip, cpu.fcs, cpu.fdp, cpu.fds))


class FpuMachine(Machine):
    def one(self, code, s, cr0=0x20, budget=1):
        """The state after the instruction, and the faults there were."""
        image = bytearray(self.world.image)
        image[CODE:CODE + len(code)] = code
        image[DATA:DATA + MEMORY] = s.memory
        regs = [s.eax, *EDX_IS_DATA[1:]]
        self.start(bytes(image), regs, self.world.eip, s.eflags | self.world.eflags, False)
        set_fpu(self, s)
        self.cpu.cr0 |= cr0
        self.p.forget()
        out = self.run(budget)
        return get_fpu(self, bytes(out[12][DATA:DATA + MEMORY])), out
