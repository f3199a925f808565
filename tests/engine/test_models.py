"""Processor models, CPUID and MSRs: SDM volume 2 (CPUID, RDMSR, RDRAND, SYSENTER), volume 4 (the registers), the data sheets' signatures."""
import pytest
from protected_machine import CODE, GP, INT32, TIERS, UD, Machine, gate

from pyv86_nb.engine import models
from pyv86_nb.engine import segmentation as SEG
from pyv86_nb.engine import state as S
from pyv86_nb.engine.isa import flags as F
from pyv86_nb.engine.isa.opcodes import OPCODES
from pyv86_nb.engine.memory import PhysicalMemory
from pyv86_nb.engine.processor import Processor

# family, model, stepping, of Intel's specification updates; the last basic leaf
SIGNATURES = {"486": (4, 8, 0, 1), "pentium": (5, 2, 12, 1), "pentium3": (6, 8, 6, 2), "pentium4": (15, 4, 1, 4)}
# one instruction of each optional kind, and the first model that has it (vol. 2)
LACKING = {"rdtsc": (b"\x0f\x31", "pentium"), "rdmsr": (b"\x0f\x32", "pentium"), "cmpxchg8b": (b"\x0f\xc7\x0d\0\0\x03\0", "pentium"),
           "cmov": (b"\x0f\x44\xc1", "pentium3"), "sysenter": (b"\x0f\x34", "pentium3"), "rdpmc": (b"\x0f\x33", "pentium3"),
           "popcnt": (b"\xf3\x0f\xb8\xc1", "max"), "movbe": (b"\x0f\x38\xf0\x0d\0\0\x03\0", "max"), "rdrand": (b"\x0f\xc7\xf1", "max"),
           "rdseed": (b"\x0f\xc7\xf9", "max"), "rdtscp": (b"\x0f\x01\xf9", "max"), "stac": (b"\x0f\x01\xcb", "max")}


@pytest.fixture(params=TIERS)
def m(request):
    machine = Machine(request.param)
    machine.let_int_80()
    return machine


def flat(model, tier="python", **k):
    memory = PhysicalMemory(1 << 20)
    memory.map(0, 1 << 20, 0, 0)
    p = Processor(memory, tier, model=model, **k)
    p.flat()
    return p


def cpuid(p, leaf, sub=0):
    p.memory.write(0x1000, b"\x0f\xa2\xf4")
    for n, v in (("eip", 0x1000), ("eax", leaf), ("ecx", sub)):
        p.set(n, v)
    p.cpu.halted = 0
    p.run(10)
    return [p.get(n) for n in ("eax", "ebx", "ecx", "edx")]


@pytest.mark.parametrize("model", models.MODELS)
def test_signature(model):
    p = flat(model)
    p.reset()
    signature = p.get("edx")                             # vol. 3, 9.1.3: EDX after RESET
    p.flat()
    last, *vendor = cpuid(p, 0)
    assert cpuid(p, 1)[0] == signature and b"".join(vendor[i].to_bytes(4, "little") for i in (0, 2, 1)) == b"GenuineIntel"
    if model in SIGNATURES:
        assert (signature >> 8 & 15, signature >> 4 & 15, signature & 15, last) == SIGNATURES[model]
    assert cpuid(p, last + 1) == cpuid(p, last), "beyond the last leaf: that one's data"
    assert cpuid(p, 0x40000000) == cpuid(p, last)


@pytest.mark.parametrize("model", ["pentium4", "max"])
def test_brand_string(model):
    """Leaves 80000002h to 80000004h: 48 characters, with a 0 at the end."""
    p = flat(model)
    assert cpuid(p, 0x80000000)[0] == 0x80000008 and cpuid(p, 0x80000008)[0] == 36 | 32 << 8
    text = b"".join(w.to_bytes(4, "little") for leaf in (2, 3, 4) for w in cpuid(p, 0x80000000 + leaf))
    assert text.rstrip(b"\0").decode() == models.MODELS[model].brand


@pytest.mark.parametrize("model", ["pentium4", "max"])
def test_caches(model):
    """Leaf 4: size = ways * partitions * line * sets; type 0 ends the list.  Leaf 2: AL is 1."""
    p, sizes = flat(model), []
    for sub in range(10):
        a, b, c, _ = cpuid(p, 4, sub)
        if a & 31 == 0:
            break
        sizes.append(((b >> 22) + 1) * ((b >> 12 & 1023) + 1) * ((b & 4095) + 1) * (c + 1) >> 10)
    assert sizes == {"pentium4": [16, 1024], "max": [32, 32, 2048]}[model]
    assert cpuid(p, 2)[0] & 255 == 1


def test_the_apic_bit_follows_the_enable():
    """vol. 3, 10.4.3: without a local APIC on the board there is no bit; with one, it goes with bit 11 of IA32_APIC_BASE."""
    assert cpuid(flat("max"), 1)[3] >> 9 & 1 == 0
    p = flat("max", apic=True)
    assert p.cpu.apic_base == 0xFEE00900 and cpuid(p, 1)[3] >> 9 & 1 == 1
    p.cpu.apic_base = 0xFEE00100
    assert cpuid(p, 1)[3] >> 9 & 1 == 0


@pytest.mark.parametrize("model", models.MODELS)
@pytest.mark.parametrize("name", LACKING)
def test_what_a_model_lacks_is_undefined(model, name):
    code, first = LACKING[name]
    order = list(models.MODELS)
    p = flat(model)
    p.memory.write(0x1000, code + b"\xf4")
    p.memory.write(0x2000 + 8 * 6, gate(8, 0x3000, INT32).to_bytes(8, "little"))
    p.memory.write(0x2000 + 8 * 13, gate(8, 0x3100, INT32).to_bytes(8, "little"))
    p.memory.write(0x3000, b"\xf4")
    p.memory.write(0x3100, b"\xf4")
    p.memory.write(0x5008, bytes.fromhex("ffff0000009bcf00"))
    for n, v in (("eip", 0x1000), ("esp", 0x8000), ("idtr", (0x2000, 0xFF)), ("gdtr", (0x5000, 0xFF)), ("ecx", 0x10)):
        p.set(n, v)
    p.run(10)
    assert (p.get("eip") == 0x3001) == (order.index(model) < order.index(first)), p.faults


def test_no_feature_that_does_not_work():
    """Every offered feature that brings instructions has rows, and CR4 takes exactly its bits."""
    for model in models.MODELS:
        names = models.offered(model, True)
        assert names <= models.WORKS
        for r in OPCODES:
            assert not r.feature or r.feature in models.FEATURES, r
        p = flat(model)
        for bit in range(32):
            allowed = any(models.CR4.get(n, 0) >> bit & 1 for n in names)
            try:
                p.set("cr4", 1 << bit)
                assert allowed, (model, bit)
            except ValueError:
                assert not allowed, (model, bit)


# MODEL-SPECIFIC REGISTERS

MTRRS = [*range(0x200, 0x210), 0x250, 0x258, 0x259, *range(0x268, 0x270), 0x2FF]


@pytest.mark.parametrize("n", [2, 0x1C, 0xC0, 0x210, 0x251, 0x270, 0x3F1, 0x1D9, 0xC0000081, 0xFFFFFFFF])
def test_an_msr_that_is_not_there(m, n):
    assert m.run("rdmsr", ecx=n).fault == (GP, 0) and m.run("wrmsr", ecx=n, eax=0, edx=0).fault == (GP, 0)


def test_msrs_are_of_the_system(m):
    assert m.run("rdmsr", 3, ecx=0x10).fault == (GP, 0) and m.run("wrmsr", 3, ecx=0x10).fault == (GP, 0)
    assert m.run("rdpmc", 0, ecx=0).fault == (GP, 0)


@pytest.mark.parametrize("n", MTRRS)
def test_memory_type_ranges(m, n):
    """vol. 3, 12.11.2: what is written is read; types 2, 3 and above 6 and reserved bits are #GP(0)."""
    fixed, mask = 0x250 <= n <= 0x26F, n < 0x210 and n & 1
    good = (0x06050401, 0x00060606) if fixed else (0xFFFFF800, 0xF) if mask else (0xC06, 0) if n == 0x2FF else (0xFFFFF006, 0xF)
    end = m.run("wrmsr; xor eax, eax; xor edx, edx; rdmsr", ecx=n, eax=good[0], edx=good[1])
    assert (end.eax, end.edx) == good
    for low, high in ([(2, 0), (7, 0), (0x300, 0), (0, 0xFF000000)] if fixed else [(1, 0), (0x800, 0x10)] if mask else [(2, 0), (3, 0), (0x100 if n < 0x2FF else 0x1000, 0), (0, 0x10)]):
        assert m.run("wrmsr", ecx=n, eax=low, edx=high).fault == (GP, 0), (low, high)


def test_other_msrs(m):
    m.p.reset()
    m.__init__(m.p.tier)
    end = m.run("rdmsr", ecx=0x277)
    assert (end.eax, end.edx) == (0x00070406, 0x00070406), "vol. 3, table 12-12"
    assert m.run("wrmsr", ecx=0x277, eax=2, edx=0).fault == (GP, 0)
    assert m.run("rdmsr", ecx=0xFE).eax == 0x508 and m.run("wrmsr", ecx=0xFE, eax=0).fault == (GP, 0)
    end = m.run("wrmsr; rdmsr", ecx=0xC0000080, eax=0x800, edx=0)
    assert end.eax == 0x800 and m.run("wrmsr", ecx=0xC0000080, eax=0x100, edx=0).fault == (GP, 0), "LME is of 64-bit processors"
    end = m.run("mov eax, 0x55; wrmsr; .byte 0x0F, 0x01, 0xF9", ecx=0xC0000103, edx=0)
    assert end.ecx == 0x55, "RDTSCP"
    assert m.run(".byte 0x0F, 0x01, 0xFA").fault == (UD, None)


def test_machine_checks(m):
    """vol. 3, 15.3.1: MCG_CAP is read-only and counts the banks, here none, so no bank has registers; of MCG_STATUS there are three bits."""
    end = m.run("rdmsr", ecx=0x179)
    assert (end.eax, end.edx) == (0, 0) and m.run("wrmsr", ecx=0x179, eax=0, edx=0).fault == (GP, 0)
    end = m.run("wrmsr; mov eax, 0x99; rdmsr", ecx=0x17A, eax=5, edx=0)
    assert (end.eax, end.edx) == (5, 0)
    assert m.run("wrmsr", ecx=0x17A, eax=8, edx=0).fault == (GP, 0) and m.run("wrmsr", ecx=0x17A, eax=0, edx=1).fault == (GP, 0)
    assert m.run("rdmsr", ecx=0x400).fault == (GP, 0) and m.run("rdmsr", ecx=0x17B).fault == (GP, 0)
    assert m.run("mov eax, cr4; or eax, 0x40; mov cr4, eax; mov eax, cr4").eax & 0x40
    m.p.set("cr4", 0)


def test_random_numbers_are_of_the_machine(m):
    """vol. 2, RDRAND: CF=1, the other flags 0.  The same seed, the same numbers."""
    runs = []
    for seed in (1, 1, 2):
        m.p.cpu.random = seed
        end = m.run(".byte 0x0F, 0xC7, 0xF0, 0x0F, 0xC7, 0xFB, 0x66, 0x0F, 0xC7, 0xF1; pushfd; pop edx", eflags=F.MASK | 2, ecx=0xFFFF0000)
        assert end.edx & F.MASK == F.CF and end.ecx >> 16 == 0xFFFF
        runs.append((end.eax, end.ebx, end.ecx))
    assert runs[0] == runs[1] != runs[2]


# SYSENTER, SYSEXIT

def msrs(m, cs=0x08, esp=0x25000, eip=0x9000):
    m.p.cpu.sysenter_cs, m.p.cpu.sysenter_esp, m.p.cpu.sysenter_eip = cs, esp, eip


@pytest.mark.parametrize("cpl", [0, 1, 3])
def test_sysenter(m, cpl):
    """vol. 2: flat segments of level 0, made up; VM, IF, RF cleared; nothing is saved."""
    msrs(m, 0x0B)
    m.memory.write(0x9000, b"\xf4")
    end = m.run("sysenter", cpl, eflags=F.IF | F.ZF | 0x3002)
    assert end.halted and end.eip == 0x9001 and end.esp == 0x25000 and end.cpl == 0 and (end.cs, end.ss) == (0x08, 0x10)
    assert end.eflags == F.ZF | 0x3002
    for s, rights in ((S.CS, 0xC09B), (S.SS, 0xC093)):
        got = m.p.cpu.segment[s]
        assert (got.base, got.limit, got.rights) == (0, 0xFFFFFFFF, rights)


def test_sysexit(m):
    """vol. 2: to ECX:EDX at level 3, CS = IA32_SYSENTER_CS + 16, SS + 24; only from level 0."""
    msrs(m, 0x18)
    m.memory.write(0x9000, b"\xcd\x80")
    end = m.run("sysexit", ecx=0x26000, edx=0x9000)
    assert end.vector == 0x80 and end.frame[:5] == [0x9002, 0x2B, 2, 0x26000, 0x33]
    for cpl in (1, 3):
        assert m.run("sysexit", cpl).fault == (GP, 0)


def test_sysenter_without_a_segment(m):
    for cs in (0, 3):
        msrs(m, cs)
        assert m.run("sysenter", 3).fault == (GP, 0) and m.run("sysexit").fault == (GP, 0)
    msrs(m)
    m.p.set("cr0", 0x10)
    m.p.real()
    m.memory.write(CODE, b"\x0f\x34\xf4")
    m.memory.write(13 * 4, b"\x00\x90\x00\x00")
    m.memory.write(0x9000, b"\xf4")
    m.p.cpu.halted = 0
    m.p.set("idtr", (0, 0x3FF))
    m.p.set("cs", CODE >> 4)
    m.p.set("eip", 0)
    m.p.run(10)
    assert m.p.get("eip") == 0x9001, "#GP in real mode"
    m.p.set("cr0", 0x11)
    SEG.update_mode(m.p.cpu)


@pytest.mark.parametrize("text", ["sgdt [0x30000]", "sidt [0x30000]", "sldt eax", "str eax", "smsw eax"])
def test_umip(m, text):
    """vol. 3, 2.5: with CR4.UMIP these are #GP(0) above level 0."""
    assert m.run(text + "; int 0x80", 3).vector == 0x80
    m.p.set("cr4", S.UMIP)
    assert m.run(text, 3).fault == (GP, 0) and m.run(text).fault is None
    m.p.set("cr4", 0)


# NEW COUNTING AND MOVING INSTRUCTIONS: the definitions of volume 2

@pytest.mark.parametrize("v", [0, 1, 0x80000000, 0x8000, 0xFFFFFFFF, 0x00012340, 0x12345678])
@pytest.mark.parametrize("w", [16, 32])
def test_lzcnt_popcnt_movbe(m, v, w):
    size, prefix = w // 8, "0x66, " if w == 16 else ""
    a = v & (1 << w) - 1
    for opcode, result in ((0xBD, w - a.bit_length()), (0xB8, a.bit_count())):
        end = m.run(f".byte {prefix}0xF3, 0x0F, {opcode}, 0xD9; pushfd; pop edx", ecx=v, ebx=0x55555555, eflags=F.MASK | 2)
        assert end.ebx & (1 << w) - 1 == result and (w == 32 or end.ebx >> 16 == 0x5555)
        assert end.edx & F.ZF == (F.ZF if (result == 0 if opcode == 0xBD else a == 0) else 0)
        assert end.edx & F.CF == (F.CF if opcode == 0xBD and a == 0 else 0)
        if opcode == 0xB8:
            assert end.edx & (F.OF | F.SF | F.AF | F.PF) == 0
    m.put(0x30000, v)
    end = m.run(f".byte {prefix}0x0F, 0x38, 0xF0, 0x1D; .long 0x30000; .byte {prefix}0x0F, 0x38, 0xF1, 0x1D; .long 0x30004", ebx=0)
    assert end.ebx == int.from_bytes(m.memory.read(0x30000, size), "big") and m.memory.read(0x30004, size) == m.memory.read(0x30000, size)
    assert m.run(b"\x0f\x38\xf0\xc1").fault == (UD, None), "not between registers"


@pytest.mark.parametrize("code", [b"\x0f\x1f\x00", b"\x0f\x1f\x44\x00\x00", b"\x66\x0f\x1f\x84\x00\x00\x00\x00\x00", b"\x0f\x1f\xc0", b"\x0f\x18\xd0", b"\xf3\x90"])
def test_long_nops(m, code):
    """vol. 2, NOP: no access to memory, whatever the operand; appendix A: 0F 18 to 0F 1F; PAUSE is a NOP."""
    end = m.run(code + b"\xcd\x80", eax=0xFFFFFFFF, ds=0)
    assert end.vector == 0x80 and end.frame[0] == CODE + len(code) + 2


@pytest.mark.parametrize("model", models.MODELS)
@pytest.mark.parametrize("code", [b"\x0f\x01\xc8", b"\x0f\x01\xc9"], ids=["monitor", "mwait"])
def test_monitor_is_not_offered(model, code):
    """vol. 2, MONITOR and MWAIT: "#UD if CPUID.01H:ECX.MONITOR[bit 3] = 0".  No model says it: HLT is how a system waits here."""
    p = flat(model)
    assert not cpuid(p, 1)[2] >> 3 & 1
    p.memory.write(0x1000, code)
    p.set("eip", 0x1000)
    p.cpu.halted = 0
    p.run(1)
    assert p.faults[0] == "#UD(0x0)"


@pytest.mark.parametrize("model", models.MODELS)
@pytest.mark.parametrize("source", [0, 1, 0x80000000, 0x00F00800])
def test_counts_of_zeros_are_scans_on_older_models(model, source):
    """vol. 2, TZCNT and LZCNT: "BSF (BSR) is executed on processors that do not support" them; F3 0F BC is always one here (no BMI1)."""
    p = flat(model)
    if models.offered(model, False) & {"lzcnt"} and not source:
        want = {0xBC: 0x1234, 0xBD: 32}
    else:
        last = source.bit_length() - 1
        want = {0xBC: (source & -source).bit_length() - 1, 0xBD: 31 - last if "lzcnt" in models.offered(model, False) else last} if source else {0xBC: 0x1234, 0xBD: 0x1234}
    for opcode in (0xBC, 0xBD):
        p.memory.write(0x1000, bytes([0xF3, 0x0F, opcode, 0xC1, 0xF4]))
        for n, v in (("eip", 0x1000), ("eax", 0x1234), ("ecx", source)):
            p.set(n, v)
        p.cpu.halted = 0
        p.run(10)
        assert p.get("eax") == want[opcode]


@pytest.mark.parametrize("cpl, cr4, ecx", [(0, 0, 0), (0, 0, 1 << 30), (3, 0, 0), (3, S.PCE, 0), (3, S.PCE, 0xFFFFFFFF), (0, S.PCE, 40)])
def test_rdpmc(m, cpl, cr4, ecx):
    """vol. 2, RDPMC: "#GP(0) if the current privilege level is not 0 and the PCE flag is clear", or "if an invalid performance counter
    index is specified": CPUID leaf 10, which says how many there are, is none of ours, and so every index is."""
    m.p.cpu.cr4 |= cr4
    assert m.run("rdpmc", cpl, ecx=ecx).fault == (GP, 0)


def test_the_time_stamp_wraps(m):
    """vol. 3, 17.17: the TSC is 64 bits.  At the edges of signed and unsigned words all tiers count on."""
    for high, low in ((0x7FFFFFFF, 0xFFFFFFF8), (0xFFFFFFFF, 0xFFFFFFF8), (0x80000000, 0)):
        end = m.run("wrmsr; rdtsc; mov ebx, eax; mov esi, edx; nop; rdtsc; int 0x80", eax=low, edx=high, ecx=0x10)
        first, second = end.ebx | end.esi << 32, end.eax | end.edx << 32
        assert 0 < (first - (high << 32 | low)) % (1 << 64) < 100 and 0 < (second - first) % (1 << 64) < 100
