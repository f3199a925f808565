"""Virtual interrupts: SDM volume 3, 20.3 (VME), 20.4 (PVI), table 20-2; volume 2, CLI STI PUSHF POPF IRET INT."""
import pytest
from protected_machine import CODE, GP, TIERS, TSS, Machine

from pyv86_nb.engine import state as S
from pyv86_nb.engine.isa import flags as F

IOPL = 0x3000


@pytest.fixture(params=TIERS)
def m(request):
    machine = Machine(request.param)
    machine.let_int_80()
    machine.put(TSS + 0x64, 0x880000)                   # the I/O map at 88h, the redirection map in the 32 bytes before
    for i in range(8):
        machine.put(TSS + 0x68 + 4 * i, 0xFFFFFFFF)
    machine.p.cpu.segment[S.TR].limit = 0x8F
    machine.p.set("cr4", S.VME)
    yield machine
    machine.p.set("cr4", 0)


def image(end):
    """EFLAGS of the program, from the frame of the handler."""
    return end.frame[2]


# CLI AND STI

@pytest.mark.parametrize("vip", [0, F.VIP])
def test_cli_and_sti_of_vm86(m, vip):
    """With IOPL 3 they mean IF; below, VIF; STI with VIP is #GP(0).  Without VME both are."""
    end = m.vm86("sti; int 0x80", iopl=3, eflags=F.VM | IOPL | 2)
    assert image(end) & (F.IF | F.VIF) == F.IF
    end = m.vm86("cli; .byte 0xCC", eflags=F.VM | F.IF | F.VIF | vip | 2)
    assert end.vector == 13 or image(end) & (F.IF | F.VIF) == F.IF
    m.idt[3] = m.idt[3] | 3 << 45
    end = m.vm86("cli; .byte 0xCC", eflags=F.VM | F.IF | F.VIF | vip | 2)
    assert end.vector == 3 and image(end) & (F.IF | F.VIF | F.VIP) == F.IF | vip
    end = m.vm86("sti; .byte 0xCC", eflags=F.VM | vip | 2)
    assert (end.fault == (GP, 0)) if vip else (end.vector == 3 and image(end) & (F.IF | F.VIF) == F.VIF)
    m.p.set("cr4", 0)
    for text in ("cli", "sti"):
        assert m.vm86(text, eflags=F.VM | 2).fault == (GP, 0)


@pytest.mark.parametrize("pvi", [0, S.PVI])
def test_protected_mode_virtual_interrupts(m, pvi):
    """20.4: CLI and STI at CPL 3 with IOPL below 3; nothing else, and not at levels 1 and 2."""
    m.p.set("cr4", pvi)
    end = m.run("sti; int 0x80", 3)
    assert image(end) & (F.IF | F.VIF) == F.VIF if pvi else end.fault == (GP, 0)
    end = m.run("cli; int 0x80", 3, eflags=F.VIF | F.IF | 2)
    assert image(end) & (F.IF | F.VIF) == F.IF if pvi else end.fault == (GP, 0)
    assert m.run("sti; int 0x80", 3, eflags=F.VIP | 2).fault == (GP, 0)
    assert m.run("sti; int 0x80", 1).fault == (GP, 0)
    assert image(m.run("sti; int 0x80", 3, eflags=IOPL | 2)) & (F.IF | F.VIF) == F.IF
    end = m.run("pushfd; pop eax; push 0x202; popfd; int 0x80", 3, eflags=F.VIF | 2)
    assert end.eax & F.IF == 0 and image(end) & (F.IF | F.VIF) == F.VIF, "PUSHF and POPF are as ever"


# PUSHF, POPF, IRET

@pytest.mark.parametrize("vif", [0, F.VIF])
def test_pushf(m, vif):
    """16 bits: IOPL 3, and VIF in the place of IF.  32 bits are the monitor's."""
    m.idt[3] = m.idt[3] | 3 << 45
    end = m.vm86("pushf; pop ax; .byte 0xCC", eflags=F.VM | F.IF | vif | F.ZF | 2)
    assert end.eax & 0xFFFF == F.ZF | IOPL | (F.IF if vif else 0) | 2
    assert m.vm86(".byte 0x66; pushf", eflags=F.VM | 2).fault == (GP, 0)


@pytest.mark.parametrize("vip", [0, F.VIP])
@pytest.mark.parametrize("value", [0, F.IF, F.TF, F.IF | F.TF, IOPL | F.ZF, F.IF | F.OF])
@pytest.mark.parametrize("how", ["popf", "iret"])
def test_popf_and_iret(m, how, value, vip):
    """IF goes to VIF, IOPL stays; #GP(0) for TF, and for IF while VIP waits, and nothing has changed."""
    m.idt[3] = m.idt[3] | 3 << 45
    m.memory.write(0x20FF0, (0).to_bytes(2, "little"))
    text = "popf; .byte 0xCC" if how == "popf" else ".byte 0xCF; hlt; .org 0x20; .byte 0xCC"
    frame = [value | 2] if how == "popf" else [0x20, 0x1000, value | 2]
    m.memory.write(0x20F00, b"".join(v.to_bytes(2, "little") for v in frame))
    end = m.vm86(text, eflags=F.VM | F.CF | F.IF | vip | 2, esp=0xF00)
    if value & F.TF or (value & F.IF and vip):
        assert end.fault == (GP, 0) and end.frame[0] == 0 and image(end) & ~F.RF == F.VM | F.CF | F.IF | vip | 2 and end.frame[3] == 0xF00
    else:
        assert end.vector == 3 and end.frame[0] == (2 if how == "popf" else 0x21) and end.frame[3] == 0xF00 + 2 * len(frame)
        assert image(end) == F.VM | F.IF | vip | value & (F.ZF | F.OF) | (F.VIF if value & F.IF else 0) | 2
    assert m.vm86(".byte 0x66;" + text, eflags=F.VM | 2, esp=0xF00).fault == (GP, 0)


# INT n

@pytest.mark.parametrize("bit", [0, 1])
@pytest.mark.parametrize("iopl", [0, 3])
@pytest.mark.parametrize("vme", [0, S.VME])
@pytest.mark.parametrize("flags", [0, F.IF, F.VIF, F.IF | F.VIF])
def test_redirection(m, bit, iopl, vme, flags):
    """Table 20-2, methods 1 to 6: a clear bit leaves INT n to the program's own handler."""
    vector = 0x45
    m.idt[vector] = m.idt[vector] | 3 << 45
    m.idt[3] = m.idt[3] | 3 << 45
    m.put(TSS + 0x68 + 8, 0xFFFFFFFF & ~(1 << (vector & 31) if not bit else 0))
    m.put(4 * vector, 0x10000100)                        # 1000:0100
    m.memory.write(CODE + 0x100, b"\xcc")
    m.p.set("cr4", vme)
    end = m.vm86(f"int {vector}; hlt", iopl=iopl, eflags=F.VM | iopl << 12 | flags | F.ZF | 2, esp=0xF00)
    if vme and not bit:
        assert end.vector == 3 and end.frame[0] == 0x101 and end.frame[3] == 0xF00 - 6
        pushed = [m.word(0x20EFA + 2 * i, 2) for i in range(3)]
        seen = F.IF if flags & (F.IF if iopl == 3 else F.VIF) else 0
        assert pushed == [2, 0x1000, F.ZF | IOPL | seen | 2]
        left = flags & ~(F.IF if iopl == 3 else F.VIF)
        assert image(end) == F.VM | iopl << 12 | left | F.ZF | 2
    elif iopl == 3:
        assert end.vector == vector and end.frame[0] == 2
    else:
        assert end.fault == (GP, 0) and end.frame[0] == 0


def test_redirection_map_beyond_the_task_state(m):
    m.p.cpu.segment[S.TR].limit = 0x67
    assert m.vm86("int 0x45", iopl=3, eflags=F.VM | IOPL | 2).fault == (GP, 0)


def test_popfd_leaves_no_virtual_flags(m):
    """vol. 2, IRETD at level 0 writes VIF and VIP."""
    m.put(0x1F000, 0x9000, 8, F.VIF | F.VIP | 2)
    m.memory.write(0x9000, b"\x9c\x58\xf4")
    assert m.run(b"\xcf", esp=0x1F000).eax == F.VIF | F.VIP | 2
