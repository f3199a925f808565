"""QEMU firmware configuration device: what the board tells its firmware.   Data sheet: QEMU docs/specs/fw_cfg (selector and data registers).

    510h w 16 bits   selector: which item is read, from its first byte on
    511h r           the item's next byte; 00h after its end           (wider reads: the next bytes, low first)

    0000h "QEMU"      0001h features: bit 0, this interface (bit 1 would be DMA)      0003h RAM size      0005h processors
    000Eh boot menu   0019h the directory of files: a count, then for each file size, selector, 0 and a name of 56 bytes (big endian)
    0020h and up      the files, sorted by name: "etc/e820", "bootorder" ...

Items are laid into one blob at power-on; a kernel reads it by position.

Not emulated: the DMA interface, writes to items, items above 64 KiB together (kernels and disks go other ways).
"""
import struct

from .chip import Chip, buffer, field, keep, kernel, parts, reads, writes

SIGNATURE, ID, RAM_SIZE, NB_CPUS, BOOT_MENU, FILE_DIR, FILE_FIRST = 0x00, 0x01, 0x03, 0x05, 0x0E, 0x19, 0x20
ITEMS, ROOM = 64, 0x10000
RAM, RESERVED = 1, 2                                     # kinds of an e820 row


def e820(rows):
    """The file "etc/e820": (address, length, kind) rows."""
    return b"".join(struct.pack("<QQI", *row) for row in rows)


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
    item = parts(ITEMS, Item, "items by selector")
    blob = buffer(ROOM, "the items' bytes")

    def __init__(self, name, ram_bytes=64 << 20, cpus=1, files=None):
        super().__init__(name)
        self.files = dict(files or {})
        self.values = {SIGNATURE: b"QEMU", ID: struct.pack("<I", 1), RAM_SIZE: struct.pack("<Q", ram_bytes),
                       NB_CPUS: struct.pack("<H", cpus), BOOT_MENU: struct.pack("<H", 0)}
        self.layout_items()

    def layout_items(self):
        """(selector, bytes) of everything, the directory included; refuses what does not fit."""
        names = sorted(self.files)
        for n in names:
            if not 0 < len(n.encode()) < 56: raise ValueError(f"a fw_cfg file name has 1 to 55 bytes; {n!r} has {len(n.encode())}")
        directory = struct.pack(">I", len(names)) + b"".join(
            struct.pack(">IHH56s", len(self.files[n]), FILE_FIRST + i, 0, n.encode()) for i, n in enumerate(names))
        items = {**self.values, FILE_DIR: directory, **{FILE_FIRST + i: bytes(self.files[n]) for i, n in enumerate(names)}}
        if len(names) > ITEMS - FILE_FIRST: raise ValueError(f"fw_cfg holds {ITEMS - FILE_FIRST} files, not {len(names)}")
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
            self.item[key].start, self.item[key].stop = at, at + len(data)
            at += len(data)

    @writes(0, "selector", size=2)
    @kernel
    def select(fw, v, now):
        fw.selector = v
        fw.at = fw.end = 0
        if v < ITEMS: fw.at, fw.end = fw.item[v].start, fw.item[v].stop

    @reads(1, "next byte of the item")
    @kernel
    def read_byte(fw, now): return next_byte(fw)

    @reads(1, "next two bytes", size=2)
    @kernel
    def read_word(fw, now): return next_byte(fw) | next_byte(fw) << 8

    @reads(1, "next four bytes", size=4)
    @kernel
    def read_long(fw, now): return next_byte(fw) | next_byte(fw) << 8 | next_byte(fw) << 16 | next_byte(fw) << 24
