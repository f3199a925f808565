"""Processor models: what CPUID says and, for that, which instructions, CR4 bits and MSRs there are.   SDM vol. 2, CPUID.

A model lists what the real one has; offered is what of it also WORKS here, no more.  An opcode row names the feature it is of; where
it is not offered the opcode is undefined.  The APIC is the board's to offer.

    486         i486DX4, the first with CPUID         pentium     Pentium (P54C)         pentium3   Pentium III (Coppermine)
    pentium4    Pentium 4 (Prescott, with SSE3, NX)   max         all that works, as no chip ever had it
"""
from dataclasses import dataclass

from . import state as S

# name -> leaf, register (EAX EBX ECX EDX = 0 1 2 3), bit.  Its number in this table is its bit in cpu.offers.  "p6" is no bit of
# CPUID: family 6 and above
A, B, C, D = range(4)
FEATURES = {
    **{n: (1, D, b) for n, b in dict(
        fpu=0, vme=1, de=2, pse=3, tsc=4, msr=5, pae=6, mce=7, cx8=8, apic=9, sep=11, mtrr=12, pge=13, mca=14, cmov=15, pat=16, pse36=17, clfsh=19,
        mmx=23, fxsr=24, sse=25, sse2=26).items()},
    **{n: (1, C, b) for n, b in dict(
        sse3=0, pclmulqdq=1, ssse3=9, sse4_1=19, sse4_2=20, movbe=22, popcnt=23, tsc_deadline=24, aes=25, rdrand=30).items()},
    **{n: (7, B, b) for n, b in dict(smep=7, rdseed=18, smap=20).items()}, "umip": (7, C, 2), "arch_capabilities": (7, D, 29),
    "nx": (0x80000001, D, 20), "rdtscp": (0x80000001, D, 27), "lzcnt": (0x80000001, C, 5), "p6": (0, 0, 0)}
OFFERS = {n: 1 << i for i, n in enumerate(FEATURES)}
FPU, SEP, MTRR, PAT, NX, APIC, RDTSCP, ARCH_CAPABILITIES, P6, TSC_DEADLINE, MCA = (
    OFFERS[n] for n in ("fpu", "sep", "mtrr", "pat", "nx", "apic", "rdtscp", "arch_capabilities", "p6", "tsc_deadline", "mca"))

WORKS = set("fpu fxsr vme de pse tsc msr pae mce mca cx8 apic sep mtrr pge cmov pat pse36 p6 movbe popcnt rdrand rdseed smep smap umip "
            "arch_capabilities nx rdtscp lzcnt tsc_deadline mmx sse sse2 sse3 clfsh ssse3 sse4_1 aes pclmulqdq sse4_2".split())

PENTIUM = "fpu vme de pse tsc msr cx8 apic"
PENTIUM3 = PENTIUM + " pae mce mca sep mtrr pge cmov pat pse36 mmx fxsr sse p6"
PENTIUM4 = PENTIUM3 + " clfsh sse2 sse3 nx"
CR4 = {"vme": S.VME | S.PVI, "tsc": S.TSD, "de": S.DE, "pse": S.PSE, "pae": S.PAE, "pge": S.PGE, "mce": S.MCE, "fxsr": S.OSFXSR, "sse": S.OSXMMEXCPT,
       "umip": S.UMIP, "p6": S.PCE, "smep": S.SMEP, "smap": S.SMAP}


@dataclass(frozen=True)
class Model:
    signature: int                                      # type, family, model, stepping; EDX after RESET
    features: str
    basic: int                                          # the last basic leaf
    brand: str = ""                                     # the processor brand string, leaves 80000002h-80000004h
    brand_index: int = 0
    descriptors: tuple[int, ...] = ()                   # leaf 2, table 3-12: caches and TLBs
    caches: tuple[tuple[int, ...], ...] = ()            # leaf 4: type (1 data, 2 code, 3 both), level, ways, line, sets


MODELS = {
    "486": Model(0x480, "fpu vme", 1),
    "pentium": Model(0x52C, PENTIUM, 1),
    # 4K, 4M pages; L1 16K, 16K; L2 256K
    "pentium3": Model(0x686, PENTIUM3, 2, brand_index=2, descriptors=(0x01, 0x02, 0x03, 0x04, 0x08, 0x0C, 0x82)),
    "pentium4": Model(0xF41, PENTIUM4, 4, "Intel(R) Pentium(R) 4 CPU 2.80GHz", descriptors=(0x50, 0x5B, 0x60, 0x70, 0x7C),
                      caches=((1, 1, 8, 64, 32), (3, 2, 8, 64, 2048))),
    # model 15 (Core 2): systems believe its PAT and its TSC, and do not expect the performance counters of a Pentium III
    "max": Model(0x6F6, " ".join(FEATURES), 7, "pyv86_nb", descriptors=(0x01, 0x02, 0x03, 0x04, 0x2C, 0x30, 0x7D),
                 caches=((1, 1, 8, 64, 64), (2, 1, 8, 64, 64), (3, 2, 8, 64, 4096))),
}


def offered(model: str, apic: bool) -> set[str]:
    """Names of the features that this model has here."""
    names = set(MODELS[model].features.split()) & WORKS
    if "sse2" not in names: names.discard("tsc_deadline")                 # who writes that MSR orders it by MFENCE
    return names if apic else names - {"apic", "tsc_deadline"}


def offers(names: set[str]) -> int:
    return sum(OFFERS[n] for n in names)


def cr4_bits(names: set[str]) -> int:
    """Bits of CR4 that may be set."""
    return sum(bits for n, bits in CR4.items() if n in names)


def letters(text: str, n: int) -> list[int]:
    """A text as n little-endian double words."""
    data = text.encode().ljust(4 * n, b"\0")
    return [int.from_bytes(data[i:i + 4], "little") for i in range(0, 4 * n, 4)]


def leaves(model: str, names: set[str]) -> list[tuple[int, int, int, int, int, int]]:
    """What CPUID answers: rows of leaf, subleaf (-1: any other), EAX, EBX, ECX, EDX."""
    m = MODELS[model]
    bits: dict[tuple[int, int], int] = {}
    for n in names - {"p6"}:
        leaf, register, bit = FEATURES[n]
        bits[leaf, register] = bits.get((leaf, register), 0) | 1 << bit
    b, d, c = letters("GenuineIntel", 3)
    rows = [(0, -1, m.basic, b, c, d),
            (1, -1, m.signature, m.brand_index | (8 << 8 if "clfsh" in names else 0), bits.get((1, C), 0), bits.get((1, D), 0))]
    if m.basic >= 2:
        d16 = bytes([1, *m.descriptors]).ljust(16, b"\0")                  # AL: CPUID(2) once says all
        ra, rb, rc, rd = (int.from_bytes(d16[i:i + 4], "little") for i in range(0, 16, 4))
        rows.append((2, -1, ra, rb, rc, rd))
    if m.basic >= 4:
        rows += [(4, i, kind | level << 5 | 1 << 8, (ways - 1) << 22 | line - 1, sets - 1, 0)
                 for i, (kind, level, ways, line, sets) in enumerate(m.caches)]
    if m.basic >= 7:
        rows.append((7, 0, 0, bits.get((7, B), 0), bits.get((7, C), 0), bits.get((7, D), 0)))
    rows += [(leaf, -1, 0, 0, 0, 0) for leaf in range(3, m.basic + 1)]     # those without anything to say, and their other subleaves
    if m.brand:
        name = letters(m.brand, 12)
        rows += [(0x80000000, -1, 0x80000008, 0, 0, 0),
                 (0x80000001, -1, 0, 0, bits.get((0x80000001, C), 0), bits.get((0x80000001, D), 0)),
                 *((0x80000002 + i, -1, name[4 * i], name[4 * i + 1], name[4 * i + 2], name[4 * i + 3]) for i in range(3)),
                 *((leaf, -1, 0, 0, 0, 0) for leaf in (0x80000005, 0x80000006, 0x80000007)),
                 (0x80000008, -1, S.PHYSICAL_BITS | 32 << 8, 0, 0, 0)]
    return rows


def configure(cpu, model: str, names: set[str]) -> None:
    """Put the model into a state record."""
    cpu.offers, cpu.cr4_bits, cpu.signature = offers(names), cr4_bits(names), MODELS[model].signature
    rows = leaves(model, names)
    for i in range(S.LEAVES):
        row = cpu.leaves[i]
        row.leaf, row.sub, row.a, row.b, row.c, row.d = rows[i] if i < len(rows) else (-1, -1, 0, 0, 0, 0)
