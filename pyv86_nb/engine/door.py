"""The way from the processor to the board: what raw.io calls, compiled.

A `Door` record has the address of a Bus, so that the engine knows of the board no more than one function and one number.
Before each access it says what time it is, and, for the interrupt trace, where the processor is.
"""
import numpy as np
from numba.extending import register_jitable as kernel

from . import bus as B
from . import irq_trace as T
from . import state as S
from .raw import (
    ADVANCE,
    BURST_READ,
    BURST_WRITE,
    DEADLINE,
    FRAME,
    IRET,
    MEMORY_READ,
    MEMORY_WRITE,
    PIN,
    PORT_READ,
    PORT_WRITE,
    PYTHON,
    REGION_SHIFT,
    record_at,
)

PINS = "INTR", "NMI", "A20", "RESET", "REMAP", "POWEROFF", "IGNNE", "NOTICE"       # in the order of raw.INTR...
DOOR = np.dtype([("cpu", "i8"), ("bus", "i8"), ("pin_word", "i8", (len(PINS),))])
cpu_at = record_at(S.CPU)


@kernel
def isa_cycle(cpu, port, ips):
    """Ports of the ISA bus take their time: six cycles of 8.33 MHz, in which the processor waits (82371 data sheet, ISA interface: standard
    8-bit I/O).  Programs count on it: a few reads of a port are their microsecond.  IDE and VGA sit on PCI."""
    if port < 0x100 or 0x200 <= port < 0x3B0 or 0x3E0 <= port < 0x400:
        wait = ips * 18 // 25_000_000
        cpu.budget -= wait
        cpu.extra += wait


@kernel
def pass_through(d, what, address, size, value):
    bus, cpu = d.bus, cpu_at(d.cpu)
    verb = what & 255
    if verb == PIN:
        levels = 0
        for i in range(len(PINS)):
            levels |= (B.word(bus, d.pin_word[i]) & 1) << i
        return levels
    if verb == DEADLINE:
        return B.next_deadline(bus)
    now = cpu.end - cpu.budget
    B.tell(bus, T.CS, cpu.reg[S.SELECTORS + S.CS])
    B.tell(bus, T.EIP, cpu.eip)
    B.tell(bus, T.RETIRED, now - cpu.extra)
    if verb == ADVANCE:
        return PYTHON if B.advance_to(bus, address) else 0
    if verb == FRAME:
        T.note_frame(bus, address)
        return 0
    if verb == IRET:
        T.note_iret(bus, address)
        return 0
    B.set_word(bus, B.NOW, now)
    if verb == PORT_READ:
        v = B.port_read(bus, address, size)
        if v != PYTHON:
            isa_cycle(cpu, address, B.word(bus, B.IPS))
        return v
    if verb == PORT_WRITE:
        if B.port_write(bus, address, size, value):
            return PYTHON
        isa_cycle(cpu, address, B.word(bus, B.IPS))
        return 0
    if verb == MEMORY_READ:
        return B.mmio_read(bus, what >> REGION_SHIFT, address, size)
    if verb == MEMORY_WRITE:
        return PYTHON if B.mmio_write(bus, what >> REGION_SHIFT, address, size, value) else 0
    if verb == BURST_READ or verb == BURST_WRITE:
        return B.burst(bus, B.READ if verb == BURST_READ else B.WRITE, address & 0xFFFF, size, address >> 16, value)
    return B.acknowledge(bus)


FUNCTIONS = {"pass_through": (pass_through, DOOR, 3)}


def make(bus, pins, cpu_address):
    """The Door of a Bus, as an array of one record.  pins: name -> word, of board.pins."""
    door = np.zeros(1, DOOR)
    door["cpu"] = cpu_address
    door["bus"] = bus.address
    door["pin_word"] = [pins[n] for n in PINS]
    return door
