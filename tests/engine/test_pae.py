"""PAE paging: SDM volume 3, 4.4 (structures, PDPTE registers), 4.6 (rights, NX, SMEP, SMAP), 4.7 (error codes), 4.10 (global pages)."""
import pytest
from protected_machine import CODE, DATA, GP, PF, RAM, TIERS, Machine

from pyv86_nb.engine.records import INDIRECT

P, W, U, A, D, PS, G = 1, 2, 4, 0x20, 0x40, 0x80, 0x100
NX = 1 << 63
POINTERS, DIRECTORY, TABLE, PAGE = 0x40020, 0x41000, 0x42000, 0x50000
PG, WP = 0x80000000, 0x10000
PSE, PAE, PGE, SMEP, SMAP, NXE = 0x10, 0x20, 0x80, 1 << 20, 1 << 21, 0x800
EFER = 0xC0000080


@pytest.fixture(params=TIERS)
def m(request):
    machine = Machine(request.param)
    machine.let_int_80()
    for i in range(512):
        entry(machine, TABLE + 8 * i, i << 12 & RAM - 1 | P | W | U)
    for i in range(4):
        entry(machine, POINTERS + 8 * i, DIRECTORY | P)
    entry(machine, DIRECTORY, TABLE | P | W | U)
    machine.p.cpu.efer = NXE
    yield machine
    machine.p.set("cr0", 0x11)
    machine.p.set("cr4", 0)


def entry(m, at, v):
    m.put(at, v & 0xFFFFFFFF, v >> 32)


def pte(address):
    return TABLE + 8 * (address >> 12)


def run(m, text, cpl=0, cr4=0, wp=0, **registers):
    m.p.set("cr0", 0x11)
    m.p.set("cr4", PAE | cr4)
    m.p.set("cr3", POINTERS)
    m.p.set("cr0", PG | wp | 0x11)
    return m.run(text + "; int 0x80" if isinstance(text, str) else text, cpl, **registers)


def test_entries_of_8_bytes(m):
    """4.4.2: two bits, nine, nine, twelve; A in both entries, D in the last."""
    m.put(PAGE + 8, 0x1234)
    entry(m, TABLE + 8 * 0x77, PAGE | P | W | U)
    end = run(m, "mov ecx, [eax + 8]; mov [eax + 12], ecx", 3, eax=0x77000)
    assert end.vector == 0x80 and m.word(PAGE + 12) == 0x1234
    assert m.word(TABLE + 8 * 0x77) & (A | D) == A | D and m.word(DIRECTORY) & (A | D) == A


def test_each_pointer_is_used(m):
    for i in range(4):
        entry(m, POINTERS + 8 * i, DIRECTORY + 0x1000 * (i > 0) | P)
    entry(m, DIRECTORY + 0x1000, TABLE + 0x4000 | P | W)
    entry(m, TABLE + 0x4000 + 8 * 5, PAGE | P)
    m.put(PAGE, 99)
    for i in range(1, 4):
        assert run(m, "mov ecx, [eax]", eax=i << 30 | 0x5000).ecx == 99
    entry(m, POINTERS + 16, 0)
    end = run(m, "mov ecx, [eax]", eax=2 << 30 | 0x5000)
    assert end.fault == (PF, 0) and end.cr2 == 2 << 30 | 0x5000, "a pointer that is not present"


def test_pointers_are_registers(m):
    """4.4.1: memory is not looked at again until CR3 is loaded."""
    entry(m, DIRECTORY + 8, TABLE | P | W)
    read = f"mov ecx, [eax]; mov dword ptr [{POINTERS + 24}], 0; invlpg [eax]; mov edx, [eax]"
    assert run(m, read, eax=0xC0200000 + PAGE).vector == 0x80
    entry(m, POINTERS + 24, DIRECTORY | P)
    end = run(m, read.replace("invlpg [eax]", "mov ebx, cr3; mov cr3, ebx"), eax=0xC0200000 + PAGE)
    assert end.fault == (PF, 0)


@pytest.mark.parametrize("bit", [1, 2, 5, 8, 36, 51, 63])
def test_reserved_bits_of_a_pointer(m, bit):
    """4.4.1: MOV to CR3 and the MOV to CR0 that turns paging on say #GP(0), and the old pointers stay."""
    entry(m, 0x43000, DIRECTORY | P | 1 << bit)
    assert run(m, "mov eax, 0x43000; mov cr3, eax").fault == (GP, 0)
    assert m.p.get("cr3") == POINTERS
    m.p.set("cr0", 0x11)
    m.p.set("cr3", 0x43000)
    assert m.run("mov eax, cr0; or eax, 0x80000000; mov cr0, eax").fault == (GP, 0) and m.p.get("cr0") == 0x11
    entry(m, 0x43000, DIRECTORY | 1 << bit)              # not present: nobody looks
    entry(m, 0x43000 + 8, 0)
    m.p.set("cr3", POINTERS)


@pytest.mark.parametrize("where, bit, error", [("pte", 36, 9), ("pte", 51, 9), ("pte", 62, 9), ("pde", 40, 9), ("pte", 12, None), ("pte", 9, None), ("pde", 6, None)])
def test_reserved_bits(m, where, bit, error):
    """Tables 4-9 and 4-11: from MAXPHYADDR, 36, upwards; P and RSVD."""
    at = pte(PAGE) if where == "pte" else DIRECTORY + 8
    entry(m, DIRECTORY + 8, TABLE | P | W | U)
    entry(m, at, m.word(at) | m.word(at + 4) << 32 | 1 << bit)
    end = run(m, "mov ecx, [eax]", 3, eax=0x200000 + PAGE)
    assert end.fault == ((0x80, None) if error is None else (PF, error | 4))


def test_pages_of_2_mib(m):
    """Table 4-9: bits 20-13 are reserved, CR4.PSE does not matter."""
    m.put(PAGE + 4, 77)
    entry(m, DIRECTORY + 16, P | W | U | PS)
    end = run(m, "mov ecx, [eax + 4]; mov [eax + 8], ecx", 3, eax=0x400000 + PAGE)
    assert end.ecx == 77 and m.word(PAGE + 8) == 77 and m.word(DIRECTORY + 16) & (A | D) == A | D
    for bit in range(13, 21):
        entry(m, DIRECTORY + 16, P | W | U | PS | 1 << bit)
        assert run(m, "mov [eax + 4], ecx", eax=0x400000).fault == (PF, 11)
    entry(m, DIRECTORY + 16, P | W | U | PS | 0x100000000)
    assert run(m, "mov ecx, [eax + 4]; mov [eax], ecx", eax=0x400000).ecx == 0xFFFFFFFF, "above 4 GiB nobody answers"


@pytest.mark.parametrize("level", ["pde", "pte"])
def test_no_execute(m, level):
    """4.6: the bit of any level forbids fetches; data are not concerned.  4.7: I/D in the error code."""
    m.memory.write(PAGE, b"\x41\xc3")                    # inc ecx; ret
    entry(m, DIRECTORY + 8, TABLE | P | W | U | (NX if level == "pde" else 0))
    entry(m, pte(PAGE), PAGE | P | W | U | (NX if level == "pte" else 0))
    for cpl in (0, 3):
        assert run(m, "mov ecx, [eax]; mov [eax + 8], ecx", cpl, eax=0x200000 + PAGE).vector == 0x80
        end = run(m, "call eax", cpl, eax=0x200000 + PAGE)
        assert end.fault == (PF, 0x11 | (4 if cpl else 0)) and end.cr2 == 0x200000 + PAGE
    entry(m, pte(PAGE), 0)
    assert run(m, "call eax", eax=0x200000 + PAGE).fault == (PF, 0x10), "a page that is not there"
    entry(m, pte(PAGE), PAGE | P | W | U | NX)
    m.p.cpu.efer = 0
    assert run(m, "mov ecx, [eax]", eax=0x200000 + PAGE).fault == (PF, 9), "reserved without EFER.NXE, and no I/D"


def test_code_that_goes_on_into_a_page_without_execute(m):
    m.memory.write(PAGE - 2, b"\x41\xb8")                # inc ecx; mov eax, ... across
    entry(m, pte(PAGE), PAGE | P | W | U | NX)
    end = run(m, "jmp eax", eax=PAGE - 2, ecx=1)
    assert end.fault == (PF, 0x11) and end.cr2 == PAGE and end.frame[0] == PAGE - 1 and end.ecx == 2


def test_supervisor_mode_execution_prevention(m):
    """4.6: with CR4.SMEP the system runs no pages of users; I/D also without NXE."""
    m.memory.write(PAGE, b"\x41\xc3")
    assert run(m, "call eax", eax=PAGE, ecx=1).ecx == 2
    for page in (CODE, 0x5000):
        entry(m, pte(page), page | P | W)
    entry(m, pte(0x1000), 0x1000 | P | W)
    for efer in (0, NXE):
        m.p.cpu.efer = efer
        end = run(m, "call eax", cr4=SMEP, eax=PAGE, ecx=1)
        assert end.fault == (PF, 0x11) and end.ecx == 1
    assert run(m, "mov ecx, [eax]", cr4=SMEP, eax=PAGE).vector == 0x80, "data are another matter"


def test_global_pages(m):
    """4.10.2.4: with CR4.PGE a page with G outlives MOV CR3; INVLPG and a change of PGE end it."""
    change = f"mov ebx, [eax]; mov dword ptr [{pte(PAGE)}], {0x60000 | P | W}; mov edx, cr3; mov cr3, edx; mov ecx, [eax]"
    m.put(PAGE, 1)
    m.put(0x60000, 2)
    for g, cr4, expected in ((G, PGE, 1), (0, PGE, 2), (G, 0, 2)):
        entry(m, pte(PAGE), PAGE | P | W | g)
        end = run(m, change + "; invlpg [eax]; mov esi, [eax]", cr4=cr4, eax=PAGE)
        assert (end.ebx, end.ecx, end.esi) == (1, expected, 2)
    entry(m, pte(PAGE), PAGE | P | W | G)
    end = run(m, change + "; mov edx, cr4; xor edx, 0x80; mov cr4, edx; mov esi, [eax]", cr4=PGE, eax=PAGE)
    assert (end.ecx, end.esi) == (1, 2)


def test_global_code(m):
    """The same of code, which is run by what the instruction TLB says."""
    m.memory.write(PAGE, b"\xb9\x01\x00\x00\x00\xc3")
    m.memory.write(0x60000, b"\xb9\x02\x00\x00\x00\xc3")
    for g, expected in ((G, 1), (0, 2)):
        entry(m, pte(PAGE), PAGE | P | W | g)
        end = run(m, f"call eax; mov dword ptr [{pte(PAGE)}], {0x60000 | P}; mov edx, cr3; mov cr3, edx; call eax; mov ebx, ecx; invlpg [eax]; call eax",
                  cr4=PGE, eax=PAGE)
        assert (end.ebx, end.ecx) == (expected, 2)


def test_invlpg_takes_all_of_a_large_page(m):
    """4.10.4.1: also what is remembered of its other pieces."""
    m.put(PAGE, 1)
    entry(m, DIRECTORY + 16, P | W | PS)
    entry(m, TABLE + 0x1000 + 8 * (PAGE >> 12), 0x60000 | P | W)
    m.put(0x60000, 2)
    end = run(m, f"mov ebx, [eax]; mov dword ptr [{DIRECTORY + 16}], {TABLE + 0x1000 | P | W}; mov edx, [eax]; invlpg [0x400000]; mov ecx, [eax]",
              eax=0x400000 + PAGE)
    assert (end.ebx, end.edx, end.ecx) == (1, 1, 2)


def test_a_task_loads_the_pointers(m):
    """vol. 3, 4.4.1: a task switch that changes CR3 does."""
    from protected_machine import DATA_OF, STACK, TSS2, TSS2_SELECTOR
    for i in range(4):
        entry(m, 0x46020 + 8 * i, 0x47000 | P)
    entry(m, 0x47000, TABLE + 0x1000 | P | W | U)
    for i in range(512):
        entry(m, TABLE + 0x1000 + 8 * i, i << 12 & RAM - 1 | P | W | U)
    entry(m, TABLE + 0x1000 + 8 * (DATA >> 12), PAGE | P | W | U)
    m.put(TSS2 + 0x1C, 0x46020, 0x9000, 2, 1, 2, 3, 4, STACK[0], 5, 6, 7, DATA_OF[0], 8, DATA_OF[0], DATA_OF[0], 0, 0, 0, 0x680000)
    m.memory.write(0x9000, b"\x8b\x05" + DATA.to_bytes(4, "little") + b"\xcd\x80")
    m.put(PAGE, 0x4711)
    end = run(m, b"\xea" + bytes(4) + TSS2_SELECTOR.to_bytes(2, "little"))
    assert end.eax == 0x4711 and end.cr3 == 0x46020


def test_pse36(m):
    """4.3, table 4-4: bits 16-13 of a 4 MiB entry are address bits 35-32; bits 21-17 are reserved."""
    m.put(0x45000, P | W | U | PS, P | W | U | PS | 0x2000)
    m.p.set("cr4", PSE)
    m.p.set("cr3", 0x45000)
    m.p.set("cr0", PG | 0x11)
    assert m.run("mov ecx, [eax]; int 0x80", eax=0x400000).ecx == 0xFFFFFFFF
    for bit in range(17, 22):
        m.put(0x45004, P | W | U | PS | 1 << bit)
        m.p.set("cr3", 0x45000)
        assert m.run("mov ecx, [eax]; int 0x80", eax=0x400000).fault == (PF, 9)


def test_supervisor_mode_access_prevention(m):
    """4.6: with CR4.SMAP the system keeps off pages of users but with EFLAGS.AC, which STAC sets; its implicit accesses always."""
    for page in (CODE, 0x1F000, 0x5000, 0x1000, 0x2000, 0x3000):
        entry(m, pte(page), page | P | W)
    m.put(PAGE, 7)
    stac, clac = ".byte 0x0F, 0x01, 0xCB", ".byte 0x0F, 0x01, 0xCA"
    assert run(m, "mov ecx, [eax]", cr4=SMAP, eax=PAGE).fault == (PF, 1)
    assert run(m, "mov [eax], ecx", cr4=SMAP, eax=PAGE).fault == (PF, 3)
    end = run(m, f"{stac}; mov ecx, [eax]; mov ebx, [eax]; {clac}; mov edx, [eax]", cr4=SMAP, eax=PAGE, edx=1)
    assert end.fault == (PF, 1) and (end.ecx, end.ebx, end.edx) == (7, 7, 1)
    assert run(m, "push 0x40002; popfd; rep movsb", cr4=SMAP, esi=PAGE, edi=PAGE + 8, ecx=4).vector == 0x80
    entry(m, pte(CODE), CODE | P | W | U)
    assert run(m, "mov ecx, [eax]", 3, cr4=SMAP, eax=PAGE).ecx == 7, "users may"
    entry(m, pte(CODE), CODE | P | W)
    end = run(m, f"{stac}; mov dword ptr [{pte(0x1000)}], {0x1000 | P | W | U}; invlpg [0x1000]; mov ds, ebx", cr4=SMAP, ebx=0x10)
    assert end.fault is None, "the descriptor of the handler is not to be had either: a triple fault"


@pytest.mark.parametrize("m", ["threaded", "native"], indirect=True)       # the plain reader keeps no jumps
def test_known_jumps_outlast_a_look_at_users_pages(m):
    """A system that sets AC and clears it goes between two contexts; what each knows of jumps is still there when it comes back.
    Counted, not timed: each return of this program is looked for once a context, not once a turn."""
    for page in (CODE, 0x1F000, 0x5000, 0x1000, 0x2000, 0x3000):
        entry(m, pte(page), page | P | W)
    counts = m.p._code[0]["left_by"]
    before = int(counts[INDIRECT])
    end = run(m, "again: .byte 0x0F, 0x01, 0xCB; call f; .byte 0x0F, 0x01, 0xCA; call f; dec ecx; jnz again; int 0x80; f: inc eax; ret",
              cr4=SMAP, ecx=50, eax=0)
    assert end.vector == 0x80 and end.eax == 100
    assert int(counts[INDIRECT]) - before < 10
