"""National Semiconductor PC16550D UART.   Data sheet TL/C/8652 (1995); 1.8432 MHz crystal as on the PC's serial card.

    0 RBR, THR (DLAB: divisor low)   1 IER (DLAB: divisor high)   2 IIR, FCR   3 LCR   4 MCR   5 LSR   6 MSR   7 SCR

    THR --> FIFO (16) --> shift register ==line==> `out`, a ring that the host drains
    RBR <-- FIFO (16) <-- shift register <==line== `line`, a ring that the host fills
                 |                                                                     IIR  priority and source
                 +-- trigger level, or 4 characters of silence                         06   1  OE PE FE BI in LSR
                     with something in it ("timeout")                                  04   2  data, or trigger level
                                                                                       0C   2  timeout
    A character takes start + 5..8 + parity + stop bits, 16 * divisor clocks each.     02   3  THR empty
    Without FIFO there is one byte on each side.                                       00   4  MSR has changed

Loopback joins the shift registers and DTR RTS OUT1 OUT2 to DSR CTS RI DCD.  The AT's card lets INTR out only while
OUT2 is on; emulated PCs do not, and systems rely on it: the strap `gated` chooses.

Not emulated: the line's bits (two ends at different speeds understand each other, no parity or framing error), a
break that is sent (LCR bit 6 is stored), DMA mode (TXRDY, RXRDY), the delay of a first THRE interrupt.
"""
from __future__ import annotations

from .chip import NEVER, Chip, buffer, deadline, field, keep, kernel, pin_out, reads, writes

CRYSTAL = 1_843_200
LINE, OUT = 4096, 16384
OE, PE, FE, BI = 2, 4, 8, 16


@kernel
def character(u):
    """Ticks of one character on the line."""
    halves = 2 * (1 + 5 + (u.lcr & 3) + (u.lcr >> 3 & 1)) + (2 if u.lcr & 4 == 0 else 3 if u.lcr & 3 == 0 else 4)
    return max(u.ips * 8 * (u.divisor if u.divisor else 65536) * halves // CRYSTAL, 1)


@kernel
def depth(u): return 16 if u.fcr & 1 else 1


@kernel
def trigger(u):
    n = u.fcr >> 6
    return 1 if u.fcr & 1 == 0 or n == 0 else 4 if n == 1 else 8 if n == 2 else 14


@kernel
def source(u):
    """IIR bits 3-0: the most urgent cause that is enabled."""
    if u.ier & 4 and u.errors: return 6
    if u.ier & 1 and u.rx_count >= trigger(u): return 4
    if u.ier & 1 and u.timed_out: return 12
    if u.ier & 2 and u.thre: return 2
    if u.ier & 8 and u.delta: return 0
    return 1


@kernel
def update(u):
    u.INTR = 1 if source(u) != 1 and (u.gated == 0 or u.mcr & 0x18 == 8) else 0


# RECEIVER

@kernel
def silence(u, now):
    """The timeout counts four characters from the last one in or out."""
    u.timed_out = 0
    u.quiet = now + 4 * character(u) if u.fcr & 1 and u.rx_count else NEVER


@kernel
def came(u, v, error, now):
    """A character is in the receiver's shift register."""
    v &= 0xFF >> (3 - (u.lcr & 3))
    if u.rx_count == depth(u):
        u.errors |= OE
        if u.fcr & 1: return                             # "the character in the shift register is overwritten"
        u.rx_count = 0                                   # no FIFO: the one in RBR is
    at = (u.rx_head + u.rx_count) & 15
    u.rx[at], u.rx_error[at] = v, error
    u.rx_count += 1
    if u.rx_count == 1: u.errors |= error                # errors show when their character is at the top
    silence(u, now)


@kernel
def listen(u, now):
    """The next character of the line begins, if one waits; a patient other end begins none that would find no room."""
    if u.patient and u.rx_count == depth(u): return
    if u.line_count and u.comes == NEVER and u.mcr & 16 == 0: u.comes = now + character(u)


@kernel
def clear_receiver(u):
    u.rx_count = u.timed_out = 0
    u.quiet = NEVER


# TRANSMITTER

@kernel
def shift(u, now):
    """THR or the FIFO's oldest to the shift register."""
    if u.shifting or u.tx_count == 0: return
    u.tsr = int(u.tx[u.tx_head]) & 0xFF >> (3 - (u.lcr & 3))
    u.tx_head, u.tx_count, u.shifting = (u.tx_head + 1) & 15, u.tx_count - 1, 1
    u.goes = now + character(u)
    if u.tx_count == 0: u.thre = 1


@kernel
def emit(u, v):
    """A character has gone out."""
    if u.out_count == OUT:
        u.out_head, u.out_count, u.lost = (u.out_head + 1) % OUT, OUT - 1, u.lost + 1
    u.out[(u.out_head + u.out_count) % OUT] = v
    u.out_count += 1
    if u.watched:
        u.watched = 0
        u.NOTICE = 1


# MODEM

@kernel
def modem_status(u):
    """DCD RI DSR CTS as MSR bits 7-4."""
    if u.mcr & 16: return (u.mcr >> 1 & 1) | (u.mcr & 1) << 1 | (u.mcr >> 2 & 1) << 2 | (u.mcr >> 3 & 1) << 3
    return u.lines


@kernel
def modem(u):
    """Note what has changed; of RI only the end of a ring."""
    new = modem_status(u)
    changed = (new ^ u.seen) & 0b1011 | u.seen & ~new & 0b0100
    u.delta |= changed
    u.seen = new


class Uart16550(Chip):
    """16550 UART"""
    INTR = pin_out("interrupt request")
    NOTICE = pin_out("somebody waits for a character to go out, and one has")
    ips = field(37, "instructions per guest second", reset=keep(0))
    gated = field(1, "the board lets INTR out only while OUT2 is on", reset=keep(0))
    patient = field(1, "the other end waits while the receiver is full: a handshake that the guest need not know of", reset=keep(0))
    divisor = field(16, "divisor latch DLM, DLL; 12 is 9600 baud", reset=keep(12))
    ier = field(4, "Interrupt Enable Register", names="EDSSI:3 ELSI:2 ETBEI:1 ERBFI:0")
    fcr = field(8, "FIFO Control Register", names="TRIGGER:7-6 FIFO:0")
    lcr = field(8, "Line Control Register", names="DLAB:7 BREAK:6 STICK:5 EPS:4 PEN:3 STB:2 WLS:1-0")
    mcr = field(5, "Modem Control Register", names="LOOP:4 OUT2:3 OUT1:2 RTS:1 DTR:0")
    scr = field(8, "Scratch Register", reset=keep(0))
    errors = field(5, "LSR bits 4-1 as latched", names="BI:4 FE:3 PE:2 OE:1")
    thre = field(1, "THRE interrupt pending")
    timed_out = field(1, "timeout interrupt pending")
    delta = field(4, "MSR bits 3-0", names="DDCD:3 TERI:2 DDSR:1 DCTS:0")
    seen = field(4, "MSR bits 7-4 at the last look")
    lines = field(4, "modem inputs as the other end drives them", reset=keep(0b1011), names="DCD:3 RI:2 DSR:1 CTS:0")
    rx = buffer(16, "receiver FIFO, a ring from rx_head")
    rx_error = buffer(16, "PE FE BI that came with each")
    rx_head = field(4, "its oldest character")
    rx_count = field(5, "how many characters are in it")
    tx = buffer(16, "transmitter FIFO, a ring from tx_head")
    tx_head = field(4, "its oldest character")
    tx_count = field(5, "how many characters are in it")
    tsr = field(8, "transmitter shift register")
    shifting = field(1, "it is busy")
    line = buffer(LINE, "characters on their way from the other end, a ring from line_head")
    line_head = field(12, "the next of them", reset=keep(0))
    line_count = field(13, "how many", reset=keep(0))
    out = buffer(OUT, "characters that have gone out and that the host has not taken, a ring from out_head")
    out_head = field(14, "the oldest of them", reset=keep(0))
    out_count = field(15, "how many", reset=keep(0))
    watched = field(1, "somebody waits for a character to go out", reset=keep(0))
    lost = field(63, "characters that nobody took in time", reset=keep(0))
    goes = deadline("the character in the shift register has gone out")
    comes = deadline("the next character from the line is complete")
    quiet = deadline("four characters of silence")

    def __init__(self, name: str, gated: bool = False, patient: bool = False) -> None:
        super().__init__(name)
        self.straps = int(gated), int(patient)

    def power_on(self) -> None:
        super().power_on()
        self.gated, self.patient = self.straps

    def reset(self, cold: bool = False) -> None:
        super().reset(cold)
        self.seen = self.lines
        listen(self, self.home.clock.now)

    @goes.due
    @kernel
    def sent(u, now):
        u.shifting = 0
        if u.mcr & 16: came(u, u.tsr, 0, now)
        else: emit(u, u.tsr)
        shift(u, now)
        update(u)

    @comes.due
    @kernel
    def received(u, now):
        if u.mcr & 16: return                            # loopback: the line's side waits
        v = int(u.line[u.line_head])
        u.line_head, u.line_count = (u.line_head + 1) % LINE, u.line_count - 1
        came(u, v, 0, now)
        listen(u, now)
        update(u)

    @quiet.due
    @kernel
    def timeout(u, now):
        u.timed_out = 1
        update(u)

    # PORTS
    @reads(0, "RBR; DLAB: divisor, low byte")
    @kernel
    def get_rbr(u, now):
        if u.lcr & 0x80: return u.divisor & 0xFF
        v = int(u.rx[u.rx_head])
        if u.rx_count:
            u.rx_count -= 1
            if u.fcr & 1:
                u.rx_head = (u.rx_head + 1) & 15
                if u.rx_count: u.errors |= int(u.rx_error[u.rx_head])
            listen(u, now)
        silence(u, now)
        update(u)
        return v

    @writes(0, "THR; DLAB: divisor, low byte")
    @kernel
    def put_thr(u, v, now):
        if u.lcr & 0x80:
            u.divisor = u.divisor & 0xFF00 | v
            return
        if u.tx_count < depth(u):
            u.tx[(u.tx_head + u.tx_count) & 15] = v
            u.tx_count += 1
        else: u.tx[(u.tx_head + u.tx_count - 1) & 15] = v
        u.thre = 0
        shift(u, now)
        update(u)

    @reads(1, "IER; DLAB: divisor, high byte")
    @kernel
    def get_ier(u, now): return u.divisor >> 8 if u.lcr & 0x80 else u.ier

    @writes(1, "IER; DLAB: divisor, high byte")
    @kernel
    def put_ier(u, v, now):
        if u.lcr & 0x80:
            u.divisor = u.divisor & 0xFF | v << 8
            return
        if v & 2 and u.ier & 2 == 0 and u.tx_count == 0: u.thre = 1    # enabled while THR is empty: it asks at once
        u.ier = v & 15
        update(u)

    @reads(2, "IIR")
    @kernel
    def get_iir(u, now):
        v = source(u)
        if v == 2: u.thre = 0                            # "reading IIR (if source of interrupt)"
        update(u)
        return v | (0xC0 if u.fcr & 1 else 0)

    @writes(2, "FCR")
    @kernel
    def put_fcr(u, v, now):
        if (v ^ u.fcr) & 1: v |= 6                       # "clears data from the FIFOs when changing" modes
        if v & 2: clear_receiver(u)
        if v & 4:
            if u.tx_count: u.thre = 1
            u.tx_count = 0
        u.fcr = v & 0xC9 if v & 1 else 0
        listen(u, now)
        silence(u, now)
        update(u)

    @reads(3, "LCR")
    @kernel
    def get_lcr(u, now): return u.lcr

    @writes(3, "LCR")
    @kernel
    def put_lcr(u, v, now): u.lcr = v

    @reads(4, "MCR")
    @kernel
    def get_mcr(u, now): return u.mcr

    @writes(4, "MCR")
    @kernel
    def put_mcr(u, v, now):
        u.mcr = v & 31
        modem(u)
        listen(u, now)
        update(u)

    @reads(5, "LSR")
    @kernel
    def get_lsr(u, now):
        bad = 0
        if u.fcr & 1:
            for i in range(u.rx_count): bad |= int(u.rx_error[(u.rx_head + i) & 15])
        v = u.errors | (1 if u.rx_count else 0) | (0x20 if u.tx_count == 0 else 0)
        v |= (0x40 if u.tx_count == 0 and u.shifting == 0 else 0) | (0x80 if bad else 0)
        u.errors = 0
        if u.rx_count: u.rx_error[u.rx_head] = 0
        update(u)
        return v

    @reads(6, "MSR")
    @kernel
    def get_msr(u, now):
        v = modem_status(u) << 4 | u.delta
        u.delta = 0
        update(u)
        return v

    @reads(7, "SCR")
    @kernel
    def get_scr(u, now): return u.scr

    @writes(7, "SCR")
    @kernel
    def put_scr(u, v, now): u.scr = v

    # THE OTHER END
    def receive(self, data: bytes) -> int:
        """Characters that the other end sends; they come in one after another at the programmed speed.

        Answers how many were taken; the rest finds no room now.  What the guest does not read in time is overrun, as on
        a real line, unless the other end is `patient`.
        """
        data = bytes(data)[:LINE - self.line_count]
        for c in data:
            self.line[(self.line_head + self.line_count) % LINE] = c
            self.line_count += 1
        listen(self, self.home.clock.now)
        return len(data)

    @property
    def room(self) -> int:
        """How many bytes `receive` would take now."""
        return LINE - self.line_count

    def drain(self) -> bytes:
        """The characters that have gone out since the last call."""
        n, head = self.out_count, self.out_head
        if n == 0: return b""
        data = bytes(self.out[head:head + n])
        data += bytes(self.out[:n - len(data)])
        self.out_head, self.out_count = (head + n) % OUT, 0
        return data

    def receive_break(self) -> None:
        """The other end holds the line low for longer than a character: a 00 with BI and FE."""
        came(self, 0, BI | FE, self.home.clock.now)
        update(self)
        self.home.settle()

    def modem_lines(self, cts: bool = True, dsr: bool = True, ri: bool = False, dcd: bool = True) -> None:
        """The other end's modem lines; at power-on CTS, DSR and DCD are on."""
        self.lines = bool(cts) | bool(dsr) << 1 | bool(ri) << 2 | bool(dcd) << 3
        modem(self)
        update(self)
        self.home.settle()
