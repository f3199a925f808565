"""High Precision Event Timer: one counter, three comparators.   Data sheet: IA-PC HPET Specification 1.0a.

    000 capabilities (period 10 ns, three timers, legacy routes)        100 + 20h n  timer n: configuration, route
    010 configuration: 1 LEG_RT, 0 ENABLE      020 status of levels     108 + 20h n  timer n: comparator
    0F0 main counter

    PIT OUT0 --+                        LEG_RT joins timer 0 to IRQ0 and timer 1 to IRQ8 in place of PIT and RTC;
    RTC IRQ  --+--> IRQ0, IRQ8          without it a timer goes to the I/O APIC's input that its route says (16-23)

An edge is a rise that lasts half the way to the next match, or until the timer is written: an 8259 takes a request that is gone before INTA
for noise.   A comparator's match is a deadline; the counter is a function of time.  Registers are 32 bits at a time (64 are two).

Not emulated: bits 62 and 63 of counter and comparators, interrupts as messages (FSB), a comparator that is read between two matches of a timer
whose interrupt is off.
"""
from .chip import NEVER, Chip, deadline, field, keep, kernel, memory_reads, memory_writes, parts, pin_out, pins_in
from .clock import instant, ticks

BASE = 0xFED00000
HZ, PERIOD_FS = 100_000_000, 10_000_000
CAPABILITIES = 0x8086A201
ROUTES, FIRST_ROUTE = 0x00FF0000, 16
TIMERS, COUNTER = 3, (1 << 62) - 1                   # so that a sum of two is a word
ENABLE, LEGACY = 1, 2
LEVEL, INT_ENB, PERIODIC, PER_CAP, SIZE_CAP, VAL_SET, MODE32 = (1 << n for n in (1, 2, 3, 4, 5, 6, 8))
WRITABLE = 0x3F4E                                        # of a timer's configuration


class Comparator(Chip):
    """one timer of the HPET"""
    config = field(15, "configuration", PER_CAP | SIZE_CAP, names="ROUTE:13-9 MODE32:8 VAL_SET:6 PERIODIC:3 INT_ENB:2 LEVEL:1")
    value = field(63, "comparator", COUNTER)
    period = field(63, "what a periodic timer adds to it")
    out = field(1, "interrupt output")
    match = field(63, "tick of the next match", NEVER)
    fall = field(63, "tick at which the output that gave an edge is low again", NEVER)


class Route(Chip):
    """an input of the I/O APIC that the HPET can reach"""
    IRQ = pin_out("interrupt request")


@kernel
def counter(h, now):
    return (h.held + ticks(now, HZ, h.ips) - h.began) & COUNTER if h.config & ENABLE else h.held


@kernel
def arm(h, n, now, at_once):
    """When timer n matches next.  at_once: a comparator that is met now is a match, not one a whole turn away."""
    t = h.timer[n]
    t.match = NEVER
    if h.config & ENABLE == 0 or t.config & INT_ENB == 0: return
    mask = 0xFFFFFFFF if t.config & MODE32 else COUNTER
    left = (t.value - counter(h, now)) & mask
    if left == 0 and at_once == 0: left = mask
    t.match = instant(ticks(now, HZ, h.ips) + left, HZ, h.ips) if left < NEVER >> 8 else NEVER


@kernel
def wait(h):
    """The one deadline is the first of all matches and pulses."""
    h.due = NEVER
    for n in range(TIMERS): h.due = min(h.due, h.timer[n].match, h.timer[n].fall)


@kernel
def drive(h):
    """The outputs, by what the timers show."""
    legacy = h.config & LEGACY
    levels = 0
    for n in range(TIMERS):
        if h.timer[n].out and (legacy == 0 or n == 2): levels |= 1 << (h.timer[n].config >> 9 & 31)
    for i in range(8): h.route[i].IRQ = levels >> (FIRST_ROUTE + i) & 1
    h.IRQ0 = h.timer[0].out if legacy else h.PIT
    h.IRQ8 = h.timer[1].out if legacy else h.RTC


@kernel
def lower(t):
    t.out, t.fall = 0, NEVER


@kernel
def matched(h, n, now):
    t = h.timer[n]
    if t.config & PERIODIC and t.period:
        mask = 0xFFFFFFFF if t.config & MODE32 else COUNTER
        t.value = (t.value + t.period) & mask
    arm(h, n, now, 0)
    t.out = 1
    if t.config & LEVEL: h.status |= 1 << n
    else: t.fall = now + max((t.match - now) // 2, 1) if t.match < NEVER else NEVER


@kernel
def half(old, at, v):
    """A word of 62 bits of which one half is written."""
    return old & ~0xFFFFFFFF | v if at == 0 else old & 0xFFFFFFFF | (v & 0x3FFFFFFF) << 32


@kernel
def read_register(h, r, now):
    if r == 0x00: return CAPABILITIES
    if r == 0x04: return PERIOD_FS
    if r == 0x10: return h.config
    if r == 0x20: return h.status
    if r == 0xF0: return counter(h, now) & 0xFFFFFFFF
    if r == 0xF4: return counter(h, now) >> 32
    if 0x100 <= r < 0x100 + 0x20 * TIMERS:
        t, at = h.timer[(r - 0x100) >> 5], r & 0x1F
        if at == 0x00: return t.config
        if at == 0x04: return ROUTES
        if at == 0x08: return t.value & 0xFFFFFFFF
        if at == 0x0C: return t.value >> 32
    return 0


@kernel
def write_timer(h, n, at, v, now):
    t = h.timer[n]
    if at == 0x00:
        t.config = t.config & ~WRITABLE | v & WRITABLE
        if t.config & INT_ENB == 0 or t.config & LEVEL == 0: h.status &= ~(1 << n)
        if t.config & INT_ENB == 0 or t.config & LEVEL == 0: lower(t)
        if t.config & MODE32: t.value, t.period = t.value & 0xFFFFFFFF, t.period & 0xFFFFFFFF
        arm(h, n, now, 0)
    elif at == 0x08 or at == 0x0C and t.config & MODE32 == 0:
        # "the value written is the period"; with VAL_SET it is the comparator too
        if t.config & PERIODIC: t.period = half(t.period, at & 4, v)
        if t.config & PERIODIC == 0 or t.config & VAL_SET or at == 0x0C: t.value = half(t.value, at & 4, v)
        if at == 0x08: t.config &= ~VAL_SET
        if t.config & LEVEL == 0: lower(t)
        arm(h, n, now, 1)


@kernel
def write_register(h, r, v, now):
    if r == 0x10:
        if (v ^ h.config) & ENABLE:
            h.held, h.began = counter(h, now), ticks(now, HZ, h.ips)
        h.config = v & 3
        for n in range(TIMERS): arm(h, n, now, 0)
    elif r == 0x20:
        for n in range(TIMERS):
            if v >> n & h.status >> n & 1: h.timer[n].out = 0
        h.status &= ~v
    elif r == 0xF0 or r == 0xF4:
        if h.config & ENABLE == 0: h.held = half(h.held, r & 4, v)
    elif 0x100 <= r < 0x100 + 0x20 * TIMERS: write_timer(h, (r - 0x100) >> 5, r & 0x1F, v, now)


class Hpet(Chip):
    """high precision event timer"""
    PIT = pins_in(1, "timer's output of the 8254")
    RTC = pins_in(1, "interrupt of the clock chip")
    IRQ0 = pin_out("to interrupt line 0")
    IRQ8 = pin_out("to interrupt line 8")
    route = parts(8, Route, "inputs 16-23 of the I/O APIC: `pins.IRQ[n]`")
    config = field(2, "general configuration", names="LEG_RT:1 ENABLE:0")
    status = field(3, "timers whose level is up")
    held = field(63, "main counter when it was started, or as it stands")
    began = field(63, "tick of the counter's clock at which it was started")
    timer = parts(TIMERS, Comparator, "timers")
    ips = field(63, "instructions per guest second", keep(0))
    due = deadline("the first match of a comparator, or the end of a pulse")

    def reset(self, cold=False):
        super().reset(cold)
        drive(self)

    @PIT.changed
    @kernel
    def pit(h, n, level, now): drive(h)

    @RTC.changed
    @kernel
    def rtc(h, n, level, now): drive(h)

    @due.due
    @kernel
    def fell_due(h, now):
        for n in range(TIMERS):
            t = h.timer[n]
            if t.fall <= now: lower(t)
            if t.match <= now: matched(h, n, now)
        wait(h)
        drive(h)

    @memory_reads("registers", "registers, 32 bits each")
    @kernel
    def read(h, address, size, now): return read_register(h, address & 0x3FC, now) >> 8 * (address & 3) & ((1 << 8 * size) - 1)

    @memory_writes("registers", "registers, 32 bits each")
    @kernel
    def write(h, address, size, v, now):
        if size != 4 or address & 3: return
        write_register(h, address & 0x3FC, v, now)
        wait(h)
        drive(h)
