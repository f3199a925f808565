"""Random descriptors, gates, frames and task states against QEMU: where it ends, all registers, tables, TSSs and stacks.

Each case is a seed.  The oracle is QEMU (TCG); what it leaves out is said at `excused`.
"""
import random
import shutil

import pytest
from protected_machine import (
    CODE,
    CODE_OF,
    DATA_OF,
    FREE,
    INT32,
    LDT_SELECTOR,
    STACK,
    TIERS,
    TSS,
    TSS2,
    TSS2_SELECTOR,
    Machine,
    gate,
    segment,
)
from qemu_protected import GDB_REGISTERS, PAGING, Qemu

pytestmark = pytest.mark.qemu
COMPARED, TABLE, DIRECTORY = 0x40000, 0x40000, 0x41000
INNER, V86_CODE = 0x9000, 0x14000                       # below 64 KiB, for 16-bit gates too
CASES, MORE, BATCH = 500, 3000, 100                     # on every tier; on one, in the slow run


@pytest.fixture(scope="module")
def qemu(tmp_path_factory):
    path = shutil.which("qemu-system-i386") or pytest.skip("qemu-system-i386 is not installed")
    q = Qemu(path, tmp_path_factory.mktemp("qemu"))
    yield q
    q.close()


class Random(random.Random):
    """What descriptors and frames are made of: mostly right, sometimes not."""

    def mostly(self, right, *others): return right if self.random() < 0.75 else self.choice(others)
    def level(self): return self.choice((0, 0, 1, 2, 3, 3))

    def code(self, dpl=None):
        kind = self.choice((0x19, 0x1B, 0x1B, 0x1D, 0x1F))
        return segment(0, 0xFFFFFFFF, kind, self.level() if dpl is None else dpl, self.mostly(1, 0), 1)

    def data(self, dpl=None):
        return segment(0, 0xFFFFFFFF, self.mostly(0x13, 0x11, 0x1B), self.level() if dpl is None else dpl, self.mostly(1, 1, 0), 1)

    def gate(self, kinds, selectors, target=INNER):
        return gate(self.choice(selectors) | self.choice((0, 0, 3)), target, self.choice(kinds), self.mostly(3, 0, 1, 2), self.mostly(1, 1, 0),
                    self.choice((0, 1, 3)))

    def anything(self):
        return self.choice((self.code, self.data, lambda: segment(TSS2, 0x67, self.choice((9, 9, 11, 1)), self.level(), self.mostly(1, 0), 0),
                            lambda: self.gate((4, 5, 12, 12, 14), self.selectors), lambda: 0))()

    selectors = [*(8 * (FREE + i) for i in range(4)), 8, 0x10, 0x18, 0x20, 0x28, TSS2_SELECTOR, 0, 0x400]

    def selector(self): return self.choice(self.selectors[:6] if self.random() < 0.8 else self.selectors) | self.choice((0, 0, 3, 1, 2))


def load_segments(m, r, cpl):
    register = r.choice(("ds", "es", "fs", "gs", "ss"))
    how = r.choice(("mov {0}, eax", "push eax; pop {0}", "mov [0x30000], ebx; mov [0x30004], ax; l{0} ebx, [0x30000]"))
    text = how.format(register)
    return ".byte 0xC4, 0x1D; .long 0x30000" if text.startswith("les") else text + "; mov ecx, 1", {"eax": r.selector()}


def direct(m, r, cpl):
    return bytes([r.choice((0x9A, 0xEA))]) + INNER.to_bytes(4, "little") + r.selector().to_bytes(2, "little"), {}


def call_gate(m, r, cpl):
    m.gdt[FREE] = r.gate((12, 12, 12, 4), [8 * (FREE + 1), 8 * (FREE + 2), 8])
    # QEMU puts the DPL of a conforming segment into CS.RPL, where vol. 2, CALL, asks for the CPL
    m.gdt[FREE + 1], m.gdt[FREE + 2] = r.code() & ~(4 << 40), r.code(r.choice((0, 1))) & ~(4 << 40)
    verb = r.choice((0x9A, 0x9A, 0xEA))
    if verb == 0xEA:                                    # and says #GP where JMP asks for #NP(code segment)
        m.gdt[FREE + 1], m.gdt[FREE + 2] = m.gdt[FREE + 1] | 1 << 47, m.gdt[FREE + 2] | 1 << 47
    return bytes([verb]) + bytes(4) + (8 * FREE | r.choice((0, 3))).to_bytes(2, "little"), {}


def interrupt(m, r, cpl):
    m.idt[0x30] = r.gate((14, 15, 14, 6, 7, 12, 5), [8 * (FREE + 1), 8 * (FREE + 2), 8, TSS2_SELECTOR])
    m.gdt[FREE + 1], m.gdt[FREE + 2] = r.code(), r.code(r.choice((0, 1)))
    return b"\xcd\x30", {}


def exception(m, r, cpl):
    """Through the same random gates, and on to double faults."""
    m.idt[6] = m.idt[0] = r.gate((14, 15, 6, 12, 5), [8 * (FREE + 1), 8 * (FREE + 2), 8, TSS2_SELECTOR])
    m.idt[13] = r.mostly(m.idt[13], r.gate((14, 15, 5), [8 * (FREE + 1), 8, TSS2_SELECTOR]))
    m.gdt[FREE + 1], m.gdt[FREE + 2] = r.code(), r.code(r.choice((0, 1)))
    return r.choice((b"\x0f\x0b", b"\xf6\xf4", b"\x8e\xd8")), {"eax": 0x400}


def frame(m, r, cpl):
    outer = r.choice((cpl, 3, 3, r.level()))
    cs, ss = r.mostly(CODE_OF[outer], r.selector()), r.mostly(DATA_OF[outer], r.selector())
    flags = r.getrandbits(18) & (0x24ED5 if cpl == 0 else 0x4ED5) | 2     # VM is for CPL 0: QEMU does not look
    far = r.random() < 0.4
    words = [INNER, cs, *([] if far else [flags]), 0x25000, ss, 0x3000, 0x3000, 0x3000, 0x3000]
    if not far and flags & 0x20000 and cpl == 0:
        words[:2], words[3:5] = [0, V86_CODE >> 4], [0x800, 0x2500]
    m.put(STACK[cpl] - 0x100, *words)
    data = [r.choice((0, DATA_OF[3], DATA_OF[cpl])) for _ in range(4)]
    return r.choice((b"\xcb", b"\xca\x08\x00")) if far else b"\xcf", {"esp": STACK[cpl] - 0x100, **dict(zip(("ds", "es", "fs", "gs"), data))}


def other_task(m, r, bad=False):
    level = r.choice((0, 0, 3))
    v86 = r.random() < 0.15
    flags = r.getrandbits(12) & 0xED5 | 2 | v86 << 17 | r.choice((0, 0x4000, 0x3000))
    segments = [DATA_OF[level], CODE_OF[level], DATA_OF[level], DATA_OF[level], 0, 0]
    if bad and r.random() < 0.4:
        segments[r.choice((0, 3, 4, 5))] = r.selector()   # with a bad CS or SS, whose stack it is that the fault finds is nobody's rule
    if v86:
        segments = [0x3000, V86_CODE >> 4, 0x2500, 0x3000, 0x3000, 0x3000]
    m.put(TSS2 + 0x1C, 0, 0 if v86 else INNER, flags, *range(1, 5), 0x800 if v86 else STACK[level] - 0x300, 5, 6, 7, *segments,
          r.mostly(0, LDT_SELECTOR), 0x680000)
    m.gdt[TSS2_SELECTOR >> 3] = segment(TSS2, r.mostly(0x67, 0x66), r.mostly(9, 11), r.mostly(3, 0), r.mostly(1, 1, 0), 0)


def task(m, r, cpl):
    other_task(m, r, True)
    m.gdt[FREE] = gate(TSS2_SELECTOR, 0, 5, r.mostly(3, 0), r.mostly(1, 0))
    how = r.choice((0x9A, 0xEA, "iret", "int"))
    if how == "iret":
        m.put(TSS, TSS2_SELECTOR)
        m.gdt[TSS2_SELECTOR >> 3] = segment(TSS2, 0x67, r.mostly(11, 9), 0, 1, 0)
        return b"\xcf", {"eflags": 0x4002}
    if how == "int":
        m.idt[0x30] = gate(TSS2_SELECTOR, 0, 5, 3)
        return b"\xcd\x30", {}
    return bytes([how]) + bytes(4) + r.choice((TSS2_SELECTOR | 3, 8 * FREE | 3)).to_bytes(2, "little"), {}


def task_of_the_80286(m, r, cpl):
    """A 16-bit TSS, with stacks of 64 KiB: ESP comes out of it with an upper half that nothing defines."""
    level = r.choice((0, 0, 3))
    stacks = 8 * (FREE + 2), 8 * (FREE + 3) | 3
    for s in stacks:
        m.gdt[s >> 3] = segment(0x20000, 0xFFFF, 0x13, s & 3, 1, 0)
    words = [INNER, r.getrandbits(12) & 0xED5 | 2 | r.choice((0, 0x3000)), *range(1, 5), 0x3000, 5, 6, 7,
             r.mostly(DATA_OF[level], r.selector()), CODE_OF[level], stacks[level == 3], r.mostly(DATA_OF[level], 0, r.selector()), r.mostly(0, LDT_SELECTOR)]
    m.memory.write(TSS2, b"".join(w.to_bytes(2, "little") for w in (0, 0x2800, stacks[0], 0, 0, 0, 0, *words)))
    m.gdt[TSS2_SELECTOR >> 3] = segment(TSS2, r.mostly(0x2B, 0x2A), r.mostly(1, 3), 3, r.mostly(1, 1, 0), 0)
    if r.random() < 0.3:
        m.idt[0x30] = gate(TSS2_SELECTOR, 0, 5, 3)
        return b"\xcd\x30", {}
    return bytes([r.choice((0x9A, 0xEA))]) + bytes(4) + (TSS2_SELECTOR | 3).to_bytes(2, "little"), {}


def look(m, r, cpl):
    verb = r.choice(("lar ecx, eax", "lsl ecx, eax", "verr ax", "verw ax", "arpl ax, bx"))
    return verb + "; pushfd; pop edx", {"eax": r.selector(), "ebx": r.selector(), "eflags": r.getrandbits(8) & 0xD5 | 2}


def system(m, r, cpl):
    return r.choice(("ltr ax; str ecx; sldt edx", "lldt ax; sldt ecx", "popfd; pushfd; pop ecx", "cli", "sti", "in al, 0xE0", "smsw ecx", "clts")), \
        {"eax": r.choice((r.selector(), LDT_SELECTOR, TSS2_SELECTOR)), "eflags": r.choice((2, 0x3002, 0x1202))}


def with_paging(m, r, switching):
    """Everything where it was, but some pages are read only, supervisor's or missing.  Of a task switch that cannot be done the
    order of accesses is nobody's rule; of RETF at CPL 3 QEMU reads the stack as a supervisor (page 25h)."""
    for i in range(256):
        m.put(TABLE + 4 * i, i << 12 | 7)
    m.put(DIRECTORY, TABLE | 7)
    for page in r.sample((0x2, 0x9, 0x10, 0x14, 0x1F, 0x21, 0x23, *(() if switching else (0x1, 0x3))), r.choice((0, 1, 1, 2))):
        m.put(TABLE + 4 * page, page << 12 | r.choice((1, 3, 5) if page == 1 else (0, 1, 3, 5, 6)))
    return {"cr3": DIRECTORY}


def build(m, seed, paged=False):
    """The machine of a seed, in memory; the registers it starts with."""
    r = Random(seed)
    m.__init__(m.p.tier)
    m.let_int_80(r.choice((INT32, 15)))
    cpl = r.choice((0, 0, 3, 3, 1))
    for i in range(4):
        m.gdt[FREE + i] = r.anything()
    for level in range(3):
        if r.random() < 0.1:
            m.put(TSS + 8 + 8 * level, r.selector())
    m.memory.write(INNER, b"\xcd\x80\xf4")
    m.memory.write(V86_CODE, r.choice((b"\xcd\x80\xf4", b"\x0f\x0b", b"\xfa", b"\x9c\xcc")))
    scenario = r.choice((load_segments, direct, call_gate, call_gate, interrupt, exception, frame, frame, task, task, task_of_the_80286, look, system))
    other_task(m, r)
    text, registers = scenario(m, r, cpl)
    m.assemble(text if isinstance(text, bytes) else text + "; int 0x80")
    paging = with_paging(m, r, scenario in (task, task_of_the_80286, interrupt, exception, direct)) if paged else {}
    return scenario.__name__, cpl, {"esp": STACK[cpl], "eip": CODE, "eflags": 2, "edx": 0, **registers, **paging}


def excused(m, end):
    """Addresses whose lowest bit QEMU 7.2 leaves clear: EXT in the error code (SDM vol. 3, 6.13), RF in the image that a fault
    pushes (17.3.1.1), on a stack or in a TSS."""
    return {end.esp, TSS + 0x26, TSS2 + 0x26, *range(STACK[0] - 0x400, STACK[3], 2 if len(m.p.faults) > 1 else 4)} | \
        set(range(STACK[0] - 0x400 + 2, STACK[3], 4))


def run(tier, qemu, seed, paged=False):
    """Differences, as text."""
    m = Machine(tier)
    name, cpl, registers = build(m, seed, paged)
    memory = m.memory.read(0, COMPARED + 0x2000)
    if paged:
        m.p.set("cr3", DIRECTORY)
        m.p.set("cr0", PAGING)
    end = m.run(None, cpl, **{n: v for n, v in registers.items() if n != "cr3"})
    m.p.set("cr0", 0x11)
    if not end.halted:
        return []                                       # a shutdown, which starts QEMU anew
    found, after = qemu.run(memory, cpl, **registers)
    ours = m.memory.read(0, COMPARED)                   # without the page tables: A and D are set at other moments
    let_off = excused(m, end)
    cut = {}
    if name == task_of_the_80286.__name__:              # upper halves are nobody's, also of ESP on the stack
        cut = dict.fromkeys(GDB_REGISTERS[:8], 0xFFFF)
        frame = m.p.cpu.segment[2].base + (end.esp & 0xFFFF) + (4 if end.fault and end.fault[1] is not None else 0)
        ours, after = bytearray(ours), bytearray(after)
        ours[frame + 14:frame + 16] = after[frame + 14:frame + 16] = b"\0\0"
    wrong = [f"{n}: {m.p.get(n):#x}, QEMU {found[n]:#x}" for n in GDB_REGISTERS if (m.p.get(n) ^ found[n]) & cut.get(n, 0xFFFFFFFF)]
    for page in range(0, COMPARED, 0x1000):
        if page != 0x7000 and ours[page:page + 0x1000] != after[page:page + 0x1000]:
            wrong += [f"[{at:#x}]: {ours[at]:#x}, QEMU {after[at]:#x}" for at in range(page, page + 0x1000)
                      if ours[at] != after[at] and not (at in let_off and ours[at] == after[at] | 1)]
    return [f"{seed} {name} cpl {cpl} {end}: {w}" for w in wrong]


def check(tier, batch, qemu, paged=False):
    wrong = [w for seed in range(batch * BATCH, (batch + 1) * BATCH) for w in run(tier, qemu, seed, paged)]
    if wrong:
        pytest.fail("\n".join(wrong[:20]), pytrace=False)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("batch", range(CASES // BATCH))
def test_same_as_qemu(tier, batch, qemu):
    check(tier, batch, qemu)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("batch", range(2))
def test_with_paging(tier, batch, qemu):
    check(tier, batch, qemu, True)


@pytest.mark.slow
@pytest.mark.parametrize("paged", [False, True])
@pytest.mark.parametrize("batch", range(CASES // BATCH, MORE // BATCH))
def test_many_more(batch, paged, qemu):
    check(TIERS[0], batch, qemu, paged)
