"""Random bytes as code on all tiers, for a process of its own: `python tests/engine/fuzz.py SEED CASES`.   In half of the cases with
breakpoints, alignment checks, virtual interrupts and other bits of CR0 and CR4.

Real mode, 16 and 32 bit, paging, PAE, users, VM86; processors of every model; an FPU and vector registers in any state, with
exceptions masked or not; descriptor tables, interrupt tables and task states of garbage, so that far transfers and exceptions lead
anywhere.  The last line names the case being run: after a crash it says which one it was.   streams.py runs this for hours.
"""
import collections
import random
import sys

from worlds import (
    CODE,
    CODE0,
    DATA,
    GDT,
    IDT,
    LDT,
    PLAIN3,
    RAM,
    TABLES,
    TSS,
    V86_WORLD,
    WORLDS,
    Machine,
    World,
    descriptor,
    gate,
)

from pyv86_nb.engine import segmentation as SEG
from pyv86_nb.engine import state as S
from pyv86_nb.engine.debug import set_debug
from pyv86_nb.engine.isa import flags as F
from pyv86_nb.engine.isa.opcodes import OPCODES
from pyv86_nb.engine.isa.rows import MAPS, parse
from pyv86_nb.engine.isa.wide import wrap
from pyv86_nb.engine.models import offered

KINDS = (0x9A, 0x92, 0xFA, 0xF2, 0x9E, 0x96, 0x89, 0x8B, 0x82, 0x85, 0x8C, 0xEC, 0xE5, 0x81, 0x8E, 0xEE, 0x8F, 0x86, 0x84, 0xE4)
PREFIXES = (0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65)


def code(rng):
    """Half of it whole instructions with whatever operands, half of it noise."""
    out = bytearray()
    while len(out) < 200:
        if rng.random() < .1:
            out += rng.randbytes(rng.randrange(1, 4))
        if rng.random() < .15:
            out.append(rng.choice(PREFIXES))
        prefix, which, opcode, _, ext = parse(rng.choice(OPCODES).encoding)
        out += bytes.fromhex(("", "66", "F2", "F3")[prefix or 0] + MAPS[which]) + bytes([opcode])
        if ext:
            out.append(rng.getrandbits(8) if ext == "r" else rng.getrandbits(8) & 0xC7 | int(ext) << 3)
        if rng.random() < .5:
            out += rng.choice((DATA, DATA + 0xFFE, CODE + 0x40, GDT, TABLES, 0xFFFFFFFE, RAM - 2, 0)).to_bytes(4, "little")[:rng.choice((1, 2, 4))]
    return bytes(out[:256])


def garbage(rng, world):
    """The memory of a world whose tables are not what they were."""
    m = bytearray(world.image)
    m[DATA:DATA + 0x8000] = rng.randbytes(0x8000)
    if rng.random() < .8:                                # exceptions lead back into code, not to HLT
        m[CODE + 0x100:CODE + 0x900] = b"".join(code(rng)[:128] for _ in range(16))
        for v in range(64):
            to = CODE + 0x100 + 128 * rng.randrange(16)
            m[IDT + 8 * v:IDT + 8 * v + 8] = gate(CODE0, to, rng.choice((0x8E, 0x8F, 0xEE, 0xEF)))
            m[4 * v:4 * v + 4] = to.to_bytes(4, "little")
    for at, n in ((GDT, 16), (LDT, 8), (IDT, 64)):
        if rng.random() < .5:
            for i in range(n):
                if rng.random() < .2:
                    base, limit = rng.choice((0, DATA, TSS, LDT, 0xFFFFF000, rng.getrandbits(32))), rng.choice((0, 0x67, 0xFFF, 0xFFFF, 0xFFFFFFFF, rng.getrandbits(20)))
                    m[at + 8 * i:at + 8 * i + 8] = rng.choice((
                        descriptor(base, limit, rng.choice(KINDS) | rng.choice((0, 0x4000))), gate(rng.choice((8, 0x10, 0x28, 0x48, 0x50)), CODE + 0x100 + rng.randrange(0x700), rng.choice(KINDS)),
                        rng.randbytes(8)))
    if rng.random() < .3:
        m[TSS:TSS + 0x68] = rng.randbytes(0x68)
    if world.paging and rng.random() < .5:
        for _ in range(20):
            at = TABLES + 0x1000 + 4 * rng.randrange(RAM >> 12)
            m[at:at + 4] = (rng.choice((0, 1, 3, 5, 7, 0x67, 0x80)) | rng.choice((rng.randrange(RAM >> 12), 0xFFFFF, 0x7F)) << 12).to_bytes(4, "little")
    m[CODE:CODE + 0x100] = (rng.randbytes(256) if rng.random() < .2 else code(rng)).ljust(256, b"\xf4")
    return bytes(m)


PAE = [World("PAE", paging=True, cr0=S.WP, pae=True), World("user, PAE", **PLAIN3, paging=True, pae=True),
       World("v86, PAE", **V86_WORLD, paging=True, pae=True)]
ALL = [(w, "max") for w in (*WORLDS, *PAE)] + [(w, m) for m in ("486", "pentium", "pentium3", "pentium4") for w in WORLDS if w.name in ("user", "real", "flat")]


def machines(world, model, tiers):
    out = []
    for t in tiers:
        m = Machine(t, world, model=model)
        memory = m.p.memory
        memory.map(0xFFFFF000, 0x1000, RAM - 0x1000, RAM - 0x1000)        # RAM at the end of the 4 GiB, and only there; a ROM, and a hole
        memory.unmap(RAM - 0x1000, 0x1000)
        memory.map(0x2E000, 0x1000, 0x2E000, None)
        memory.unmap(0x2F000, 0x1000)
        m.fresh["generation"] = m.cpu.generation
        out.append(m)
    return out


def more_state(rng, world):
    """Breakpoints, alignment checks, virtual interrupts, features of CR4: {record field: value}, sometimes."""
    if rng.random() < .5:
        return {}
    some = {"cr0": world.control[0] | rng.choice((0, S.AM)) | rng.choice((0, 0, 0, S.TS, S.EM, S.MP | S.TS)) | rng.choice((0, S.NE))}
    some["cr4"] = world.control[3] | rng.choice((0, S.SMEP, S.SMAP)) if world.pae else rng.choice((0, S.VME | S.PVI, S.DE, S.PSE | S.PGE, rng.getrandbits(9) & (S.VME | S.PVI | S.TSD | S.DE | S.PSE | S.PGE) | rng.choice((0, S.UMIP))))
    some["cr4"] |= rng.choice((0, S.OSFXSR | S.OSXMMEXCPT))
    if rng.random() < .6:
        some["dr"] = [rng.choice((DATA + rng.randrange(0x40), CODE + rng.randrange(0x40), world.sp + 0x20000 - 4, rng.getrandbits(10))) for _ in range(4)]
        some["dr7"] = rng.choice((rng.getrandbits(8), 0xFF, 3)) | rng.getrandbits(16) << 16 | (0x2000 if rng.random() < .1 else 0)
    return some


NUMBERS = ((0, 0), (1 << 63, 0x3FFF), (1 << 63, 0xBFFF), (1 << 63, 0x7FFF), (3 << 62, 0x7FFF), (3 << 62, 0xFFFF), (1, 0), (1 << 62, 0x4000),
           ((1 << 64) - 1, 0x7FFE), (1 << 63, 1), (1, 0x7FFF), (0xC90FDAA22168C235, 0x4000), (0xFFFFFFFFFFFFFFFF, 0x403E))


def coprocessors(rng):
    """Of the FPU and of SSE: mostly as programs have them, or anything at all."""
    if rng.random() < .3:
        return {}
    fcw = rng.choice((0x37F, 0x27F, 0x77F, 0x37F, 0x37E, 0x35F, rng.getrandbits(16)))
    st = [rng.choice(NUMBERS) if rng.random() < .6 else (rng.getrandbits(64) | 1 << 63, rng.choice((0x3FFF, 0x4000 + rng.randrange(-70, 70), rng.getrandbits(16))))
          for _ in range(8)]
    return {"fcw": fcw & 0x1F3F | 0x40, "ftop": rng.randrange(8), "ftw": rng.choice((0, 0xFF, rng.getrandbits(8))), "fsw": rng.choice((0, 0x4700 & rng.getrandbits(16))),
            "st": st, "mxcsr": rng.choice((0x1F80, 0x1F80, 0x9FC0, rng.getrandbits(16), 0x1F80 & rng.getrandbits(16)))}


def apply(cpu, some):
    for name, v in some.items():
        if name == "st":
            for n, (significand, exponent) in enumerate(v):
                cpu.st[n].significand, cpu.st[n].exponent = wrap(significand), exponent
            continue
        if name == "dr":
            for n in range(4):
                set_debug(cpu, n, v[n])
        elif name == "dr7":
            set_debug(cpu, 7, v)
        else:
            setattr(cpu, name, v)
    SEG.update_mode(cpu)


def main(seed, cases, tiers=("python", "threaded", "native")):
    made, counted, instructions = {}, collections.Counter(), 0
    for i in range(seed, seed + cases):
        rng = random.Random(i)
        world, model = rng.choice(ALL)
        print(f"\rcase {i} {world.name}, {model:<24}", end="", file=sys.stderr, flush=True)
        if (world.name, model) not in made:
            made[world.name, model] = machines(world, model, tiers)
        memory = garbage(rng, world)
        regs = [rng.choice((rng.getrandbits(32), rng.getrandbits(16), rng.getrandbits(5), DATA + rng.randrange(0x4000), 0xFFFFFFFF - rng.getrandbits(3))) for _ in range(8)]
        if rng.random() < .8:
            regs[4] = world.sp
        flags = world.eflags | 2 | rng.getrandbits(12) & 0xCD5 | (0x100 if rng.random() < .05 else 0) | (0x200 if rng.random() < .2 else 0)
        flags |= rng.choice((0, 0, 0, F.AC, F.RF, F.VIF, F.VIP, F.AC | F.VIF))
        xmm = [rng.choice((0, rng.getrandbits(64), 0x3F8000003F800000, 0x7FF0000000000000, 0x4000000000000000, 0x8000000000000001)) for _ in range(24)]
        ticks = rng.choice((7, 100, 400))
        some, units = more_state(rng, world), coprocessors(rng)
        results = []
        for m in made[world.name, model]:
            m.start(memory, regs, world.eip, flags, xmm=xmm)
            some["cr4"] = some.get("cr4", world.control[3]) & m.cpu.cr4_bits
            if "fxsr" not in offered(model, False):
                units.pop("mxcsr", None)
            apply(m.cpu, units | some)
            results.append(m.run(ticks))
            if m.p.memory.host[RAM:].any():
                raise SystemExit(f"case {i}: {m.tier} wrote beyond the RAM")
        first = results[0]
        for m, r in zip(made[world.name, model], results, strict=True):
            if r != first:
                where = [hex(k) for k in range(RAM) if r[12][k] != first[12][k]][:8]
                raise SystemExit(f"\ncase {i} {world.name}, {model}: {m.tier} differs: "
                                 f"{[(k, a, b) for k, (a, b) in enumerate(zip(r, first, strict=True)) if a != b and k != 12]} {where}")
        counted[first[0]] += 1
        instructions += first[7]
    print(f"\n{cases} cases, {instructions} instructions on each of {len(tiers)} tiers, no difference; ended by {dict(counted)}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *([sys.argv[3].split(",")] if sys.argv[3:] else []))
