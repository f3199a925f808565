"""Paging with 32-bit entries: SDM volume 3, 4.3, 4.6 (access rights), 4.7 (page faults), 4.8 (A and D), 4.10 (stale entries)."""
import pytest
from protected_machine import CODE, DATA, PF, RAM, TIERS, Machine

P, W, U, A, D, PS = 1, 2, 4, 0x20, 0x40, 0x80
DIRECTORY, TABLE, PAGE = 0x40000, 0x41000, 0x50000
PG, WP, PSE, PGE, G = 0x80000000, 0x10000, 0x10, 0x80, 0x100


@pytest.fixture(params=TIERS)
def m(request):
    machine = Machine(request.param)
    machine.let_int_80()
    for i in range(1024):
        machine.put(TABLE + 4 * i, i << 12 & RAM - 1 | P | W | U)
    machine.put(DIRECTORY, TABLE | P | W | U)
    return machine


def pte(address):
    return TABLE + 4 * (address >> 12)


def run(m, text, cpl=0, wp=0, **registers):
    m.p.set("cr3", DIRECTORY)
    m.p.set("cr0", PG | wp | 0x11)
    end = m.run(text + "; int 0x80", cpl, **registers)
    m.p.set("cr0", 0x11)
    return end


# RIGHTS AND ERROR CODES: 4.6 and figure 4-12: P, W/R, U/S, RSVD

CASES = [  # entry bits of directory, table; cpl, WP, write; error code or None
    *[(P | W | U, P | W | U, cpl, wp, write, None) for cpl in (0, 3) for wp in (0, WP) for write in (0, 1)],
    (P | W | U, P | U, 0, 0, 1, None), (P | W | U, P | U, 0, WP, 1, 3), (P | W | U, P | U, 3, 0, 1, 7), (P | W | U, P | U, 3, 0, 0, None),
    (P | U, P | W | U, 0, 0, 1, None), (P | U, P | W | U, 0, WP, 1, 3), (P | U, P | W | U, 3, 0, 1, 7),
    (P | W | U, P | W, 0, WP, 1, None), (P | W | U, P | W, 3, 0, 0, 5), (P | W | U, P | W, 3, 0, 1, 7), (P | W, P | W | U, 3, 0, 0, 5),
    (P | W | U, P, 0, 0, 1, None), (P | W | U, P, 0, WP, 1, 3), (P | W | U, P, 1, WP, 1, 3), (P | W | U, P, 2, 0, 1, None),
    (P | W | U, 0, 0, 0, 0, 0), (P | W | U, 0, 0, 0, 1, 2), (P | W | U, 0, 3, 0, 0, 4), (P | W | U, 0, 3, 0, 1, 6),
    (0, P | W | U, 0, 0, 0, 0), (0, P | W | U, 3, 0, 1, 6), (0xFFE, 0xFFE, 3, 0, 1, 6),
]


@pytest.mark.parametrize("pde, entry, cpl, wp, write, error", CASES)
def test_rights(m, pde, entry, cpl, wp, write, error):
    address = 0x400000 + PAGE                           # the second directory entry, so that code is not concerned
    m.put(DIRECTORY + 4, TABLE + 0x1000 | pde if pde != 0xFFE else 0xFFE)
    m.put(TABLE + 0x1000 + 4 * (PAGE >> 12), PAGE | entry)
    m.put(PAGE + 8, 0x1234)
    end = run(m, "mov [eax + 8], ecx" if write else "mov ecx, [eax + 8]", cpl, wp, eax=address, ecx=0x55)
    if error is None:
        assert end.vector == 0x80 and (m.word(PAGE + 8) == 0x55 if write else end.ecx == 0x1234)
    else:
        assert end.fault == (PF, error) and end.cr2 == address + 8 and end.frame[0] == CODE and end.ecx == 0x55
        assert m.word(PAGE + 8) == 0x1234


def test_fetches_and_implicit_accesses(m):
    """4.6: a fetch at CPL 3 needs U; GDT, IDT, TSS are supervisor accesses at any CPL, and their tables may be without U."""
    for page in (0x1, 0x2, 0x3, 0x20, 0x1F):
        m.put(TABLE + 4 * page, page << 12 | P | W)
    assert run(m, "mov eax, ds; mov ds, eax", 3).vector == 0x80
    m.put(pte(CODE), CODE | P | W)
    end = run(m, "nop", 3)
    assert end.fault == (PF, 5) and end.cr2 == CODE
    m.put(pte(CODE), 0)
    assert run(m, "nop", 0).fault == (PF, 0)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("write", [False, True])
def test_across_two_pages(m, size, write):
    """An access that faults has changed nothing, also in the page that is there; CR2 is the first byte that is not."""
    m.put(pte(PAGE + 0x1000), 0)
    m.put(PAGE + 0xFFC, 0x11223344)
    register = "cx" if size == 2 else "ecx"
    for at in range(PAGE + 0x1001 - size, PAGE + 0x1000):
        end = run(m, f"mov [eax], {register}" if write else f"mov {register}, [eax]", eax=at, ecx=0x55)
        assert end.fault == (PF, 2 * write) and end.cr2 == PAGE + 0x1000 and m.word(PAGE + 0xFFC) == 0x11223344 and end.ecx == 0x55
    m.put(pte(PAGE + 0x1000), 0x60000 | P | W)          # another frame
    at = PAGE + 0xFFF
    run(m, "mov [eax], ecx; mov edx, [eax]", eax=at, ecx=0xAABBCCDD)
    assert m.p.get("edx") == 0xAABBCCDD and m.memory.read(0x60000, 3) == b"\xcc\xbb\xaa"


def test_instructions_across_two_pages(m):
    m.put(pte(CODE + 0x1000), 0x62000 | P | U)
    m.memory.write(CODE + 0xFFE, b"\xb8\x11")
    m.memory.write(0x62000, b"\x22\x33\x44\xcd\x80")
    m.p.set("cr3", DIRECTORY)
    m.p.set("cr0", PG | 0x11)
    end = m.run(None, eip=CODE + 0xFFE)
    assert end.eax == 0x44332211 and end.frame[0] == CODE + 0x1005
    m.put(pte(CODE + 0x1000), 0)
    m.p.set("cr3", DIRECTORY)
    end = m.run(None, eip=CODE + 0xFFE)
    assert end.fault == (PF, 0) and end.cr2 == CODE + 0x1000 and end.frame[0] == CODE + 0xFFE
    m.memory.write(CODE + 0xFFE, b"\xcd\x80")           # the last byte of the page ends it: nobody asks for the next
    assert m.run(None, eip=CODE + 0xFFE).vector == 0x80


# ACCESSED AND DIRTY: 4.8

def test_accessed_and_dirty(m):
    m.put(pte(PAGE), PAGE | P | W)
    run(m, "nop")
    assert m.word(pte(PAGE)) & (A | D) == 0 and m.word(DIRECTORY) & A
    run(m, "mov ecx, [eax]", eax=PAGE)
    assert m.word(pte(PAGE)) & (A | D) == A
    run(m, "mov ecx, [eax]; mov [eax + 4], ecx", eax=PAGE)
    assert m.word(pte(PAGE)) & (A | D) == A | D and m.word(DIRECTORY) & D == 0
    m.put(pte(PAGE), PAGE | P)
    run(m, "mov [eax], ecx", wp=WP, eax=PAGE)
    assert m.word(pte(PAGE)) & D == 0, "a write that faults"
    m.put(pte(PAGE), PAGE | P | W)
    run(m, "cmp [eax], ecx; add [eax], ecx", eax=PAGE)
    assert m.word(pte(PAGE)) & D


def test_cleared_bits_are_set_again(m):
    """4.10.4.2: software that clears A or D must invalidate; then they are set again."""
    run(m, f"mov [eax], ecx; and dword ptr [{pte(PAGE)}], ~0x60; invlpg [eax]; mov ecx, [eax]", eax=PAGE)
    assert m.word(pte(PAGE)) & (A | D) == A
    run(m, f"mov [eax], ecx; and dword ptr [{pte(PAGE)}], ~0x60; mov edx, cr3; mov cr3, edx; mov [eax], ecx", eax=PAGE)
    assert m.word(pte(PAGE)) & (A | D) == A | D


# LARGE PAGES: 4.3

def large(m, pde, text, pse=1, cpl=0, **registers):
    m.put(DIRECTORY + 4, pde)
    m.p.set("cr4", PSE if pse else 0)
    end = run(m, text, cpl, **registers)
    m.p.set("cr4", 0)
    return end


def test_large_pages(m):
    m.put(PAGE + 8, 77)
    end = large(m, P | W | U | PS, "mov ecx, [eax + 8]", eax=0x400000 + PAGE)
    assert end.ecx == 77 and m.word(DIRECTORY + 4) & (A | D) == A
    large(m, P | W | U | PS, "mov [eax + 8], eax", eax=0x400000 + PAGE, cpl=3)
    assert m.word(PAGE + 8) == 0x400000 + PAGE and m.word(DIRECTORY + 4) & D
    assert large(m, P | W | PS, "mov ecx, [eax]", eax=0x400000, cpl=3).fault == (PF, 5)
    assert large(m, P | U | PS, "mov [eax], ecx", eax=0x400000, cpl=3).fault == (PF, 7)
    end = large(m, P | W | U | PS | 0x200000, "mov ecx, [eax]", eax=0x400000)
    assert end.fault == (PF, 9), "bit 21 is reserved: RSVD and P"
    m.put(TABLE + 0x1000, PAGE | P | W)
    end = large(m, TABLE + 0x1000 | P | W | PS, "mov ecx, [eax + 8]", pse=0, eax=0x400000)
    assert end.ecx == 0x400000 + PAGE, "without CR4.PSE the bit means nothing"


# STALE ENTRIES: 4.10

def test_invlpg_and_cr3(m):
    """4.10.4.1: INVLPG, MOV to CR3 and to CR0.PG invalidate: the new entry is used afterwards."""
    m.put(PAGE, 1)
    m.put(0x60000, 2)
    change = f"mov dword ptr [{pte(PAGE)}], {0x60000 | P | W}"
    for how in ("invlpg [eax]", "mov edx, cr3; mov cr3, edx"):
        m.put(pte(PAGE), PAGE | P | W)
        end = run(m, f"mov ebx, [eax]; {change}; {how}; mov ecx, [eax]", eax=PAGE)
        assert (end.ebx, end.ecx) == (1, 2), how


def test_another_directory(m):
    """Code goes on in the new address space at once; jumps remember nothing of the old one."""
    for i in range(256):
        m.put(0x44000 + 4 * i, i << 12 | P | W)
    m.put(0x43000, 0x44000 | P | W)
    m.put(0x44000 + 4 * 0x14, 0x15000 | P | W)          # 14000h is another page there
    m.memory.write(0x14000, b"\x83\xc1\x01\xc3")        # add ecx, 1; ret
    m.memory.write(0x15000, b"\x83\xc1\x40\xc3")
    end = run(m, f"""mov edi, 3
        again: mov eax, {DIRECTORY}; mov cr3, eax; mov eax, 0x14000; call eax; call eax
        mov eax, 0x43000; mov cr3, eax; mov eax, 0x14000; call eax; dec edi; jnz again""", ecx=0)
    assert end.vector == 0x80 and end.ecx == 3 * 0x42


@pytest.mark.parametrize("kept", [0, G])
def test_another_second_page(m, kept):
    """4.10.4.1: the same of an instruction across two pages of which only the second is another; the first may be global (4.10.2.4)."""
    for i in range(256):
        m.put(TABLE + 4 * i, i << 12 | P | W | kept)
        m.put(0x44000 + 4 * i, i << 12 | P | W | kept)
    m.put(0x43000, 0x44000 | P | W)
    m.put(TABLE + 4 * 0x15, 0x15000 | P | W)
    m.put(0x44000 + 4 * 0x15, 0x16000 | P | W)
    m.memory.write(0x14FF9, b"\xeb\x02\x90\x90\x81\xc1\x01")               # jmp to add ecx, ...; ret
    m.memory.write(0x15000, b"\0\0\0\xc3")
    m.memory.write(0x16000, b"\x40\0\0\xc3")
    m.p.set("cr4", PGE)
    end = run(m, f"""mov edi, 3
        again: mov eax, {DIRECTORY}; mov cr3, eax; mov eax, 0x14ff9; call eax; call eax; mov eax, 0x14ffd; call eax
        mov eax, 0x43000; mov cr3, eax; mov eax, 0x14ff9; call eax; call eax; mov eax, 0x14ffd; call eax; dec edi; jnz again""", ecx=0)
    m.p.set("cr4", 0)
    assert end.vector == 0x80 and end.ecx == 3 * (3 * 1 + 3 * 0x4001)


def test_page_rights_change_under_wp(m):
    """4.10.4.1: a change of CR0.WP is seen without more."""
    m.put(pte(PAGE), PAGE | P)
    end = run(m, "mov [eax], ecx; mov edx, cr0; or edx, 0x10000; mov cr0, edx; mov [eax], ecx", eax=PAGE)
    assert end.fault == (PF, 3)


def test_a_fault_repaired(m):
    """The usual page-fault handler: it maps the page, drops the error code and goes back."""
    m.put(pte(PAGE), 0)
    m.assemble(f"mov edx, cr2; shr edx, 12; shl edx, 2; mov dword ptr [edx + {TABLE}], {PAGE | P | W | U}; add esp, 4; iretd", 0x5800)
    m.idt[PF] = 0x5800 | 8 << 16 | 0x8E << 40
    for text, expected in (("add [eax], ecx", 12), ("push dword ptr [eax]; pop ecx", 7), ("xchg [eax], ecx", 5), ("rep movsd", 7)):
        m.put(pte(PAGE), 0)
        m.put(PAGE, 7)
        m.put(DATA, 7, 8, 9)
        run(m, text, eax=PAGE, ecx=5 if "rep" not in text else 3, esi=DATA, edi=PAGE)
        got = m.p.get("ecx") if "pop" in text else m.word(PAGE)
        assert got == expected, text


def test_tables_that_map_themselves(m):
    """A directory entry that names the directory: its entries are words of memory, A and D of both kinds included."""
    m.put(DIRECTORY + 4 * 1023, DIRECTORY | P | W)
    end = run(m, "mov ecx, [eax]", eax=0xFFFFF000)
    assert end.ecx & ~(A | D) == TABLE | P | W | U
    end = run(m, "mov ecx, [eax]", eax=0xFFC00000 + (PAGE >> 10))
    assert end.ecx & ~(A | D) == PAGE | P | W | U


def test_paging_needs_protection(m):
    """vol. 2, MOV CR: PG without PE, NW without CD are #GP(0), and so are bits of CR4 that CPUID does not offer."""
    for value in (PG | 0x10, 0x20000011):
        assert m.run("mov cr0, eax", eax=value).fault == (13, 0)
    for bit in (12, 13, 14, 31):
        assert m.run("mov cr4, eax", eax=1 << bit).fault == (13, 0)
    assert m.run("mov cr4, eax; mov ecx, cr4", eax=PSE).ecx == PSE


def test_a_jump_that_is_never_taken(m):
    """vol. 2, TEST clears CF, so JB does not jump; under paging a target in another page has a jump of its own, which is not to be
    patched where there is none."""
    end = run(m, "mov ecx, 5; again: test ecx, ecx; jb away; inc eax; dec ecx; jnz again; int 0x80; .org 0x1800; away: hlt", eax=0)
    assert end.vector == 0x80 and end.eax == 5
