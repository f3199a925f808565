"""The power button, and a guest that hears of it by its SCI and switches itself off.   Oracle: 82371AB data sheet, chapter 11: PM1_STS bit 8 is
set by the button and cleared by a 1; PM1_EN bit 8 and SCI_EN let it interrupt; SLP_EN with SLP_TYP 0 is soft off."""
import time

import pytest

from pyv86_nb import VM
from pyv86_nb.demo import assemble
from pyv86_nb.engine.processor import TIERS

SEEN = 0x6000
GUEST = f"""
        cli
        xor     ax, ax
        mov     ds, ax
        mov     ss, ax
        mov     sp, 0x7000
        mov     word ptr [0x71 * 4], offset sci
        mov     [0x71 * 4 + 2], ax
        mov     [{SEEN}], ax
        mov     al, 0x11                # the 8259s: vectors 8 and 70h, only IRQ2 and IRQ9
        out     0x20, al
        out     0xA0, al
        mov     al, 8
        out     0x21, al
        mov     al, 0x70
        out     0xA1, al
        mov     al, 4
        out     0x21, al
        mov     al, 2
        out     0xA1, al
        mov     al, 1
        out     0x21, al
        out     0xA1, al
        mov     al, 0xFB
        out     0x21, al
        mov     al, 0xFD
        out     0xA1, al
        mov     dx, 0x4D1               # IRQ9 by level
        mov     al, 2
        out     dx, al
        mov     eax, 0x80000B40         # function 3 of the PIIX4: PMBASE is 600h
        mov     ebx, 0x601
        call    configure
        mov     eax, 0x80000B80         # and there
        mov     ebx, 1
        call    configure
        mov     dx, 0x602
        mov     ax, 0x100               # PWRBTN_EN
        out     dx, ax
        mov     dx, 0x604
        mov     ax, 1                   # SCI_EN
        out     dx, ax
        sti
wait:   hlt
        jmp     wait
configure:
        mov     dx, 0xCF8
        out     dx, eax
        mov     dx, 0xCFC
        mov     eax, ebx
        out     dx, eax
        ret
sci:    inc     word ptr [{SEEN}]
        mov     dx, 0x600
        in      ax, dx
        mov     [{SEEN + 2}], ax
        mov     ax, 0x100
        out     dx, ax
        in      ax, dx
        mov     [{SEEN + 4}], ax
        mov     al, 0x20
        out     0xA0, al
        out     0x20, al
        cmp     word ptr [{SEEN}], 2    # pressed twice: off
        jne     back
        mov     dx, 0x604
        mov     ax, 0x2001
        out     dx, ax
back:   iret
"""


def words(vm): return [int.from_bytes(bytes(vm.memory[at:at + 2]), "little") for at in range(SEEN, SEEN + 6, 2)]


def guest(tier="auto"):
    vm = VM("1M", bare="real", tier=tier)
    vm.load(0x7C00, assemble(GUEST, 0x7C00, bits=16), entry=0x7C00)
    return vm


@pytest.mark.parametrize("tier", TIERS)
def test_the_guest_hears_of_it_and_switches_itself_off(tier):
    with guest(tier) as vm:
        assert vm.run(seconds=0.01).reason == "seconds" and words(vm)[0] == 0
        vm.power_button()
        assert vm.run(seconds=0.01).reason == "seconds" and words(vm) == [1, 0x100, 0]
        assert vm.run(seconds=0.01).reason == "seconds" and words(vm)[0] == 1, "once for each press"
        vm.power_button()
        assert vm.run(seconds=0.01, timeout=60).reason == "shutdown" and words(vm)[0] == 2


def test_it_is_an_input_like_others():
    """Logged with its tick, and taken by a machine that runs."""
    with guest() as vm:
        vm.run(seconds=0.01)
        vm.power_button()
        assert [e[2] for e in vm.input_log][-1] == ("power_button",)
        vm.run(seconds=0.01)
        vm.start()
        vm.power_button()
        end = time.monotonic() + 60
        while vm.running and time.monotonic() < end: time.sleep(0.01)
        assert vm.last_stop.reason == "shutdown" and words(vm)[0] == 2


def test_a_guest_that_does_not_listen_and_a_closed_machine():
    with VM("1M", bare="real") as vm:
        vm.load(0x7C00, assemble("again: jmp again", 0x7C00, bits=16), entry=0x7C00)
        vm.power_button()
        assert vm.run(instructions=1000).reason == "instructions" and vm.devices["pm"].PWRBTN_STS == 1
    with pytest.raises(RuntimeError, match="closed"): vm.power_button()
