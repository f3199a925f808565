"""Standard register sets of the VGA, from the mode tables of the IBM PS/2 Hardware Interface Technical Reference, and ways to load them."""
import random

#       misc   SR1-4          CRTC CR0-CR18                                                                 GR0-8                 AR0-14
MODES = {
    "text": ("67", "00 03 00 02", "5F 4F 50 82 55 81 BF 1F 00 4F 0D 0E 00 00 00 00 9C 8E 8F 28 1F 96 B9 A3 FF", "00 00 00 00 00 10 0E 00 FF",
             "00 01 02 03 04 05 14 07 38 39 3A 3B 3C 3D 3E 3F 0C 00 0F 08 00"),
    "text40": ("67", "08 03 00 02", "2D 27 28 90 2B A0 BF 1F 00 4F 0D 0E 00 00 00 00 9C 8E 8F 14 1F 96 B9 A3 FF", "00 00 00 00 00 10 0E 00 FF",
               "00 01 02 03 04 05 14 07 38 39 3A 3B 3C 3D 3E 3F 0C 00 0F 08 00"),
    "13h": ("63", "01 0F 00 0E", "5F 4F 50 82 54 80 BF 1F 00 41 00 00 00 00 00 00 9C 8E 8F 28 40 96 B9 A3 FF", "00 00 00 00 00 40 05 0F FF",
            "00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 41 00 0F 00 00"),
    "12h": ("E3", "01 0F 00 06", "5F 4F 50 82 54 80 0B 3E 00 40 00 00 00 00 00 00 EA 8C DF 28 00 E7 04 E3 FF", "00 00 00 00 00 00 05 0F FF",
            "00 01 02 03 04 05 14 07 38 39 3A 3B 3C 3D 3E 3F 01 00 0F 00 00"),
    "0Dh": ("63", "09 0F 00 06", "2D 27 28 90 2B 80 BF 1F 00 C0 00 00 00 00 00 00 9C 8E 8F 14 00 96 B9 E3 FF", "00 00 00 00 00 00 05 0F FF",
            "00 01 02 03 04 05 06 07 10 11 12 13 14 15 16 17 01 00 0F 00 00"),
    "04h": ("63", "09 03 00 02", "2D 27 28 90 2B 80 BF 1F 00 C1 00 00 00 00 00 00 9C 8E 8F 14 00 96 B9 A2 FF", "00 00 00 00 00 30 0F 00 FF",
            "00 13 15 17 02 04 06 07 10 11 12 13 14 15 16 17 01 00 03 00 00"),
    "06h": ("63", "01 01 00 06", "5F 4F 50 82 54 80 BF 1F 00 C1 00 00 00 00 00 00 9C 8E 8F 28 00 96 B9 C2 FF", "00 00 00 00 00 00 0D 00 FF",
            "00 17 17 17 17 17 17 17 17 17 17 17 17 17 17 17 01 00 01 00 00"),
    "X": ("E3", "01 0F 00 06", "5F 4F 50 82 54 80 0D 3E 00 41 00 00 00 00 00 00 EA AC DF 28 00 E7 06 E3 FF", "00 00 00 00 00 40 05 0F FF",
          "00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 41 00 0F 00 00"),
}


def registers(name):
    """[(port, byte)] that set the mode, screen on."""
    misc, sr, cr, gr, ar = ([int(v, 16) for v in part.split()] for part in MODES[name])
    out = [(0x3C2, misc[0]), (0x3C4, 0), (0x3C5, 3)]
    for i, v in enumerate(sr): out += [(0x3C4, i + 1), (0x3C5, v)]
    out += [(0x3D4, 0x11), (0x3D5, 0)]
    for i, v in enumerate(cr): out += [(0x3D4, i), (0x3D5, v)]
    for i, v in enumerate(gr): out += [(0x3CE, i), (0x3CF, v)]
    out.append((0x3DA, None))                                              # None: read
    for i, v in enumerate(ar): out += [(0x3C0, i), (0x3C0, v)]
    return [*out, (0x3C0, 0x20)]


def set_mode(board, name):
    for port, v in registers(name):
        if v is None: board.read(port)
        else: board.write(port, v)


def colours(seed):
    """[(port, byte)] that fill the DAC with random colours."""
    r = random.Random(seed)
    return [(0x3C8, 0), *((0x3C9, r.getrandbits(6)) for _ in range(768))]
