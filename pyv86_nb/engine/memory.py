"""Guest-physical memory: host bytes, and which of them each 4 KiB page of the 4 GiB shows.

    host buffer   |<---- RAM ---->|<---- store: ROMs, video memory ---->|
    read_frame    for each page the frame that a read sees, plus 1; 0: nobody, reads give FFh
    write_frame   the frame that a write changes, plus 1; 0: the write vanishes.  PAM can make the two differ.
    region        0, or the number plus 1 of a device window, which then has the page to itself
    flags         CODE, DIRTY (state.py);  code_bits: 1024 bits a page, one for each 4 bytes that translated code covers

Frames are checked here against the buffer, once; a frame that is in the tables can be used without a look.

Translated code is remembered by its physical page, so a frame that can be written should show at one page only: code that runs at one
and is changed through another goes on as it was.  On the board that is so for display memory alone, of which a VBE bank shows a part.
"""
import mmap
from collections.abc import Sequence

import numpy as np

from . import state as S
from .bus import wires
from .stretches import CODE, HOLES, PAGE, PAGES

ROOM = 1024                                              # stretches that are looked for at first


class PhysicalMemory:
    """RAM of `ram_bytes`, a store of `store_bytes` behind it, and the map.  All sizes are multiples of 4 KiB."""

    def __init__(self, ram_bytes: int, store_bytes: int = 0):
        for what, n in (("memory", ram_bytes), ("store", store_bytes)):
            if n % PAGE or n < 0:
                raise ValueError(f"the size of the {what} is a multiple of 4096 bytes, not {n}")
        self.ram_bytes, self.store_at = ram_bytes, ram_bytes
        self._buffer = mmap.mmap(-1, ram_bytes + store_bytes + PAGE)        # one page more: no access at its end can leave it
        self.host = np.frombuffer(self._buffer, np.uint8)
        self.ram, self.store = self.host[:ram_bytes], self.host[ram_bytes:ram_bytes + store_bytes]
        self._bytes = memoryview(self._buffer)                               # slices of it cannot leave it
        n = PAGES + 1                                                        # the last is what lies above 4 GiB: nothing
        self.read_frame, self.write_frame = np.zeros(n, np.uint32), np.zeros(n, np.uint32)
        self.region, self.flags = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
        self.code_bits = np.frombuffer(mmap.mmap(-1, 8 * S.CODE_WORDS * n), np.int64)   # pages of it exist once they are written
        self._tables = np.array([t.ctypes.data for t in (self.host, self.read_frame, self.write_frame, self.flags)])     # stretches.py
        self._tables_at, self._host_at = self._tables.ctypes.data, int(self._tables[0])  # to ask numpy takes a microsecond
        self.changed = lambda first, last: None                              # told when pages show something else
        self.written = lambda address, n: None                               # told when Python writes

    def map(self, base: int, length: int, read: int | None = None, write: int | None = None) -> None:
        """Show host bytes from offset `read` at guest-physical `base`; writes go to offset `write`, or nowhere."""
        pages = self._pages(base, length)
        for name, table, at in (("read", self.read_frame, read), ("write", self.write_frame, write)):
            if at is not None and (at % PAGE or not 0 <= at <= len(self.host) - PAGE - length):
                raise ValueError(f"the {name} offset {at:#x} is not a page of the host buffer with {length:#x} bytes behind it")
            table[pages] = 0 if at is None else np.arange(at // PAGE, (at + length) // PAGE) + 1
        self.region[pages] = 0
        self.changed(pages.start, pages.stop)

    def device(self, base: int, length: int, region: int) -> None:
        """Accesses to [base, base + length) go to a device window of the bus."""
        pages = self._pages(base, length)
        if not 0 <= region < 255:
            raise ValueError(f"a region is a number from 0 to 254, not {region}")
        self.read_frame[pages] = self.write_frame[pages] = 0
        self.region[pages] = region + 1
        self.changed(pages.start, pages.stop)

    def unmap(self, base: int, length: int) -> None:
        self.map(base, length)

    def _pages(self, base, length):
        if base % PAGE or length % PAGE or length <= 0 or not 0 <= base <= (1 << 32) - length:
            raise ValueError(f"[{base:#x}, {base + length:#x}) is not a range of whole 4 KiB pages below 4 GiB")
        return slice(base // PAGE, (base + length) // PAGE)

    # what a bus master (DMA, Python) sees
    def read(self, address: int, n: int) -> bytes:
        """n bytes at a physical address; FFh where nobody answers."""
        page, within = address // PAGE % PAGES, address % PAGE
        if within + n > PAGE: return self.gather([(address, n)])
        frame = int(self.read_frame[page])
        at = (frame - 1) * PAGE + within
        return bytes(self._bytes[at:at + n]) if frame else b"\xFF" * n

    def write(self, address: int, data) -> None:
        """Bytes to physical memory; ROM stays.  Pages become dirty, code translated from them is dropped."""
        page, within, n = address // PAGE % PAGES, address % PAGE, len(data)
        if n == 0 or within + n > PAGE: return self.scatter([(address, n)], data)
        if frame := int(self.write_frame[page]):
            at = (frame - 1) * PAGE + within
            self._bytes[at:at + n] = data if isinstance(data, (bytes, bytearray, memoryview)) else bytes(data)
            self.flags[page] |= S.DIRTY
            if self.flags[page] & S.CODE: self.written(address, n)

    def gather(self, regions) -> bytes:
        """The bytes of several physical regions [(address, bytes), ...], one after the other, as `read` finds them."""
        return b"".join([self._part(at, n) if at >= 0 else b"\xFF" * n for at, n in self._stretches(regions, False).rows.tolist()])

    def scatter(self, regions, data) -> None:
        """Bytes to several physical regions, as `write` puts them."""
        data, done = memoryview(data if isinstance(data, (bytes, bytearray, memoryview)) else bytes(data)), 0
        for at, n in self._stretches(regions, True).rows.tolist():
            if at >= 0: self._part(at, n)[:] = data[done:done + n]
            done += n

    def receive(self, regions, source) -> None:
        """Bytes to several physical regions, from `source`, a function that fills buffers, one after the other: those are guest memory
        itself, without a copy between, if all of it is RAM."""
        found = self._stretches(regions, True)
        if found.seen & HOLES:
            data = bytearray(found.size)
            source([memoryview(data)])
            self.scatter(regions, data)
        else: source(found)

    def _stretches(self, regions, writing) -> "Stretches":
        """Where they lie in the host buffer (stretches.py); for writing, they are noted as written."""
        regions, room = np.ascontiguousarray(regions, np.int64).reshape(-1, 2), ROOM
        while True:
            out = np.empty((room, 2), np.int64)
            out[0, 0], at = room, out.ctypes.data
            k = wires().stretches(self._tables_at, regions.ctypes.data, len(regions), writing, at)
            if k >= 0: break
            room *= 8
        found = Stretches(self._part, out, k, at)
        if writing and found.seen & CODE: self._code_written(regions)
        return found

    def _part(self, at: int, n: int) -> memoryview:
        """n bytes of the host buffer, from a host address on."""
        return self._bytes[at - self._host_at:at - self._host_at + n]

    def _code_written(self, regions):
        for address, n in regions.tolist():
            for at in range(address & -PAGE, address + n, PAGE):
                if n and self.flags[at // PAGE % PAGES] & S.CODE:
                    first = max(at, address)
                    self.written(first % (PAGE * PAGES), min(at + PAGE, address + n) - first)


class Stretches(Sequence):
    """Parts of the host buffer, as writable memoryviews.  For those who take them whole: `rows`, their host addresses and bytes, of which
    the first lies at `rows_at`, and `size`, the bytes of all."""

    def __init__(self, part, found: np.ndarray, k: int, at: int):
        self._part = part
        self.rows, self.rows_at = found[1:k + 1], at + found.strides[0]
        self.size, self.seen = found[0].tolist()

    def __len__(self): return len(self.rows)

    def __getitem__(self, i): return self._part(*self.rows[i].tolist())
