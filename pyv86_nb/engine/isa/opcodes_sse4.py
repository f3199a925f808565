"""Opcodes of SSSE3, SSE4.1, SSE4.2, AES and PCLMULQDQ, as SDM volume 2 prints them."""
from . import cipher as C
from . import floating as F
from . import packed as P
from .opcodes_sse import LOAD, mmx, sse
from .rows import op
from .vector import by_xmm0, crc32, floating, hosted, string, tested

SSSE3 = (
    (0x00, "pshufb", P.permute), (0x01, "phaddw", P.neighbours(16, P.add)), (0x02, "phaddd", P.neighbours(32, P.add)),
    (0x03, "phaddsw", P.neighbours(16, P.add_signed)), (0x04, "pmaddubsw", P.multiply_add_bytes),
    (0x05, "phsubw", P.neighbours(16, P.sub)), (0x06, "phsubd", P.neighbours(32, P.sub)),
    (0x07, "phsubsw", P.neighbours(16, P.sub_signed)), (0x08, "psignb", P.lanewise(8, P.sign)),
    (0x09, "psignw", P.lanewise(16, P.sign)), (0x0A, "psignd", P.lanewise(32, P.sign)),
    (0x0B, "pmulhrsw", P.lanewise(16, P.multiply_round)), (0x1C, "pabsb", P.one_operand(8, P.absolute)),
    (0x1D, "pabsw", P.one_operand(16, P.absolute)), (0x1E, "pabsd", P.one_operand(32, P.absolute)),
)
WIDENING = (("bw", 8, 16), ("bd", 8, 32), ("bq", 8, 64), ("wd", 16, 32), ("wq", 16, 64), ("dq", 32, 64))
SSE41 = (
    (0x28, "pmuldq", P.lanewise(64, P.multiply_even_signed)), (0x29, "pcmpeqq", P.lanewise(64, P.equal)),
    (0x2B, "packusdw", P.pack_unsigned_words), (0x38, "pminsb", P.lanewise(8, P.min_signed)),
    (0x39, "pminsd", P.lanewise(32, P.min_signed)), (0x3A, "pminuw", P.lanewise(16, P.min_unsigned)),
    (0x3B, "pminud", P.lanewise(32, P.min_unsigned)), (0x3C, "pmaxsb", P.lanewise(8, P.max_signed)),
    (0x3D, "pmaxsd", P.lanewise(32, P.max_signed)), (0x3E, "pmaxuw", P.lanewise(16, P.max_unsigned)),
    (0x3F, "pmaxud", P.lanewise(32, P.max_unsigned)), (0x40, "pmulld", P.lanewise(32, P.multiply_low)),
    (0x41, "phminposuw", P.least_word),
)


def ssse3():
    k = {"feature": "ssse3"}
    for opcode, name, meaning in SSSE3:
        reads = name[:4] != "pabs"
        yield mmx(f"NP 0F 38 {opcode:02X} /r", name, "P Q", meaning, reads=reads, **k)
        yield sse(f"66 0F 38 {opcode:02X} /r", name, "V W", meaning, reads=reads, **k)
    yield mmx("NP 0F 3A 0F /r", "palignr", "P Q Ib", P.align_right, **k)
    yield sse("66 0F 3A 0F /r", "palignr", "V W Ib", P.align_right, **k)


def sse41():
    k: dict = {"feature": "sse4_1"}
    for opcode, name, meaning in SSE41:
        yield sse(f"66 0F 38 {opcode:02X} /r", name, "V W", meaning, **k)
    for n, (name, w, to) in enumerate(WIDENING):
        yield sse(f"66 0F 38 {0x20 + n:02X} /r", "pmovsx" + name, "V W", P.widen(w, to, True), 128 * w // to, **LOAD, **k)
        yield sse(f"66 0F 38 {0x30 + n:02X} /r", "pmovzx" + name, "V W", P.widen(w, to, False), 128 * w // to, **LOAD, **k)
    for opcode, name, w in ((0x10, "pblendvb", 8), (0x14, "blendvps", 32), (0x15, "blendvpd", 64)):
        yield sse(f"66 0F 38 {opcode:02X} /r", name, "V W", P.blend_by_signs(w), step=by_xmm0, **k)
    for opcode, name, w in ((0x0C, "blendps", 32), (0x0D, "blendpd", 64), (0x0E, "pblendw", 16)):
        yield sse(f"66 0F 3A {opcode:02X} /r", name, "V W Ib", P.blend(w), **k)
    yield sse("66 0F 38 17 /r", "ptest", "V W", P.test, step=tested, writes="all", **k)
    yield sse("66 0F 38 2A /r", "movntdqa", "V W", P.move, mod="m", **LOAD, **k)
    for opcode, name, w in ((0x14, "pextrb", 8), (0x15, "pextrw", 16), (0x16, "pextrd", 32), (0x17, "extractps", 32)):
        yield sse(f"66 0F 3A {opcode:02X} /r", name, "Ed V Ib", P.extract(w), w, mod="r", **LOAD, **k)
        yield sse(f"66 0F 3A {opcode:02X} /r", name, "Ed V Ib", P.extract_to_memory(w), w, mod="m", **LOAD, **k)
    for opcode, name, w in ((0x20, "pinsrb", 8), (0x22, "pinsrd", 32)):
        yield sse(f"66 0F 3A {opcode:02X} /r", name, "V Ed Ib", P.insert(w), w, **k)
    yield sse("66 0F 3A 21 /r", "insertps", "V W Ib", P.insert_single, 128, mod="r", **k)
    yield sse("66 0F 3A 21 /r", "insertps", "V W Ib", P.insert_single, 32, mod="m", **k)
    yield sse("66 0F 3A 42 /r", "mpsadbw", "V W Ib", P.sums_of_differences, **k)
    k = {"feature": "sse4_1", "host_feature": "sse4.1", "step": floating}
    for opcode, name, w, one in ((0x08, "roundps", 32, False), (0x09, "roundpd", 64, False), (0x0A, "roundss", 32, True),
                                 (0x0B, "roundsd", 64, True)):
        yield sse(f"66 0F 3A {opcode:02X} /r", name, "V W Ib", F.to_integral(w, one), w if one else 128, host=name, select=15, reads=one, **k)
    for opcode, name, w, host in ((0x40, "dpps", 32, "dpps $$255,"), (0x41, "dppd", 64, "dppd $$51,")):
        yield sse(f"66 0F 3A {opcode:02X} /r", name, "V W Ib", F.dot(w), host=host, before=F.chosen(w), after=F.broadcast(w), **k)


def sse42():
    yield sse("66 0F 38 37 /r", "pcmpgtq", "V W", P.lanewise(64, P.greater), feature="sse4_2")
    for opcode, operands, k in (("F0", "Gv Eb", {"sw": 8}), ("F1", "Gv Ev", {})):
        yield op(f"F2 0F 38 {opcode} /r", "crc32", operands, C.crc32, step=crc32, writes="none", feature="sse4_2", **k)


def strings():
    for opcode, name in enumerate(("pcmpestrm", "pcmpestri", "pcmpistrm", "pcmpistri"), 0x60):
        yield sse(f"66 0F 3A {opcode:02X} /r", name, "V W Ib", None, step=string, writes="all", aligned=False, feature="sse4_2", host=name,
                  host_feature="sse4.2")


def ciphers():
    k: dict = {"step": hosted, "feature": "aes", "host_feature": "aes"}
    for opcode, name, meaning in ((0xDC, "aesenc", C.encrypt), (0xDD, "aesenclast", C.encrypt_last), (0xDE, "aesdec", C.decrypt),
                                  (0xDF, "aesdeclast", C.decrypt_last)):
        yield sse(f"66 0F 38 {opcode:02X} /r", name, "V W", meaning, host=name, **k)
    yield sse("66 0F 38 DB /r", "aesimc", "V W", C.unmix, host="aesimc", **LOAD, **k)
    yield sse("66 0F 3A DF /r", "aeskeygenassist", "V W Ib", C.key_assist, host="aeskeygenassist $$0,", after=C.round_constant, **LOAD, **k)
    yield sse("66 0F 3A 44 /r", "pclmulqdq", "V W Ib", C.carry_less, host="pclmulqdq $$0,", before=C.halves, step=hosted, feature="pclmulqdq",
              host_feature="pclmul")


SSE4 = (*ssse3(), *sse41(), *sse42(), *strings(), *ciphers())
