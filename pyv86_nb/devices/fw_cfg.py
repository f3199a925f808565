"""QEMU firmware configuration device: what the board tells its firmware.   Data sheet: QEMU docs/specs/fw_cfg (selector, data and DMA registers).

    510h w 16 bits   selector: which item is read, from its first byte on
    511h r           the item's next byte; 00h after its end           (wider reads: the next bytes, low first)
    514h w 64 bits   address of a descriptor, big endian, high half first: writing the low half (518h) starts it      r "QEMU CFG"
                     control u32 (31-16 selector, 3 select, 2 skip, 1 read, 0 error), length u32, address u64, all big endian

    0000h "QEMU"      0001h features: bit 0, these ports, bit 1, DMA      0003h RAM size      0005h processors
    000Eh boot menu   000Fh highest number of processors      0011h 0012h 0018h pieces of a kernel (kernel_rom.py)
    0019h the directory of files: a count, then for each file size, selector, 0 and a name of 56 bytes (big endian)
    0020h and up      the files, sorted by name: "etc/e820", "bootorder" ...
    8002h 1: the timer's interrupt is input 2 of the I/O APIC (of the PC's own items, 8000h and up)

Small items are laid into one blob at power-on, which a kernel reads by position.  Kernels and initial RAM disks are too big for
the state; they are kept beside it, in `large`, and only DMA reads them.  A transfer is over when the write that started it is.

Not emulated: writes to items, large items through 511h (they read as 00h).
"""
import struct

from .chip import Chip, buffer, field, keep, kernel, parts, reads, writes

SIGNATURE, ID, RAM_SIZE, NB_CPUS, BOOT_MENU, MAX_CPUS, FILE_DIR, FILE_FIRST = 0x00, 0x01, 0x03, 0x05, 0x0E, 0x0F, 0x19, 0x20
KERNEL_DATA, INITRD_DATA, SETUP_DATA = 0x11, 0x12, 0x18
ERROR, READ, SKIP, SELECT = 1, 2, 4, 8                   # bits of a descriptor's control word
DMA_CHUNK = 1 << 20
ITEMS, FILES, ARCH_LOCAL, ROOM = 64, 32, 0x8000, 0x10000      # of selectors below; the next eight rows are those from 8000h on
IRQ0_OVERRIDE = ARCH_LOCAL + 2
RAM, RESERVED = 1, 2                                     # kinds of an e820 row


def e820(rows):
    """The file "etc/e820": (address, length, kind) rows."""
    return b"".join(struct.pack("<QQI", *row) for row in rows)


@kernel
def row(key):
    """The number of an item by its selector, -1: nobody has it."""
    if key < ITEMS: return key
    return key - ARCH_LOCAL + ITEMS if ARCH_LOCAL <= key < ARCH_LOCAL + 8 else -1


@kernel
def swap(v): return v >> 24 & 255 | v >> 8 & 0xFF00 | (v & 0xFF00) << 8 | (v & 255) << 24


class Item(Chip):
    """one item of the configuration"""
    start = field(17, "where in the blob it begins", keep(0))
    stop = field(17, "where it ends", keep(0))


@kernel
def next_byte(fw):
    if fw.at >= fw.end: return 0
    fw.at += 1
    return fw.blob[fw.at - 1] + 0


class FwCfg(Chip):
    """QEMU firmware configuration"""
    selector = field(16, "item selected")
    at = field(17, "where in the blob the next byte is")
    end = field(17, "where the selected item ends")
    item = parts(ITEMS + 8, Item, "items by selector")
    blob = buffer(ROOM, "the items' bytes")
    large_at = field(32, "how much of a large item has been read")
    high = field(32, "upper half of the next descriptor's address")

    def __init__(self, name, ram_bytes=64 << 20, cpus=1, files=None, large=None, memory=None):
        """files: {name: bytes}; large: {selector: bytes} for DMA; memory: what DMA writes to, or None: there is no DMA."""
        super().__init__(name)
        self.files, self.large, self.memory = dict(files or {}), dict(large or {}), memory
        self.values = {SIGNATURE: b"QEMU", ID: struct.pack("<I", 1 if memory is None else 3), RAM_SIZE: struct.pack("<Q", ram_bytes),
                       NB_CPUS: struct.pack("<H", cpus), BOOT_MENU: struct.pack("<H", 0), MAX_CPUS: struct.pack("<H", cpus),
                       IRQ0_OVERRIDE: b"\1"}
        self.layout_items()

    def layout_items(self):
        """(selector, bytes) of everything, the directory included; refuses what does not fit."""
        names = sorted(self.files)
        for n in names:
            if not 0 < len(n.encode()) < 56: raise ValueError(f"a fw_cfg file name has 1 to 55 bytes; {n!r} has {len(n.encode())}")
        directory = struct.pack(">I", len(names)) + b"".join(
            struct.pack(">IHH56s", len(self.files[n]), FILE_FIRST + i, 0, n.encode()) for i, n in enumerate(names))
        items = {**self.values, FILE_DIR: directory, **{FILE_FIRST + i: bytes(self.files[n]) for i, n in enumerate(names)}}
        if len(names) > FILES: raise ValueError(f"fw_cfg holds {FILES} files, not {len(names)}")
        if (total := sum(map(len, items.values()))) > ROOM: raise ValueError(f"fw_cfg holds {ROOM} bytes together; these are {total}")
        return items

    def power_on(self):
        super().power_on()
        self.fill()

    def fill(self):
        """Lay the items into the blob: at power-on, and after `files` or `values` were changed."""
        at, items = 0, self.layout_items()
        for item in self.item: item.start = item.stop = 0
        for key, data in items.items():
            self.blob[at:at + len(data)] = data
            self.item[row(key)].start, self.item[row(key)].stop = at, at + len(data)
            at += len(data)

    @writes(0, "selector", size=2)
    @kernel
    def select(fw, v, now):
        fw.selector = v
        fw.at = fw.end = fw.large_at = 0
        n = row(v)
        if n >= 0: fw.at, fw.end = fw.item[n].start, fw.item[n].stop

    @reads(1, "next byte of the item")
    @kernel
    def read_byte(fw, now): return next_byte(fw)

    @reads(1, "next two bytes", size=2)
    @kernel
    def read_word(fw, now): return next_byte(fw) | next_byte(fw) << 8

    @reads(1, "next four bytes", size=4)
    @kernel
    def read_long(fw, now): return next_byte(fw) | next_byte(fw) << 8 | next_byte(fw) << 16 | next_byte(fw) << 24

    # DMA
    @reads(4, "DMA signature, first half", size=4)
    @kernel
    def signature_high(fw, now): return 0x554D4551       # "QEMU"

    @reads(8, "DMA signature, second half", size=4)
    @kernel
    def signature_low(fw, now): return 0x47464320        # " CFG"

    @writes(4, "DMA descriptor, upper half of its address", size=4)
    @kernel
    def set_high(fw, v, now): fw.high = swap(v)

    @writes(8, "DMA descriptor, lower half of its address: starts the transfer", size=4)
    def start(fw, v, now):
        address = fw.high << 32 | swap(v)
        fw.high = 0
        if fw.memory is None or address > (1 << 32) - 16: return
        control, length, to = struct.unpack(">IIQ", fw.memory.read(address, 16))
        if control & SELECT: fw.select(control >> 16, now)
        bad = control & ~0xFFFF001E or to + length > 1 << 32 if control & READ else 0
        if control & (READ | SKIP) and not bad: fw.transfer(to if control & READ else None, length)
        fw.memory.write(address, struct.pack(">I", ERROR if bad else 0))

    def transfer(fw, to, length):
        """`length` bytes from where the item is read next to a physical address (None: nowhere); zeros after its end."""
        large = fw.large.get(fw.selector)
        rest = bytes(large[fw.large_at:fw.large_at + length] if large is not None else fw.blob[fw.at:min(fw.end, fw.at + length)])
        if large is not None: fw.large_at += len(rest)
        else: fw.at += len(rest)
        if to is None: return
        fw.memory.write(to, rest)
        for at in range(len(rest), length, DMA_CHUNK): fw.memory.write(to + at, bytes(min(DMA_CHUNK, length - at)))
