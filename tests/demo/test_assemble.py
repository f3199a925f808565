"""The assembler of the demonstration disk.  Oracle: GNU as, byte for byte, and the encodings of SDM volume 2."""
import subprocess

import pytest

from pyv86_nb.demo import AssemblyError, assemble

EVERY_SIZE = """
start:  call    near_one
        call    bx
        call    word ptr [bx]
        ret
near_one: ret   4               # a comment; with a semicolon
        push    ds; pop ds; push fs; pop gs; iret
        retf; lret 8
        pushf; popf; pushfd; popfd
        .ascii  "ret; call x"
        mov     al, ';'
        mov     si, offset words
        mov     eax, [words + 4]
        jmp     start
        .macro  twice what
        call    \\what
        call    \\what
        .endm
        twice   near_one
        .code32
inner:  call    inner; ret; iret; pushf; push es; retf 4
1:      call    1b
        jmp     inner
words:  .word   start, words, words - start
        .long   words
        .org    512
"""


def gnu_as(command, tmp_path, source, origin, bits=16):
    command("as"), command("ld"), command("objcopy")
    (tmp_path / "a.s").write_text(f".intel_syntax noprefix\n.code{bits}\n{source}")
    for line in ("as --32 a.s -o a.o", f"ld -m elf_i386 -Ttext {origin:#x} -e {origin:#x} a.o -o a.elf",
                 "objcopy -O binary -j .text a.elf a.bin"):
        subprocess.run(line.split(), cwd=tmp_path, check=True)
    return (tmp_path / "a.bin").read_bytes()


@pytest.mark.parametrize("origin", [0, 0x7C00])
def test_the_bytes_are_those_of_gnu_as(command, tmp_path, origin):
    assert assemble(EVERY_SIZE, origin) == gnu_as(command, tmp_path, EVERY_SIZE, origin)


def test_labels_are_known_at_their_address():
    code = assemble("nop\nhere: jmp here\n.equ four, 4", 0x7C00)
    assert code == bytes.fromhex("90 EBFE") and code.origin == 0x7C00 and code.symbols["here"] == 0x7C01


def test_code_starts_in_the_size_asked_for():
    assert assemble("mov ax, 0x1234").hex() == "b83412" and assemble("mov ax, 0x1234", bits=32).hex() == "66b83412"


@pytest.mark.parametrize("source, says", [
    ("nop\n frob eax\n", "line 2, column 2: invalid instruction mnemonic 'frob'"),
    ("mov foo bar", "line 1"),
    ("jmp nowhere", "'nowhere' is used and defined nowhere"),
    ("", "assembles to nothing"),
    (".data\n.word 1\n.text\nnop", "more than one section"),
    ("here: mov al, offset here\n", "does not fit the 8 bits"),
])
def test_a_mistake_is_one_sentence(source, says):
    with pytest.raises(AssemblyError, match="^[^\n]*$") as e:
        assemble(source, 0x7C00)
    assert says in str(e.value)


def test_refused_arguments():
    with pytest.raises(ValueError, match="bits=64"): assemble("nop", bits=64)
    with pytest.raises(ValueError, match="origin=-1"): assemble("nop", -1)
