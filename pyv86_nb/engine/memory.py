"""Guest-physical memory: host bytes, and which of them each 4 KiB page of the 4 GiB shows.

    host buffer   |<---- RAM ---->|<---- store: ROMs, video memory ---->|
    read_frame    for each page the frame that a read sees, plus 1; 0: nobody, reads give FFh
    write_frame   the frame that a write changes, plus 1; 0: the write vanishes.  PAM can make the two differ.
    region        0, or the number plus 1 of a device window, which then has the page to itself
    flags         CODE, DIRTY (state.py);  code_bits: 1024 bits a page, one for each 4 bytes that translated code covers

Frames are checked here against the buffer, once; a frame that is in the tables can be used without a look.
"""
import mmap

import numpy as np

from . import state as S

PAGE, PAGES = 4096, 1 << 20


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
        self.by_page = self.host[:len(self.host) // PAGE * PAGE].reshape(-1, PAGE)
        n = PAGES + 1                                                        # the last is what lies above 4 GiB: nothing
        self.read_frame, self.write_frame = np.zeros(n, np.uint32), np.zeros(n, np.uint32)
        self.region, self.flags = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
        self.code_bits = np.frombuffer(mmap.mmap(-1, 8 * S.CODE_WORDS * n), np.int64)   # pages of it exist once they are written
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
    def _pieces(self, address, n, table):
        """(offset in the host buffer, or None where nobody answers; bytes): as far as frames follow each other."""
        while n > 0:
            page, within = address // PAGE % PAGES, address % PAGE
            frame, k = int(table[page]), PAGE - within
            if k < n:
                run = table[page:page + (within + n + PAGE - 1) // PAGE]
                other = np.flatnonzero(run != (frame + np.arange(len(run)) if frame else 0))
                k = (int(other[0]) if len(other) else len(run)) * PAGE - within
            k = min(n, k)
            yield (frame - 1) * PAGE + within if frame else None, k
            address, n = address + k, n - k

    def read(self, address: int, n: int) -> bytes:
        """n bytes at a physical address; FFh where nobody answers."""
        return b"".join(b"\xff" * k if at is None else self.host[at:at + k].tobytes() for at, k in self._pieces(address, n, self.read_frame))

    def write(self, address: int, data) -> None:
        """Bytes to physical memory; ROM stays.  Pages become dirty, code translated from them is dropped."""
        data, done = np.frombuffer(data if isinstance(data, (bytes, memoryview)) else bytes(data), np.uint8), 0
        for at, k in self._pieces(address, len(data), self.write_frame):
            if at is not None:
                self.host[at:at + k] = data[done:done + k]
                first = (address + done) // PAGE % PAGES
                self.flags[first:first + ((address + done) % PAGE + k + PAGE - 1) // PAGE] |= S.DIRTY
            done += k
        self.written(address, len(data))

    def scatter(self, regions, data) -> None:
        """Bytes to several physical regions [(address, bytes), ...], one after the other, as `write` puts them."""
        pages = self._whole_pages(regions, self.write_frame)
        if pages is None:
            at = 0
            for address, n in regions:
                self.write(address, data[at:at + n])
                at += n
            return
        self.by_page[self.write_frame[pages] - 1] = np.frombuffer(data, np.uint8).reshape(-1, PAGE)
        self.flags[pages] |= S.DIRTY
        for page in pages[self.flags[pages] & S.CODE != 0].tolist():
            self.written(page * PAGE, PAGE)

    def gather(self, regions) -> bytes:
        """The bytes of several physical regions, as `read` finds them."""
        pages = self._whole_pages(regions, self.read_frame)
        if pages is None:
            return b"".join(self.read(address, n) for address, n in regions)
        return self.by_page[self.read_frame[pages] - 1].tobytes()

    def _whole_pages(self, regions, table):
        """The numbers of the pages that the regions are, one by one; None if they are not whole pages where somebody answers."""
        at = np.array(regions, np.int64).reshape(-1, 2)
        if not len(at) or (at % PAGE).any():
            return None
        first, n = (at // PAGE).T
        pages = (np.repeat(first - np.cumsum(n) + n, n) + np.arange(n.sum())) % PAGES
        return pages if table[pages].all() else None
