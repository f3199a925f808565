"""A guest that prints and halts for ever.   Oracle: PC16550D, 8.4 "THRE", "TEMT": what was written to THR goes out, whatever the processor does."""
import pytest

from pyv86_nb import VM, demo

PROGRAM = """
        mov     dx, 0x3FB
        mov     al, 0x83
        out     dx, al
        mov     dx, 0x3F8
        mov     al, {divisor}
        out     dx, al
        mov     dx, 0x3FB
        mov     al, 3
        out     dx, al
        dec     dx
        mov     al, 1                   # FIFOs on
        out     dx, al
        mov     dx, 0x3F8
        mov     esi, offset text
        mov     ecx, 13
        cld
1:      lodsb
        out     dx, al
        loop    1b
        cli
        hlt
text:   .ascii  "cannot go on\\n"
"""


def guest(tier, divisor=1):
    vm = VM("1M", bare="flat", tier=tier)
    vm.load(0x1000, demo.assemble(PROGRAM.format(divisor=divisor), 0x1000, bits=32), entry=0x1000)
    return vm


@pytest.mark.parametrize("tier", ["python", "native"])
@pytest.mark.parametrize("divisor", [1, 96])
def test_last_words_are_heard(tier, divisor):
    with guest(tier, divisor) as vm:
        stop = vm.run(timeout=60)
        assert stop.reason == "halted" and vm.serial[0].text == "cannot go on\n"
        assert vm.time == pytest.approx(13 * 10 * 16 * divisor / 1_843_200, rel=.02)       # 13 characters of 10 bits
        again, at = vm.run(timeout=60), vm.time
        assert again.reason == "halted" and vm.time == at and again.instructions == stop.instructions
        assert vm.devices["com1"].tx_count == 0 and vm.devices["com1"].shifting == 0


def test_waiting_for_them_finds_them():
    with guest("native") as vm:
        assert vm.run(until="go on", timeout=60).reason == "until" and vm.run(timeout=60).reason == "halted"
    with guest("native") as vm:
        assert vm.run(until="never said", timeout=60).reason == "halted"
