"""x87 loops: guest MIPS of the native tier and of QEMU TCG on the same code in the same run, and the geometric mean of the ratios.

The loops are C compiled for the 387: a dot product, a matrix product, Horner's rule, the Mandelbrot set, and a step of bodies that
attract each other, all in double precision.  As mips.py measures; each loop is a program of its own.  A sum of sines stands
beside them: ours are right to 64 bits, QEMU's are the host's of 53, so it is no part of the mean.
"""
from __future__ import annotations

import math
import pathlib
import subprocess
import tempfile

import guest
import mips
from common import median, report, row
from qemu import found

HEAD = "typedef unsigned u32; u32 hash(double x){union{double d;u32 w[2];}v;v.d=x;return v.w[0]^v.w[1];}"
SINES = "sines"
LOOPS = {
    "dot product": (900, """static double a[512],b[512];
        double work(u32 r){double s=0;u32 i;if(r==0)for(i=0;i<512;i++){a[i]=1.0/(i+1);b[i]=i*0.125;}for(i=0;i<512;i++)s+=a[i]*b[i];return s;}"""),
    "matrix product": (60, """static double a[16][16],b[16][16],c[16][16];
        double work(u32 r){u32 i,j,k;if(r==0)for(i=0;i<16;i++)for(j=0;j<16;j++){a[i][j]=i-0.5*j;b[i][j]=1.0/(i+j+1);}
        for(i=0;i<16;i++)for(j=0;j<16;j++){double s=0;for(k=0;k<16;k++)s+=a[i][k]*b[k][j];c[i][j]=s;}return c[r&15][3];}"""),
    "Horner": (2500, """double work(u32 r){double x=(r&255)*(1.0/256),s=0;for(u32 i=0;i<4;i++){x+=0.001;
        s+=((((((x*0.1+0.7)*x-0.3)*x+0.25)*x-0.125)*x+1.5)*x-2)*x+1;}return s;}"""),
    "Mandelbrot": (300, """double work(u32 r){double cr=(r&63)*0.03-1.5,ci=(r>>6&31)*0.04,x=0,y=0;u32 i;
        for(i=0;i<64;i++){double t=x*x-y*y+cr;y=2*x*y+ci;x=t;if(x*x+y*y>4)break;}return x+i;}"""),
    "bodies": (300, """static double p[5][3],v[5][3];
        double work(u32 r){u32 i,j,k;if(r==0)for(i=0;i<5;i++)for(k=0;k<3;k++){p[i][k]=i*1.25+k*k-2;v[i][k]=0;}
        for(i=0;i<5;i++)for(j=0;j<i;j++){double d[3],s=0.01;for(k=0;k<3;k++){d[k]=p[i][k]-p[j][k];s+=d[k]*d[k];}
        s=0.001/(s*s);for(k=0;k<3;k++){v[i][k]-=d[k]*s;v[j][k]+=d[k]*s;}}for(i=0;i<5;i++)for(k=0;k<3;k++)p[i][k]+=0.01*v[i][k];return p[r%5][1];}"""),
    SINES: (300, """double work(u32 r){double s=0;for(u32 i=0;i<8;i++){double x=r*0.01+i;__asm__("fsin":"+t"(x));s+=x;}return s;}"""),
}
TOP = """u32 top(u32 reps,u32*p){u32 x=0;__asm__ volatile("fninit");for(u32 r=0;r<reps;r++)x=x*31+hash(work(r));return x;}"""
TURNS = 3


def build(text: str) -> tuple[bytes, int]:
    """Code with its data for address 1000h, and the address of `top`."""
    with tempfile.TemporaryDirectory() as d:
        folder = pathlib.Path(d)
        (folder / "g.c").write_text(HEAD + text + TOP)
        for line in (["gcc", *guest.CFLAGS, "-m80387", "-mfpmath=387", "-O2", "-fno-tree-vectorize", "-c", "g.c", "-o", "g.o"],
                     ["ld", "-m", "elf_i386", "-N", f"-Ttext={guest.ORIGIN:#x}", "-e", f"{guest.ORIGIN:#x}", "g.o", "-o", "g.elf"],
                     ["objcopy", "-O", "binary", "--set-section-flags", ".bss=alloc,load,contents", "g.elf", "g.bin"]):
            subprocess.run(line, cwd=folder, check=True, stderr=subprocess.DEVNULL)
        symbols = subprocess.check_output(["nm", "g.elf"], cwd=folder, text=True).split("\n")
        return (folder / "g.bin").read_bytes(), next(int(s.split()[0], 16) for s in symbols if s.endswith(" top"))


def main() -> None:
    rows, ratios = [], []
    for name, (reps, text) in LOOPS.items():
        code, top = build(text)
        own = [mips.ours("native", code, top, 40 * reps) for _ in range(TURNS)]
        speed, against = median([m for m, _, _, _ in own]), ""
        if found():
            peer = [mips.theirs(code, top, 40 * reps) for _ in range(TURNS)]
            theirs = own[0][2] / median([t for t, _ in peer]) / 1e6
            if name != SINES:
                ratios.append(speed / theirs)
            same = all(a == own[0][3] for _, a in peer)
            against = f"QEMU TCG {theirs:.0f} MIPS, ratio {speed / theirs:.2f}" + ("" if same else "; other results")
        rows.append(row(f"x87, {name}", f"{speed:.3g} MIPS", "", None, against, f"median of {TURNS}, {own[0][2]:,} instructions"))
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        rows.append(row("x87, loops but the sines", f"{mean:.2f} times QEMU TCG", "≥ 3", mean >= 3, "", "geometric mean of the ratios"))
    report(rows)


if __name__ == "__main__":
    main()
