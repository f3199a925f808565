"""Local APIC and I/O APIC against SDM vol. 3, chapter 11, and the 82093AA data sheet: each test names the section."""
import pytest

from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices import lapic
from pyv86_nb.devices.apic import Apic
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.engine.bus import APIC_INTA

ID, VERSION, TPR, PPR, EOI, LDR, DFR, SVR, ISR, TMR, IRR, ESR, ICR, ICR2, TIMER, LINT0, LINT1, ERROR, INITIAL, CURRENT, DIVIDE = (
    0x20, 0x30, 0x80, 0xA0, 0xB0, 0xD0, 0xE0, 0xF0, 0x100, 0x180, 0x200, 0x280, 0x300, 0x310, 0x320, 0x350, 0x360, 0x370, 0x380, 0x390, 0x3E0)
MASKED = 1 << 16


class Apics:
    """A board with nothing else; one tick is one tick of the timer's clock."""
    def __init__(self):
        self.chip = Apic("apic")
        self.board = Backplane(FakeClock(lapic.HZ))
        self.board.at(APIC_INTA, self.chip, "inta")
        self.board.at(APIC_INTA + 1, self.chip, "msr")
        self.board.plug_regions = [self.board.region(0, self.chip, "local"), self.board.region(0, self.chip, "io")]
        self.board.power_on()
        self.put(SVR, 0x1FF)

    def get(self, r): return self.board.memory_read(0, r, 4)
    def put(self, r, v): self.board.memory_write(0, r, 4, v)
    def bits(self, r): return {32 * i + b for i in range(8) for b in range(32) if self.get(r + 16 * i) >> b & 1}
    def ask(self, n, level): self.chip.pins.INTIN[n].set(level)
    def pulse(self, n): self.ask(n, 1); self.ask(n, 0)
    def take(self): return (v if (v := self.board.read(APIC_INTA)) < 0 else v & 255) if self.chip.INTR else None
    def advance(self, n): self.board.advance(n)

    def redirect(self, n, low, destination=0):
        for r, v in ((0x11 + 2 * n, destination << 24), (0x10 + 2 * n, low)):
            self.board.memory_write(1, 0, 4, r)
            self.board.memory_write(1, 0x10, 4, v)

    def entry(self, n):
        self.board.memory_write(1, 0, 4, 0x10 + 2 * n)
        return self.board.memory_read(1, 0x10, 4)


@pytest.fixture
def a(): return Apics()


def test_registers_after_reset():                                          # 11.4.7.1, 11.4.8; LINT0: MP specification 3.6.2.1
    a = Apics()
    a.board.reset()
    assert a.get(SVR) == 0xFF and a.get(DFR) == 0xFFFFFFFF and a.get(LDR) == 0 and a.get(TPR) == 0
    assert [a.get(r) for r in (TIMER, LINT1, ERROR)] == [MASKED] * 3 and a.get(LINT0) == 0x700
    assert a.get(VERSION) & 0xF0 == 0x10 and a.get(VERSION) >> 16 == 5


def test_a_software_disabled_apic_keeps_its_masks(a):                      # 11.4.7.2: "mask bits for all LVT entries are set"
    a.put(LINT1, 0x400)
    a.put(SVR, 0xFF)
    assert a.get(LINT1) == 0x10400
    a.put(TIMER, 0x40)
    assert a.get(TIMER) == 0x10040


def test_one_shot(a):                                                      # 11.5.4
    a.put(DIVIDE, 0b1011)                                                  # by 1
    a.put(TIMER, 0x40); a.put(INITIAL, 1000)
    a.advance(999)
    assert a.get(CURRENT) == 1 and a.take() is None
    a.advance(1)
    assert a.get(CURRENT) == 0 and a.take() == 0x40
    a.put(EOI, 0); a.advance(5000)
    assert a.take() is None


@pytest.mark.parametrize("code, by", [(0b0000, 2), (0b0001, 4), (0b0010, 8), (0b0011, 16), (0b1000, 32), (0b1001, 64), (0b1010, 128), (0b1011, 1)])
def test_dividers_and_periods(a, code, by):                                # figure 11-10
    a.put(DIVIDE, code)
    a.put(TIMER, 0x20031); a.put(INITIAL, 10)
    for _ in range(3):
        a.advance(10 * by - 1)
        assert a.take() is None and a.get(CURRENT) == 1
        a.advance(1)
        assert a.take() == 0x31 and a.get(CURRENT) == 10
        a.put(EOI, 0)


def test_writing_0_to_the_initial_count_stops_it(a):
    a.put(DIVIDE, 11); a.put(TIMER, 0x20031); a.put(INITIAL, 10); a.put(INITIAL, 0)
    a.advance(1000)
    assert a.take() is None and a.get(CURRENT) == 0


def test_tsc_deadline(a):                                                  # 11.5.4.1
    a.put(TIMER, 0x40032)
    a.put(INITIAL, 50)                                                     # "ignored"
    a.board.write(APIC_INTA + 2, 500, 4)
    assert a.board.read(APIC_INTA + 2, 4) == 500
    a.advance(499)
    assert a.take() is None
    a.advance(1)
    assert a.take() == 0x32 and a.board.read(APIC_INTA + 2, 4) == 0
    a.board.write(APIC_INTA + 2, 700, 4); a.board.write(APIC_INTA + 2, 0, 4)
    a.put(EOI, 0); a.advance(1000)
    assert a.take() is None


def test_priorities(a):                                                    # 11.8.3
    for n, v in ((3, 0x41), (4, 0x83), (5, 0x45), (6, 0x8F)): a.redirect(n, v)
    for n in (3, 4, 5): a.pulse(n)
    assert a.bits(IRR) == {0x41, 0x83, 0x45} and a.take() == 0x83
    assert a.bits(ISR) == {0x83} and a.get(PPR) == 0x80
    a.pulse(6)
    assert a.take() is None                                                # the same class waits
    a.put(EOI, 0)
    assert [a.take(), a.take()] == [0x8F, None]
    a.put(EOI, 0)
    a.put(TPR, 0x40)
    assert a.take() is None and a.get(PPR) == 0x40
    a.put(TPR, 0x3F)
    assert a.take() == 0x45
    a.put(EOI, 0)
    assert a.take() == 0x41


def test_a_vector_withdrawn_by_the_task_priority_is_spurious(a):           # 11.9: "the spurious-interrupt vector"; no bit in ISR
    a.put(LINT0, MASKED)
    a.redirect(3, 0x41); a.pulse(3)
    a.put(TPR, 0xF0)
    assert a.board.read(APIC_INTA) & 255 == 0xFF and a.bits(ISR) == set() and a.bits(IRR) == {0x41}


def test_levels_and_the_end_of_interrupt(a):                               # 11.8.5, 82093AA 3.2.4: Remote IRR
    a.redirect(10, 0x8000 | 0x55)
    a.ask(10, 1)
    assert a.entry(10) == 0xC055 and a.take() == 0x55 and a.bits(TMR) == {0x55}
    a.put(EOI, 0)
    assert a.take() == 0x55                                                # still high: it asks again
    a.ask(10, 0); a.put(EOI, 0)
    assert a.take() is None and a.entry(10) == 0x8055


def test_edges_of_a_masked_input_are_lost_levels_are_not(a):
    a.redirect(3, MASKED | 0x41); a.pulse(3)
    a.redirect(3, 0x41)
    assert a.take() is None
    a.redirect(11, MASKED | 0x8051); a.ask(11, 1)
    a.redirect(11, 0x8051)
    assert a.take() == 0x51


@pytest.mark.parametrize("low, destination, heard", [(0, 0, 1), (0, 255, 1), (0, 3, 0), (0x800, 4, 1), (0x800, 8, 0), (0x800, 12, 1), (0x100, 0, 1)])
def test_destinations_flat(a, low, destination, heard):                    # 11.6.2.1, 11.6.2.2
    a.put(LDR, 4 << 24)
    a.redirect(3, low | 0x41, destination); a.pulse(3)
    assert a.take() == (0x41 if heard else None)


@pytest.mark.parametrize("destination, heard", [(0x21, 1), (0x22, 0), (0x31, 0), (0xF1, 1), (0x23, 1)])
def test_destinations_cluster(a, destination, heard):                      # 11.6.2.2: "cluster model"
    a.put(DFR, 0x0FFFFFFF); a.put(LDR, 0x21 << 24)
    a.redirect(3, 0x841, destination); a.pulse(3)
    assert a.take() == (0x41 if heard else None)


def test_messages(a):                                                      # 11.6.1
    a.put(ICR, 0x40000 | 0x61)                                             # self
    assert a.take() == 0x61
    a.put(EOI, 0)
    a.put(ICR, 0x80000 | 0x62)                                             # all including self
    assert a.take() == 0x62
    a.put(EOI, 0)
    a.put(ICR, 0xC0000 | 0x63)                                             # all excluding self
    assert a.take() is None
    a.put(ICR2, 0); a.put(ICR, 0x64)
    assert a.take() == 0x64 and a.get(ICR) & 0x1000 == 0                   # delivered
    a.put(ICR, 0x40000 | 0x400)                                            # NMI
    assert a.chip.NMI == 1
    a.advance(2)
    assert a.chip.NMI == 0


def test_errors(a):                                                        # 11.5.3
    a.put(ERROR, 0x71)
    a.put(ICR2, 9 << 24); a.put(ICR, 0x64)                                 # nobody has this number
    assert a.get(ESR) == 0
    a.put(ESR, 0)
    assert a.get(ESR) == 4 and a.take() == 0x71
    a.put(EOI, 0); a.put(ESR, 0)
    assert a.get(ESR) == 0
    a.put(ICR, 0x40000 | 5)                                                # a vector below 16
    a.put(ESR, 0)
    assert a.get(ESR) & 0x20


def test_the_8259s_through_lint0_and_the_switch_of_the_whole_apic(a):      # 11.4.3, 11.5.1: ExtINT
    a.put(LINT0, 0x700)
    a.chip.pins.LINT[0].set(1)
    assert a.take() == -1
    a.put(LINT0, MASKED | 0x700)
    assert a.take() is None
    a.board.write(APIC_INTA + 1, lapic.BASE | lapic.BSP, 4)                # "the processor acts as if it had no APIC"
    assert a.take() == -1 and a.chip.REMAP == 1
    a.chip.pins.LINT[0].set(0)
    assert a.take() is None


def test_lint1_is_an_nmi(a):
    a.put(LINT1, 0x400)
    a.chip.pins.LINT[1].set(1)
    assert a.chip.NMI == 1


def test_wide_and_narrow_accesses(a):                                      # 11.4.1: registers are read and written 32 bits at a time
    assert a.board.memory_read(0, VERSION + 2, 1) == 5 and a.board.memory_read(0, VERSION + 4, 4) == 0
    a.board.memory_write(0, TPR, 1, 0x50)
    assert a.get(TPR) == 0


# ON THE BOARD

def test_where_an_interrupt_line_goes():                                   # PIIX3: 8259 and I/O APIC; the timer at input 2
    b = at_pc()
    for chip, pin, line in (("kbc", "IRQ1", 1), ("fdc", "IRQ", 6)):
        setattr(b.chips[chip], pin, 1); b.settle()
        assert b.chips["pic1"].ir >> line & 1 and b.chips["apic"].INTIN >> line & 1
    for port, v in ((0x43, 0x34), (0x40, 9), (0x40, 0)): b.write(port, v)
    seen = set()
    for _ in range(3000):
        b.advance(100)
        seen.add((b.chips["apic"].INTIN >> 2 & 1, b.chips["pic1"].ir & 1))
    assert seen == {(0, 0), (1, 1)}


def test_the_page_moves_with_the_base(tmp_path):
    from pyv86_nb.board.memory_map import store_bytes
    from pyv86_nb.devices.vga import Vga
    from pyv86_nb.engine.memory import PhysicalMemory
    bios = b"\xff" * 0x10000
    m = PhysicalMemory(1 << 21, store_bytes(bios, Vga))
    b = at_pc(m, bios=bios)
    window = lambda address: int(m.region[address >> 12])
    assert window(0xFEE00000) and window(0xFEC00000) and window(0xFED00000)
    b.write(APIC_INTA + 1, 0xF0000000 | lapic.ENABLED, 4)
    b.remap()
    assert window(0xF0000000) and not window(0xFEE00000)
    b.write(APIC_INTA + 1, 0xF0000000, 4)
    b.remap()
    assert not window(0xF0000000)
