"""Values of a kernel that is being compiled, and the LLVM text they become."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

SIZES = {"i1": "i8", "u1": "i8", "i2": "i16", "u2": "i16", "i4": "i32", "u4": "i32", "i8": "i64"}


class Value:
    """An int not known yet: the name of an LLVM value."""
    kind = None
    def __init__(self, name): self.name = name


class Record:
    """A record at an address."""
    def __init__(self, dtype, address): self.kind, self.dtype, self.address = dtype, dtype, address


class Array:
    """Elements of a record, in rows and columns from an address."""
    def __init__(self, dtype, shape, address):
        self.kind, self.dtype, self.shape, self.address = (dtype, shape), dtype, shape, address


def thing(kind, address):
    """What is at an address: kind is a dtype, or (dtype, shape) of an array."""
    return Array(*kind, address) if isinstance(kind, tuple) else Record(kind, address)


class Refused(TypeError):
    """A kernel says something that kernels cannot."""


class Says(NamedTuple):
    """What a function gives back: whether it raised, if it may; then an int or an address (1), or so many ints."""
    words: int = 1
    kind: Any = None                                     # of what is at the address
    raises: bool = False

    @property
    def shape(self):
        n = self.words + self.raises
        return "i64" if n == 1 else "{" + ", ".join(["i64"] * n) + "}"


def what(v):
    """In a message."""
    return {Value: "an int", Record: "a record", Array: "an array"}.get(type(v)) or repr(v)[:40]


class Text:
    """The text of one function: lines, words of its frame, and what a value is in them."""

    def __init__(self, path, f):
        self.path, self.f, self.lines, self.slots, self.count = path, f, [], [], 0

    def refuse(self, node, why):
        return Refused(f"{self.path}:{node.lineno}: in the kernel {self.f.__name__}, {why}")

    def out(self, line): self.lines.append("  " + line)

    def new(self, expression):
        self.count += 1
        self.out(f"%t{self.count} = {expression}")
        return Value(f"%t{self.count}")

    def fresh(self, what):
        self.count += 1
        return f"{what}{self.count}"

    def begin(self, label):
        self.lines.append(f"{label}:")

    def go(self, label):
        self.out(f"br label %{label}")
        return True

    def branch(self, test, yes, no): self.out(f"br i1 {self.truth(test)}, label %{yes}, label %{no}")

    def slot(self):
        """A word of the frame."""
        name = self.fresh("%s")
        self.slots += [f"  {name} = alloca i64", f"  store i64 0, ptr {name}"]
        return name

    # values
    def int(self, v, node=None):
        """An operand."""
        if isinstance(v, Value): return v.name
        if isinstance(v, (int, np.integer)): return str((int(v) + (1 << 63)) % (1 << 64) - (1 << 63))
        raise self.refuse(node or self.node, f"{what(v)} is not an int")

    def truth(self, v):
        if not isinstance(v, Value): return "true" if v else "false"
        return self.new(f"icmp ne i64 {v.name}, 0").name

    def bit(self, v): return self.new(f"zext i1 {v.name} to i64")

    def pointer(self, address): return self.new(f"inttoptr i64 {address} to ptr").name

    def load(self, dtype, address, node):
        if dtype.str[1:] not in SIZES: raise self.refuse(node, f"{dtype} is not an int64")
        size = SIZES[dtype.str[1:]]
        v = self.new(f"load {size}, ptr {self.pointer(address)}, align 1")
        return v if size == "i64" else self.new(f"{'sext' if dtype.kind == 'i' else 'zext'} {size} {v.name} to i64")

    def store(self, dtype, address, v, node):
        size, v = SIZES[dtype.str[1:]], self.int(v, node)
        if size != "i64": v = self.new(f"trunc i64 {v} to {size}").name
        self.out(f"store {size} {v}, ptr {self.pointer(address)}, align 1")

    def at(self, address, offset): return self.new(f"add i64 {address}, {offset}").name if offset else address

    def store_local(self, name, v):
        """Names of ints are words of the frame; so is the address of what else has a name, which keeps its kind."""
        old = self.local.get(name)
        if isinstance(v, (Record, Array)):
            if old is None: old = self.local[name] = thing(v.kind, self.slot())
            if isinstance(old, str) or old.kind != v.kind or not old.address.startswith("%s"):
                raise self.refuse(self.node, f"{name} is two things")
            self.out(f"store i64 {v.address}, ptr {old.address}")
        else:
            if isinstance(old, (Record, Array)): raise self.refuse(self.node, f"{name} is two things")
            if old is None: old = self.local[name] = self.slot()
            self.out(f"store i64 {self.int(v)}, ptr {old}")
