"""Intel 82441FX (i440FX) host bridge.   Data sheet 290549-001; PCI Local Bus Specification 2.1, section 3.7.4 (mechanism #1).

    CF8h  31 enable | 23-16 bus | 15-11 device | 10-8 function | 7-2 register     32-bit accesses only; others are ordinary ports
    CFCh  the four bytes of that register                                         1, 2 or 4 bytes, wherever they fit

    00:00.0 configuration      59h-5Fh PAM: for each piece of C0000-FFFFF  bit 0 RE: reads from RAM   bit 1 WE: writes to RAM
                                            59h bits 5, 4: F0000-FFFFF;   5Ah.. low nibble, high nibble: 16 KiB each from C0000 up
                               72h SMRAM: 6 DOPEN  5 DCLS  4 DLCK  3 SMRAME  2-0 base (010: A0000)

On the real bus each function answers configuration cycles itself.  A chip's method may touch its own record only, so here the bridge
keeps everybody's configuration bytes as its parts, one `PciFunction` a slot, and hears all cycles: both readers reach every function by
one table.  What the bytes move (memory, ports, interrupt routes) is told by the pin REMAP; the board reads the parts and rebuilds its maps.

Not emulated: DRAM timing, row boundaries, ECC (the registers hold what is written), TRC (93h), the PCI arbiter, SMM (SMRAM is stored:
the machine never enters it).
"""
from .chip import Chip, buffer, field, kernel, parts, pin_out, reads, writes
from .pci import Header, PciFunction, config_read, config_write

SLOTS = 16
PAM, SMRAM = 0x59, 0x72

HEADER = Header(
    0x8086, 0x1237, 0x060000, 2, command=0x0006, command_mask=0, status=0x0280, subsystem=(0x1AF4, 0x1100),
    registers={0x0D: (0, 0xF8), 0x50: (0, 0xFF), 0x51: (0, 0xFF), 0x52: (0, 0x03), 0x53: (0x80, 0xFF), 0x54: (0, 0x07),
               0x55: (0, 0xFF), 0x56: (0, 0xFF), 0x57: (0x01, 0xFF), 0x58: (0x10, 0xFF), PAM: (0, 0x30),
               **{PAM + i: (0, 0x33) for i in range(1, 7)}, **{0x60 + i: (0x01, 0xFF) for i in range(8)},
               0x68: (0, 0xC0), 0x70: (0x20, 0xF8), 0x71: (0x10, 0xF8), SMRAM: (0x02, 0x78), 0x90: (0, 0xFF), 0x93: (0, 0x0F)},
    remaps=(*range(PAM, PAM + 7), SMRAM))


@kernel
def function(bridge, a):
    """The slot that CF8h = a selects, or -1: nobody, another bus, or mechanism #1 is off."""
    if a >> 31 == 0 or a >> 16 & 255: return -1
    return bridge.where[a >> 8 & 255] - 1


@kernel
def read_data(bridge, at, size):
    n = function(bridge, bridge.address)
    if n < 0: return (1 << 8 * size) - 1                 # master abort: all ones
    return config_read(bridge.functions[n], (bridge.address & 0xFC) + at, size)


@kernel
def write_data(bridge, at, size, v):
    n = function(bridge, bridge.address)
    if n >= 0 and config_write(bridge.functions[n], (bridge.address & 0xFC) + at, size, v): bridge.REMAP = 1


def read_port(at, size):
    @reads(4 + at, f"CONFDATA byte {at}, {size} wide", size=size)
    @kernel
    def read(bridge, now): return read_data(bridge, at, size)
    return read


def write_port(at, size):
    @writes(4 + at, f"CONFDATA byte {at}, {size} wide", size=size)
    @kernel
    def write(bridge, v, now): write_data(bridge, at, size, v)
    return write


class I440fx(Chip):
    """82441FX host bridge, with the configuration space of all functions"""
    address = field(32, "CONFADD: the register at CFCh", names="ENABLE:31 BUS:23-16 DEVICE:15-11 FUNCTION:10-8 REGISTER:7-2")
    where = buffer(256, "slot number + 1 of each device and function of bus 0 (by address bits 15-8), 0: nobody")
    where.reset = 0
    functions = parts(SLOTS, PciFunction, "configuration spaces; 0 is the bridge's own")
    REMAP = pin_out("memory, ports or interrupt routes have moved")

    def __init__(self, name):
        super().__init__(name)
        self.plugged = []
        self.connect(0, 0, HEADER)

    def connect(self, device, function, header, chip=None):
        """Put a function on bus 0, before power-on; answers its PciFunction.  `chip.configured(config)` is called after a REMAP."""
        where = device << 3 | function
        if not 0 <= device < 32 or not 0 <= function < 8: raise ValueError(f"there is no PCI function {device:02X}:{function}")
        if any(w == where for w, _, _ in self.plugged): raise ValueError(f"PCI function {device:02X}.{function} is taken")
        if len(self.plugged) == SLOTS: raise ValueError(f"the bridge has room for {SLOTS} functions")
        self.plugged.append((where, header, chip))
        f = self.functions[len(self.plugged) - 1]
        f.header = header
        return f

    def reset(self, cold=False):
        super().reset(cold)
        for i, (where, header, _) in enumerate(self.plugged):
            self.where[where] = i + 1
            self.functions[i].load(header)
        self.REMAP = 1

    def announce(self):
        """Show every function's chip its configuration (the board's part of a REMAP)."""
        for f, (_, _, chip) in zip(self.functions, self.plugged, strict=False):
            if chip is not None and hasattr(chip, "configured"): chip.configured(f.config)

    def rows(self):
        """The card: after the fields, one row for each function of the bus."""
        yield from super().rows()
        for f, (where, header, chip) in zip(self.functions, self.plugged, strict=False):
            c = f.config
            at = [f"BAR{n} {f.bar(n):X}h" for n in header.bars if f.bar(n) is not None]
            yield (f"00:{where >> 3:02X}.{where & 7}", f"{c[1]:02X}{c[0]:02X}:{c[3]:02X}{c[2]:02X}", {},
                   f"class {c[11]:02X}{c[10]:02X}{c[9]:02X}, {chip.name if chip else self.name}{''.join(', ' + b for b in at)}")

    # what the board asks
    def pam(self):
        """[(address, length, reads from RAM, writes to RAM)] of the thirteen pieces of C0000-FFFFF."""
        c = self.functions[0].config
        nibbles = [c[PAM + 1 + i // 2] >> 4 * (i % 2) & 3 for i in range(12)] + [c[PAM] >> 4 & 3]
        return [(0xC0000 + 0x4000 * i, 0x4000 if i < 12 else 0x10000, n & 1, n >> 1) for i, n in enumerate(nibbles)]

    def smram_open(self): return self.functions[0].config[SMRAM] >> 6 & 1

    # PORTS, from CF8h
    @reads(0, "CONFADD", size=4)
    @kernel
    def get_address(bridge, now): return bridge.address

    @writes(0, "CONFADD", size=4)
    @kernel
    def set_address(bridge, v, now): bridge.address = v & 0x80FFFFFC

    read_0, read_1, read_2, read_3 = (read_port(i, 1) for i in range(4))
    read_word_0, read_word_1, read_word_2, read_long = read_port(0, 2), read_port(1, 2), read_port(2, 2), read_port(0, 4)
    write_0, write_1, write_2, write_3 = (write_port(i, 1) for i in range(4))
    write_word_0, write_word_1, write_word_2, write_long = write_port(0, 2), write_port(1, 2), write_port(2, 2), write_port(0, 4)
