"""REP MOVS and REP STOS over pages that lie anywhere.   Oracle: the loops of SDM vol. 2, MOVS, STOS and REP, an element at a time, and vol. 3, 4.7."""
import random

import pytest
from protected_machine import PF, TIERS, Machine

P, W, G = 1, 2, 0x80000000
DIRECTORY, TABLE, TABLE2 = 0x40000, 0x41000, 0x42000
WINDOW, PAGES, FRAMES = 0x400000, 8, 0x60000            # linear pages of the tests, and where their frames begin: twice as many
CASES = 40                                             # a tier and seed
MASK = 0xFFFFFFFF


def number(data):
    return int.from_bytes(data, "little")


class Manual:
    """Linear memory by a table of frames, byte after byte, and the loop."""

    def __init__(self, frames, memory):
        self.frames, self.memory = frames, bytearray(memory)

    def place(self, linear, n, write):
        """Offsets of n bytes, or the fault of the first that may not be touched."""
        places = []
        for i in range(n):
            page, within = divmod(linear + i - WINDOW, 4096)
            frame, writable = self.frames[page] if 0 <= page < PAGES else (None, False)
            if frame is None or write and not writable:
                raise LookupError(linear + i, (frame is not None) | write << 1)
            places.append(frame + within)
        return places

    def run(self, moving, size, down, value, ecx, esi, edi):
        """Registers at the end, and None or (CR2, error code)."""
        step = -size if down else size
        fault = None
        try:
            while ecx:
                if moving:
                    data = bytes(self.memory[i] for i in self.place(esi, size, False))
                else:
                    data = value.to_bytes(4, "little")[:size]
                for i, byte in zip(self.place(edi, size, True), data, strict=True):
                    self.memory[i] = byte
                esi, edi, ecx = esi + step * moving, edi + step, ecx - 1
        except LookupError as error:
            fault = error.args
        return (ecx, esi, edi), fault


def one(rng):
    """Frames of the pages, and the operands: often over each other, often at the end of a page."""
    order = rng.sample(range(2 * PAGES), PAGES) if rng.random() < 0.6 else range(PAGES)      # scattered, or one after the other
    frames = [(FRAMES + 4096 * n, rng.random() < 0.95) if rng.random() < 0.95 else (None, False) for n in order]
    if rng.random() < 0.2:
        frames[1] = frames[0]                            # two names of one page
    size = rng.choice((1, 2, 4))
    esi = WINDOW + rng.choice((rng.randrange(4096 * PAGES), 4096 * rng.randrange(PAGES), 4096 * rng.randrange(1, PAGES) - rng.randrange(9)))
    edi = rng.choice((WINDOW + rng.randrange(4096 * PAGES), esi + rng.choice((-1, 1, 1)) * rng.choice((0, 1, 2, 3, 3, 4, 5, 12, 100, 4096, 4100))))
    count = rng.choice((0, 1, 3, 4, 5, 64, 1000, 4096, 6000)) if size < 4 else rng.randrange(5000)
    return frames, rng.random() < 0.75, size, rng.random() < 0.15, rng.choice((0, 0x20202020, rng.getrandbits(32))), count, esi, edi


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("tier", TIERS)
def test_as_the_manual_says(tier, seed):
    rng, m = random.Random(seed), Machine(tier)
    m.let_int_80()
    m.put(DIRECTORY, TABLE | P | W, TABLE2 | P | W)
    for i in range(256):
        m.put(TABLE + 4 * i, i << 12 | P | W)
    m.p.set("cr3", DIRECTORY)
    ends = set()
    for _ in range(CASES if tier != "python" else CASES // 2):
        frames, moving, size, down, value, ecx, esi, edi = one(rng)
        for i, (frame, writable) in enumerate(frames):
            m.put(TABLE2 + 4 * i, 0 if frame is None else frame | P | W * writable)
        m.memory.write(FRAMES, rng.randbytes(4096 * 2 * PAGES))
        expected = Manual([(None if f is None else f - FRAMES, w) for f, w in frames], m.memory.read(FRAMES, 4096 * 2 * PAGES))
        registers, fault = expected.run(moving, size, down, value, ecx, esi, edi)
        m.p.set("cr0", G | 0x10011)
        slices = rng.choice((100_000, rng.randrange(50, 3000)))
        known = [f"{'or' if w else 'test'} byte ptr [{WINDOW + 4096 * i}], 0" for i, (f, w) in enumerate(frames) if f is not None and rng.random() < 0.7]
        m.assemble("; ".join(known) + f"; {'std' if down else 'cld'}; rep {'movs' if moving else 'stos'}{'bwd'[size >> 1]}; int 0x80")
        end = m.run(None, 0, slices, eax=value, ecx=ecx, esi=esi, edi=edi)
        while not end.halted:
            end = m.go_on(slices)
        m.p.set("cr0", 0x11)
        what = [hex(x) for x in (esi, edi, ecx, size, down)], frames
        assert (end.ecx, end.esi, end.edi) == tuple(r & MASK for r in registers), what
        assert (end.fault, end.cr2) == ((PF, fault[1]), fault[0]) if fault else end.vector == 0x80, what
        assert m.memory.read(FRAMES, 4096 * 2 * PAGES) == bytes(expected.memory), what
        ends.add(fault is None)
    assert ends == {True, False}
