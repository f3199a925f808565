"""82077AA against its data sheet (Intel 290166-007), section by section."""
import random

import pytest
from test_dma_8237 import Ram, program
from two_readers import agree, all_hot

from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.dma_8237 import Channel, Dma8237
from pyv86_nb.devices.fdc_82077 import Fdc82077
from pyv86_nb.media.disk import Disk
from pyv86_nb.media.floppy import geometry

MS = 1000                                                # FakeClock(1 MHz)
DOR, MSR, FIFO, DIR = 0x3F2, 0x3F4, 0x3F5, 0x3F7
TURN = 200 * MS


# each sector says its number
def image(size=1_474_560): return b"".join(n.to_bytes(4, "little") * 128 for n in range(size // 512))


def make(disk=None, drives=2, haste=1):
    b = Backplane(FakeClock(1_000_000))
    fdc, one, two = Fdc82077("fdc", drives, haste), Dma8237("dma1"), Dma8237("dma2", wide=True)
    b.at(0x3F0, fdc)
    b.at(0x00, one); b.at(0xC0, two, "wide"); b.at(0x80, one, "pages"); b.at(0x80, two, "wide pages")
    b.power_on()
    b.write(0xD6, 0xC0); b.write(0xD4, 0)
    fdc.dma = Channel(one, 2, Ram(), through=(two, 0))
    if disk is not None: insert(fdc, 0, disk)
    return b


def insert(fdc, n, disk):
    disk = disk if isinstance(disk, Disk) else Disk(disk)
    fdc.insert(n, disk, geometry(len(disk)))
    return disk


def ready(disk, rate=0, nd=0, haste=1):
    """Reset, specified, motor of drive 0 at speed, head on track 0, disk change seen."""
    b = make(disk, haste=haste)
    b.write(DOR, 0x08); b.write(DOR, 0x1C); b.write(DIR, rate)
    b.advance(MS)
    for i in range(4): command(b, 8); assert results(b) == [0xC0 | i, 0]
    command(b, 3, 0xAF, 2 | nd)                                            # SRT 6 ms, HUT 240 ms, HLT 2 ms
    b.advance(300 * MS)
    for c in (1, 0): command(b, 15, 0, c); wait(b); command(b, 8); assert results(b) == [0x20, c]
    return b


@pytest.fixture
def pc(): return ready(image())


@pytest.fixture
def fdc(pc): return pc.chips["fdc"]


def command(b, *data):
    for v in data:
        assert b.read(MSR) & 0xC0 == 0x80, "the controller takes no byte"
        b.write(FIFO, v)


def results(b):
    out = []
    while b.read(MSR) & 0xD0 == 0xD0: out.append(b.read(FIFO))
    return out


def wait(b, ms=3000):
    """Until the interrupt; how long it took."""
    start, fdc = b.clock.now, b.chips["fdc"]
    while not fdc.IRQ:
        b.advance(MS // 10)
        assert b.clock.now - start < ms * MS, "no interrupt"
    return (b.clock.now - start) / MS


def transfer(b, op, c, h, r, n=1, eot=18, count=None, mt=0x80, mode=0x44, size=2, dtl=0xFF, hds=None):
    """A data command with its DMA channel at 1000h; (results, ms)."""
    program(b, 2, 0x1000, (count or n * 512) - 1, mode)
    command(b, op | 0x40 | mt, (h if hds is None else hds) << 2, c, h, r, size, eot, 0x1B, dtl)
    ms = wait(b)
    return results(b), ms


def memory(b, n=512, at=0x1000): return b.chips["fdc"].dma.memory.read(at, n)


def sector(lba): return lba.to_bytes(4, "little") * 128


# REGISTERS AND RESET

def test_reset_gives_four_interrupt_states():                              # 2.1.3 DOR, "drive polling"
    b = make(); fdc = b.chips["fdc"]
    assert b.read(MSR) == 0
    b.write(DOR, 0x0C); assert b.read(MSR) == 0x80 and not fdc.IRQ
    assert wait(b) < 1
    for i in range(4): command(b, 8); assert results(b) == [0xC0 | i, 0] and not fdc.IRQ
    command(b, 8); assert results(b) == [0x80]


def test_dmagate_holds_the_interrupt_back():
    b = make(); b.write(DOR, 0x04); b.advance(MS); assert not b.chips["fdc"].IRQ
    b.write(DOR, 0x0C); assert b.chips["fdc"].IRQ


def test_dsr_resets_by_itself(pc, fdc):                                    # 2.1.5
    command(pc, 0x46, 0); pc.write(MSR, 0x80); assert pc.read(MSR) == 0x80
    wait(pc); command(pc, 8); assert results(pc) == [0xC0, 0] and fdc.rate == 0


def test_status_registers_of_the_ps2(pc, fdc):                             # 2.1.1, 2.1.2
    assert pc.read(0x3F0) & 0x94 == 0x04 and pc.read(0x3F1) == 0xC1 and pc.read(DOR) == 0x1C
    command(pc, 15, 0, 5); wait(pc); assert pc.read(0x3F0) & 0x90 == 0x90


def test_version_lock_dumpreg_configure_perpendicular(pc, fdc):            # 5.2 control commands
    command(pc, 0x10); assert results(pc) == [0x90]
    command(pc, 0x18); assert results(pc) == [0x80]                        # PART ID is of later parts
    command(pc, 0x13, 0, 0x57, 12); command(pc, 0x12, 0x8B); command(pc, 0x94); assert results(pc) == [0x10]
    command(pc, 0x0E); assert results(pc) == [0, 0, 0, 0, 0xAF, 0x02, 0, 0x8B, 0x57, 12]
    pc.write(DOR, 0x18); pc.write(DOR, 0x1C)                               # LOCK holds them through a software reset; polling is "enabled upon a reset" (7.4)
    command(pc, 0x0E); assert results(pc)[8:] == [0x47, 12]
    command(pc, 0x14); assert results(pc) == [0]
    pc.write(DOR, 0x18); pc.write(DOR, 0x1C); command(pc, 0x0E); assert results(pc)[8:] == [0x60, 0]


@pytest.mark.parametrize("code", [0, 1, 0x0B, 0x17, 0x1F, 0xFF, 0x88, 0x48, 0x30, 0x35])
def test_invalid_commands(pc, code):                                       # 5.1.15
    command(pc, code); assert results(pc) == [0x80] and pc.read(MSR) == 0x80


# SEEKING

def test_seek_takes_srt_for_each_step(pc, fdc):                            # 5.2.3, table 5-9: 6 ms at 500 kbit/s
    command(pc, 15, 0, 10); assert pc.read(MSR) == 0x81
    assert 60 <= wait(pc) < 61 and pc.read(MSR) == 0x81 - 1
    command(pc, 8); assert results(pc) == [0x20, 10] and fdc.drive[0].cylinder == 10
    pc.write(DIR, 2); command(pc, 15, 0, 0); assert 120 <= wait(pc) < 121  # half the rate, twice the time


def test_recalibrate(pc, fdc):                                             # 5.2.2
    command(pc, 15, 0, 40); wait(pc); command(pc, 8); results(pc)
    command(pc, 4, 0); assert results(pc) == [0x28]
    command(pc, 7, 0); wait(pc); command(pc, 8); assert results(pc) == [0x20, 0]
    command(pc, 4, 0); assert results(pc) == [0x38]                        # ST3: track 0


def test_recalibrate_of_a_drive_that_is_not_there(pc):                     # "the 79 step pulses": EC
    command(pc, 7, 2); assert wait(pc) > 79 * 6
    command(pc, 8); assert results(pc) == [0x72, 0]


def test_recalibrate_moves_the_drive_it_names():
    b = ready(image()); command(b, 15, 1, 7); wait(b); command(b, 8); results(b)
    command(b, 7, 1); assert 42 < wait(b) < 43
    command(b, 8); assert results(b) == [0x21, 0] and b.chips["fdc"].drive[1].cylinder == 0


def test_recalibrate_from_beyond_79_needs_a_second_one(pc, fdc):
    command(pc, 15, 0, 82); wait(pc); command(pc, 8); results(pc)
    command(pc, 7, 0); wait(pc); command(pc, 8); assert results(pc) == [0x70, 0]
    command(pc, 7, 0); wait(pc); command(pc, 8); assert results(pc) == [0x20, 0]


def test_relative_seek(pc):                                                # 5.2.5
    command(pc, 0xCF, 0, 20); wait(pc); command(pc, 8); assert results(pc) == [0x20, 20]
    command(pc, 0x8F, 0, 5); wait(pc); command(pc, 8); assert results(pc) == [0x20, 15]


def test_two_drives_seek_at_once(pc, fdc):
    command(pc, 15, 0, 10); command(pc, 15, 1, 4); assert pc.read(MSR) == 0x83
    wait(pc); command(pc, 8); assert results(pc) == [0x21, 4] and pc.read(MSR) == 0x81
    wait(pc); command(pc, 8); assert results(pc) == [0x20, 10]


def test_disk_change(pc, fdc):                                             # 2.1.8 DIR; cleared by a step with a disk
    assert pc.read(DIR) == 0
    disk = fdc.eject(0); assert pc.read(DIR) == 0x80
    command(pc, 15, 0, 3); wait(pc); command(pc, 8); results(pc); assert pc.read(DIR) == 0x80
    insert(fdc, 0, disk); assert pc.read(DIR) == 0x80
    command(pc, 15, 0, 3); wait(pc); command(pc, 8); results(pc); assert pc.read(DIR) == 0x80     # no step, no change
    command(pc, 15, 0, 2); wait(pc); command(pc, 8); results(pc); assert pc.read(DIR) == 0
    fdc.eject(0); pc.write(DOR, 0x0C); assert pc.read(DIR) == 0            # a drive is selected with its motor


# READING AND WRITING

def test_read_one_sector(pc, fdc):                                         # 5.1.1
    r, ms = transfer(pc, 6, 0, 0, 5)
    assert r == [0x00, 0, 0, 0, 0, 6, 2] and memory(pc) == sector(4) and ms < 2 + 211


def test_read_a_cylinder_with_mt(pc):                                      # table 5-5; one turn for each side
    r, ms = transfer(pc, 6, 0, 0, 1, n=36)
    assert r == [0x04, 0, 0, 1, 0, 1, 2] and memory(pc, 36 * 512) == b"".join(map(sector, range(36)))
    assert 390 < ms < 2 + 610


@pytest.mark.parametrize("mt,h,r,expected", [                              # table 5-5: result phase, end by TC
    (0, 0, 3, [0, 0, 4]), (0, 0, 18, [1, 0, 1]), (0, 1, 3, [0, 1, 4]), (0, 1, 18, [1, 1, 1]),
    (0x80, 0, 3, [0, 0, 4]), (0x80, 0, 18, [0, 1, 1]), (0x80, 1, 3, [0, 1, 4]), (0x80, 1, 18, [1, 0, 1])])
def test_result_ids(pc, mt, h, r, expected):
    got, _ = transfer(pc, 6, 0, h, r, mt=mt)
    assert got[0] & 0xC0 == 0 and got[3:6] == expected


def test_the_end_of_the_track_without_tc(pc):                              # EN
    r, _ = transfer(pc, 6, 0, 0, 17, n=20, mt=0)
    assert r[:3] == [0x40, 0x80, 0] and memory(pc, 1024) == sector(16) + sector(17)


def test_st0_names_the_head_of_the_last_sector(pc):                        # ... while H shows what would come next
    r, _ = transfer(pc, 6, 0, 0, 18); assert r == [0x00, 0, 0, 0, 1, 1, 2]


def test_tc_in_the_middle_of_a_sector(pc):
    r, _ = transfer(pc, 6, 0, 0, 1, count=700)
    assert r[:3] == [0, 0, 0] and r[5] == 3 and memory(pc, 701) == (sector(0) + sector(1))[:700] + b"\0"


def test_a_sector_takes_the_time_of_the_turn(pc, fdc):  # 500 kbit/s: 16 us a byte, 580 bytes of ID and data
    transfer(pc, 6, 0, 0, 1)
    _, ms = transfer(pc, 6, 0, 0, 2); assert 9.2 < ms < 11.2               # the next one is caught in the gap
    _, ms = transfer(pc, 6, 0, 0, 2); assert 199 < ms < 201                # the same one comes a turn later


def test_head_load_time_after_the_head_was_unloaded(pc):                   # SPECIFY HLT, HUT
    transfer(pc, 6, 0, 0, 1); pc.advance(300 * MS)
    program(pc, 2, 0x1000, 511, 0x44); pc.advance(-pc.clock.now % TURN + TURN - 1 * MS)
    command(pc, 0x46, 0, 0, 0, 1, 2, 18, 27, 255)  # 1 ms before the index, 2 ms to load: a turn more
    assert wait(pc) > 200


def test_write(pc, fdc):                                                   # 5.1.3
    fdc.dma.memory.write(0x1000, b"w" * 512 + b"x" * 512)
    r, _ = transfer(pc, 5, 0, 1, 18, n=1, mode=0x48)
    assert r == [0x04, 0, 0, 1, 0, 1, 2] and fdc.disks[0].read(35) == b"w" * 512
    transfer(pc, 9, 0, 0, 1, count=600, mode=0x48)  # the rest of the last sector is filled with zeros
    assert fdc.disks[0].read(0, 2) == b"w" * 512 + b"x" * 88 + bytes(424)


def test_write_protect(pc, fdc):                                           # NW; ST3 WP
    insert(fdc, 0, Disk(image(), write_protect=True))
    for op in (5, 9): assert transfer(pc, op, 0, 0, 1, mode=0x48)[0][:3] == [0x40, 0x02, 0]
    command(pc, 0x4D, 0, 2, 18, 0x54, 0xF6); wait(pc); assert results(pc)[:3] == [0x40, 0x02, 0]
    command(pc, 4, 0); assert results(pc) == [0x78]


@pytest.mark.parametrize("given,st1,st2", [                                # 5.1.1: ND, WC, BC, MA
    (dict(c=0, h=0, r=19), 0x04, 0), (dict(c=0, h=0, r=0), 0x04, 0), (dict(c=3, h=0, r=1), 0x04, 0x10),
    (dict(c=255, h=0, r=1), 0x04, 0x02), (dict(c=0, h=1, r=1, hds=0), 0x04, 0), (dict(c=0, h=0, r=1, size=3), 0x04, 0)])
def test_a_sector_that_is_not_there(pc, given, st1, st2):
    r, ms = transfer(pc, 6, **given)
    assert r[:3] == [0x40, st1, st2] and 399 < ms < 404                    # two index pulses


def test_wrong_rate_no_disk_no_motor(pc, fdc):                             # MA
    pc.write(DIR, 2); assert transfer(pc, 6, 0, 0, 1)[0][:3] == [0x40, 0x01, 0]
    pc.write(DIR, 0); pc.write(DOR, 0x0C); assert transfer(pc, 6, 0, 0, 1)[0][:3] == [0x40, 0x01, 0]
    pc.write(DOR, 0x1C); fdc.eject(0); assert transfer(pc, 6, 0, 0, 1)[0][:3] == [0x40, 0x01, 0]


def test_a_drive_that_is_not_there_is_not_read(pc, fdc):
    insert(fdc, 1, image()); pc.write(DOR, 0xFC); pc.advance(300 * MS); fdc.drive[1].present = 0
    program(pc, 2, 0x1000, 511, 0x44); command(pc, 0x46, 1, 0, 0, 1, 2, 18, 27, 255); wait(pc)
    assert results(pc)[:3] == [0x41, 0x01, 0]


def test_the_motor_must_have_its_speed(pc):
    pc.write(DOR, 0x0C); pc.write(DOR, 0x1C)
    assert transfer(pc, 6, 0, 0, 1)[1] > 300


def test_overrun_when_dma_does_not_answer(pc):                             # OR
    pc.write(10, 6); command(pc, 0x46, 0, 0, 0, 1, 2, 18, 27, 255); wait(pc)
    assert results(pc)[:3] == [0x40, 0x10, 0]


def test_read_id_walks_along_the_track(pc):                                # 5.1.5
    seen = []
    for _ in range(20): command(pc, 0x4A, 4); wait(pc); seen.append(results(pc))
    assert all(r[:5] == [4, 0, 0, 0, 1] and r[6] == 2 for r in seen)
    assert [(b[5] - a[5]) % 18 for a, b in zip(seen, seen[1:])] == [1] * 19


def test_read_track(pc):  # 5.1.4: from the index on, ND where an ID differs
    r, _ = transfer(pc, 2, 0, 0, 1, n=18, mt=0)
    assert r[:3] == [0, 0, 0] and memory(pc, 18 * 512) == image()[:18 * 512]
    r, _ = transfer(pc, 2, 0, 0, 5, n=3, mt=0); assert r[:3] == [0, 4, 0] and memory(pc, 512) == sector(0)


def test_read_deleted_finds_ordinary_data(pc):                             # 5.1.2, table 5-7
    r, _ = transfer(pc, 12, 0, 0, 1, n=3, mt=0); assert r[:3] == [0, 0, 0x40] and r[5] == 1 and memory(pc) == sector(0)
    r, _ = transfer(pc, 0x2C, 0, 0, 17, n=3, mt=0); assert r[:3] == [0x40, 0x80, 0x40]       # SK: all are skipped


def test_verify(pc):                                                       # 5.1.6
    r, _ = transfer(pc, 0x16, 0, 0, 1, eot=4, mt=0); assert r[:3] == [0, 0, 0]
    command(pc, 0xD6, 0x80, 0, 0, 17, 2, 18, 27, 3); wait(pc)              # EC: three sectors, over to side 1
    assert results(pc) == [0x04, 0, 0, 0, 1, 2, 2]


def test_format(pc, fdc):                                                  # 5.1.7
    fdc.dma.memory.write(0x1000, b"".join(bytes((0, 1, r, 2)) for r in range(1, 19)))
    program(pc, 2, 0x1000, 71, 0x48); command(pc, 0x4D, 4, 2, 18, 0x54, 0xF6)
    assert 200 <= wait(pc) < 403 and results(pc)[:3] == [4, 0, 0]
    assert fdc.disks[0].read(17, 20) == sector(17) + b"\xF6" * 18 * 512 + sector(36)


@pytest.mark.parametrize("op,mine,st2", [(0x11, 0, 0x08), (0x11, 1, 0x04), (0x19, 1, 0x00), (0x19, -1, 0x04),
                                         (0x1D, -1, 0x00), (0x1D, 1, 0x04)])
def test_scan(pc, fdc, op, mine, st2):                                     # 5.1.8: SH equal, SN not met
    fdc.dma.memory.write(0x1000, bytes([7]) * 511 + bytes([7 + mine]))
    fdc.disks[0].write(2, bytes([7]) * 512)
    r, _ = transfer(pc, op, 0, 0, 3, eot=3, mt=0, mode=0x48, dtl=1)
    assert r[:3] == [0, 0, st2]


def test_implied_seek(pc, fdc):                                            # CONFIGURE EIS
    command(pc, 0x13, 0, 0x40, 0)
    r, _ = transfer(pc, 6, 10, 1, 4)
    assert r == [0x24, 0, 0, 10, 1, 5, 2] and memory(pc) == sector(10 * 36 + 18 + 3) and fdc.drive[0].pcn == 10


def test_without_dma(fdc):  # SPECIFY ND: every byte through the FIFO, end by EN
    b = ready(image(), nd=1); fdc = b.chips["fdc"]
    command(b, 0x46, 0, 0, 0, 17, 2, 18, 27, 255); assert b.read(MSR) == 0x70
    got = b""
    for _ in range(2):
        wait(b); assert b.read(MSR) == 0xF0
        got += bytes(b.read(FIFO) for _ in range(512))
    assert got == sector(16) + sector(17) and results(b)[:3] == [0x40, 0x80, 0]
    command(b, 0x45, 0, 0, 0, 18, 2, 18, 27, 255); assert fdc.IRQ and b.read(MSR) == 0xB0
    for i in range(512): b.write(FIFO, i & 255)
    assert b.read(MSR) == 0x30
    wait(b); assert results(b)[:3] == [0x40, 0x80, 0] and fdc.disks[0].read(17) == bytes(range(256)) * 2
    command(b, 0x46, 0, 0, 0, 1, 2, 18, 27, 255); wait(b); b.advance(100 * MS)
    assert results(b)[:3] == [0x40, 0x10, 0]                               # a sector that nobody read: overrun


@pytest.mark.parametrize("size,rate", [(163840, 2), (368640, 2), (368640, 1), (737280, 2), (1228800, 0),
                                       (1474560, 0), (1720320, 0), (2949120, 3)])
def test_every_format_is_read_at_its_rate(size, rate):
    b = ready(image(size), rate); g = geometry(size); r = random.Random(size)
    for _ in range(6):
        c, h, s = r.randrange(g.cylinders), r.randrange(g.heads), r.randrange(1, g.sectors + 1)
        if c != b.chips["fdc"].drive[0].cylinder:
            command(b, 15, 0, c); wait(b); command(b, 8); assert results(b) == [0x20, c]
        got, _ = transfer(b, 6, c, h, s, eot=g.sectors)
        assert got[0] & 0xC0 == 0 and memory(b) == sector(g.lba(c, h, s))


def test_a_snapshot_in_the_middle_of_a_read_goes_on_as_it_was(pc, fdc):
    program(pc, 2, 0x1000, 18 * 512 - 1, 0x44); command(pc, 0x46, 0, 0, 0, 1, 2, 18, 27, 255); pc.advance(150 * MS)
    saved = pc.snapshot(); wait(pc); first = (pc.clock.now, results(pc))
    pc.restore(saved); wait(pc)
    assert (pc.clock.now, results(pc)) == first


def test_haste_makes_the_mechanics_faster():
    b = ready(image(), haste=100)
    assert transfer(b, 6, 0, 0, 1, n=36)[1] < 7 and memory(b, 36 * 512) == image()[:36 * 512]
    command(b, 3, 0xAF, 3); command(b, 0x46, 0, 0, 0, 15, 2, 18, 27, 255)
    got = b""
    while len(got) < 4 * 512:                              # the host has the time of a real drive, 18 sectors a turn or not
        while b.read(MSR) != 0xF0: b.advance(1)
        got += bytes([b.read(FIFO)]); b.advance(2)
    assert got == image()[14 * 512:18 * 512] and results(b)[:3] == [0x40, 0x80, 0]
    command(b, 0x46, 0, 0, 0, 1, 2, 18, 27, 255); wait(b); b.advance(15 * MS); assert results(b)[:3] == [0x40, 0x10, 0]
    with pytest.raises(ValueError, match="haste=0"): Fdc82077(haste=0)
    with pytest.raises(ValueError, match="drives"): Fdc82077(drives=5)
    with pytest.raises(ValueError, match="no floppy drive 2"): b.chips["fdc"].eject(2)


def test_only_the_sector_itself_is_left_to_python(pc): assert all_hot(pc) == ["deadline fdc.passed"]


@pytest.mark.parametrize("seed", range(6))
def test_python_and_jit_agree(seed):
    """Control commands and seeks; a data command would wait for Python."""
    codes = bytes.fromhex("03 04 07 08 08 0E 0F CF 8F 10 12 13 94 14 18 00 01 03 20 50")
    def make_ready():
        b = make(image()); b.write(DOR, 0x0C)
        return b
    def kept(r): return r.choice((0x0C, 0x1C, 0x2D, 0x3C, 0x0C, 0x08, 0x3E))
    written = {FIFO: lambda r: r.choice(codes), DOR: kept, DIR: lambda r: r.randrange(4),
               MSR: lambda r: r.choice((0, 1, 2, 3, 0x80)), 0x3F3: lambda r: r.randrange(4)}
    agree(make_ready, [0x3F0, 0x3F1, DOR, 0x3F3, MSR, FIFO, FIFO, DIR], written, seed,
          waits=(0, 1, 100, 300, 6000, 60_000))
