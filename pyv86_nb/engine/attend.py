"""What happens between instructions: deadlines, the pins of the processor, interrupts, HLT.   The same text on all tiers.

    ticks     ......|-------- instructions --------|......
                    now = end - budget             end = the next deadline, or the target of the run
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .isa import flags as F
from .out_of_line import interrupt
from .paging import flush_address_space
from .raw import A20M, ACKNOWLEDGE, ADVANCE, DEADLINE, INTR, NMI, NOTICE, PIN, POWEROFF, PYTHON, REMAP, RESET, io
from .reasons import BUDGET, GO_ON, HALTED, NOTICED, PYTHON_DUE, PYTHON_REMAP, RESET_PIN, SHUTDOWN, TRIPLE_FAULT
from .segmentation import update_mode

BIT_20 = 1 << 20
SEEN, WAITS = 1, 2                                      # of cpu.nmi_pending: the pin is high, and has been since; an NMI


@kernel
def set_a20(cpu, level):
    mask = 0xFFFFFFFF if level else 0xFFFFFFFF & ~BIT_20
    if cpu.a20 != mask:
        cpu.a20 = mask
        flush_address_space(cpu)
        update_mode(cpu)


@kernel
def look_for_nmi(cpu, pins):
    """An edge; one is kept while another is being handled (6.7.1)."""
    if pins >> NMI & 1 == 0:
        cpu.nmi_pending &= ~SEEN
    elif cpu.nmi_pending & SEEN == 0:
        cpu.nmi_pending = SEEN | WAITS


@kernel
def attend(cpu):
    """GO_ON with a budget, or why the run is over."""
    while True:
        cpu.attention = 0
        now = cpu.end - cpu.budget
        look_for_nmi(cpu, io(cpu, PIN, 0, 0, 0))        # a pulse may be over when an exception has taken its time
        if io(cpu, ADVANCE, now, 0, 0) == PYTHON:
            return PYTHON_DUE
        pins = io(cpu, PIN, 0, 0, 0)
        if pins >> RESET & 1:
            return RESET_PIN
        if pins >> REMAP & 1:
            return PYTHON_REMAP
        if pins >> POWEROFF & 1:
            return SHUTDOWN
        if pins >> NOTICE & 1:
            return NOTICED
        set_a20(cpu, pins >> A20M & 1)
        look_for_nmi(cpu, pins)
        nmi = cpu.nmi_pending & WAITS and cpu.nmi_masked == 0
        cpu.intr = pins >> INTR & 1
        waiting = cpu.intr and cpu.eflags & F.IF
        if cpu.shadow and not (waiting or nmi) and cpu.mode & S.BREAKS == 0:
            cpu.shadow = 0
        if nmi and cpu.shadow != S.AFTER_MOV_SS:
            cpu.nmi_pending, cpu.nmi_masked, cpu.halted = cpu.nmi_pending & ~WAITS, 1, 0
            if not interrupt(cpu, 2):
                return TRIPLE_FAULT
        elif waiting and cpu.shadow == 0:
            cpu.halted = 0
            vector = io(cpu, ACKNOWLEDGE, 0, 0, 0)
            if vector == PYTHON:
                return PYTHON_DUE
            if not interrupt(cpu, vector):
                return TRIPLE_FAULT
        now = cpu.end - cpu.budget
        stop = min(cpu.target, io(cpu, DEADLINE, 0, 0, 0))
        if cpu.halted and now < cpu.target:
            if cpu.eflags & F.IF == 0:
                return HALTED
            if stop > now:                              # nothing happens until then
                cpu.extra += stop - now
                now = stop
        cpu.end, cpu.budget = stop, stop - now
        if now >= cpu.target:
            return BUDGET
        if stop > now and cpu.halted == 0:
            return GO_ON
