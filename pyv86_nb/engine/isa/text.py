"""Strings of SSE4.2: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM.   SDM vol. 2, 4.1."""
from .words import sx

EQUAL_ANY, RANGES, EQUAL_EACH, EQUAL_ORDERED = range(4)


def length(lanes, register):
    """In lanes: what the register says, without its sign; or up to the first that is 0."""
    n = len(lanes)
    if register is None:
        return lanes.index(0) if 0 in lanes else n
    return min(abs(sx(register, 32)), n)


def matches(how, a, b, la, lb):
    """IntRes1, table 4-7, as a list of truths."""
    n = len(a)
    if how == EQUAL_ANY:
        return [j < lb and b[j] in a[:la] for j in range(n)]
    if how == RANGES:
        return [j < lb and any(a[k] <= b[j] <= a[k + 1] for k in range(0, la - 1, 2)) for j in range(n)]
    if how == EQUAL_EACH:
        return [a[j] == b[j] if j < la and j < lb else j >= la and j >= lb for j in range(n)]
    return [all(k >= la or (j + k < lb and a[k] == b[j + k]) for k in range(n - j)) for j in range(n)]


def compare(a, b, i, eax, edx):
    """(IntRes2, number of lanes, CF, ZF, SF, OF); EAX and EDX are None where lengths are implicit."""
    w = 16 if i & 1 else 8
    x, y = a.lanes(w), b.lanes(w)
    n, la, lb = len(x), length(x, eax), length(y, edx)
    if i & 2:
        x, y = [sx(v, w) for v in x], [sx(v, w) for v in y]
    result = sum(true << j for j, true in enumerate(matches(i >> 2 & 3, x, y, la, lb)))
    if i >> 4 & 1:
        result ^= (1 << (lb if i >> 5 & 1 else n)) - 1
    return result, n, int(result != 0), int(lb < n), int(la < n), result & 1


def index(result, n, i):
    if result == 0:
        return n
    return result.bit_length() - 1 if i & 0x40 else (result & -result).bit_length() - 1


def mask(a, result, n, i):
    if i & 0x40:
        return a.join([-(result >> j & 1) for j in range(n)], 128 // n)
    return a.known(result)
