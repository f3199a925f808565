"""Opcodes of MMX, and of SSE and SSE2 without the arithmetic of floating point, as SDM volume 2 prints them."""
from . import packed as P
from .rows import op
from .vector import empty, hint, load_control, masked_store, store_control, touch, vector


def sse(encoding, name, operands, meaning, bits=128, **k):
    """bits: of the operand that may be in memory, which must be aligned if it is a whole register."""
    feature = "sse2" if encoding[:2] in ("66", "F2") else "sse"
    return op(encoding, name, operands, meaning, **{"step": vector, "bits": bits, "writes": "none", "unit": "sse", "feature": feature,
                                                    "aligned": bits == 128, **k})


def mmx(encoding, name, operands, meaning, bits=64, **k):
    return sse(encoding, name, operands, meaning, bits, **{"unit": "mmx", "feature": "mmx", "aligned": False, **k})


# opcode, name, meaning: of MMX and of XMM registers
PACKED = (
    (0x60, "punpcklbw", P.unpack(8, False)), (0x61, "punpcklwd", P.unpack(16, False)), (0x62, "punpckldq", P.unpack(32, False)),
    (0x63, "packsswb", P.pack_signed(16)), (0x64, "pcmpgtb", P.lanewise(8, P.greater)), (0x65, "pcmpgtw", P.lanewise(16, P.greater)),
    (0x66, "pcmpgtd", P.lanewise(32, P.greater)), (0x67, "packuswb", P.pack_unsigned(16)),
    (0x68, "punpckhbw", P.unpack(8, True)), (0x69, "punpckhwd", P.unpack(16, True)), (0x6A, "punpckhdq", P.unpack(32, True)),
    (0x6B, "packssdw", P.pack_signed(32)),
    (0x74, "pcmpeqb", P.lanewise(8, P.equal)), (0x75, "pcmpeqw", P.lanewise(16, P.equal)), (0x76, "pcmpeqd", P.lanewise(32, P.equal)),
    (0xD1, "psrlw", P.shift(16, "srl")), (0xD2, "psrld", P.shift(32, "srl")), (0xD3, "psrlq", P.shift(64, "srl")),
    (0xD4, "paddq", P.lanewise(64, P.add)), (0xD5, "pmullw", P.lanewise(16, P.multiply_low)),
    (0xD8, "psubusb", P.lanewise(8, P.sub_unsigned)), (0xD9, "psubusw", P.lanewise(16, P.sub_unsigned)),
    (0xDA, "pminub", P.lanewise(8, P.min_unsigned)), (0xDB, "pand", P.and_),
    (0xDC, "paddusb", P.lanewise(8, P.add_unsigned)), (0xDD, "paddusw", P.lanewise(16, P.add_unsigned)),
    (0xDE, "pmaxub", P.lanewise(8, P.max_unsigned)), (0xDF, "pandn", P.and_not),
    (0xE0, "pavgb", P.lanewise(8, P.average)), (0xE1, "psraw", P.shift(16, "sra")), (0xE2, "psrad", P.shift(32, "sra")),
    (0xE3, "pavgw", P.lanewise(16, P.average)), (0xE4, "pmulhuw", P.lanewise(16, P.multiply_high_unsigned)),
    (0xE5, "pmulhw", P.lanewise(16, P.multiply_high)),
    (0xE8, "psubsb", P.lanewise(8, P.sub_signed)), (0xE9, "psubsw", P.lanewise(16, P.sub_signed)),
    (0xEA, "pminsw", P.lanewise(16, P.min_signed)), (0xEB, "por", P.or_),
    (0xEC, "paddsb", P.lanewise(8, P.add_signed)), (0xED, "paddsw", P.lanewise(16, P.add_signed)),
    (0xEE, "pmaxsw", P.lanewise(16, P.max_signed)), (0xEF, "pxor", P.xor),
    (0xF1, "psllw", P.shift(16, "sll")), (0xF2, "pslld", P.shift(32, "sll")), (0xF3, "psllq", P.shift(64, "sll")),
    (0xF4, "pmuludq", P.lanewise(64, P.multiply_even)), (0xF5, "pmaddwd", P.multiply_add), (0xF6, "psadbw", P.sum_of_differences),
    (0xF8, "psubb", P.lanewise(8, P.sub)), (0xF9, "psubw", P.lanewise(16, P.sub)), (0xFA, "psubd", P.lanewise(32, P.sub)),
    (0xFB, "psubq", P.lanewise(64, P.sub)),
    (0xFC, "paddb", P.lanewise(8, P.add)), (0xFD, "paddw", P.lanewise(16, P.add)), (0xFE, "paddd", P.lanewise(32, P.add)),
)
SHIFTS = ((0x71, 2, "psrlw", P.shift(16, "srl")), (0x71, 4, "psraw", P.shift(16, "sra")), (0x71, 6, "psllw", P.shift(16, "sll")),
          (0x72, 2, "psrld", P.shift(32, "srl")), (0x72, 4, "psrad", P.shift(32, "sra")), (0x72, 6, "pslld", P.shift(32, "sll")),
          (0x73, 2, "psrlq", P.shift(64, "srl")), (0x73, 6, "psllq", P.shift(64, "sll")))
LOAD = {"reads": False}                                 # the old destination is not looked at


# of PACKED, what MMX registers have got since
WITH_SSE = {0xDA, 0xDE, 0xE0, 0xE3, 0xE4, 0xEA, 0xEE, 0xF6}
WITH_SSE2 = {0xD4, 0xF4, 0xFB}


def mmx_rows():
    for opcode, name, meaning in PACKED:
        feature = "sse" if opcode in WITH_SSE else "sse2" if opcode in WITH_SSE2 else "mmx"
        yield mmx(f"NP 0F {opcode:02X} /r", name, "P Q", meaning, 32 if name[:7] == "punpckl" else 64, feature=feature)
    for opcode, extension, name, meaning in SHIFTS:
        yield mmx(f"NP 0F {opcode:02X} /{extension}", name, "N - Ib", meaning, mod="r")
    yield mmx("NP 0F 6E /r", "movd", "P Ed", P.extend64, 32, **LOAD)
    yield mmx("NP 0F 7E /r", "movd", "Ed P", P.word32, 32, mod="r", **LOAD)
    yield mmx("NP 0F 7E /r", "movd", "Ed P", P.low(32), 32, mod="m", **LOAD)
    yield mmx("NP 0F 6F /r", "movq", "P Q", P.move, **LOAD)
    yield mmx("NP 0F 7F /r", "movq", "Q P", P.move, **LOAD)
    yield mmx("NP 0F 77", "emms", "", None, step=empty)
    k = {"feature": "sse"}
    yield mmx("NP 0F 70 /r", "pshufw", "P Q Ib", P.shuffle_words(0), **LOAD, **k)
    yield mmx("NP 0F C4 /r", "pinsrw", "P Ed Ib", P.insert_word, 16, **k)
    yield mmx("NP 0F C5 /r", "pextrw", "Gd N Ib", P.extract_word, mod="r", **LOAD, **k)
    yield mmx("NP 0F D7 /r", "pmovmskb", "Gd N", P.signs(8), mod="r", **LOAD, **k)
    yield mmx("NP 0F E7 /r", "movntq", "Q P", P.move, mod="m", **LOAD, **k)
    yield mmx("NP 0F F7 /r", "maskmovq", "P N", P.select_signed, step=masked_store, mod="r", at_edi=True, **k)
    k = {"feature": "sse2", "unit": "sse mmx", "mod": "r"}
    yield mmx("F3 0F D6 /r", "movq2dq", "V N", P.extend, **LOAD, **k)
    yield mmx("F2 0F D6 /r", "movdq2q", "P U", P.low(64), **LOAD, **k)


def integers():
    for opcode, name, meaning in PACKED:
        yield sse(f"66 0F {opcode:02X} /r", name, "V W", meaning)
    yield sse("66 0F 6C /r", "punpcklqdq", "V W", P.unpack(64, False))
    yield sse("66 0F 6D /r", "punpckhqdq", "V W", P.unpack(64, True))
    for opcode, extension, name, meaning in (*SHIFTS, (0x73, 3, "psrldq", P.bytes_down), (0x73, 7, "pslldq", P.bytes_up)):
        yield sse(f"66 0F {opcode:02X} /{extension}", name, "U - Ib", meaning, mod="r")
    for prefix, name, meaning in (("66", "pshufd", P.shuffle_dwords), ("F2", "pshuflw", P.shuffle_words(0)), ("F3", "pshufhw", P.shuffle_words(1))):
        yield sse(f"{prefix} 0F 70 /r", name, "V W Ib", meaning, feature="sse2", **LOAD)
    yield sse("66 0F C4 /r", "pinsrw", "V Ed Ib", P.insert_word, 16)
    yield sse("66 0F C5 /r", "pextrw", "Gd U Ib", P.extract_word, mod="r", **LOAD)
    yield sse("66 0F D7 /r", "pmovmskb", "Gd U", P.signs(8), mod="r", **LOAD)


def moves():
    for prefix, load, store, name in (("66", 0x6F, 0x7F, "movdqa"), ("F3", 0x6F, 0x7F, "movdqu"), ("NP", 0x28, 0x29, "movaps"),
                                      ("66", 0x28, 0x29, "movapd"), ("NP", 0x10, 0x11, "movups"), ("66", 0x10, 0x11, "movupd")):
        k = {"aligned": name in ("movdqa", "movaps", "movapd"), "feature": "sse" if name[-2:] == "ps" else "sse2", **LOAD}
        yield sse(f"{prefix} 0F {load:02X} /r", name, "V W", P.move, **k)
        yield sse(f"{prefix} 0F {store:02X} /r", name, "W V", P.move, **k)
    for prefix, opcode, name in (("66", 0xE7, "movntdq"), ("NP", 0x2B, "movntps"), ("66", 0x2B, "movntpd")):
        yield sse(f"{prefix} 0F {opcode:02X} /r", name, "W V", P.move, mod="m", **LOAD)
    yield sse("66 0F 6E /r", "movd", "V Ed", P.extend, 32, **LOAD)
    yield sse("66 0F 7E /r", "movd", "Ed V", P.word32, 32, mod="r", **LOAD)
    yield sse("66 0F 7E /r", "movd", "Ed V", P.low(32), 32, mod="m", **LOAD)
    yield sse("F3 0F 7E /r", "movq", "V W", P.extend, 64, feature="sse2", **LOAD)
    yield sse("66 0F D6 /r", "movq", "W V", P.extend, 64, mod="r", **LOAD)
    yield sse("66 0F D6 /r", "movq", "W V", P.low(64), 64, mod="m", **LOAD)
    for prefix, w, name in (("F3", 32, "movss"), ("F2", 64, "movsd")):
        yield sse(f"{prefix} 0F 10 /r", name, "V W", P.merge_low(w), w, mod="r")
        yield sse(f"{prefix} 0F 10 /r", name, "V W", P.extend, w, mod="m", **LOAD)
        yield sse(f"{prefix} 0F 11 /r", name, "W V", P.merge_low(w), w, mod="r")
        yield sse(f"{prefix} 0F 11 /r", name, "W V", P.low(w), w, mod="m", **LOAD)
    for prefix, p in (("NP", "ps"), ("66", "pd")):
        yield sse(f"{prefix} 0F 12 /r", "movl" + p, "V W", P.merge_low(64), 64, mod="m")
        yield sse(f"{prefix} 0F 13 /r", "movl" + p, "W V", P.low(64), 64, mod="m", **LOAD)
        yield sse(f"{prefix} 0F 16 /r", "movh" + p, "V W", P.high_from_low, 64, mod="m")
        yield sse(f"{prefix} 0F 17 /r", "movh" + p, "W V", P.high_half, 64, mod="m", **LOAD)
        yield sse(f"{prefix} 0F 50 /r", "movmsk" + p, "Gd U", P.signs(32 if p == "ps" else 64), mod="r", **LOAD)
        for opcode, name, meaning in ((0x54, "and", P.and_), (0x55, "andn", P.and_not), (0x56, "or", P.or_), (0x57, "xor", P.xor)):
            yield sse(f"{prefix} 0F {opcode:02X} /r", name + p, "V W", meaning)
        for opcode, name, high in ((0x14, "unpckl", False), (0x15, "unpckh", True)):
            yield sse(f"{prefix} 0F {opcode:02X} /r", name + p, "V W", P.unpack(32 if p == "ps" else 64, high))
        yield sse(f"{prefix} 0F C6 /r", "shuf" + p, "V W Ib", P.shuffle_singles if p == "ps" else P.shuffle_doubles)
    yield sse("NP 0F 12 /r", "movhlps", "V U", P.low_from_high, mod="r")
    yield sse("NP 0F 16 /r", "movlhps", "V U", P.high_from_low, mod="r")
    yield sse("66 0F F7 /r", "maskmovdqu", "V U", P.select_signed, step=masked_store, mod="r", aligned=False, at_edi=True)


def memory():
    """Cacheability: none of them asks for XMM registers."""
    free = {"unit": "", "aligned": False}
    yield sse("NP 0F C3 /r", "movnti", "Ed Gd", P.move, 32, mod="m", feature="sse2", **LOAD, **free)
    for i, name in enumerate(("prefetchnta", "prefetcht0", "prefetcht1", "prefetcht2")):
        yield sse(f"0F 18 /{i}", name, "- Mb", None, 8, step=hint, mod="m", **LOAD, **free)
    yield sse("NP 0F AE /7", "clflush", "- Mb", None, 8, step=touch, mod="m", feature="clfsh", **LOAD, **free)
    for i, name in ((5, "lfence"), (6, "mfence"), (7, "sfence")):
        yield sse(f"NP 0F AE /{i}", name, "", None, 8, step=hint, mod="r", feature="sse" if i == 7 else "sse2", **LOAD, **free)
    yield sse("NP 0F AE /2", "ldmxcsr", "- Md", None, 32, step=load_control, mod="m", **LOAD, aligned=False)
    yield sse("NP 0F AE /3", "stmxcsr", "- Md", None, 32, step=store_control, mod="m", **LOAD, aligned=False)


SSE = (*mmx_rows(), *integers(), *moves(), *memory())
