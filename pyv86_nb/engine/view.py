"""A record as a Python object: kernels read as Python use the very attributes that compiled ones do.

numpy's own records answer arrays and numpy scalars, slowly; this answers Python ints from memoryviews.
"""
import numpy as np


class _Array:
    """A nested array of records."""
    def __init__(self, cls, words, halves, at, n):
        self._make, self._items = (lambda i: cls(words, halves, at + i * cls.size)), {}
        self._n = n

    def __len__(self): return self._n

    def __getitem__(self, i):
        if i not in self._items:
            if not 0 <= i < self._n:
                raise IndexError(i)
            self._items[i] = self._make(i)
        return self._items[i]


def _word(at):
    k = at // 8
    return property(lambda self: self._words[self._first + k], lambda self, v: self._words.__setitem__(self._first + k, v))


def _half(at):
    k = at // 4
    return property(lambda self: self._halves[2 * self._first + k], lambda self, v: self._halves.__setitem__(2 * self._first + k, v))


def view(dtype: np.dtype) -> type:
    """A class whose instances (words, halves, offset) show a record of this dtype: i8 and u4 fields, arrays, records."""
    members: dict = {"size": dtype.itemsize}
    parts = {}
    for name in dtype.names:
        kind, at = dtype.fields[name][:2]
        if kind.subdtype:
            base, shape = kind.subdtype
            parts[name] = (view(base) if base.names else None, at, shape[0])
        elif kind.names:
            parts[name] = (view(kind), at, 0)
        else:
            members[name] = _word(at) if kind.itemsize == 8 else _half(at)

    def __init__(self, words, halves, offset=0):
        self._words, self._halves, self._first = words, halves, offset // 8
        for n, (cls, at, count) in parts.items():
            if cls is None:
                part = words[self._first + at // 8:self._first + at // 8 + count]
            elif count:
                part = _Array(cls, words, halves, offset + at, count)
            else:
                part = cls(words, halves, offset + at)
            setattr(self, n, part)
    return type(f"View{dtype.itemsize}", (), {**members, "__init__": __init__})
