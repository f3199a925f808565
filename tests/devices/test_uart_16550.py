"""16550D against its data sheet (National Semiconductor TL/C/8652), section by section."""
import pytest
from two_readers import agree, all_hot

from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.uart_16550 import Uart16550

HZ = 1_843_200                                           # one instruction is one clock of the crystal
RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(8)
CHAR = 10 * 16                                           # 8N1, divisor 1


def make(gated=False, patient=False):
    b = Backplane(FakeClock(HZ))
    b.at(0, Uart16550("com1", gated, patient))
    return b.power_on()


@pytest.fixture
def pc():
    """115200 8N1."""
    b = make()
    setup(b)
    return b


@pytest.fixture
def uart(pc): return pc.chips["com1"]


def setup(b, divisor=1, lcr=3, fcr=0, ier=0):
    b.write(LCR, 0x80); b.write(RBR, divisor & 255); b.write(IER, divisor >> 8)
    b.write(LCR, lcr); b.write(IIR, fcr); b.write(IER, ier)


def get(b, n): return bytes(b.read(RBR) for _ in range(n))


def test_reset_state():                                                    # table I: "UART reset functions"
    b = make()
    assert [b.read(n) for n in (IER, IIR, LCR, MCR, LSR)] == [0, 1, 0, 0, 0x60]
    assert b.read(MSR) == 0xB0 and not b.chips["com1"].INTR


def test_divisor_and_scratch(pc):                                          # 8.3 "Programmable baud generator"; DLAB
    setup(pc, divisor=0x1234)
    pc.write(LCR, 0x83); assert (pc.read(RBR), pc.read(IER)) == (0x34, 0x12)
    pc.write(LCR, 0x03); assert pc.read(IER) == 0
    pc.write(SCR, 0x5A); assert pc.read(SCR) == 0x5A


@pytest.mark.parametrize("lcr,divisor,clocks", [                           # 8.1: start + data + parity + stop
    (0x03, 1, 160), (0x03, 12, 1920), (0x1B, 1, 176), (0x07, 1, 176), (0x00, 1, 112), (0x04, 1, 120),
    (0x1F, 96, 18432)])
def test_a_character_takes_its_bits_at_the_programmed_rate(pc, uart, lcr, divisor, clocks):
    setup(pc, divisor, lcr); pc.write(RBR, 0x15)
    assert pc.read(LSR) & 0x60 == 0x20
    pc.advance(clocks - 1); assert pc.read(LSR) & 0x60 == 0x20 and uart.drain() == b""
    pc.advance(1); assert pc.read(LSR) & 0x60 == 0x60 and uart.drain() == b"\x15"


def test_transmitter_without_fifo_holds_one_and_shifts_one(pc, uart):      # 8.4 LSR bits 5, 6
    pc.write(RBR, 65); assert pc.read(LSR) & 0x20
    pc.write(RBR, 66); assert pc.read(LSR) == 0
    pc.advance(CHAR); assert pc.read(LSR) & 0x60 == 0x20
    pc.advance(CHAR); assert pc.read(LSR) & 0x60 == 0x60 and uart.drain() == b"AB" and uart.drain() == b""


def test_transmitter_fifo_holds_16(pc, uart):
    pc.write(IIR, 1)
    for c in b"0123456789ABCDEFG": pc.write(RBR, c)                        # one in the shift register, 16 behind it
    assert pc.read(LSR) & 0x60 == 0
    pc.advance(16 * CHAR); assert pc.read(LSR) & 0x60 == 0x20
    pc.advance(CHAR); assert uart.drain() == b"0123456789ABCDEFG"


def test_word_length_cuts_the_character(pc, uart):
    setup(pc, lcr=0x02); pc.write(RBR, 0xC1); uart.receive(b"\xC2"); pc.advance(200)
    assert uart.drain() == b"\x41" and get(pc, 1) == b"\x42"


def test_received_data_and_its_interrupt(pc, uart):                        # 8.6 table IV, second level
    pc.write(IER, 1); uart.receive(b"ab")
    pc.advance(CHAR - 1); assert pc.read(LSR) & 1 == 0
    pc.advance(1); assert pc.read(LSR) & 1 and uart.INTR and pc.read(IIR) == 4
    assert get(pc, 1) == b"a" and not uart.INTR and pc.read(IIR) == 1
    pc.advance(CHAR); assert get(pc, 1) == b"b"


def test_overrun_without_fifo_keeps_the_newer(pc, uart):                   # 8.4 OE
    pc.write(IER, 4); uart.receive(b"ab"); pc.advance(2 * CHAR)
    assert uart.INTR and pc.read(IIR) == 6 and pc.read(LSR) & 3 == 3 and not uart.INTR
    assert pc.read(LSR) & 3 == 1 and get(pc, 1) == b"b"


def test_overrun_with_fifo_keeps_the_older(pc, uart):
    pc.write(IIR, 1); uart.receive(b"0123456789ABCDEFGH"); pc.advance(18 * CHAR)
    assert pc.read(LSR) & 3 == 3 and get(pc, 16) == b"0123456789ABCDEF" and pc.read(LSR) & 1 == 0


@pytest.mark.parametrize("fcr,depth", [(0, 1), (1, 16)])
def test_a_patient_other_end_loses_nothing(fcr, depth):                    # 8.4 OE: what would set it never comes
    b = make(patient=True)
    setup(b, fcr=fcr)
    uart, sent = b.chips["com1"], bytes(range(65, 105))
    uart.receive(sent)
    b.advance(100 * CHAR)
    assert uart.rx_count == depth and b.read(LSR) & 3 == 1
    came = b""
    while b.read(LSR) & 1:
        came += get(b, 1)
        b.advance(CHAR)
    assert came == sent and not uart.errors
    uart.receive(b"0123456789abcdefgh")
    b.advance(100 * CHAR)
    b.write(IIR, fcr | 2)                                                  # the FIFO is emptied: there is room, and the next one begins
    b.advance(CHAR)
    assert b.read(LSR) & 1 and get(b, 1) == b"0123456789abcdefgh"[depth:depth + 1]


@pytest.mark.parametrize("bits,level", [(0, 1), (1, 4), (2, 8), (3, 14)])
def test_trigger_level(pc, uart, bits, level):                             # 8.5 FCR; 8.10 "FIFO interrupt mode"
    pc.write(IIR, 1 | bits << 6); pc.write(IER, 1); uart.receive(bytes(level))
    pc.advance((level - 1) * CHAR); assert not uart.INTR
    pc.advance(CHAR); assert uart.INTR and pc.read(IIR) == 0xC4
    pc.read(RBR); assert not uart.INTR


def test_character_timeout(pc, uart):  # "at least one character and four character times"
    pc.write(IIR, 0xC1); pc.write(IER, 1); uart.receive(b"xy")
    pc.advance(2 * CHAR + 4 * CHAR - 1); assert not uart.INTR
    pc.advance(1); assert uart.INTR and pc.read(IIR) == 0xCC
    assert get(pc, 1) == b"x" and not uart.INTR                            # a read begins the wait anew
    pc.advance(4 * CHAR); assert pc.read(IIR) == 0xCC and get(pc, 1) == b"y"
    pc.advance(9 * CHAR); assert not uart.INTR


def test_thre_interrupt(pc, uart):  # third level: IIR read or THR write clears it
    pc.write(IER, 2); assert uart.INTR and pc.read(IIR) == 2 and not uart.INTR and pc.read(IIR) == 1
    pc.write(RBR, 65); assert uart.INTR                                    # straight on to the shift register
    pc.write(RBR, 66); assert not uart.INTR
    pc.advance(CHAR); assert uart.INTR and pc.read(IIR) == 2


def test_enabling_the_thre_interrupt_again_asks_again(pc, uart):
    pc.write(IER, 2); pc.read(IIR); pc.write(IER, 0); pc.write(IER, 2); assert uart.INTR


def test_priorities(pc, uart):                                             # table IV: 06, 04, 02, 00
    pc.write(IER, 15); uart.receive(b"ab"); pc.advance(2 * CHAR); uart.modem_lines(cts=False)
    seen = []
    for read in (LSR, RBR, IIR, MSR):
        seen.append(pc.read(IIR) if read != IIR else None)
        if read != IIR: pc.read(read)
        else: seen[-1] = pc.read(IIR)
    assert seen == [6, 4, 2, 0] and pc.read(IIR) == 1


def test_modem_status_and_its_changes(pc, uart):                           # 8.8 MSR
    assert pc.read(MSR) == 0xB0
    uart.modem_lines(cts=False, ri=True); assert pc.read(MSR) == 0xE1      # the beginning of a ring is no change
    uart.modem_lines(cts=True, dsr=False, dcd=False); assert pc.read(MSR) == 0x1F and pc.read(MSR) == 0x10


def test_loopback(pc, uart):                                               # 8.7 MCR bit 4
    pc.write(MCR, 0x1A); assert pc.read(MSR) >> 4 == 0b1001                # RTS -> CTS, OUT2 -> DCD
    pc.write(MCR, 0x15); assert pc.read(MSR) >> 4 == 0b0110                # DTR -> DSR, OUT1 -> RI
    uart.receive(b"!")
    pc.write(RBR, 0xA5); pc.advance(CHAR)
    assert get(pc, 1) == b"\xA5" and uart.drain() == b""
    pc.write(MCR, 0); pc.advance(CHAR); assert get(pc, 1) == b"!"


def test_break(pc, uart):                                                  # 8.4 BI, FE; bit 7 while it is in the FIFO
    pc.write(IIR, 1); uart.receive(b"a"); pc.advance(CHAR); uart.receive_break()
    assert pc.read(LSR) & 0x9F == 0x81
    assert get(pc, 1) == b"a" and pc.read(LSR) & 0x9F == 0x99 and pc.read(LSR) & 0x9F == 0x01 and get(pc, 1) == b"\0"


def test_fifo_control(pc, uart):  # 8.5: clears, and clears when the mode changes
    pc.write(IIR, 1); uart.receive(b"abc"); pc.advance(3 * CHAR)
    pc.write(IIR, 3); assert pc.read(LSR) & 1 == 0 and pc.read(IIR) == 0xC1
    for c in b"xyz": pc.write(RBR, c)
    pc.write(IIR, 5); pc.advance(5 * CHAR); assert uart.drain() == b"x"
    uart.receive(b"d"); pc.advance(CHAR); pc.write(IIR, 0); assert pc.read(LSR) & 1 == 0 and pc.read(IIR) == 1
    pc.write(IIR, 0xC0); assert pc.read(IIR) == 1                          # the other bits count only with bit 0


def test_out2_gates_the_interrupt_where_the_card_does():
    b = make(gated=True); setup(b); b.write(IER, 2)
    assert not b.chips["com1"].INTR
    b.write(MCR, 8); assert b.chips["com1"].INTR
    b.write(MCR, 0x18); assert not b.chips["com1"].INTR


def test_reset_keeps_the_divisor_and_what_is_on_the_line(pc, uart):
    uart.receive(b"ab"); pc.advance(10); pc.reset(); pc.write(LCR, 3)
    pc.advance(2 * CHAR); assert uart.divisor == 1 and get(pc, 1) == b"b"


def test_what_nobody_takes_is_counted(pc, uart):
    for i in range(16384 + 5): pc.write(RBR, i & 255); pc.advance(CHAR)
    assert uart.lost == 5 and (data := uart.drain())[:2] == b"\5\6" and len(data) == 16384


def test_the_line_takes_so_much_at_a_time(uart):
    assert uart.receive(bytes(5000)) == 4096 and uart.room == 0


def test_every_method_is_hot(pc): assert all_hot(pc) == []


@pytest.mark.parametrize("seed", range(6))
def test_python_and_jit_agree(seed):
    values = {RBR: lambda r: r.getrandbits(8), IER: lambda r: r.choice((0, 1, 3, 5, 15)),
              IIR: lambda r: r.choice((0, 1, 1, 0x41, 0x87, 0xC1)), LCR: lambda r: r.choice((3, 3, 3, 0x1B, 0)),
              MCR: lambda r: r.choice((0, 8, 0xB, 0x1A)), SCR: lambda r: r.getrandbits(8)}
    agree(lambda: _ready(), range(8), values, seed, waits=(0, 1, 50, 160, 700, 5000),
          acts=[lambda b, r: b.chips["com1"].receive(r.randbytes(r.randrange(30))),
                lambda b, r: b.chips["com1"].drain(),
                lambda b, r: b.chips["com1"].modem_lines(cts=r.random() < .5, ri=r.random() < .5),
                lambda b, r: r.random() < .3 and b.chips["com1"].receive_break()])


def _ready():
    b = make(); setup(b, fcr=1)
    return b
