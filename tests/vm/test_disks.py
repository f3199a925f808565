"""Disks of a VM: the names a user types, and what the processor does with their ports and windows, on every tier.
Oracles: the image itself; VIRTIO 1.0 for what its registers hold; the tiers each other."""
import hashlib
import random
import struct

import pytest

from pyv86_nb import VM, Snapshot
from pyv86_nb.demo.assemble import assemble
from pyv86_nb.media.disk import Disk

TIERS = ("python", "threaded", "native")
SECTORS = 200
IDE_ON = """
        mov edx, 0xCF8;  mov eax, 0x80000940;  out dx, eax;  mov edx, 0xCFC;  mov eax, 0x80008000;  out dx, eax
        mov edx, 0xCF8;  mov eax, 0x80000904;  out dx, eax;  mov edx, 0xCFC;  mov ax, 5;            out dx, ax
"""
PIO = """
        cld
        mov edx, 0x1F6;  mov al, 0xE0;  out dx, al
        mov edx, 0x1F2;  mov al, 16;    out dx, al;  mov edx, 0x1F7;  mov al, 0xC6;  out dx, al;  call ready
        mov edx, 0x1F2;  mov al, 40;    out dx, al
        mov edx, 0x1F3;  mov al, 7;     out dx, al
        mov edx, 0x1F7;  mov al, 0xC4;  out dx, al                  # READ MULTIPLE of 40 sectors: blocks of 16, 16 and 8
        mov edi, 0x10003
        mov esi, 2
1:      call ready
        mov edx, 0x1F0;  mov ecx, 4096;  rep insw
        dec esi;         jnz 1b
        call ready
        mov edx, 0x1F0;  mov ecx, 1024;  rep insd
        mov edx, 0x1F2;  mov al, 20;     out dx, al
        mov edx, 0x1F3;  mov al, 100;    out dx, al
        mov edx, 0x1F7;  mov al, 0x30;   out dx, al                 # WRITE SECTORS of 20: what was read, from an odd address
        mov esi, 0x10103
        mov edi, 20
2:      call ready
        mov edx, 0x1F0;  mov ecx, 256;   rep outsw
        dec edi;         jnz 2b
        call ready
        mov edx, 0x1F7;  in al, dx
        hlt
ready:  mov edx, 0x3F6
3:      in al, dx;       test al, 0x80;  jnz 3b
        ret
"""


def program(source):
    return bytes(assemble("\n".join(source.replace(";", "\n").splitlines()), 0x1000, bits=32))


@pytest.mark.parametrize("slices", [10**9, 997])
def test_string_instructions_and_the_data_port(slices):
    """REP INSW, INSD and OUTSW take blocks at once where they can; nobody can tell, however the run is cut into pieces."""
    image = random.Random(1).randbytes(512 * SECTORS)
    seen = []
    for tier in TIERS:
        with VM("4M", bare="flat", hda=image, tier=tier) as vm:
            vm.load(0x1000, program(IDE_ON + PIO), entry=0x1000)
            vm.regs.esp = 0x8000
            while (stop := vm.run(instructions=slices, timeout=120)).reason == "instructions": pass
            assert stop.reason == "halted", stop
            got = vm.memory.read(0x10003, 512 * 40)
            assert got == image[512 * 7:512 * 47] and vm.regs.eax & 0xFF == 0x50
            expected = image[:51200] + got[256:256 + 10240] + image[51200 + 10240:]
            assert vm._machine.disk(2).image() == expected
            seen.append((vm.instructions, vm._machine.now, vm.regs.array.tolist(), hashlib.sha256(vm.memory[:].tobytes()).hexdigest()))
    assert seen[0] == seen[1] == seen[2]


WINDOW = """
        mov edx, 0xCF8;  mov eax, 0x80002020;  out dx, eax;  mov edx, 0xCFC;  mov eax, 0xFE000000;  out dx, eax
        mov edx, 0xCF8;  mov eax, 0x80002004;  out dx, eax;  mov edx, 0xCFC;  mov ax, 7;            out dx, ax
        mov dword ptr [0xFE000000], 1
        mov ebx, [0xFE000004]
        cld
        mov esi, 0xFE000000;  mov edi, 0x20000;  mov ecx, 14;  rep movsd
        mov edi, 0xFE000008;  mov eax, 1;        stosd;        stosd
        add dword ptr [0xFE000008], 2
        movzx ebp, word ptr [0xFE000018]
        mov edx, [0xFE000008]
        hlt
"""


def test_a_window_that_only_python_answers():
    """Moves, read-modify-write and string instructions reach a chip that is not compiled; VIRTIO 1.0, 4.1.4.3."""
    seen = []
    for tier in TIERS:
        with VM("4M", bare="flat", hda=Disk(bytes(51200), bus="virtio"), tier=tier) as vm:
            vm.load(0x1000, program(WINDOW), entry=0x1000)
            assert vm.run(timeout=60).reason == "halted"
            common = vm.memory.read(0x20000, 56)
            assert vm.regs.ebx == 1 and vm.regs.ebp == 256 and vm.regs.edx == 3, "VERSION_1; queue size; driver_feature_select"
            assert struct.unpack("<IIIIHHBBHH", common[:26]) == (1, 1, 0, 0, 0xFFFF, 1, 0, 0, 0, 256)
            seen.append((vm.instructions, vm.regs.array.tolist()))
    assert seen[0] == seen[1] == seen[2]


def one_sentence(error):
    text = str(error.value)
    assert "\n" not in text and 20 < len(text) < 300, text
    return text


def iso(sectors, claims):
    """The least that is an ISO 9660 volume: ECMA-119, 8.4."""
    volume = bytearray(2048)
    volume[:6], volume[80:84], volume[128:130] = b"\1CD001", claims.to_bytes(4, "little"), (2048).to_bytes(2, "little")
    return bytes(2048 * 16) + bytes(volume) + bytes(2048 * (sectors - 17))


@pytest.mark.parametrize("given, words", [
    (dict(cdrom=iso(40, 50)), "cut short"), (dict(cdrom=iso(40, 40)[:-100]), "2048-byte sectors"), (dict(hda=bytes(511)), "less than a sector"),
    (dict(hdb=bytes(700)), "512-byte sectors"), (dict(hdd=b""), "empty"), (dict(cdrom=Disk(bytes(2048), bus="virtio", sector_size=2048)), "for hard disks")])
def test_media_that_cannot_be(given, words):
    with pytest.raises(ValueError) as e: VM("4M", bare="flat", **given)
    assert words in one_sentence(e) and next(iter(given)) in str(e.value)


def test_a_directory_and_a_missing_file(tmp_path):
    with pytest.raises(ValueError) as e: VM("4M", bare="flat", hda=tmp_path)
    assert "directory" in one_sentence(e)
    with pytest.raises(FileNotFoundError) as e: VM("4M", bare="flat", cdrom=tmp_path / "no.iso")
    one_sentence(e)


def test_drives_by_name(tmp_path):
    image = random.Random(2).randbytes(512 * 100)
    with VM("4M", bare="flat", hda=image, hdc=Disk(image, bus="virtio")) as vm:
        assert vm.cdrom.disk is None and vm.hdb.disk is None and "empty" in repr(vm.cdrom)
        with pytest.raises(ValueError) as e: vm.hda.insert(image)
        assert "hard disk" in one_sentence(e)
        with pytest.raises(ValueError) as e: vm.hda.eject()
        with pytest.raises(ValueError) as e: vm.cdrom.insert(iso(40, 41))
        assert vm.cdrom.disk is None and "cut short" in one_sentence(e)
        vm.cdrom.insert(iso(40, 40))
        assert vm.cdrom.disk.sectors == 40 and vm._machine.place(6)[0].drive[0].medium
        vm.cdrom.eject()
        assert vm.cdrom.disk is None
        vm._machine.disk(4).write(3, b"x" * 512)
        assert vm.hdc.save(tmp_path / "c.img").read_bytes() == image[:1536] + b"x" * 512 + image[2048:]
    with VM("4M", bare="flat", hda=image, hdb=image, hdc=image, hdd=image) as vm:
        with pytest.raises(ValueError) as e: vm.cdrom.insert(iso(40, 40))
        assert "no CD-ROM drive" in one_sentence(e)


@pytest.mark.parametrize("bus", ["ide", "virtio"])
def test_snapshots_keep_what_was_written(tmp_path, bus):
    """The changes travel; the image is found again by its path, and one that is gone or has changed is refused in one sentence."""
    path = tmp_path / "big.img"
    with open(path, "wb") as f: f.truncate(64 << 20)
    with VM("4M", bare="flat", hda=Disk(path, bus=bus), cdrom=iso(40, 40)) as vm:
        vm._machine.disk(2).write(1000, b"first" + bytes(507))
        s = vm.snapshot()
        vm._machine.disk(2).write(1000, b"second" + bytes(506))
        vm.cdrom.eject()
        vm.restore(s)
        assert vm.hda.disk.read(1000)[:5] == b"first" and vm.cdrom.disk.sectors == 40
        s.save(tmp_path / "s.npz")
    assert (tmp_path / "s.npz").stat().st_size < 1 << 20
    loaded = Snapshot.load(tmp_path / "s.npz")
    with VM.from_snapshot(loaded) as vm:
        assert vm.hda.disk.read(1000)[:5] == b"first" and vm.hda.disk.sectors == 131072 and vm.cdrom.disk.sectors == 40
        assert vm.hda.disk.bus == bus and "big.img" in repr(vm.hda)
    with VM("4M", bare="flat") as other, pytest.raises(ValueError) as e: other.restore(loaded)
    assert "hda" in one_sentence(e)
    path.write_bytes(bytes(64 << 20))
    with pytest.raises(ValueError) as e: Snapshot.load(tmp_path / "s.npz")
    assert "changed since" in one_sentence(e)
    path.unlink()
    with pytest.raises(FileNotFoundError) as e: Snapshot.load(tmp_path / "s.npz")
    assert "big.img" in one_sentence(e)


def test_blocks_are_taken_at_once(monkeypatch):
    """A REP INSW asks the chip for its last word alone; the bytes before it are copied (bus.burst)."""
    with VM("4M", bare="flat", hda=bytes(512 * SECTORS), tier="python") as vm:
        vm.load(0x1000, program(IDE_ON + PIO), entry=0x1000)
        vm.regs.esp = 0x8000
        board, asked = vm._machine.board, []
        read = board.read
        monkeypatch.setattr(board, "read", lambda port, size=1: asked.append(port) or read(port, size))
        assert vm.run(timeout=120).reason == "halted"
    assert 0 < asked.count(0x1F0) < 40
