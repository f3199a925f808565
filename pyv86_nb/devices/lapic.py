"""Local APIC of a P6-family processor.   Data sheet: Intel SDM vol. 3, chapter 11 (Advanced Programmable Interrupt Controller).

    LINT0 (8259) --+-- LVT 5 --\\                 IRR  one bit for each vector that has been accepted
    LINT1 (NMI)  --+-- LVT 6 ---+--> accept -->        |  dispensed when its class (bits 7-4) is above PPR
    timer -------- LVT 0 ------/                 ISR  in service until EOI;  TMR 1: it was a level, EOI is told to the I/O APIC
    I/O APIC, ICR: messages --/                  PPR  the higher of TPR and what is in service

    INTR = a vector of IRR may be dispensed, or a pin is in ExtINT mode and high: then the 8259s are asked for the vector
    (`intack` answers -1).  A vector that is gone by INTA is answered by the spurious vector.

    timer   counts down at 100 MHz / divider from the initial count, once or again and again, or waits for a value of the TSC

The pins' way after RESET is that of MP Specification 1.4, 3.6.2.1 (the 8259 through LINT0 as ExtINT), which there is the BIOS's work: a
machine without firmware is an AT too.  IA32_APIC_BASE (bank "msr") with bit 11 clear joins LINT0 and LINT1 to INTR and NMI directly.

Not emulated: other processors (a message to one that is not there sets "send accept error", INIT and start-up are taken by nobody), SMI, x2APIC,
CMCI and the sensors behind LVT 3 and 4 (stored), lowest-priority arbitration among more than one, focus processor, EOI-broadcast suppression.
"""
from .chip import (
    NEVER,
    Chip,
    deadline,
    field,
    keep,
    kernel,
    memory_reads,
    memory_writes,
    parts,
    pin_out,
    pins_in,
    reads,
    writes,
)
from .clock import instant, ticks

HZ = 100_000_000                                         # of the timer: the processor's bus clock
BASE, ENABLED, BSP = 0xFEE00000, 1 << 11, 1 << 8
VERSION = 0x00050014                                     # integrated, six LVT entries
MASKED, PENDING, LEVEL = 1 << 16, 1 << 14, 1 << 15       # of an LVT entry: bit 14 is Remote IRR
FIXED, LOWEST, NMI, EXTINT = 0, 1, 4, 7                  # delivery modes
EARLIER = 1 << 40                                        # more than the longest count, 2**32 * 128
ONCE, PERIODIC, TSC_DEADLINE = range(3)                  # timer modes
TIMER, LINT0, LINT1, ERROR = 0, 3, 4, 5                  # numbers of LVT entries
SEND_ACCEPT, SEND_ILLEGAL, RECEIVE_ILLEGAL, ILLEGAL_REGISTER = 4, 0x20, 0x40, 0x80
WRITABLE = 0x700FF, 0x107FF, 0x107FF, 0x1A7FF, 0x1A7FF, 0x100FF           # of the LVT entries


class Lvt(Chip):
    """one entry of the Local Vector Table"""
    v = field(19, "mode, mask, trigger, delivery mode, vector", reset=MASKED)


class Vectors(Chip):
    """32 of the 256 vectors"""
    irr = field(32, "requested")
    isr = field(32, "in service")
    tmr = field(32, "1: a level, EOI goes to the I/O APIC")


# PRIORITY

@kernel
def top(w):
    """The number of the highest bit of a word that is not 0."""
    n = 0
    for k in (16, 8, 4, 2, 1):
        if w >> (n + k): n += k
    return n


@kernel
def requested(c):
    """The highest vector in IRR, -1: none."""
    for i in range(8):
        if c.vectors[7 - i].irr: return 32 * (7 - i) + top(c.vectors[7 - i].irr)
    return -1


@kernel
def in_service(c):
    for i in range(8):
        if c.vectors[7 - i].isr: return 32 * (7 - i) + top(c.vectors[7 - i].isr)
    return -1


@kernel
def ppr(c):
    """Processor priority: what an interrupt must be above."""
    serving = in_service(c)
    return c.tpr if serving < 0 or c.tpr >> 4 >= serving >> 4 else serving & 0xF0


@kernel
def virtual_wire(c):
    """LINT0 is open for the 8259s."""
    return c.lvt[LINT0].v & MASKED == 0 and c.lvt[LINT0].v >> 8 & 7 == EXTINT


@kernel
def external(c):
    """A pin in ExtINT mode is high: the 8259s have an interrupt."""
    return (c.LINT & 1 if virtual_wire(c) else 0) | (1 if c.ext_pins else 0)


@kernel
def update(c):
    """INTR, by all that is asked."""
    if c.base & ENABLED == 0:
        c.INTR = c.LINT & 1
        return
    v = requested(c)
    c.INTR = 1 if external(c) or v >= 0 and v >> 4 > ppr(c) >> 4 else 0


# ACCEPTING

@kernel
def error(c, bits, now):
    new = bits & ~c.errors
    c.errors |= bits
    if new and c.lvt[ERROR].v & MASKED == 0 and c.svr & 0x100: set_irr(c, c.lvt[ERROR].v & 255, 0)


@kernel
def set_irr(c, vector, level):
    w, bit = vector >> 5, 1 << (vector & 31)
    c.vectors[w].irr |= bit
    if level: c.vectors[w].tmr |= bit
    else: c.vectors[w].tmr &= ~bit


@kernel
def accept(c, mode, vector, level, now):
    """A message for this processor, from a pin, the timer, the I/O APIC or an ICR."""
    if mode == NMI:
        c.NMI = 1
        c.nmi_ends = now + 1
    elif mode <= LOWEST and c.svr & 0x100 and c.base & ENABLED:
        if vector < 16: error(c, RECEIVE_ILLEGAL, now)
        else: set_irr(c, vector, level)
    update(c)


@kernel
def matches(c, destination, logical):
    """Whether a destination of 8 bits means this processor."""
    if logical == 0: return destination == c.apic_id or destination == 255
    if c.dfr == 15: return c.ldr & destination != 0      # flat model
    return (destination >> 4 == 15 or destination >> 4 == c.ldr >> 4) and c.ldr & destination & 15 != 0


@kernel
def pin(c, n, level, now):
    """LINT0 or LINT1 has moved, or its entry was written."""
    entry = c.lvt[LINT0 + n]
    v = entry.v
    if c.base & ENABLED == 0:
        if n: c.NMI = level
    elif v & MASKED == 0 and level:
        mode = v >> 8 & 7
        if mode == NMI: accept(c, NMI, 0, 0, now)
        elif mode == FIXED and (v & LEVEL == 0 or n == 1): accept(c, FIXED, v & 255, 0, now)
        elif mode == FIXED and v & PENDING == 0:
            entry.v = v | PENDING
            accept(c, FIXED, v & 255, 1, now)
    update(c)


@kernel
def end_of_interrupt(c, now):
    """EOI: the vector that was a level, for the I/O APIC; -1: none."""
    v = in_service(c)
    if v < 0: return -1
    w, bit = v >> 5, 1 << (v & 31)
    c.vectors[w].isr &= ~bit
    was_level = c.vectors[w].tmr & bit
    if was_level and c.lvt[LINT0].v & PENDING and c.lvt[LINT0].v & 255 == v:
        c.lvt[LINT0].v &= ~PENDING
        if c.LINT & 1: pin(c, 0, 1, now)
    update(c)
    return v if was_level else -1


@kernel
def send(c, now):
    """A command was written into ICR: destination shorthand, level, trigger, mode, vector."""
    v, mode, shorthand = c.icr, c.icr >> 8 & 7, c.icr >> 18 & 3
    to_me = 1 if shorthand == 1 or shorthand == 2 else 0
    if shorthand == 0 and matches(c, c.icr_high, v >> 11 & 1): to_me = 1
    if mode <= LOWEST and v & 255 < 16: error(c, SEND_ILLEGAL, now)
    elif to_me: accept(c, mode, v & 255, 0, now)
    elif shorthand == 0: error(c, SEND_ACCEPT, now)
    update(c)


@kernel
def take(c):
    """INTA: the vector, now in service; -1: that of the 8259s."""
    v = requested(c)
    if v >= 0 and v >> 4 <= ppr(c) >> 4: v = -1
    if c.base & ENABLED == 0 or v < 0 and (virtual_wire(c) or external(c)): return -1
    if v < 0: return c.svr & 255                         # it has gone meanwhile
    c.vectors[v >> 5].irr &= ~(1 << (v & 31))
    c.vectors[v >> 5].isr |= 1 << (v & 31)
    update(c)
    return v


# TIMER

@kernel
def divider(c):
    n = c.divide & 3 | c.divide >> 1 & 4
    return 1 if n == 7 else 2 << n


@kernel
def beat(c, now):
    """The tick of the timer's clock.  It begins high, so that a count under way at power-on could have begun before that."""
    return ticks(now, HZ, c.ips) + EARLIER


@kernel
def timer_mode(c): return c.lvt[TIMER].v >> 17 & 3


@kernel
def count(c, now):
    """Current count."""
    if timer_mode(c) >= TSC_DEADLINE or c.initial == 0: return 0
    gone = (beat(c, now) - c.began) // divider(c)
    if timer_mode(c) == PERIODIC: return c.initial - gone % c.initial
    return max(c.initial - gone, 0)


@kernel
def arm(c, now):
    """When the timer expires next; a masked one need not be waited for."""
    if timer_mode(c) >= TSC_DEADLINE: return
    c.expires = NEVER
    if c.initial and c.lvt[TIMER].v & MASKED == 0:
        period = c.initial * divider(c)
        turns = (beat(c, now) - c.began) // period
        if turns == 0 or timer_mode(c) == PERIODIC: c.expires = instant(c.began - EARLIER + (turns + 1) * period, HZ, c.ips)


# REGISTERS, by their number (offset / 16)

@kernel
def read_register(c, r, now):
    if r == 0x02: return c.apic_id << 24
    if r == 0x03: return VERSION
    if r == 0x08: return c.tpr
    if r == 0x0A: return ppr(c)
    if r == 0x0D: return c.ldr << 24
    if r == 0x0E: return c.dfr << 28 | 0x0FFFFFFF
    if r == 0x0F: return c.svr
    if 0x10 <= r < 0x18: return c.vectors[r - 0x10].isr
    if 0x18 <= r < 0x20: return c.vectors[r - 0x18].tmr
    if 0x20 <= r < 0x28: return c.vectors[r - 0x20].irr
    if r == 0x28: return c.esr
    if r == 0x30: return c.icr
    if r == 0x31: return c.icr_high << 24
    if 0x32 <= r < 0x38: return c.lvt[r - 0x32].v
    if r == 0x38: return c.initial
    if r == 0x39: return count(c, now)
    if r == 0x3E: return c.divide
    if r != 0x09 and r != 0x0B and r != 0x0C: error(c, ILLEGAL_REGISTER, now)
    return 0


@kernel
def write_lvt(c, i, v, now):
    before = timer_mode(c)
    v &= WRITABLE[i]
    if c.svr & 0x100 == 0: v |= MASKED
    if i == LINT0: v |= c.lvt[i].v & PENDING
    c.lvt[i].v = v
    if i == TIMER:
        if (before >= TSC_DEADLINE) != (timer_mode(c) >= TSC_DEADLINE):
            c.initial, c.expires = 0, NEVER              # "disarms the timer"
        arm(c, now)
    if i == LINT0 and v & LEVEL and c.LINT & 1: pin(c, 0, 1, now)


@kernel
def write_register(c, r, v, now):
    """Answers the vector whose level has been served, for the I/O APIC; -1: none."""
    served = -1
    if r == 0x02: c.apic_id = v >> 24
    elif r == 0x08: c.tpr = v & 255
    elif r == 0x0B: served = end_of_interrupt(c, now)
    elif r == 0x0D: c.ldr = v >> 24
    elif r == 0x0E: c.dfr = v >> 28
    elif r == 0x0F:
        c.svr = v & 0x3FF
        if v & 0x100 == 0:
            for i in range(6): c.lvt[i].v |= MASKED
            arm(c, now)
    elif r == 0x28: c.esr, c.errors = c.errors, 0
    elif r == 0x30:
        c.icr = v & 0xCCFFF                              # bit 12, delivery status, is idle: messages go at once
        send(c, now)
    elif r == 0x31: c.icr_high = v >> 24
    elif 0x32 <= r < 0x38: write_lvt(c, r - 0x32, v, now)
    elif r == 0x38:
        if timer_mode(c) < TSC_DEADLINE:
            c.initial, c.began = v, beat(c, now)
            arm(c, now)
    elif r == 0x3E:
        left = count(c, now)
        c.divide = v & 11
        c.began = beat(c, now) - (c.initial - left) * divider(c)  # the count goes on from where it is
        if c.initial and left == 0: c.initial = 0
        arm(c, now)
    elif r != 0x03 and r != 0x09 and r != 0x0A and r != 0x39: error(c, ILLEGAL_REGISTER, now)
    update(c)
    return served


class LocalApic(Chip):
    """local APIC"""
    LINT = pins_in(2, "LINT0: the 8259s; LINT1: NMI")
    INTR = pin_out("interrupt request, to the processor's core")
    NMI = pin_out("non-maskable interrupt, to the core")
    REMAP = pin_out("the registers have moved, or are on or off")
    base = field(32, "IA32_APIC_BASE (MSR 1Bh)", BASE | ENABLED | BSP, names="BASE:31-12 ENABLED:11 BSP:8")
    apic_id = field(8, "APIC ID")
    tpr = field(8, "Task Priority Register")
    ldr = field(8, "Logical Destination Register")
    dfr = field(4, "Destination Format Register: 15 flat, 0 cluster", 15)
    svr = field(10, "Spurious-Interrupt Vector Register", 0xFF, names="ENABLE:8 VECTOR:7-0")
    esr = field(8, "Error Status Register, as last taken")
    errors = field(8, "errors since then")
    icr = field(20, "Interrupt Command Register, lower half", names="SHORTHAND:19-18 TRIGGER:15 LEVEL:14 LOGICAL:11 MODE:10-8 VECTOR:7-0")
    icr_high = field(8, "Interrupt Command Register: destination")
    lvt = parts(6, Lvt, "Local Vector Table: timer, thermal, performance, LINT0, LINT1, error")
    vectors = parts(8, Vectors, "IRR, ISR and TMR, 32 vectors each")
    initial = field(32, "timer: initial count")
    divide = field(4, "timer: divide configuration")
    began = field(63, "timer: tick of its clock at which it was started")
    ext_pins = field(24, "pins of the I/O APIC in ExtINT mode that are high")
    ips = field(63, "instructions per guest second", keep(0))
    expires = deadline("the timer has counted to 0, or the TSC has come to its deadline")
    nmi_ends = deadline("the NMI pulse is over")
    fitted = True                                        # False: the processor has none, its INTR and NMI are LINT0 and LINT1

    def reset(self, cold=False):
        super().reset(cold)
        if not self.fitted: self.base = 0
        self.lvt[LINT0].v = EXTINT << 8
        update(self)

    @LINT.changed
    @kernel
    def moved(c, n, level, now): pin(c, n, level, now)

    @expires.due
    @kernel
    def expired(c, now):
        v = c.lvt[TIMER].v
        if v & MASKED == 0: accept(c, FIXED, v & 255, 0, now)
        arm(c, now)

    @nmi_ends.due
    @kernel
    def over(c, now): c.NMI = 0

    @reads(0, "INTA: the vector, or -1: the 8259s are asked", bank="inta")
    @kernel
    def intack(c, now): return take(c)

    # WHAT THE PROCESSOR'S MSRs SEE
    @reads(0, "IA32_APIC_BASE", bank="msr", size=4)
    @kernel
    def get_base(c, now): return c.base

    @writes(0, "IA32_APIC_BASE", bank="msr", size=4)
    @kernel
    def set_base(c, v, now):
        if (v ^ c.base) & ~BSP: c.REMAP = 1
        c.base = v & 0xFFFFF000 | v & ENABLED | c.base & BSP
        if v & ENABLED == 0:
            c.svr, c.expires, c.NMI = 0xFF, NEVER, c.LINT >> 1
            for i in range(6): c.lvt[i].v |= MASKED
            for i in range(8): c.vectors[i].irr = c.vectors[i].isr = 0
        update(c)

    @reads(1, "IA32_TSC_DEADLINE, in ticks; 0: disarmed", bank="msr", size=4)
    @kernel
    def get_deadline(c, now): return c.expires if timer_mode(c) == TSC_DEADLINE and c.expires != NEVER else 0

    @writes(1, "IA32_TSC_DEADLINE, in ticks; 0 disarms", bank="msr", size=4)
    @kernel
    def set_deadline(c, v, now):
        if timer_mode(c) == TSC_DEADLINE: c.expires = max(v, now) if v else NEVER

    # THE PAGE OF REGISTERS
    @memory_reads("local", "registers, one in 16 bytes")
    @kernel
    def read_local(c, address, size, now):
        if address & 15 >= 4: return 0
        return read_register(c, address >> 4 & 255, now) >> 8 * (address & 3) & ((1 << 8 * size) - 1)

    @memory_writes("local", "registers, 32 bits at a time")
    @kernel
    def write_local(c, address, size, v, now):
        if size == 4 and address & 15 == 0: write_register(c, address >> 4 & 255, v, now)
