"""Handlers as machine code: compiled once per machine, kept as one file, cut into stencils."""
import struct
from collections import namedtuple
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np

from . import cache, forms
from .records import EXITS, HOLES

Stencils = namedtuple("Stencils", "code start size first holes constants")    # holes: rows (at, symbol, addend)
CONT, TAKEN, HERE, CONSTANT, BYTE, BYTE_A, BYTE_B, TLB_BASE, HOLE0 = range(9)
EXIT0 = HOLE0 + len(HOLES)                                                # symbol of an exit: EXIT0 + its number
SYMBOLS = {"cont": CONT, "taken": TAKEN, "here": HERE, "tlb_base": TLB_BASE, **{n: HOLE0 + i for i, n in enumerate(HOLES)},
           **{n: EXIT0 + i for i, n in enumerate(EXITS)}}
BYTES = {"imm": BYTE, "last": BYTE_A, "window": BYTE_B}                   # a byte of the instruction: the immediate, XMM registers
ABSOLUTE, RELATIVE, ONE_BYTE = (10, 11), (2, 4), 14                                     # R_X86_64_32 and 32S; PC32 and PLT32


def target(**k):
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()                   # for inline assembly
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2, **k)


def compile_text(text, **k):
    """LLVM text to an object file.  No passes but these two: flags and 80-bit numbers must stay what they are."""
    mod = llvm.parse_assembly(text)
    tm = target(**k)
    builder = llvm.create_pass_builder(tm, llvm.create_pipeline_tuning_options(0))
    passes = llvm.create_new_function_pass_manager()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    for f in mod.functions:
        if not f.is_declaration:
            passes.run(f, builder)
    return tm.emit_object(mod)


class Handlers(NamedTuple):
    """All handlers of a mode."""

    where: dict[object, int]                             # the number of each, by the key of its form
    moves: np.ndarray                                    # what must be moved for each: emit.py
    fields: np.ndarray                                   # where it names its temporaries: register_fields.py; native only
    object: bytes


def load(mode):
    """The handlers, compiled if the cache has none."""
    where, _ = forms.plan()
    moves, fields, data = (cache.load(f"handlers-{mode}.{what}") for what in ("moves", "fields", "o"))
    if moves is None or fields is None or data is None:
        k = {"jit": False, "codemodel": "small", "reloc": "static"} if mode == "native" else {"jit": True}
        _, bits, text = forms.module(mode)
        data, rows = compile_text(text, **k), []
        if mode == "native":
            bits, rows = fields_of(data, where, bits)
        moves, fields = np.array(bits, np.int64).tobytes(), np.array(rows, np.int64).tobytes()
        for what, content in (("moves", moves), ("fields", fields), ("o", data)):
            cache.save(f"handlers-{mode}.{what}", content)
    return Handlers(where, np.frombuffer(moves, np.int64), np.frombuffer(fields, np.int64).reshape(-1, 6), data)


def fields_of(obj, where, moves):
    """register_fields.table of these handlers."""
    from . import register_fields as R  # reads instructions: not needed once it has been done

    st, _ = cut_up(obj, len(moves))
    codes = [st.code[a:a + n].tobytes() for a, n in zip(st.start, st.size, strict=True)]
    R.check_assignment(codes, where)
    return R.table(codes, moves)


def cut_up(obj, n):
    """An ELF object into n numbered stencils, and the named pieces (enter, exits)."""
    shoff, = struct.unpack_from("<Q", obj, 40)
    entry, count, names_at = struct.unpack_from("<HHH", obj, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", obj, shoff + i * entry) for i in range(count)]

    def data(s): return obj[s[4]:s[4] + s[5]]
    def string(table, o): return table[o:table.index(b"\0", o)].decode()
    names = [string(data(sections[names_at]), s[0]) for s in sections]
    text_no = names.index(".text")
    text = data(sections[text_no])
    symtab = sections[names.index(".symtab")]
    strings = data(sections[symtab[6]])
    symbols = [(string(strings, a), section, value, size) for a, _, _, section, value, size in struct.iter_unpack("<IBBHQQ", data(symtab))]
    at = {s[0]: (s[2], s[3]) for s in symbols if s[1] == text_no}
    constants, laid = bytearray(), {}
    for i, (name, s) in enumerate(zip(names, sections, strict=True)):
        if name.startswith(".rodata"):                                     # vectors; all of them are kept, once, in front of the code
            constants += bytes(-len(constants) % 64)
            laid[i] = len(constants)
            constants += data(s)

    def hole(o, i, add):
        name, section, value, _ = symbols[i >> 32]
        if section in laid:
            return o, CONSTANT, add + value + laid[section], i & 0xFFFFFFFF
        if i & 0xFFFFFFFF == ONE_BYTE and name in BYTES:
            return o, BYTES[name], add, RELATIVE[0]
        return o, SYMBOLS[name], add, i & 0xFFFFFFFF
    rows = [hole(*r) for s in sections if s[1] == 4 and s[7] == text_no for r in struct.iter_unpack("<QQq", data(s))]
    strange = {k for _, symbol, _, k in rows if k not in (ABSOLUTE if symbol in (HERE, TLB_BASE) or HOLE0 <= symbol < EXIT0 else RELATIVE)}
    if strange or any(s[1] == 4 and s[7] in laid for s in sections):
        raise RuntimeError(f"LLVM made handlers that cannot be pasted: relocations {sorted(strange)}, sections {names}")
    rel = np.array(rows, np.int64)
    rel = rel[np.argsort(rel[:, 0], kind="stable")]
    code, start, size, first, holes = bytearray(), [], [], [0], []
    for i in range(n):
        a, z = at[f"u{i}"]
        mine = rel[np.searchsorted(rel[:, 0], a):np.searchsorted(rel[:, 0], a + z)].copy()
        mine[:, 0] -= a
        last = len(mine) - 1
        if z >= 5 and text[a + z - 5] == 0xE9 and last >= 0 and mine[last, 0] == z - 4 and mine[last, 1] == CONT:
            mine, z = mine[:last], z - 5                                   # fall into the next one
        start.append(len(code))
        size.append(z)
        holes.append(mine[:, :3])
        first.append(first[-1] + len(mine))
        code += text[a:a + z]
    pieces = {n: text[a:a + z] for n, (a, z) in at.items() if n == "enter" or n in EXITS}
    number = (np.array(x, np.int64) for x in (start, size, first))
    return Stencils(np.frombuffer(bytes(code), np.uint8).copy(), *number, np.concatenate(holes), bytes(constants)), pieces
