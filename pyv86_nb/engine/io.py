"""IN and OUT: permission (SDM vol. 1, 19.5: IOPL, then the I/O permission bitmap of the TSS) and the way to the board."""
from numba.extending import register_jitable as kernel

from . import state as S
from .access import read
from .debug import note_port
from .exceptions import GP, NEEDS_PYTHON, fault
from .isa import flags as F
from .raw import PORT_READ, PORT_WRITE, PYTHON, io


@kernel
def check_port(cpu, port, size):
    """#GP(0) if the program may not use these ports."""
    if cpu.cr0 & S.PE == 0 or (cpu.cpl <= cpu.eflags >> 12 & 3 and cpu.eflags & F.VM == 0):
        return
    tss = cpu.segment[S.TR]
    if tss.rights & 0x88 != 0x88 or tss.limit < 0x67:
        fault(cpu, GP, 0)
    at = read(cpu, (tss.base + 0x66) & 0xFFFFFFFF, 2, 0) + (port >> 3)
    if at + 1 > tss.limit:
        fault(cpu, GP, 0)
    bits = read(cpu, (tss.base + at) & 0xFFFFFFFF, 2, 0) >> (port & 7)
    if bits & ((1 << size) - 1):
        fault(cpu, GP, 0)


@kernel
def port_read(cpu, port, size):
    cpu.attention = 1
    note_port(cpu, port, size)
    v = io(cpu, PORT_READ, port, size, 0)
    if v == PYTHON:
        fault(cpu, NEEDS_PYTHON, 0)
    return v


@kernel
def port_write(cpu, port, size, v):
    cpu.attention = 1
    note_port(cpu, port, size)
    if io(cpu, PORT_WRITE, port, size, v) == PYTHON:
        fault(cpu, NEEDS_PYTHON, 0)


@kernel
def port_of(cpu):
    """The port an instruction names: an immediate, or DX (opcodes EC-EF)."""
    return cpu.reg[S.EDX] & 0xFFFF if cpu.opcode & 8 else cpu.immediate


@kernel
def in_(cpu):
    size, port = cpu.width >> 3, port_of(cpu)
    check_port(cpu, port, size)
    v = port_read(cpu, port, size)
    mask = (1 << 8 * size) - 1
    cpu.reg[S.EAX] = (cpu.reg[S.EAX] & ~mask) | (v & mask)


@kernel
def out(cpu):
    size, port = cpu.width >> 3, port_of(cpu)
    check_port(cpu, port, size)
    port_write(cpu, port, size, cpu.reg[S.EAX] & ((1 << 8 * size) - 1))


KERNELS = {"in": in_, "out": out}
