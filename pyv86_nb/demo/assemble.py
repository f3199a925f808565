"""A small x86 assembler for boot programs and tests: GNU syntax in, flat bytes out, with nothing but pip packages.

LLVM, which comes with numba as llvmlite, assembles the text as module-level inline assembly of an `i386-unknown-none-elf`
module and emits an ELF object; this file links that object's one section at the address asked for.  On a mistake in the
text LLVM prints a diagnostic and *exits the process*, and llvmlite offers no way to stop it, so LLVM runs in a child
process (`llvm_child.py`): a typing error in a notebook must not take the kernel and every running machine with it.

LLVM's Intel syntax gives a few instructions of 16-bit code a 32-bit operand size (and the reverse) where GNU as, and
the manual's words "operand size attribute", give them the size of the code they stand in: a `ret` that pops four bytes
after a `call [bx]` that pushed two.  Those instructions are put down as bytes before LLVM sees them (`_native_size`).

ELF and its i386 relocations: System V ABI, Intel386 Architecture Processor Supplement, chapter 4.
"""

from __future__ import annotations

import functools
import pathlib
import re
import struct
import subprocess
import sys

CHILD = pathlib.Path(__file__).with_name("llvm_child.py")
DIAGNOSTIC = re.compile(r"error: <inline asm>:(\d+):(\d+): (.*)")
SHT_PROGBITS, SHT_SYMTAB, SHT_NOBITS, SHT_REL, SHF_ALLOC = 1, 2, 8, 9, 2
# relocation type -> (struct format of the place, relative to the place?)
RELOCATIONS = {1: ("<I", False), 2: ("<I", True), 20: ("<H", False), 21: ("<H", True), 22: ("<B", False), 23: ("<B", True)}


# Mnemonics whose operand size is that of the code they stand in, with their one opcode (SDM volume 2).
NATIVE = {"iret": 0xCF, "pushf": 0x9C, "popf": 0x9D, "push es": 0x06, "pop es": 0x07, "push cs": 0x0E, "push ss": 0x16,
          "pop ss": 0x17, "push ds": 0x1E, "pop ds": 0x1F, "push fs": 0x0FA0, "pop fs": 0x0FA1, "push gs": 0x0FA8, "pop gs": 0x0FA9}
RETURNS = {"ret": 0xC3, "retn": 0xC3, "retf": 0xCB, "lret": 0xCB}         # with an operand: the opcode before, and imm16
REGISTER = re.compile(r"[re]?([abcd]x|[sd]i|[sb]p)$|[abcd][lh]$", re.I)
STATEMENT = re.compile(r"""^(?P<label>\s*(?:[\w.$]+:\s*)*)(?P<verb>\.?[a-z]\w*)(?P<rest>[^#]*)""", re.I)


class AssemblyError(ValueError):
    """The text does not assemble; the message names the line, the column and what LLVM says about it."""


class Code(bytes):
    """Machine code that knows where it is to be loaded: `origin`, and `symbols`, the address of each label."""

    origin: int
    symbols: dict[str, int]


def assemble(source: str, origin: int = 0, *, bits: int = 16) -> Code:
    """Assemble GNU-syntax x86 text (Intel operand order, no register prefixes) into flat code for address `origin`.

    `bits` is the code size it starts in (16, 32); `.code16` and `.code32` in the text change it.  Labels may be used
    anywhere, also as absolute 16- and 32-bit addresses.  Raises `AssemblyError` (a `ValueError`) for a mistake in the
    text, a label that is defined nowhere, or an address that does not fit its field.
    """
    if bits not in (16, 32):
        raise ValueError(f"bits={bits!r}: code is assembled as 16 or 32 bits")
    if not 0 <= origin < 1 << 32:
        raise ValueError(f"origin={origin!r}: a physical address from 0 to FFFFFFFFh was expected")
    return _link(_emit(source, bits), origin, source)


@functools.lru_cache(maxsize=128)
def _emit(source: str, bits: int) -> bytes:
    """The ELF object that LLVM makes of the text."""
    text = f".intel_syntax noprefix\n.code{bits}\n{_native_size(source, bits)}\n"
    # LLVM IR strings escape by \\XX
    quoted = "".join(c if " " <= c <= "~" and c not in '"\\' else "".join(f"\\{b:02X}" for b in c.encode()) for c in text)
    child = subprocess.run([sys.executable, "-P", str(CHILD)], input=quoted.encode(), capture_output=True, check=False)
    if child.returncode == 0 and child.stdout[:4] == b"\x7fELF":
        return child.stdout
    said = child.stderr.decode(errors="replace")
    found = DIAGNOSTIC.search(said)
    if not found:
        raise AssemblyError(f"LLVM did not assemble the text: {said.strip() or 'it said nothing'}")
    line, column, what = int(found[1]) - 2, found[2], found[3]             # two lines were put before the caller's
    lines = source.splitlines()
    shown = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    raise AssemblyError(f"line {line}, column {column}: {what}: {shown!r}")


def _native_size(source: str, bits: int) -> str:
    """The text with calls, returns and stack moves of segment registers and flags in the size of their code, line by line."""
    lines = []
    for line in source.splitlines():
        statements = line.split(";") if '"' not in line and "'" not in line else [line]
        for i, statement in enumerate(statements):
            m = STATEMENT.match(statement)
            if not m:
                continue
            verb, rest = m["verb"].lower(), m["rest"].strip()
            if verb in (".code16", ".code32"):
                bits = int(verb[5:])
            new = _as_bytes(verb, rest, bits)
            if new:
                statements[i] = m["label"] + new + statement[m.end():]
        lines.append(";".join(statements))
    return "\n".join(lines)


def _as_bytes(verb: str, rest: str, bits: int) -> str:
    """The data directives that stand for an instruction, or nothing where LLVM's own choice is right."""
    if verb == "call" and re.fullmatch(r"\\?[\w.$]+", rest) and not REGISTER.match(rest):
        field = ".word" if bits == 16 else ".long"
        return f".byte 0xE8; {field} {rest} - . - {bits // 8}"
    if verb in RETURNS:
        return f".byte {RETURNS[verb] - 1}; .word {rest}" if rest else f".byte {RETURNS[verb]}"
    code = NATIVE.get(" ".join([verb, *rest.lower().split()]))
    if code is None:
        return ""
    return f".byte {code:#x}" if code < 256 else f".byte {code >> 8:#x}, {code & 255:#x}"


def _link(elf: bytes, origin: int, source: str) -> Code:
    """Take the code out of an ELF32 object and put `origin` into every absolute address."""
    at, = struct.unpack_from("<I", elf, 32)                                   # e_shoff
    size, count, _ = struct.unpack_from("<HHH", elf, 46)
    sections = [struct.unpack_from("<10I", elf, at + i * size) for i in range(count)]
    with_bytes = [i for i, s in enumerate(sections) if s[2] & SHF_ALLOC and s[5]]
    if not with_bytes:
        raise AssemblyError("the text assembles to nothing: there is not one instruction or data directive in it")
    if len(with_bytes) > 1 or sections[with_bytes[0]][1] == SHT_NOBITS:
        raise AssemblyError("the text uses more than one section: flat code has only .text, put the data there too")
    text = with_bytes[0]
    code = bytearray(elf[sections[text][4]:][:sections[text][5]])
    symbols, names = [], {}
    for s in sections:
        if s[1] == SHT_SYMTAB:
            strings = sections[s[6]][4]
            for p in range(s[4], s[4] + s[5], 16):
                name, value, _, info, _, where = struct.unpack_from("<IIIBBH", elf, p)
                label = elf[strings + name:elf.index(b"\0", strings + name)].decode()
                address = value + origin if where == text else value if where == 0xFFF1 else None   # FFF1h: absolute
                symbols.append((label, address))
                if label and address is not None and info & 15 == 0:
                    names[label] = address
    for s in sections:
        if s[1] == SHT_REL and s[7] == text:
            for p in range(s[4], s[4] + s[5], 8):
                place, info = struct.unpack_from("<II", elf, p)
                _relocate(code, place, info & 255, symbols[info >> 8], origin)
    flat = Code(code)
    flat.origin, flat.symbols = origin, names
    return flat


def _relocate(code: bytearray, place: int, kind: int, symbol: tuple[str, int | None], origin: int) -> None:
    label, address = symbol
    if address is None:
        raise AssemblyError(f"the label {label!r} is used and defined nowhere")
    if kind not in RELOCATIONS:
        raise AssemblyError(f"the use of {label!r} at offset {place:#x} needs ELF relocation {kind}, unknown to flat code")
    form, relative = RELOCATIONS[kind]
    width = 8 * struct.calcsize(form)
    addend, = struct.unpack_from(form, code, place)
    addend = (addend ^ 1 << width - 1) - (1 << width - 1)                  # REL addends are signed
    value = address + addend - (place + origin if relative else 0)
    if not -(1 << width - 1) <= value < 1 << width:
        raise AssemblyError(f"the address {value:#x} of {label or 'a label'!r} does not fit the {width} bits at offset {place:#x}")
    struct.pack_into(form, code, place, value & (1 << width) - 1)
