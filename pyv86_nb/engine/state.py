"""The state record: all that handlers, kernels, translator and Python share about one processor.

One row of a numpy structured array.  Handlers reach a word by its offset, kernels and Python by its name; every word is an
int64 that holds its value zero-extended.  Snapshots are this record, matched by name.

Registers are words 0-15 of `reg`: EAX ECX EDX EBX ESP EBP ESI EDI, a zero (an address without a base), the selectors
ES CS SS DS FS GS, and a temporary.  A segment is the descriptor cache of SDM vol. 3, 3.4.3, kept with the two windows
(first and last offset) that a read and a write may touch, so that a limit check is one comparison whatever the type.
"""
import numpy as np

EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI, ZERO = range(9)
SELECTORS, TMP = 9, 15                                  # reg[SELECTORS + ES] is the selector of ES
ES, CS, SS, DS, FS, GS, LDTR, TR, NEW = range(9)        # as ModRM numbers them; the system segments; one being loaded
GENERAL = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")

TLB_SIZE, FETCH_SIZE, JUMPS_SIZE, CONTEXTS, LOCALS = 1024, 8192, 16384, 256, 1024     # of the first two for each kind of access
INVALID = 1                                             # a tag that no page has
PHYSICAL_BITS, LEAVES, MTRRS = 36, 24, 28               # of an address; rows of CPUID; 8 pairs, 11 fixed, the default type

WINDOW = np.dtype([("first", "i8"), ("last", "i8")])
SEGMENT = np.dtype([("base", "i8"), ("read", WINDOW), ("write", WINDOW), ("limit", "i8"), ("rights", "i8")])
# For handlers, coming and going with translated code: the page that may be read; the first byte that may be written, and how many
# from there, the page, or less where it has code; host address minus linear address.  The translation that the guest's TLB has is
# `tag` (its linear page) and `physical` (paging.py says which bits), the same on all tiers
TLB = np.dtype([("read", "u4"), ("first", "u4"), ("host", "i8"), ("room", "u4"), ("tag", "u4"), ("physical", "i8")])
FETCH = np.dtype([("page", "i8"), ("frame", "i8"), ("age", "i8")])         # linear page | user << 20, physical page, generation
LEAF = np.dtype([(n, "i8") for n in ("leaf", "sub", "a", "b", "c", "d")])  # of CPUID; sub -1: any
REAL = np.dtype([("significand", "i8"), ("exponent", "i8")])              # exponent: sign and exponent, 16 bits; 80 bits in a row
JUMP = np.dtype([("tag", "i8"), ("code", "i8")])                           # context << 32 | EIP, where its code is
CONTEXT = np.dtype([("base", "i8"), ("mode", "i8"), ("id", "i8")])
AFTER_STI, AFTER_MOV_SS = 1, 2                          # shadow: no interrupt yet; no interrupt and no debug trap
STALE = 64                                                                  # pages of code written by kernels, remembered

I8 = "i8"
CPU = np.dtype([
    # architectural
    ("reg", I8, (16,)), ("eip", I8), ("cf", I8), ("carries", I8), ("result", I8), ("eflags", I8),
    ("segment", SEGMENT, (9,)), ("ldtr", I8), ("tr", I8), ("cpl", I8),
    ("gdt_base", I8), ("gdt_limit", I8), ("idt_base", I8), ("idt_limit", I8),
    ("cr0", I8), ("cr2", I8), ("cr3", I8), ("cr4", I8), ("dr", I8, (8,)),
    ("pdpte", I8, (4,)), ("efer", I8), ("pat", I8), ("mtrr", I8, (MTRRS,)), ("misc_enable", I8), ("mcg_status", I8), ("tsc_aux", I8), ("random", I8),
    ("tsc_offset", I8), ("apic_base", I8), ("sysenter_cs", I8), ("sysenter_esp", I8), ("sysenter_eip", I8),
    # the x87 FPU, SDM vol. 1, 8.1.  st: the physical registers R0-R7, whose significands are MM0-MM7.  fsw is without TOP, which is
    # ftop; ftw has a bit for each physical register that is not empty, as FXSAVE shows them
    ("st", REAL, (8,)), ("fcw", I8), ("fsw", I8), ("ftop", I8), ("ftw", I8),
    ("fop", I8), ("fip", I8), ("fcs", I8), ("fdp", I8), ("fds", I8),
    # SSE, SDM vol. 1, 10.2: each XMM register is two words, the low one first
    ("xmm", I8, (16,)), ("mxcsr", I8),
    ("halted", I8), ("shadow", I8), ("hits", I8), ("shut_down", I8), ("a20", I8), ("nmi_pending", I8), ("nmi_masked", I8),
    ("intr", I8),                                       # of the pin, when it was last looked at
    # time: `end` is the tick at which the budget is 0; extra counts ticks that are not retired instructions,
    # elements those among them that repeated string instructions took
    ("budget", I8), ("end", I8), ("target", I8), ("extra", I8), ("elements", I8),
    # flags that nobody has asked for yet (isa/flags.py, put_off): their kind, or 0, and the operands
    ("kind", I8), ("kind_a", I8), ("kind_b", I8),
    # an exception on its way
    ("vector", I8), ("error", I8), ("external", I8), ("chain", I8, (8,)), ("chained", I8),
    # the instruction a kernel is to do
    ("next", I8), ("opcode", I8), ("width", I8), ("place", I8), ("register", I8), ("immediate", I8), ("immediate2", I8),
    ("offset", I8), ("of_segment", I8), ("address_width", I8), ("stack_width", I8), ("repeat", I8),
    ("attention", I8), ("moved", I8),
    # leaving native code: record, address, size
    ("pc", I8), ("address", I8), ("access", I8), ("bounce", I8, (2,)),
    ("bounced", I8), ("bounce_linear", I8), ("bounce_size", I8), ("bounce_first", I8), ("bounce_second", I8),
    ("saved_read", I8), ("saved_first", I8), ("saved_host", I8), ("saved_room", I8), ("found", I8),
    # whose the host's MXCSR is (emit_vector.py)
    ("floating", I8), ("usual_mxcsr", I8), ("room_mxcsr", I8),
    # whether the host's FPU has the guest's registers (emit_x87.py)
    ("x87", I8), ("usual_fcw", I8), ("kept_fop", I8), ("room_x87", I8, (66,)),
    # the model (models.py)
    ("offers", I8), ("cr4_bits", I8), ("signature", I8), ("leaves", LEAF, (LEAVES,)),
    # caches, all derived: cleared on restore.  generation, era, local: paging.flush_address_space
    ("mode", I8), ("context", I8), ("contexts", I8), ("generation", I8), ("global_generation", I8), ("era", I8), ("large", I8, (32,)),
    ("local", I8, (LOCALS,)), ("locals", I8), ("stale", I8, (STALE,)), ("stales", I8),
    ("tlb_at", I8), ("host", I8), ("read_frame", I8), ("write_frame", I8), ("region", I8), ("page_flags", I8),
    ("code_bits", I8), ("memory_size", I8), ("pages", I8), ("io", I8), ("io_data", I8),
    ("kernel_at", I8), ("exception_at", I8), ("interrupt_at", I8), ("fpu_at", I8), ("tlb", TLB, (3 * TLB_SIZE,)),
    ("fetch", FETCH, (2 * FETCH_SIZE,)), ("jumps", JUMP, (JUMPS_SIZE,)), ("known_contexts", CONTEXT, (CONTEXTS,)),
])
ARCHITECTURAL = CPU.names[:CPU.names.index("budget")]
KEPT_BY_INIT = CPU.names[CPU.names.index("efer"):CPU.names.index("halted")]   # MSRs, x87 and SSE


def offset(name, field=None, index=0):
    """The byte offset of a word of the record: offset("eip"), offset("segment", "base", 3)."""
    dtype, at = CPU.fields[name][:2]
    if field is None:
        return at
    for part in field.split("."):
        element = dtype.base
        at += index * element.itemsize
        dtype, o = element.fields[part][:2]
        at, index = at + o, 0
    return at


XMM, MMX = ((offset(n) - offset("reg")) // 8 for n in ("xmm", "st"))       # of their registers, as words counted from `reg`
MXCSR_RESET, MXCSR_MASK = 0x1F80, 0xFFFF

# CR0, CR4, EFER, APIC_BASE, CPUID
PE, MP, EM, TS, ET, NE, WP, AM, NW, CD, PG = 1, 2, 4, 8, 16, 32, 1 << 16, 1 << 18, 1 << 29, 1 << 30, 1 << 31
VME, PVI, TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT, UMIP = (1 << i for i in range(12))
SMEP, SMAP = 1 << 20, 1 << 21
NXE, APIC_BSP, APIC_ENABLE, CPUID_APIC = 1 << 11, 1 << 8, 1 << 11, 1 << 9
APIC_RESET = 0xFEE00000 | APIC_BSP | APIC_ENABLE

CODE_WORDS = 64                                         # code is remembered by bytes: 64 words of bits a page
# page_flags, by physical page
CODE, DIRTY, SLOW, OPEN = 1, 2, 4, 8                    # translated blocks here; written since the last look; the TLB lets writes pass

# the mode bits of a block's key; the CS limit is above them.  UNPROTECTED: real or VM86 mode, where a load of a data segment moves
# its base and nothing else.  FPU: x87 instructions need no look at CR0 and no look for exceptions, which are all masked;
# FPU_DOUBLE: and they round to 53 bits.  SSE: the system has enabled it.  BREAKS: there are code breakpoints.  ALIGN: operands must be
# aligned.  WHO: whose part of the TLB accesses go through (access.is_user)
D32, B32, FLAT_ES, FLAT_SS, FLAT_DS, V86, PAGED, A20, UNPROTECTED, FPU, SSE, FPU_DOUBLE = (1 << i for i in range(12))
WHO_SHIFT, BREAKS, ALIGN, LIMIT_SHIFT = 12, 1 << 14, 1 << 15, 16
FLAT_LIMIT = 0xFFFFFFFF
