"""INIT beside RESET, as a guest asks for them.   Oracle: SDM vol. 3, table 10-1; the data sheets for who asks for which."""
import numpy as np
import pytest

from pyv86_nb import VM, demo
from pyv86_nb.engine.processor import TIERS

STATE = """
        mov     ecx, 0x174
        mov     eax, 0x12345678         # IA32_SYSENTER_CS
        xor     edx, edx
        wrmsr
        mov     ecx, 0x10
        mov     edx, 0x100              # the TSC
        wrmsr
        xor     edx, edx
        mov     ecx, 0x2FF
        mov     eax, 0x806              # MTRRs
        wrmsr
        mov     ecx, 0x1B
        rdmsr
        and     ah, 0xF7                # the local APIC
        wrmsr
        mov     eax, cr4
        or      eax, 0x200              # OSFXSR
        mov     cr4, eax
        mov     eax, cr0
        and     eax, 0x9FFFFFFF         # CD, NW
        or      al, 0x20                # NE
        mov     cr0, eax
        fninit
        fldpi
        pcmpeqd xmm3, xmm3
        ldmxcsr [control]
        mov     eax, 0x55
        mov     cr2, eax
        mov     dr0, eax
        mov     bx, 0x1234
"""
LOOK = """
        mov     di, 0x6000
        rdtsc
        mov     [di], eax
        mov     [di + 4], edx
        mov     ecx, 0x174
        rdmsr
        mov     [di + 8], eax
        mov     ecx, 0x2FF
        rdmsr
        mov     [di + 12], eax
        mov     ecx, 0x1B
        rdmsr
        mov     [di + 16], eax
        hlt
"""


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("by, init", [("mov al, 0xFE\n out 0x64, al", 1), ("mov al, 1\n out 0x92, al", 1), ("mov al, 4\n mov dx, 0xCF9\n out dx, al", 1),
                                      ("mov al, 2\n mov dx, 0xCF9\n out dx, al\n mov al, 6\n out dx, al", 0)], ids=["8042", "port 92h", "CF9h soft", "CF9h hard"])
def test_init_is_not_reset(tier, by, init):
    """SDM vol. 3, table 10-1: INIT leaves x87, XMM, MSRs, MTRRs, the TSC and CR0.CD and NW; all else is as after RESET.  82371SB, CF9h: SRST
    says which of the two."""
    with VM("1M", bare="real", tier=tier) as vm:
        vm.load(0x7C00, demo.assemble(f"{STATE}{by}\n1: jmp 1b\ncontrol: .long 0x3F80", 0x7C00), entry=0x7C00)
        assert vm.run(timeout=60).reason == "reset"
        vm.run(instructions=0)
        r = vm.regs
        assert (r.cs, r.eip, r.ebx, r.cr2, r.cr4, r.dr0, r.dr7, r.eflags) == (0xF000, 0xFFF0, 0, 0, 0, 0, 0x400, 2)
        assert r.cr0 == (0x10 if init else 0x60000010)
        assert (float(r.st[0]) == np.pi) == bool(init) and (r.fpu_control, r.fpu_tag) == ((0x37F, 0x3FFF) if init else (0x40, 0x5555))
        assert bytes(r.xmm[3]) == (b"\xff" if init else b"\0") * 16 and r.mxcsr == (0x3F80 if init else 0x1F80)
        vm.load(0x7C00, demo.assemble(LOOK, 0x7C00))
        r.cs = 0
        r.eip = 0x7C00
        vm.run(timeout=60)
        time, cs, mtrr, apic = (int.from_bytes(vm.memory.read(0x6000 + at, n), "little") for at, n in ((0, 8), (8, 4), (12, 4), (16, 4)))
        assert time >> 40 == 1 if init else time < 10_000
        assert (cs, mtrr, apic) == ((0x12345678, 0x806, 0xFEE00100) if init else (0, 0, 0xFEE00900))
