"""The branchy program: 400 random functions (62 KB, about 23 thousand instructions) with data-dependent branches, calls,
loads and stores, from gcc, flat at 1000h.  The seed is fixed, so everyone gets the same C text.

Needs a gcc that accepts -m32 for code generation (no 32-bit libraries), ld, objcopy and nm.
"""
from __future__ import annotations

import pathlib
import random
import struct
import subprocess
import tempfile

ORIGIN, BUFFER, STACK = 0x1000, 0x100000, 0xF00000
CFLAGS = (
    "-m32 -march=i386 -fno-pic -fno-pie -ffreestanding -fomit-frame-pointer -fcf-protection=none -fno-asynchronous-unwind-tables "
    "-fno-optimize-sibling-calls -fno-tree-loop-distribute-patterns -fno-tree-vectorize"
).split()


def source() -> str:
    """The C text."""
    rnd = random.Random(5)
    count, names = 400, "abcd"
    o = ["typedef unsigned u32;"]
    for f in range(count):
        o.append(f"u32 f{f}(u32 a,u32 b,u32*p,u32 n);")
    for f in range(count):
        o.append(f"u32 f{f}(u32 a,u32 b,u32*p,u32 n){{ u32 c=a^{rnd.getrandbits(30)}u,d=b+{rnd.getrandbits(20)}u;")
        for k in range(rnd.randint(8, 14)):
            x, y, z = rnd.choice(names), rnd.choice(names), rnd.choice(names)
            t = rnd.randint(0, 6)
            if t == 0:
                o.append(f"{x}+={y}^{z};")
            elif t == 1:
                o.append(f"if(({x}&{1 << rnd.randint(0, 6)})==0){{{y}+={rnd.getrandbits(16)};{z}^={x}>>{rnd.randint(1, 7)};}}else {z}-={y};")
            elif t == 2:
                o.append(f"{x}^=p[({y}>>{rnd.randint(0, 5)})&4095];")
            elif t == 3:
                o.append(f"p[({x}>>3)&4095]={y};")
            elif t == 4:
                o.append(f"{x}=({x}<<{rnd.randint(1, 9)})^{y};")
            elif t == 5:
                o.append(f"if({x}<{y}){x}+={z};")
            elif t == 6 and f + 7 < count and k > 3 and rnd.random() < 0.5:
                callee = f + rnd.randint(1, 7) * 2 if f + 14 < count else f + 1
                o.append(f"{x}^=f{callee}({y},{z},p,n);")
        o.append("return a+b+c+d;}")
    calls = "".join(f"x+=f{f}(x,r,p,0);" for f in range(0, count, 3))
    o.append("u32 top(u32 reps,u32*p){u32 x=1;for(u32 r=0;r<reps;r++){" + calls + "}return x;}")
    return "\n".join(o)


def build() -> tuple[bytes, int]:
    """The flat code for address 1000h, and the address of `top(reps, buffer)`."""
    code, at = compiled(source(), "-O1")
    return code, at["top"]


def compiled(text: str, *options: str) -> tuple[bytes, dict[str, int]]:
    """C text as flat code for address 1000h, and the addresses of its functions."""
    with tempfile.TemporaryDirectory() as d:
        folder = pathlib.Path(d)
        (folder / "g.c").write_text(text)
        for line in (["gcc", *CFLAGS, *options, "-c", "g.c", "-o", "g.o"],
                     ["ld", "-m", "elf_i386", f"-Ttext={ORIGIN:#x}", "-e", f"{ORIGIN:#x}", "g.o", "-o", "g.elf"],
                     ["objcopy", "-O", "binary", "-j", ".text", "-j", ".rodata", "-j", ".data", "g.elf", "g.bin"]):
            subprocess.run(line, cwd=folder, check=True, stderr=subprocess.DEVNULL)
        symbols = [s.split() for s in subprocess.check_output(["nm", "g.elf"], cwd=folder, text=True).splitlines()]
        return (folder / "g.bin").read_bytes(), {s[2]: int(s[0], 16) for s in symbols if s[1] in "Tt"}


def data() -> bytes:
    """What the buffer holds at the start."""
    return struct.pack("<4096I", *[(i * 2654435761) & 0xFFFFFFFF for i in range(4096)])
