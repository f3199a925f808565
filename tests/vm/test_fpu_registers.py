"""The FPU as a user of the VM meets it: `vm.regs.st`, snapshots, and IRQ13.

Oracles: numpy's longdouble, where that is the same format; exact fractions; SDM vol. 1, figure 8-7 (tags) and 8.7.2 with the PC/AT
Technical Reference, "Coprocessor" (FERR#, IRQ13, port F0h).
"""
import math
import random
import struct
from fractions import Fraction

import numpy as np
import pytest

from pyv86_nb import VM
from pyv86_nb.fpu_view import Real

TIERS = ("python", "threaded", "native")
SAME_FORMAT = np.finfo(np.longdouble).nmant == 63


@pytest.fixture(scope="module")
def vm():
    with VM("1M", bare=True, tier="python") as made:
        made.regs.fpu_control, made.regs.fpu_tag = 0x37F, 0xFFFF
        yield made


@pytest.mark.skipif(not SAME_FORMAT, reason="the host's long double is another format")
def test_numbers_are_those_of_the_hosts_long_double():
    rng = random.Random(1)
    for _ in range(2000):
        m, e = rng.getrandbits(64) | 1 << 63, rng.choice((rng.randrange(1, 0x7FFF), rng.randrange(16383 - 1100, 16383 + 1030))) | rng.choice((0, 0x8000))
        if rng.random() < .2:
            m, e = rng.getrandbits(63), e & 0x8000
        host = np.frombuffer(struct.pack("<QH6x", m, e), np.longdouble)[0]
        with np.errstate(over="ignore"):
            assert float(Real(m, e)) == float(host), (hex(m), hex(e))


def test_reading_and_writing(vm):
    st = vm.regs.st
    for x in (0.1, -0.0, 3, -1 << 70, Fraction(1, 3), math.inf, 5e-324, np.float32(1.5), np.int64(-7)):
        st[2] = x
        assert float(st[2]) == float(x) and math.copysign(1, st[2]) == math.copysign(1, x) and not st[2].empty
    st[2] = 0.1
    assert st[2].exact == Fraction(0.1) and st[2].bytes == struct.pack("<QH", 0xCCCCCCCCCCCCD000, 0x3FFB) and st[2].kind == "normal"
    st[3] = st[2]
    assert st[3].bytes == st[2].bytes and st[7].empty and len(list(st)) == 8 and "0.1" in repr(st)
    st[1] = Fraction(1, 3)                               # to nearest: ...AAAA|AAAA is rounded up
    assert (st[1].significand, st[1].exponent) == (0xAAAAAAAAAAAAAAAB, 0x3FFD)
    st[1] = Fraction(3, 1 << 16446)                      # a denormal, half way to the next: to even
    assert (st[1].significand, st[1].exponent, st[1].kind) == (2, 0, "denormal")
    st[1] = b"\1" + bytes(6) + b"\x80\xff\x7f"
    assert math.isnan(st[1]) and st[1].kind == "signalling NaN"
    with pytest.raises(ValueError, match="has no value"): print(st[1].exact)
    vm.regs.fpu_tag = 0xFFF0
    vm.regs.fpu_status = 6 << 11
    assert vm.regs.fpu_status == 6 << 11 and st[4].empty and not st[2].empty
    st[0] = 0                                            # ST(0) is now the physical register 6
    assert vm.regs.fpu_tag & 3 << 12 == 1 << 12


@pytest.mark.parametrize("act, error, words", [
    (lambda r: r.st[8], IndexError, "0 to 7"), (lambda r: r.st["0"], TypeError, "0 to 7"), (lambda r: r.st.__setitem__(0, "1"), TypeError, "number"),
    (lambda r: r.st.__setitem__(0, b"123"), ValueError, "10 bytes"), (lambda r: r.st.__setitem__(0, 1 << 16384), ValueError, "16384"),
    (lambda r: setattr(r, "fpu_control", 1 << 16), ValueError, "16 bits"), (lambda r: setattr(r, "st", 1), AttributeError, "by number")])
def test_bad_input_changes_nothing(vm, act, error, words):
    before, log = [x.bytes for x in vm.regs.st], len(vm.input_log)
    with pytest.raises(error, match=words): act(vm.regs)
    assert [x.bytes for x in vm.regs.st] == before and len(vm.input_log) == log


@pytest.mark.parametrize("tier", TIERS)
def test_a_snapshot_has_it(tier):
    """FLDPI, snapshot, FSIN on the one machine and on the other."""
    with VM("1M", bare=True, tier=tier) as vm:
        vm.load(0, bytes.fromhex("dbe3 d9eb d9e8 dec1 d9fe f4".replace(" ", "")), entry=0)
        vm.step(3)
        saved = vm.snapshot()
        vm.step(2)
        with VM.from_snapshot(saved) as other:
            assert [x.bytes for x in other.regs.st] != [x.bytes for x in vm.regs.st]
            other.step(2)
            assert [x.bytes for x in other.regs.st] == [x.bytes for x in vm.regs.st] and other.regs.fpu_status == vm.regs.fpu_status
        assert abs(vm.regs.st[0] - math.sin(math.pi + 1)) < 1e-15


# cli; the 8259s at 8 and 70h with IR2 and IR5 of the second open; vector 75h to 0:600h; sti; fninit; fldcw [500h] (ZE open);
# fld1; fldz; fdivp st(1); fld1; mov byte [502h], 1; a: jmp a
PROGRAM = bytes.fromhex("fa b011 e620 e6a0 b008 e621 b070 e6a1 b004 e621 b002 e6a1 b001 e621 e6a1 b0fb e621 b0df e6a1"
                        "c706d4010006 c706d6010000 c70600057b03 fb dbe3 d92e0005 d9e8 d9ee def9 d9e8 c606020501 ebfe".replace(" ", ""))
# the handler: out F0h, al; fnstsw [504h]; fnstenv [510h], which masks all; fnclex; fldcw [500h]; mov al, 20h; out A0h, al; out 20h, al; iret
HANDLER = bytes.fromhex("e6f0 dd3e0405 d9361005 dbe2 d92e0005 b020 e6a0 e620 cf".replace(" ", ""))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("clear", [True, False])
def test_errors_reach_irq13(tier, clear):
    """With CR0.NE clear: FERR# to IRQ13; port F0h ends the request, and the handler may use the FPU.  Without that write, IRQ13 stays."""
    with VM("1M", bare="real", tier=tier) as vm:
        vm.load(0x1000, PROGRAM, entry=0x1000)
        vm.load(0x600, HANDLER if clear else b"\x90\x90" + HANDLER[2:])
        vm.regs.eip, vm.regs.esp = 0x1000, 0x8000
        vm.run(instructions=400)
        status, = struct.unpack("<H", vm.memory.read(0x504, 2))
        assert status & 0x80BF == 0x8084                 # ES, B, ZE
        assert vm.memory.read(0x502, 1) == b"\1" and vm.devices["coprocessor error"].IGNNE == 0
        assert vm.devices["coprocessor error"].IRQ13 == (0 if clear else 1)
        rows = vm.trace.irq.array
        assert list(rows["vector"][rows["event"] == "accept"])[:1] == [0x75]
        assert vm.regs.fpu_status & 0x80BF == 0
