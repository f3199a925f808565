"""IDE channel and ATA disk.  Oracles: ATA/ATAPI-6 (T13 1410D) by clause, Bus Master IDE 1.0; a plain bytearray for contents."""
import random
import struct

import pytest
from devices.ide_cable import BMIBA, Driver, Ours

from pyv86_nb.devices.ide_drive import ATAPI
from pyv86_nb.media.disk import Disk

SECTORS = 3000


def image(n=SECTORS, seed=1): return random.Random(seed).randbytes(512 * n)


@pytest.fixture
def ours(): return Ours(image())


@pytest.fixture
def hda(ours): return Driver(ours)


def test_power_on_signatures_and_places_without_a_drive(ours):
    """Clause 9.12: signatures; 9.16.1: device 0 answers for device 1 with status 0; 4.2.1: DD7 is pulled down on an empty cable."""
    a, b, cd = Driver(ours), Driver(ours, 0, 1), Driver(ours, 1)
    assert (a.wait(), a.task_file()) == (0x50, [1, 1, 1, 0, 0, 0xA0])
    assert (cd.wait(), cd.task_file()) == (0, [1, 1, 1, 0x14, 0xEB, 0xA0])
    b.select()
    assert ours.read(0x1F7) == ours.read(0x3F6) == 0 and b.command(0xEC) == 0 and not ours.channels[0].INTRQ
    empty = Ours()
    assert [empty.read(p) for p in (*range(0x1F1, 0x1F8), 0x3F6)] == [0x7F] * 8


def test_ports_follow_the_functions_registers(ours):
    """82371SB: IDETIM bit 15 and the command register's I/O bit decide; the bus master's ports move with BMIBA."""
    def config(register, v, size):
        ours.write(0xCF8, 0x80000000 | 1 << 11 | 1 << 8 | register, 4)
        ours.write(0xCFC + (register & 3), v, size)
        ours.board.remap()
    ours.write(BMIBA + 4, 0x12345678, 4)
    config(0x20, 0xD001, 4)
    assert (ours.read(0xD004, 4), ours.read(0xD006), ours.read(BMIBA + 4, 4)) == (0x12345678, 0x34, 0xFFFFFFFF)
    config(0x41, 0, 1)
    assert ours.read(0x1F7) == 0xFF and ours.read(0x177) == 0
    config(0x41, 0x80, 1)
    assert ours.read(0x1F7) == 0x50
    config(0x04, 0, 2)
    assert ours.read(0x1F7) == ours.read(0x177) == ours.read(0xD004) == 0xFF


def test_identify(hda):
    """Clause 8.15, by word."""
    hda.select()
    s, raw = hda.command(0xEC), hda.data_in(512)
    w = struct.unpack("<256H", raw)
    assert s == 0x58 and hda.wait() == 0x50
    assert not w[0] & 0x8000 and (w[1], w[3], w[6]) == (SECTORS // 1008, 16, 63)
    assert (w[54], w[55], w[56], w[57] | w[58] << 16) == (2, 16, 63, 2 * 1008)
    assert w[60] | w[61] << 16 == SECTORS == w[100] | w[101] << 16 | w[102] << 32 | w[103] << 48
    assert w[47] == 0x8010 and w[49] & 0x0300 == 0x0300 and w[53] & 7 == 7 and w[63] & 7 == 7 and w[88] & 0xFF == 0x3F
    assert w[83] & 0xC400 == 0x4400 and w[86] & 0x0400 and w[80] & 0x40
    swap = lambda a, b: bytes(raw[i ^ 1] for i in range(2 * a, 2 * b)).decode().strip()
    assert swap(27, 47) == "PYV86_NB HARD DISK" and swap(10, 20) and raw[510] == 0xA5 and sum(raw) & 0xFF == 0


def test_random_reads_and_writes_are_those_of_a_bytearray():
    """Every way of addressing and of moving data, in any order."""
    data, r = bytearray(image()), random.Random(3)
    m = Ours(bytes(data))
    d = Driver(m)
    d.select(); d.registers(None, 8); assert d.command(0xC6) == 0x50
    for _ in range(150):
        n = r.choice((1, 2, 7, 16, 129, 255))
        lba = r.randrange(SECTORS - n) if r.random() < .5 else r.randrange(2016 - n)
        kind, how, writing = r.choice(("chs", "lba", "long")), r.choice(("pio", "multiple", "dma")), r.random() < .4
        if kind == "chs" and lba + n > 2016: kind = "lba"
        if kind == "chs": d.chs(lba // 1008, lba // 63 % 16, lba % 63 + 1, n)
        else: d.lba(lba, n, kind == "long")
        op = {("pio", 0): 0x20, ("multiple", 0): 0xC4, ("dma", 0): 0xC8, ("pio", 1): 0x30, ("multiple", 1): 0xC5, ("dma", 1): 0xCA}[how, writing]
        if kind == "long": op = {0x20: 0x24, 0xC4: 0x29, 0xC8: 0x25, 0x30: 0x34, 0xC5: 0x39, 0xCA: 0x35}[op]
        new, block = r.randbytes(512 * n), 8 if how == "multiple" else 1
        if how == "dma":
            regions, at, left = [], 0x20000, 512 * n
            while left:                                  # odd pieces, none across 64 KiB
                k = min(left, r.choice((2, 512, 1022, 4096, 0x8000)), 0x10000 - at % 0x10000)
                regions.append((at, k)); at += k; left -= k
            if len(regions) > 7000: regions = [(0x20000, 0x10000), (0x30000, 0x10000)][:1 + (n > 128)]
            if writing: m.put(0x20000, new)
            s, bm = d.dma(op, regions, not writing)
            got = m.get(0x20000, 512 * n)
            assert bm & 7 == 4, "interrupt, and the table used up"
        elif writing: s = d.write_sectors(op, new, block)
        else: got, s = d.read_sectors(op, n, block)
        assert s == 0x50
        if writing: data[512 * lba:512 * (lba + n)] = new
        else: assert got == data[512 * lba:512 * (lba + n)], (kind, how)
    assert m.disks[0].image() == data


@pytest.mark.parametrize("op, block", [(0x20, 1), (0xC4, 4), (0x30, 1)])
def test_interrupts_of_pio(ours, hda, op, block):
    """Clauses 9.5, 9.6: one for each block read; none for the first block written, one after each.  Status takes it away, nIEN hides it."""
    hda.select(); hda.registers(None, 4); hda.command(0xC6); ours.read(0x1F7)
    pin = lambda: ours.board.chips["pic2"].ir >> 6 & 1
    for masked in (False, True):
        ours.write(0x3F6, 2 if masked else 0)
        hda.lba(10, 8)
        hda.command(op)
        seen = [pin()]
        for _ in range(8 // block):
            if ours.read(0x1F7) & 8: hda.data_out(bytes(512 * block)) if op == 0x30 else hda.data_in(512 * block)
            assert not pin()
            hda.wait(); seen.append(pin())
        assert ours.read(0x1F7) == 0x50 and not pin()
        wanted = [0] + [1] * 8 if op == 0x30 else [1] * (8 // block) + [0]
        assert seen == ([0] * len(wanted) if masked else wanted)


def test_the_end_of_the_disk_is_idnf_with_its_address(ours, hda):
    """Clause 8.27: sectors before the bad one pass, then ERR, IDNF and the address of the first that is not there."""
    for long, op, dma in ((False, 0x20, 0), (True, 0x24, 0), (False, 0xC8, 1), (True, 0x25, 1)):
        hda.lba(SECTORS - 3, 10, long)
        if dma: s, _ = hda.dma(op, [(0x20000, 5120)], True); got = ours.get(0x20000, 3 * 512)
        else: got, s = hda.read_sectors(op, 10)
        assert s & 1 and hda.task_file()[:5] == [0x10, 7, SECTORS & 255, SECTORS >> 8, 0] and got == image()[-3 * 512:]
    hda.lba(SECTORS - 1, 2); assert hda.write_sectors(0x30, bytes(1024)) & 1
    assert ours.disks[0].read(SECTORS - 1) == bytes(512)
    hda.lba(SECTORS, 1); assert hda.command(0x40) & 1 and ours.read(0x1F1) == 0x10
    hda.lba(SECTORS - 1, 1); assert hda.command(0x40) == 0x50
    for place in ((0, 0, 0), (0, 0, 64), (3, 0, 1)):     # sector 0, beyond the track, beyond the disk
        hda.chs(*place, 1); assert hda.command(0x20) & 1 and ours.read(0x1F1) == 0x10, place
        hda.chs(*place, 1); assert hda.command(0x70) & 1


def test_settings(ours, hda):
    """8.46 SET FEATURES, 8.48 SET MULTIPLE MODE, ATA-3's INITIALIZE DEVICE PARAMETERS, 8.9 ff. power."""
    def words():
        hda.select(); hda.command(0xEC)
        return struct.unpack("<256H", hda.data_in(512))
    hda.lba(0, 1); assert hda.command(0xC4) & 1 and ours.read(0x1F1) == 4, "READ MULTIPLE before SET MULTIPLE MODE"
    for n, good in ((16, True), (3, False), (32, False), (4, True)):
        hda.select(); hda.registers(None, n)
        assert (hda.command(0xC6) == 0x50) == good
    assert words()[59] == 0x0104
    for v, good, word, bits in ((0x22, True, 63, 0x0407), (0x45, True, 88, 0x203F), (0x23, False, 88, 0x203F), (0x0C, True, 63, 0x0007)):
        hda.select(); hda.registers(3, v)
        assert (hda.command(0xEF) == 0x50) == good and words()[word] == bits
    hda.registers(0x82); hda.command(0xEF); assert not words()[85] & 0x20
    hda.registers(0x99); assert hda.command(0xEF) & 1 and ours.read(0x1F1) == 4
    hda.select(0xA0 | 7); hda.registers(None, 17); assert hda.command(0x91) == 0x50
    assert words()[54:57] == (SECTORS // (8 * 17), 8, 17)
    hda.chs(1, 2, 3, 1); got, s = hda.read_sectors(0x20, 1)
    lba = (1 * 8 + 2) * 17 + 2
    assert s == 0x50 and got == image()[512 * lba:512 * lba + 512]
    for op, answer in ((0xE0, 0), (0xE1, 0xFF), (0xE2, 0), (0xE3, 0xFF)):
        assert hda.command(op) == 0x50 == hda.command(0xE5) and ours.read(0x1F2) == answer
    assert hda.command(0xE7) == hda.command(0xEA) == hda.command(0x10) == 0x50
    for op in (0x00, 0x08, 0xA0, 0xA1, 0x22, 0xF8): assert hda.command(op) & 1 and ours.read(0x1F1) == 4, hex(op)


def test_reset_diagnostics_and_the_previous_contents(ours, hda):
    """9.2, 9.3: SRST sets both drives' signatures; 8.11: diagnostics interrupt; 6.20: HOB shows what was written before."""
    hda.lba(0x112233445566, 0x7788, long=True)
    assert hda.task_file()[1:5] == [0x88, 0x66, 0x55, 0x44]
    ours.write(0x3F6, 0x80); assert hda.task_file()[1:5] == [0x77, 0x33, 0x22, 0x11]
    ours.write(0x1F2, 1); assert ours.read(0x1F2) == 1, "a write clears HOB"
    hda.lba(0, 20); hda.command(0x20)
    ours.write(0x3F6, 4); assert ours.read(0x3F6) & 0x80
    ours.pause(); ours.write(0x3F6, 0); assert ours.read(0x1F7) & 0x80
    assert hda.wait() == 0x50 and hda.task_file() == [1, 1, 1, 0, 0, 0xA0] and not ours.channels[0].INTRQ
    hda.select(); hda.registers(None, 9, 9, 9, 9)
    assert hda.command(0x90) == 0x50 and ours.channels[0].INTRQ and hda.task_file()[:5] == [1, 1, 1, 0, 0]


def test_dma_waits_for_its_start_and_for_more_table(ours, hda):
    """Bus Master IDE 1.0, 3.1: the drive waits; a short table clears "active" without interrupt, a long one leaves it set."""
    hda.lba(5, 4); ours.write(0x1F7, 0xC8)
    for _ in range(20): ours.pause()
    assert ours.read(0x3F6) & 0x80
    ours.put(0x1000, struct.pack("<II", 0x20000, 0x80000000 | 1024)); ours.write(BMIBA + 4, 0x1000, 4)
    ours.write(BMIBA, 9)
    for _ in range(20): ours.pause()
    assert ours.read(BMIBA + 2) & 7 == 0 and ours.read(0x3F6) & 0x80
    ours.write(BMIBA, 0); ours.put(0x1000, struct.pack("<II", 0x20400, 0x80000000 | 4096)); ours.write(BMIBA, 9)
    assert hda.wait() == 0x50 and ours.read(BMIBA + 2) & 7 == 5, "interrupt, and still active"
    assert ours.get(0x20000, 2048) == image()[5 * 512:9 * 512]


def test_dma_where_nothing_is_and_tables_without_end(ours, hda):
    """Writes vanish, FFh is read; a table that runs in circles of two-byte regions is followed for as long as the command wants."""
    hda.lba(0, 2); s, _ = hda.dma(0xC8, [(0xFFFFFC00, 1024)], True); assert s == 0x50
    hda.lba(0, 2); s, _ = hda.dma(0xCA, [(0x80000000, 1024)], False); assert s == 0x50
    assert ours.disks[0].read(0, 2) == b"\xFF" * 1024
    hda.lba(0, 255)
    before = ours.board.clock.now
    s, bm = hda.dma(0xC8, [], True, table=0x10000, repeat=struct.pack("<II", 0x20000, 2) * 8192)
    assert s == 0x50 and bm & 1, "no end was marked"
    assert ours.board.clock.now - before > 255 * 256 // 512, "the guest's time, a piece at a time"


def test_a_protected_and_a_full_disk():
    m = Ours(bytes(512 * 100), write_protect=True)
    d = Driver(m); d.lba(1, 1); assert d.write_sectors(0x30, bytes(512)) & 1 and m.read(0x1F1) == 4
    m = Ours(bytes(512 * 100), room=4096)
    d = Driver(m); d.lba(0, 1); assert d.write_sectors(0x30, b"x" * 512) == 0x50
    with pytest.warns(RuntimeWarning, match="layer of changes.*full.*room="):
        d.lba(50, 1); assert d.write_sectors(0x30, b"y" * 512) & 0x21 == 0x21, "device fault"
    assert m.read(0x1F3) == 50, "the address of the sector"
    d.lba(6, 4); s, _ = d.dma(0xCA, [(0x20000, 2048)], False); assert s & 0x21 == 0x21 and m.read(0x1F3) == 6
    d.lba(50, 1); assert d.read_sectors(0x20, 1) == (bytes(512), 0x50)
    d.lba(1, 1); assert d.write_sectors(0x30, b"z" * 512) == 0x50, "where there is room already"


def test_an_image_that_shrinks_is_an_uncorrectable_error(tmp_path):
    (tmp_path / "d.img").write_bytes(image())
    m = Ours(Disk(tmp_path / "d.img"))
    (tmp_path / "d.img").write_bytes(b"x" * 512)
    d = Driver(m); d.lba(100, 3)
    assert d.read_sectors(0x20, 3)[1] & 1 and m.read(0x1F1) == 0x40 and m.read(0x1F3) == 100, "the first that could not be read"
    for op, long in ((0xC8, False), (0x25, True)):
        d.lba(70, 5, long); s, _ = d.dma(op, [(0x20000, 2560)], True)
        assert s & 1 and m.read(0x1F1) == 0x40 and m.read(0x1F3) == 70


def test_two_drives_hear_each_other():
    """Clause 6: both devices take register writes; commands go to the selected one alone."""
    m = Ours(image(seed=1), image(seed=2))
    a, b = Driver(m), Driver(m, 0, 1)
    for d, seed in ((a, 1), (b, 2), (a, 1)):
        d.lba(7, 1)
        assert d.read_sectors(0x20, 1) == (image(seed=seed)[7 * 512:8 * 512], 0x50)
    b.select(); assert m.read(0x1F6) == 0xB0
    b.registers(None, 0x5A); a.select(); assert m.read(0x1F2) == 0x5A
    assert m.channels[0].drive[1].kind != ATAPI


# ATAPI

CD = b"".join(struct.pack(">I", i) * 512 for i in range(700))


@pytest.fixture
def drive(): return Driver(Ours(cd=CD), 1)


def sense(d):
    s, _, raw = d.packet(0x03, 0, 0, 0, 18)
    assert s == 0x50 and raw[0] == 0x70 and len(raw) == 18
    return raw[2], raw[12], raw[13]


def settled(d):
    while d.packet(0x00)[0] & 1: pass
    return d


def test_attention_is_told_once(drive):
    """SFF-8020i 10.8.18, 10.8.24: 6/28/00 after a change, by TEST UNIT READY or asked for; then good."""
    assert drive.packet(0x00)[:2] == (0x51, 0x60) and sense(drive) == (6, 0x28, 0)
    assert drive.packet(0x00)[0] == 0x50 and sense(drive) == (0, 0, 0)
    assert drive.packet(0x12, 0, 0, 0, 36)[2][:5] == b"\x05\x80\x00\x21\x1F"


@pytest.mark.parametrize("limit", [2048, 0xFFFE, 0x3000, 512])
def test_reading(drive, limit):
    """READ (10) and (12) by PIO in blocks of the byte count limit, which need not be sectors, and by DMA."""
    settled(drive)
    for op, at, n in ((0x28, 0, 1), (0x28, 3, 40), (0xA8, 650, 50), (0x28, 9, 0)):
        cdb = struct.pack(">BBIBHB", op, 0, at, 0, n, 0) if op == 0x28 else struct.pack(">BBIIBB", op, 0, at, n, 0, 0)
        assert drive.packet(*cdb, limit=limit) == (0x50, 0, CD[2048 * at:2048 * (at + n)])
    m = drive.m
    m.put(0x1000, struct.pack("<IIII", 0x20000, 0, 0x30000, 0x80000000 | 0x4000)); m.write(BMIBA + 12, 0x1000, 4); m.write(BMIBA + 10, 6)
    drive.select(); drive.registers(1, None, None, 0, 8); assert drive.command(0xA0) & 8
    m.write(BMIBA + 8, 9)
    drive.data_out(struct.pack(">BBIBHBH", 0x28, 0, 100, 0, 40, 0, 0))
    assert drive.wait() == 0x50 and m.get(0x20000, 81920) == CD[204800:286720] and m.read(BMIBA + 10) & 7 == 4


def test_what_is_refused(drive):
    settled(drive)
    for cdb, expected in (((0x28, 0, 0, 0, 2, 0xBB, 0, 0, 2), (5, 0x21, 0)), ((0xFF,), (5, 0x20, 0)), ((0x43, 0, 0, 0, 0, 0, 7, 0, 20), (5, 0x24, 0)),
                          ((0x5A, 0, 0x17, 0, 0, 0, 0, 0, 40), (5, 0x24, 0)), ((0x5A, 0, 0xEA, 0, 0, 0, 0, 0, 40), (5, 0x39, 0))):
        assert drive.packet(*cdb)[:2] == (0x51, expected[0] << 4) and sense(drive) == expected
    for op in (0xEC, 0x20): assert drive.command(op) & 1 and drive.task_file()[:5] == [4, 1, 1, 0x14, 0xEB]


def test_what_the_disc_is(drive):
    """SFF-8020i tables 68, 117 ff.; MMC-3 6.6, 6.25."""
    settled(drive)
    assert drive.packet(0x25)[2] == struct.pack(">II", 699, 2048)
    assert drive.packet(0x43, 0, 0, 0, 0, 0, 0, 0, 20)[2] == bytes.fromhex("0012 0101 00140100 00000000 0014AA00 000002BC")
    assert drive.packet(0x43, 2, 0, 0, 0, 0, 0xAA, 0, 12)[2] == bytes.fromhex("000A 0101 0014AA00 00000B19"), "700 + 150 frames: 0:11.25"
    assert drive.packet(0x43, 0, 1, 0, 0, 0, 0, 0, 12)[2] == bytes.fromhex("000A 0101 00140100 00000000")
    raw = drive.packet(0x46, 0, 0, 0, 0, 0, 0, 0, 255)[2]
    assert int.from_bytes(raw[:4], "big") == len(raw) - 4 and raw[6:8] == b"\0\x08" and raw[8:16] == bytes.fromhex("0000 03 04 0008 01 00")
    raw = drive.packet(0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 255)[2]
    assert int.from_bytes(raw[:2], "big") == len(raw) - 2 and raw[2] == 1 and raw[8] & 0x3F == 0x2A and len(raw) == 10 + raw[9]
    s, identity = drive.command(0xA1), drive.data_in(512)
    w = struct.unpack("<256H", identity)
    assert s & 8 and w[0] == 0x85C0 and w[49] & 0x0300 == 0x0300 and w[82] & 0x10, "PACKET feature set, 12 bytes, CD-ROM, removable"


def test_tray_and_change(drive):
    """START STOP UNIT, PREVENT ALLOW, GET EVENT STATUS NOTIFICATION (MMC-3 6.7: media events 2 new media, 3 removal)."""
    settled(drive)
    m, channel = drive.m, drive.m.channels[1]
    event = lambda: drive.packet(0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8)[2][4:6]
    event()
    drive.packet(0x1E, 0, 0, 0, 1); assert drive.packet(0x1B, 0, 0, 0, 2)[0] & 1 and sense(drive) == (5, 0x53, 2)
    drive.packet(0x1E); assert drive.packet(0x1B, 0, 0, 0, 2)[0] == 0x50 and event() == b"\3\1"
    assert drive.packet(0x00)[0] & 1 and sense(drive) == (2, 0x3A, 2)
    assert drive.packet(0x1B, 0, 0, 0, 3)[0] == 0x50 and drive.packet(0x00)[0] & 1 and sense(drive) == (6, 0x28, 0)
    assert event() == b"\2\2"
    channel.insert(0, None); assert event() == b"\3\0" and drive.packet(0x28, 0, 0, 0, 0, 0, 0, 0, 1)[0] & 1 and sense(drive) == (2, 0x3A, 1)
    channel.insert(0, Disk(CD[2048:], sector_size=2048))
    assert drive.packet(0x25)[0] & 1 and sense(drive) == (6, 0x28, 0) and drive.packet(0x25)[2] == struct.pack(">II", 698, 2048)
    assert m.channels[0].drive[0].kind == 0


def test_a_disc_taken_out_while_it_is_read(drive):
    settled(drive)
    drive.select(); drive.registers(0, None, None, 0, 8); drive.command(0xA0)
    drive.data_out(struct.pack(">BBIBHBH", 0x28, 0, 0, 0, 200, 0, 0))
    for _ in range(20): drive.wait(); drive.data_in(2048)
    drive.m.channels[1].insert(0, None)
    while drive.wait() & 8: drive.data_in(2048)
    assert drive.m.read(0x177) & 1 and drive.m.read(0x171) >> 4 in (2, 3)


def test_device_reset_ends_anything(drive):
    """Clause 8.10: DEVICE RESET is taken while busy, sets the signature, clears BSY and raises no interrupt."""
    settled(drive)
    drive.packet(0x00)
    drive.select(); drive.registers(0, None, None, 0, 8); drive.command(0xA0)
    drive.data_out(struct.pack(">BBIBHBH", 0x28, 0, 0, 0, 200, 0, 0)); drive.wait()
    drive.m.read(0x177)
    assert drive.command(0x08) == 0 and drive.task_file()[:5] == [1, 1, 1, 0x14, 0xEB] and not drive.m.channels[1].INTRQ
    assert drive.packet(0x00)[0] == 0x50
