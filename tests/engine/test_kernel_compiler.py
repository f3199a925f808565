"""The compiler of chip kernels.  Oracle: Python, which runs the very same functions."""
import itertools
import random

import numpy as np
import pytest

from pyv86_nb.engine import kernel_compiler, unit
from pyv86_nb.engine.kernel_compiler import Refused

INNER = np.dtype([("x", "i8"), ("bytes", "u1", (8,))])
CHIP = np.dtype([("a", "i8"), ("b", "i8"), ("buffer", "u1", (16,)), ("words", "u2", (4,)), ("part", INNER, (3,))])
TABLE, LIST, ARRAY, NEVER = (3, 1, 4, 1, 5, 9, 2, 6), bytes(range(8)), np.arange(8) * 7, 1 << 62
EDGES = [0, 1, 2, 3, 7, 8, 63, 255, 1 << 31, (1 << 62) - 1, -1, -2, -7, -255, -(1 << 40)]


def kernel(f):
    f.kernel = True
    return f


class Part:
    """A record as Python sees it."""
    def __init__(self, record): self.__dict__["r"] = record

    def __getattr__(self, n):
        v = self.r[n]
        return int(v) if v.ndim == 0 else Items(v)

    def __setattr__(self, n, v): self.r[n] = v


class Items:
    def __init__(self, v): self.v = v
    def __len__(self): return len(self.v)
    def __getitem__(self, i): return Part(self.v[i]) if self.v.dtype.names else int(self.v[i])
    def __setitem__(self, i, x): self.v[i] = x


def both(f, *rows, dtype=CHIP):
    """Run f on fresh records through Python and compiled; same answers, same bytes."""
    f = f if hasattr(f, "kernel") else kernel(f)
    between = f.__code__.co_argcount - 2
    data = kernel_compiler.build({"it": (f, dtype, between)})
    at, _keep = unit.load(data, ["it"])
    c = unit.SIGNATURE(at["it"])
    for args in rows:
        slow, fast = np.zeros(1, dtype), np.zeros(1, dtype)
        for r in (slow, fast): r.view(np.uint8)[:] = np.random.default_rng(1).integers(0, 100, dtype.itemsize, np.uint8)
        expected = f(Part(slow[0]), *args)
        got = c(fast.ctypes.data, *(*args[:-1], 0, 0, 0)[:3], args[-1])
        assert got == int(expected or 0), (args, got, expected)
        assert slow.tobytes() == fast.tobytes()


PAIRS = list(itertools.product(EDGES, EDGES))


def test_arithmetic_rounds_down_and_shifts_keep_the_sign():
    def f(r, x, now):
        r.a = x + now - (x & now) + (x | 5) - (x ^ now) + ~x + -now
        r.b = (x >> 3) + (now << 2 & 0xFFFF)
        if now == 0: return 0
        return x // now * 3 + x % now + x // 7 + x % 7 + x // -7 + x % -7
    both(f, *[(x, y) for x, y in PAIRS if abs(x) < 1 << 58 and abs(y) < 1 << 58])


def test_by_zero_is_zero():
    at, _keep = unit.load(kernel_compiler.build({"it": (kernel(lambda_free), CHIP, 1)}), ["it"])
    r = np.zeros(1, CHIP)
    assert unit.SIGNATURE(at["it"])(r.ctypes.data, 5, 0, 0, 0) == 0 and r["a"][0] == 0


def lambda_free(r, x, now):
    r.a = x // now
    return x % now


def test_comparisons_and_their_values():
    def f(r, x, now):
        v = (x < now) + (x <= now) * 2 + (x > now) * 4 + (x >= now) * 8 + (x == now) * 16 + (x != now) * 32
        v += (0 <= x < now) * 64 + (x in (0, 7, now)) * 128 + (x not in (1, 2)) * 256
        return v
    both(f, *PAIRS)


def test_and_or_answer_the_value_that_decides_and_no_more_is_done():
    @kernel
    def touch(r, v):
        r.b += 1
        return v

    def f(r, x, now):
        r.a = (x and touch(r, now)) + (x or touch(r, now)) + (not x)
        return (x and now or 5) + (0 or x) + (1 and now) + (x if now > 3 else touch(r, 9))
    both(f, *[(x, y) for x, y in PAIRS if abs(x) < 1 << 60 and abs(y) < 1 << 60])


def test_loops():
    def f(r, x, now):
        total = 0
        for i in range(x):
            if i == 3: continue
            for j in range(i, 0, -1):
                if j == 5: break
                total += j * i
            if total > now: break
        n = 0
        while True:
            n += 1
            if n * n > x: break
        while n > 2: n -= 2
        for i in range(2, 4): total += i
        return total * 100 + n + i
    both(f, *[(x, y) for x in range(12) for y in (3, 50, 10000)])


def test_records_parts_and_buffers():
    @kernel
    def part(r, n): return r.part[n % 3]

    @kernel
    def bump(p, v):
        p.x += v
        p.bytes[v & 7] ^= 0xFF
        return p.x, p.bytes[0] + 1, len(p.bytes)

    def f(r, x, now):
        p = part(r, x & 3)
        first, second, n = bump(p, now & 7)
        p = r.part[0]
        p.x, r.a = r.a, p.x                              # all before the first
        r.buffer[x & 15], r.words[now & 3] = now & 255, x & 0xFFFF
        r.buffer[1] += 1
        p.bytes[2] |= 1
        r.b = r.b << 1 & 0xFF | TABLE[x & 7] + LIST[now & 7] + int(ARRAY[x & 7])
        return first + second + n + r.buffer[x & 15] + r.words[now & 3] + min(x, now, 5) + max(x, -3) + abs(x - now)
    both(f, *[(x, y) for x in range(20) for y in range(20)])


def test_what_is_known_is_computed_now():
    def make(wide, n):
        def f(r, x, now):
            if wide: return x << n | TABLE[2]
            return nothing.here(x)                       # noqa: F821  the other side is not looked at
        return f
    both(make(True, 1 << 2), (1, 1), (5, 0))


def test_numbers_wrap_at_64_bits_and_deadlines_fit():
    def f(r, x, now): return NEVER if x == 0 else min(NEVER, x)
    both(f, (0, 0), (5, 0), (NEVER + 1, 0))


def grow(r, depth):
    """A random expression as text."""
    if depth == 0: return r.choice(["x", "now", "r.a", "r.buffer[x & 15]", str(r.choice(EDGES[:8])), "r.part[now & 1].x"])
    k = r.randrange(6)
    a, b = grow(r, depth - 1), grow(r, depth - 1)
    if k == 0: return f"({a} {r.choice(['+', '-', '&', '|', '^'])} {b})"
    if k == 1: return f"({a} {r.choice(['//', '%'])} {r.choice([3, 16, -5, 1000])})"
    if k == 2: return f"({a} if {b} {r.choice(['<', '==', '>='])} {grow(r, depth - 1)} else {b})"
    if k == 3: return f"({a} >> {r.randrange(9)})"
    if k == 4: return f"({a} {r.choice(['and', 'or'])} {b})"
    return r.choice([f"min({a}, {b})", f"max({a}, {b})", f"(-{a})", f"(~{a})", f"(not {a})", f"abs({a})"])


@pytest.mark.parametrize("seed", range(20))
def test_random_expressions(seed, tmp_path):
    r = random.Random(seed)
    lines = ["def f(r, x, now):", "    v = 0"]
    for _ in range(6): lines += [f"    if {grow(r, 2)}: r.b = {grow(r, 3)}", f"    v = v ^ {grow(r, 4)}", f"    r.a = {grow(r, 2)}"]
    path = tmp_path / "generated.py"
    path.write_text("\n".join([*lines, "    return v"]))
    scope = {}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    both(scope["f"], *[(r.choice(EDGES[:9]), r.choice(EDGES[:9])) for _ in range(30)])


def refused(f, why):
    with pytest.raises(Refused, match=why) as e: kernel_compiler.text({"it": (kernel(f), CHIP, 1)})
    return str(e.value)


def test_what_it_does_not_speak_is_refused_with_its_line():
    def strings(r, x, now): r.a = "text"
    def floats(r, x, now): return 1.5
    def fields(r, x, now): return r.nothing
    def methods(r, x, now): return sorted(r)
    def twice(r, x, now):
        if x: return 1
        return x, now
    def itself(r, x, now): return itself(r, x, now)
    def unset(r, x, now):
        v = y                                            # noqa: F821
        y = 1
        return v + y
    def loops(r, x, now):
        for i in r.buffer: r.a = i
    def calls(r, x, now): return r.a.bit_length()
    def store(r, x, now): r.buffer = x
    itself.kernel = True
    for f, why in ((strings, "not an int"), (floats, "not an int"), (fields, "no field nothing"), (methods, "not a kernel"),
                   (twice, "something else"), (itself, "calls itself"), (unset, "no value"), (loops, "range|tuple"),
                   (calls, "no fields"), (store, "only ints")):
        assert f"{__file__}:" in refused(f, why) or f is itself
