"""Identification and model-specific registers: CPUID, RDMSR, WRMSR, RDTSC, SYSENTER.   SDM vol. 2, and vol. 4 for the registers.

Memory types (MTRR, PAT) are kept and checked and change nothing: there are no caches.  The machine-check architecture (vol. 3, 15.3) has no
banks, for nothing here can fail.  An MSR that is not here is #GP(0).
Not here: performance counters, DEBUGCTL.
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .exceptions import GP, fault
from .isa import flags as F
from .isa.wide import minus, plus, ult
from .isa.words import sx
from .models import APIC, ARCH_CAPABILITIES, MCA, MTRR, NX, P6, PAT, RDTSCP, SEP, TSC_DEADLINE
from .paging import flush_address_space
from .raw import APIC_DEADLINE, APIC_MSR, PORT_READ, PORT_WRITE, io
from .segmentation import need_cpl0, protected, put_register, set_segment, update_mode

(TIME_STAMP_COUNTER, PLATFORM_ID, APIC_BASE, EBL_CR_POWERON, UPDATE_TRIGGER, UPDATE_SIGNATURE, MTRR_CAP, CAPABILITIES) = (
    0x10, 0x17, 0x1B, 0x2A, 0x79, 0x8B, 0xFE, 0x10A)
SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP, MISC_ENABLE, PAGE_ATTRIBUTES, EFER, TSC_AUX = 0x174, 0x175, 0x176, 0x1A0, 0x277, 0xC0000080, 0xC0000103
MCG_CAP, MCG_STATUS = 0x179, 0x17A                      # the number of banks; RIPV, EIPV, MCIP
DEADLINE = 0x6E0                                        # IA32_TSC_DEADLINE
FAR = 1 << 61                                           # ticks: further than any machine runs
EIGHT_RANGES_FIXED_AND_WC = 0x508                       # MTRRcap: VCNT, FIX, WC
# IA32_ARCH_CAPABILITIES: nothing here runs ahead of the program.  RDCL_NO SKIP_L1DFL_VMENTRY SSB_NO MDS_NO IF_PSCHANGE_MC_NO TAA_NO
# SBDR_SSDP_NO FBSDP_NO PSDP_NO BHI_NO PBRSB_NO GDS_NO RFDS_NO
NOT_VULNERABLE = sum(1 << i for i in (0, 3, 4, 5, 6, 8, 13, 14, 15, 20, 24, 26, 27))
MTRR_TYPES, PAT_TYPES = 0b1110011, 0b11110011           # UC WC WT WP WB; and UC-
NO_BRANCH_TRACE = 0x1800                                # MISC_ENABLE: neither BTS nor PEBS
BASE_BITS = (1 << S.PHYSICAL_BITS) - 1


# IDENTIFICATION

@kernel
def cpuid(cpu):
    """A leaf beyond the last basic one is answered like that; the APIC bit follows the APIC's global enable (vol. 3, 10.4.3)."""
    leaf, sub = cpu.reg[S.EAX], cpu.reg[S.ECX]
    for _ in range(2):
        for i in range(S.LEAVES):
            row = cpu.leaves[i]
            if row.leaf == leaf and (row.sub == sub or row.sub < 0):
                cpu.reg[S.EAX], cpu.reg[S.EBX], cpu.reg[S.ECX], cpu.reg[S.EDX] = row.a, row.b, row.c, row.d
                if leaf == 1 and cpu.apic_base & S.APIC_ENABLE == 0:
                    cpu.reg[S.EDX] = row.d & ~S.CPUID_APIC
                return
        leaf = cpu.leaves[0].a


@kernel
def ticks(cpu):
    return cpu.end - cpu.budget


@kernel
def time_stamp(cpu):
    """The TSC: 64 bits that wrap."""
    return plus(ticks(cpu), cpu.tsc_offset)


@kernel
def tick_of(cpu, v):
    """When the TSC will have come to v: a tick from 1 on, which may be over."""
    now = time_stamp(cpu)
    left = minus(v, now)
    if ult(now, v) == 0:
        return 1
    return max(ticks(cpu) + (left if 0 <= left < FAR else FAR), 1)


@kernel
def rdpmc(cpu):
    """There are no performance counters, so no ECX names one."""
    fault(cpu, GP, 0)


@kernel
def random(cpu):
    """RDRAND, RDSEED: a counter, scrambled.  It is part of the machine, so that a run can be had again; it always has a number."""
    low, high = (cpu.random & 0xFFFFFFFF) + 0x9E3779B9, cpu.random >> 32
    high = high + (low >> 32) & 0x7FFFFFFF
    low &= 0xFFFFFFFF
    cpu.random = high << 32 | low
    z = low ^ high
    z = (z ^ z >> 16) * 0x21F0AAAD & 0xFFFFFFFF
    z = (z ^ z >> 15) * 0x735A2D97 & 0xFFFFFFFF
    put_register(cpu, cpu.place, cpu.width, z ^ z >> 15)
    cpu.cf, cpu.carries, cpu.result = F.from_image(F.CF)


# MODEL-SPECIFIC REGISTERS

@kernel
def mtrr_number(n):
    """Where a memory type range register is in cpu.mtrr: eight pairs, eleven fixed ones, the default type; -1: it is none."""
    if 0x200 <= n <= 0x20F:
        return n - 0x200
    if n == 0x250:
        return 16
    if n == 0x258 or n == 0x259:
        return n - 0x258 + 17
    if 0x268 <= n <= 0x26F:
        return n - 0x268 + 19
    return 27 if n == 0x2FF else -1


@kernel
def rdmsr(cpu):
    need_cpl0(cpu)
    n, offers, v = cpu.reg[S.ECX], cpu.offers, 0
    if n == TIME_STAMP_COUNTER:
        v = time_stamp(cpu)
    elif n == APIC_BASE and offers & APIC:
        v = cpu.apic_base
    elif n == DEADLINE and offers & TSC_DEADLINE:
        v = io(cpu, PORT_READ, APIC_DEADLINE, 4, 0)
        if v:
            v = plus(v, cpu.tsc_offset)
    elif n == SYSENTER_CS and offers & SEP:
        v = cpu.sysenter_cs
    elif n == SYSENTER_ESP and offers & SEP:
        v = cpu.sysenter_esp
    elif n == SYSENTER_EIP and offers & SEP:
        v = cpu.sysenter_eip
    elif n == EFER and offers & NX:
        v = cpu.efer
    elif n == TSC_AUX and offers & RDTSCP:
        v = cpu.tsc_aux
    elif n == PAGE_ATTRIBUTES and offers & PAT:
        v = cpu.pat
    elif n == MTRR_CAP and offers & MTRR:
        v = EIGHT_RANGES_FIXED_AND_WC
    elif n == CAPABILITIES and offers & ARCH_CAPABILITIES:
        v = NOT_VULNERABLE
    elif n == MISC_ENABLE and offers & NX:
        v = cpu.misc_enable | NO_BRANCH_TRACE
    elif (n == PLATFORM_ID or n == EBL_CR_POWERON or n == UPDATE_SIGNATURE) and offers & P6:
        v = 0
    elif n == MCG_CAP and offers & MCA:
        v = 0
    elif n == MCG_STATUS and offers & MCA:
        v = cpu.mcg_status
    else:
        k = mtrr_number(n)
        if k < 0 or offers & MTRR == 0:
            fault(cpu, GP, 0)
        v = cpu.mtrr[k]
    cpu.reg[S.EAX], cpu.reg[S.EDX] = v & 0xFFFFFFFF, v >> 32 & 0xFFFFFFFF


@kernel
def check_types(cpu, v, n, allowed):
    """#GP(0) unless n bytes are memory types that there are."""
    for i in range(n):
        t = v >> 8 * i & 255
        if t > 7 or allowed >> t & 1 == 0:
            fault(cpu, GP, 0)


@kernel
def check_bits(cpu, v, allowed):
    if v & ~allowed:
        fault(cpu, GP, 0)


@kernel
def wrmsr(cpu):
    need_cpl0(cpu)
    n, offers, v = cpu.reg[S.ECX], cpu.offers, cpu.reg[S.EAX] | sx(cpu.reg[S.EDX], 32) << 32
    if n == TIME_STAMP_COUNTER:
        cpu.tsc_offset, gone = minus(v, ticks(cpu)), cpu.tsc_offset
        due = io(cpu, PORT_READ, APIC_DEADLINE, 4, 0) if offers & TSC_DEADLINE else 0
        if due:                                         # the timer waits for a value of the TSC
            io(cpu, PORT_WRITE, APIC_DEADLINE, 4, tick_of(cpu, plus(due, gone)))
            cpu.attention = 1
    elif n == DEADLINE and offers & TSC_DEADLINE:
        io(cpu, PORT_WRITE, APIC_DEADLINE, 4, tick_of(cpu, v) if v else 0)
        cpu.attention = 1
    elif n == APIC_BASE and offers & APIC:
        check_bits(cpu, v, BASE_BITS & ~0xFFF | S.APIC_ENABLE | S.APIC_BSP)
        cpu.apic_base = v & ~S.APIC_BSP | cpu.apic_base & S.APIC_BSP
        io(cpu, PORT_WRITE, APIC_MSR, 4, cpu.apic_base if cpu.apic_base >> 32 == 0 else 0)
        cpu.attention = 1
    elif n == SYSENTER_CS and offers & SEP:
        cpu.sysenter_cs = v & 0xFFFFFFFF
    elif n == SYSENTER_ESP and offers & SEP:
        cpu.sysenter_esp = v & 0xFFFFFFFF
    elif n == SYSENTER_EIP and offers & SEP:
        cpu.sysenter_eip = v & 0xFFFFFFFF
    elif n == EFER and offers & NX:
        check_bits(cpu, v, S.NXE)
        cpu.efer = v
        flush_address_space(cpu, True)
    elif n == TSC_AUX and offers & RDTSCP:
        check_bits(cpu, v, 0xFFFFFFFF)
        cpu.tsc_aux = v
    elif n == PAGE_ATTRIBUTES and offers & PAT:
        check_types(cpu, v, 8, PAT_TYPES)
        cpu.pat = v
    elif n == MISC_ENABLE and offers & NX:
        cpu.misc_enable = v & 1                         # fast strings; the others stay as they are
    elif (n == UPDATE_TRIGGER or n == UPDATE_SIGNATURE) and offers & P6:
        pass                                            # there is no microcode to load
    elif n == MCG_STATUS and offers & MCA:
        check_bits(cpu, v, 7)
        cpu.mcg_status = v
    else:
        k = mtrr_number(n)
        if k < 0 or offers & MTRR == 0:
            fault(cpu, GP, 0)
        if 16 <= k <= 26:
            check_types(cpu, v, 8, MTRR_TYPES)
        else:
            if k == 27 or k & 1 == 0:
                check_types(cpu, v, 1, MTRR_TYPES)
            check_bits(cpu, v, 0xCFF if k == 27 else BASE_BITS & ~0x7FF if k & 1 else BASE_BITS & ~0xF00)
        cpu.mtrr[k] = v
    update_mode(cpu)


# SYSENTER, SYSEXIT

@kernel
def enter_flat(cpu, code, level):
    """CS and SS := flat segments of a level, from no descriptor at all."""
    cpu.cpl = level
    for s in (S.CS, S.SS):
        selector = code if s == S.CS else code + 8
        set_segment(cpu, s, selector & 0xFFFC | level, 0, 0xFFFFFFFF, (0xC09B if s == S.CS else 0xC093) | level << 5)
    update_mode(cpu)


@kernel
def sysenter(cpu):
    if cpu.cr0 & S.PE == 0 or cpu.sysenter_cs & 0xFFFC == 0:
        fault(cpu, GP, 0)
    cpu.eflags &= ~(F.VM | F.IF | F.RF)
    cpu.reg[S.ESP], cpu.next = cpu.sysenter_esp, cpu.sysenter_eip
    enter_flat(cpu, cpu.sysenter_cs & 0xFFFC, 0)


@kernel
def sysexit(cpu):
    if not protected(cpu) or cpu.sysenter_cs & 0xFFFC == 0:
        fault(cpu, GP, 0)
    need_cpl0(cpu)
    cpu.reg[S.ESP], cpu.next = cpu.reg[S.ECX], cpu.reg[S.EDX]
    enter_flat(cpu, (cpu.sysenter_cs & 0xFFFC) + 16, 3)
    cpu.attention = 1


KERNELS = {"cpuid": cpuid, "rdpmc": rdpmc, "random": random,
           "rdmsr": rdmsr, "wrmsr": wrmsr, "sysenter": sysenter, "sysexit": sysexit}
