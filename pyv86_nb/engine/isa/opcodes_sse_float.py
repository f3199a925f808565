"""Opcodes of SSE, SSE2 and SSE3 that round, compare and convert, as SDM volume 2 prints them."""
from . import floating as F
from . import packed as P
from . import softfloat as SF
from .opcodes_sse import LOAD, sse
from .vector import floating, ordered

# prefix, suffix, width of a lane, whether only the lowest
TYPES = (("NP", "ps", 32, False), ("66", "pd", 64, False), ("F3", "ss", 32, True), ("F2", "sd", 64, True))


def arithmetic(encoding, name, operands, meaning, bits=128, **k):
    return sse(encoding, name, operands, meaning, bits, **{"step": floating, "host": name, **k})


def rows():
    for prefix, suffix, w, one in TYPES:
        bits = w if one else 128
        two_operands, one_operand = (F.scalar, F.scalar_one) if one else (F.packed, F.packed_one)
        for opcode, name, f in ((0x58, "add", SF.add), (0x59, "mul", SF.mul), (0x5C, "sub", SF.sub), (0x5D, "min", SF.least),
                                (0x5E, "div", SF.div), (0x5F, "max", SF.greatest)):
            yield arithmetic(f"{prefix} 0F {opcode:02X} /r", name + suffix, "V W", two_operands(w, f), bits)
        yield arithmetic(f"{prefix} 0F 51 /r", "sqrt" + suffix, "V W", one_operand(w, SF.sqrt), bits, reads=one)
        yield arithmetic(f"{prefix} 0F C2 /r", "cmp" + suffix, "V W Ib", F.compare(w, two_operands), bits, select=7)
        if w == 32:
            n = 1 if one else 4
            yield sse(f"{prefix} 0F 52 /r", "rsqrt" + suffix, "V W", F.approximate(F.reciprocal_root, n), bits, reads=one)
            yield sse(f"{prefix} 0F 53 /r", "rcp" + suffix, "V W", F.approximate(F.reciprocal, n), bits, reads=one)
    for prefix, suffix, w in (("NP", "ss", 32), ("66", "sd", 64)):
        for opcode, name in ((0x2E, "ucomi"), (0x2F, "comi")):
            yield arithmetic(f"{prefix} 0F {opcode:02X} /r", name + suffix, "V W", F.order(w, name == "comi"), w, step=ordered, writes="all")


def conversions():
    for prefix, suffix, w in (("F3", "ss", 32), ("F2", "sd", 64)):
        yield arithmetic(f"{prefix} 0F 2A /r", "cvtsi2" + suffix, "V Ed", F.from_integer(w), 32, host=f"cvtsi2{suffix}l")
        yield arithmetic(f"{prefix} 0F 2C /r", f"cvtt{suffix}2si", "Gd W", F.to_integer(w, True), w, **LOAD)
        yield arithmetic(f"{prefix} 0F 2D /r", f"cvt{suffix}2si", "Gd W", F.to_integer(w, False), w, **LOAD)
    for prefix, suffix, w, bits in (("NP", "ps", 32, 64), ("66", "pd", 64, 128)):
        for opcode, name in ((0x2C, "cvtt"), (0x2D, "cvt")):
            yield arithmetic(f"{prefix} 0F {opcode:02X} /r", f"{name}{suffix}2pi", "P W", F.to_integers(w, 2, name == "cvtt"), bits,
                             host=f"{name}{suffix}2dq", unit="sse mmx", **LOAD)
    k: dict = {"aligned": False, "unit": "sse mmx"}
    yield arithmetic("NP 0F 2A /r", "cvtpi2ps", "V Q", F.from_integers(32, 2), 64, host="cvtdq2ps", low=True, **k)
    yield arithmetic("66 0F 2A /r", "cvtpi2pd", "V Q", F.from_integers(64, 2), 64, host="cvtdq2pd", mod="r", **LOAD, **k)
    yield arithmetic("66 0F 2A /r", "cvtpi2pd", "V Q", F.from_integers(64, 2), 64, host="cvtdq2pd", mod="m", **LOAD, **k | {"unit": "sse"})
    sse2: dict = {"feature": "sse2", **LOAD}
    yield arithmetic("NP 0F 5A /r", "cvtps2pd", "V W", F.convert(32, 64, 2), 64, **sse2)
    yield arithmetic("66 0F 5A /r", "cvtpd2ps", "V W", F.convert(64, 32, 2), **sse2)
    yield arithmetic("F3 0F 5A /r", "cvtss2sd", "V W", F.convert_one(32, 64), 32, feature="sse2")
    yield arithmetic("F2 0F 5A /r", "cvtsd2ss", "V W", F.convert_one(64, 32), 64)
    yield arithmetic("NP 0F 5B /r", "cvtdq2ps", "V W", F.from_integers(32, 4), **sse2)
    yield arithmetic("66 0F 5B /r", "cvtps2dq", "V W", F.to_integers(32, 4, False), **sse2)
    yield arithmetic("F3 0F 5B /r", "cvttps2dq", "V W", F.to_integers(32, 4, True), **sse2)
    yield arithmetic("F2 0F E6 /r", "cvtpd2dq", "V W", F.to_integers(64, 2, False), **sse2)
    yield arithmetic("66 0F E6 /r", "cvttpd2dq", "V W", F.to_integers(64, 2, True), **sse2)
    yield arithmetic("F3 0F E6 /r", "cvtdq2pd", "V W", F.from_integers(64, 2), 64, **sse2)


def sse3():
    k: dict = {"feature": "sse3", "host_feature": "sse3"}
    for prefix, suffix, w in (("F2", "ps", 32), ("66", "pd", 64)):
        yield arithmetic(f"{prefix} 0F D0 /r", "addsub" + suffix, "V W", F.alternating(w), **k)
        yield arithmetic(f"{prefix} 0F 7C /r", "hadd" + suffix, "V W", F.horizontal(w, SF.add), **k)
        yield arithmetic(f"{prefix} 0F 7D /r", "hsub" + suffix, "V W", F.horizontal(w, SF.sub), **k)
    k = {"feature": "sse3", **LOAD}
    yield sse("F2 0F F0 /r", "lddqu", "V W", P.move, mod="m", **k, aligned=False)
    yield sse("F2 0F 12 /r", "movddup", "V W", P.twice, 64, **k)
    yield sse("F3 0F 12 /r", "movsldup", "V W", P.each_twice(0), **k)
    yield sse("F3 0F 16 /r", "movshdup", "V W", P.each_twice(1), **k)


SSE_FLOAT = (*rows(), *conversions(), *sse3())
