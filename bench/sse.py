"""SSE and SSE2 loops, the native tier beside QEMU TCG in the same run: ratio of times for the same work, geometric mean.

C for SSE2, vectors written out; measured as programs.py does.
"""
from __future__ import annotations

from common import report, row
from programs import beside_qemu

ENABLE = '__asm__ volatile("mov %%cr4,%%eax;or $0x600,%%eax;mov %%eax,%%cr4":::"eax","memory");'
TEXT = """typedef unsigned u32;
typedef int i4 __attribute__((vector_size(16))); typedef short i8 __attribute__((vector_size(16)));
typedef char b16 __attribute__((vector_size(16))); typedef float f4 __attribute__((vector_size(16)));
typedef double d2 __attribute__((vector_size(16)));
static u32 sum4(i4 v){return v[0]^v[1]^v[2]^v[3];}
u32 words(u32 repeat,u32*p){ENABLE i4*a=(i4*)p,s={0,0,0,0};while(repeat--)for(u32 i=0;i<1024;i++)s+=a[i]^s<<3;return sum4(s);}
u32 saturated(u32 repeat,u32*p){ENABLE b16*a=(b16*)p,s={0};while(repeat--)for(u32 i=0;i<1023;i++)
  s=__builtin_ia32_paddusb128(s,__builtin_ia32_pavgb128(a[i],a[i+1]))^__builtin_ia32_pminub128(a[i],s);return sum4((i4)s);}
u32 products(u32 repeat,u32*p){ENABLE i8*a=(i8*)p;i4 s={0,0,0,0};while(repeat--)for(u32 i=0;i<1023;i++)
  s+=__builtin_ia32_pmaddwd128(a[i],a[i+1]);return sum4(s);}
u32 shuffled(u32 repeat,u32*p){ENABLE i4*a=(i4*)p,s={1,2,3,4};while(repeat--)for(u32 i=0;i<1024;i++)
  s=__builtin_ia32_pshufd(s^a[i],0x39)+(i4)__builtin_ia32_punpckldq128(s,a[i]);return sum4(s);}
u32 dot_single(u32 repeat,u32*p){ENABLE f4*a=(f4*)(p+8192),s={0,0,0,0};for(u32 i=0;i<512;i++)a[i]=(f4){i,1,.5f,2};while(repeat--)
  for(u32 i=0;i<511;i++)s=s*.5f+a[i]*a[i+1];return sum4((i4)s);}
u32 dot_double(u32 repeat,u32*p){ENABLE double*a=(double*)(p+8192);union{double d;u32 w[2];}s={0};for(u32 i=0;i<512;i++)a[i]=1.0/(i+1);
  while(repeat--)for(u32 i=0;i<511;i++)s.d=s.d*.5+a[i]*a[i+1];return s.w[0]^s.w[1];}
u32 mandelbrot(u32 repeat,u32*p){ENABLE u32 n=0;while(repeat--){double cr=(repeat&63)*.03-1.5,ci=(repeat>>6&31)*.04,x=0,y=0;u32 i;
  for(i=0;i<64;i++){double t=x*x-y*y+cr;y=2*x*y+ci;x=t;if(x*x+y*y>4)break;}n=n*3+i;}return n;}
""".replace("ENABLE", ENABLE)


def main() -> None:
    rows, mean = beside_qemu(TEXT, "-msse2", "-mfpmath=sse", "-mno-mmx", called="SSE2, ")
    if mean is not None:
        rows.append(row("SSE2 loops, geometric mean", f"{mean:.2f} x QEMU TCG", "≥ 2 x", mean >= 2))
    report(rows)


if __name__ == "__main__":
    main()
