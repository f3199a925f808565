"""Systems from CDs and hard disks.  Oracles: QEMU on the same image; e2fsck, debugfs and mtools on what was written; checksums taken outside."""
import hashlib
import re
import subprocess

import pytest
from boots import media_made
from boots.media_made import IPXE, extent, grub_disk, grub_iso, isolinux_iso, run

from bench.qemu import Qemu, found
from pyv86_nb import VM, Snapshot
from pyv86_nb.media.disk import Disk

pytestmark = [pytest.mark.boot, pytest.mark.slow]


@pytest.fixture(scope="module")
def made(tmp_path_factory, image, command):
    """made(maker): the image, made once."""
    images, folder = {}, tmp_path_factory.mktemp("media")

    def make(maker, *tools, initrd="initrd-mini.cpio.gz"):
        for t in tools: command(t)
        for needed in (media_made.ISOLINUX if maker is isolinux_iso else media_made.GRUB,):
            if not needed.exists(): pytest.skip(f"{needed} is not installed (apt-get install isolinux syslinux-common grub-pc-bin)")
        if (maker, initrd) not in images:
            sub = folder / f"{maker.__name__}-{len(images)}"
            sub.mkdir()
            images[maker, initrd] = maker(sub, image("vmlinuz-tiny"), image(initrd))
        return images[maker, initrd]
    return make


def boot(vm, text, timeout=120):
    while (stop := vm.run(until=text, timeout=timeout)).reason == "reset": pass      # after a processor's reset SeaBIOS makes a whole one
    assert stop.reason == "until", f"{stop}\n" + "\n".join(vm.screen.text()) + vm.serial[0].text[-2000:]


class Shell:
    """A busybox shell on COM1."""

    def __init__(self, vm): self.vm, self.n = vm, 0

    def __call__(self, line, timeout=120):
        """What a command prints."""
        self.n += 1
        self.vm.serial[0].write(f"echo B''EGIN{self.n}; {line}; echo E''ND{self.n}=$?\n".encode())
        boot(self.vm, f"END{self.n}=", timeout)
        return self.vm.serial[0].text.rsplit(f"BEGIN{self.n}\r\n", 1)[1].rsplit(f"END{self.n}=", 1)[0].replace("\r", "")


def md5(text): return re.findall(r"\b[0-9a-f]{32}\b", text)


def test_a_cd_with_isolinux(made, seabios):
    """The menu is shown, the kernel boots and finds the drive; the menu is QEMU's, letter by letter."""
    iso = made(isolinux_iso, "xorriso")
    with VM(cdrom=iso) as vm:
        boot(vm, "Automatic boot in")
        ours = vm.screen.text()[:18]                      # the menu; the count-down below it moves
        boot(vm, "BOOT-OK")
        assert re.search(r"sr 1:0:0:0: \[sr0\] scsi3-mmc drive", vm.serial[0].text)
    if found():
        with Qemu("-cdrom", str(iso), "-boot", "d") as q:
            q.wait("Automatic boot in")
            assert [r.rstrip() for r in q.screen()[:18]] == [r.rstrip() for r in ours] and any("Linux from the CD" in r for r in ours)


def test_a_cd_with_grub(made, seabios):
    with VM(cdrom=made(grub_iso, "grub-mkrescue", "xorriso")) as vm:
        boot(vm, "Linux by GRUB")
        boot(vm, "BOOT-OK")


@pytest.mark.parametrize("system", ["isolinux ISO", "grub ISO", "GRUB disk", "iPXE ISO"])
def test_tiers_agree_over_the_first_fifty_million_instructions(made, seabios, system):
    """Count, time, registers, memory, screen and serial line."""
    if system == "iPXE ISO":
        if not IPXE.exists(): pytest.skip("ipxe is not installed")
        given = {"cdrom": IPXE}
    elif system == "GRUB disk": given = {"hda": made(grub_disk, "grub-mkimage", "mke2fs", "sfdisk")}
    else: given = {"cdrom": made(isolinux_iso, "xorriso") if system == "isolinux ISO" else made(grub_iso, "grub-mkrescue", "xorriso")}
    ends = {}
    for tier in ("native", "threaded"):
        with VM(**given, tier=tier) as vm:
            stop = vm.run(instructions=50_000_000, timeout=300)
            ends[tier] = (stop.reason, vm.instructions, vm.time, vm.regs.array.tobytes(), hashlib.sha256(vm.memory[:].tobytes()).hexdigest(),
                          vm.screen.text(), vm.serial[0].text)
    assert ends["native"] == ends["threaded"] and ends["native"][:2] == ("instructions", 50_000_000)


def test_a_hard_disk_is_written_to_and_booted_again(made, seabios, tmp_path):
    """GRUB, Linux, a file on ext2, reboot, the file is there; e2fsck and debugfs judge the saved image; the original is untouched."""
    image = made(grub_disk, "grub-mkimage", "mke2fs", "sfdisk", initrd="initrd-busybox.cpio.gz")
    before = hashlib.sha256(image.read_bytes()).hexdigest()
    with VM(hda=image) as vm:
        boot(vm, "BOOT-OK")
        sh = Shell(vm)
        assert "64.0 MiB" in sh("dmesg | grep 'sda.*logical'")
        complaints = sh("dmesg | grep -i -E 'ata.*(error|exception|failed|timeout|lost)'")
        assert "ata" not in complaints.lower(), complaints   # the kernel may say other things on this line meanwhile
        sh("mount -t ext2 /dev/sda1 /mnt && seq 1 200000 > /mnt/numbers && cp /mnt/boot/vmlinuz /mnt/copy && sync")
        sums = md5(sh("md5sum /mnt/numbers /mnt/copy"))
        sh("umount /mnt")
        s = vm.snapshot()
        vm.serial[0].write(b"reboot -f\n")
        stop = vm.run(timeout=60)
        assert stop.reason == "reset", stop
        boot(vm, "BOOT-OK")
        sh("mount -t ext2 -o ro /dev/sda1 /mnt")
        assert md5(sh("md5sum /mnt/numbers /mnt/copy")) == sums and len(sums) == 2
        saved = vm.hda.save(tmp_path / "saved.img")
    numbers = "".join(f"{n}\n" for n in range(1, 200001)).encode()
    assert hashlib.md5(numbers).hexdigest() in sums and hashlib.md5((image.parent / "disk/boot/vmlinuz").read_bytes()).hexdigest() in sums
    part = extent(saved, tmp_path)
    assert subprocess.run(["e2fsck", "-fn", part], capture_output=True).returncode == 0
    assert run("debugfs", "-R", "cat /numbers", part).encode() == numbers
    assert hashlib.sha256(image.read_bytes()).hexdigest() == before

    s.save(tmp_path / "s.npz")                           # the changes travel with the snapshot, the image does not
    assert (tmp_path / "s.npz").stat().st_size < 60 << 20
    with VM.from_snapshot(Snapshot.load(tmp_path / "s.npz")) as vm:
        sh = Shell(vm)
        sh("mount -t ext2 -o ro /dev/sda1 /mnt")
        assert md5(sh("md5sum /mnt/numbers /mnt/copy")) == sums and len(sums) == 2


def test_two_disks_and_a_cd_changed_while_linux_runs(made, seabios):
    """All four places; read by DMA and compared with sums from outside; a new CD is told to a mounted system."""
    first, second = made(isolinux_iso, "xorriso"), made(grub_iso, "grub-mkrescue", "xorriso")
    blob = b"".join(i.to_bytes(4, "big") * 128 for i in range(40_000))
    with VM(hda=made(grub_disk, "grub-mkimage", "mke2fs", "sfdisk", initrd="initrd-busybox.cpio.gz"), hdb=blob, hdd=blob[:512 * 4096][::-1],
            cdrom=first) as vm:
        boot(vm, "BOOT-OK")
        sh = Shell(vm)
        assert hashlib.md5(blob).hexdigest() in sh("md5sum /dev/sdb") and hashlib.md5(blob[:512 * 4096][::-1]).hexdigest() in sh("md5sum /dev/sdc")
        sh("mount -t iso9660 /dev/sr0 /mnt")
        assert hashlib.md5((first.parent / "isolinux-cd/vmlinuz").read_bytes()).hexdigest() in sh("md5sum /mnt/vmlinuz")
        sh("umount /mnt")
        vm.cdrom.eject()
        assert "No medium" in sh("mount -t iso9660 /dev/sr0 /mnt 2>&1")
        vm.cdrom.insert(second)
        assert hashlib.md5(second.read_bytes()).hexdigest() in sh("md5sum /dev/sr0")
        vm.cdrom.insert(first)
        sh("mount -t iso9660 /dev/sr0 /mnt")
        assert "isolinux" in sh("ls /mnt")


def test_linux_reads_and_writes_a_virtio_disk(image, seabios, tmp_path):
    """By the kernel's own driver of virtio-blk; what it reads and writes is compared outside."""
    blob = b"".join(i.to_bytes(4, "big") * 128 for i in range(20_000))
    (tmp_path / "disk").write_bytes(blob)
    with VM(kernel=image("vmlinuz-tiny"), initrd=image("initrd-busybox.cpio.gz"), cmdline="console=ttyS0,115200 quiet",
            hda=Disk(tmp_path / "disk", bus="virtio")) as vm:
        boot(vm, "/ # ")
        sh = Shell(vm)
        assert hashlib.md5(blob).hexdigest() in sh("md5sum /dev/vda")
        sh("seq 1 30000 > /tmp/numbers; dd if=/tmp/numbers of=/dev/vda bs=512 seek=777; sync")
        vm.hda.save(tmp_path / "saved")
    numbers = "".join(f"{n}\n" for n in range(1, 30001)).encode()
    at = 777 * 512
    assert (tmp_path / "saved").read_bytes() == blob[:at] + numbers + blob[at + len(numbers):] and (tmp_path / "disk").read_bytes() == blob


def test_four_disks_share_two_interrupt_lines(image, seabios):
    """INTx of four functions on two PIRQs (82371SB, PIRQRC), levels that Linux's drivers tell apart; sums from outside."""
    blobs = {c: bytes([n]) * (1 << 20) for n, c in enumerate("abcd", 1)}
    with VM(kernel=image("vmlinuz-tiny"), initrd=image("initrd-busybox.cpio.gz"), cmdline="console=ttyS0,115200 quiet",
            **{f"hd{c}": Disk(blob, bus="virtio") for c, blob in blobs.items()}) as vm:
        boot(vm, "/ # ")
        sh = Shell(vm)
        said = sh("for d in a b c d; do md5sum /dev/vd$d & done; wait")
        for c, blob in blobs.items(): assert f"{hashlib.md5(blob).hexdigest()}  /dev/vd{c}" in said
        lines = re.findall(r"^ *1[01]: +[1-9]\d* +IO-APIC +1[01]-fasteoi +(virtio\d), (virtio\d)$", sh("cat /proc/interrupts"), re.M)
        assert sorted(name for pair in lines for name in pair) == [f"virtio{n}" for n in range(4)]


@pytest.mark.parametrize("order, shows", [("cda", "Linux by GRUB"), ("dca", "Automatic boot in"), ("acd", "A:\\>"), ("ad", "A:\\>")])
def test_the_boot_order(made, seabios, image, order, shows):
    with VM(fda=image("freedos722.img"), hda=made(grub_disk, "grub-mkimage", "mke2fs", "sfdisk"), cdrom=made(isolinux_iso, "xorriso"), boot=order) as vm:
        boot(vm, shows)


def test_ipxe_from_a_cd(seabios):
    if not IPXE.exists(): pytest.skip("ipxe is not installed")
    with VM(cdrom=IPXE) as vm:
        boot(vm, "iPXE>", timeout=240) if vm.run(until="Ctrl-B", timeout=120).reason != "until" else (vm.keyboard.press("ctrl+b"), boot(vm, "iPXE>"))


def test_dos_from_a_hard_disk(seabios, image, command, tmp_path):
    """FreeDOS's kernel and shell put on a FAT16 disk by mtools; what it writes there mtools read."""
    mformat, mcopy = command("mformat"), command("mcopy")
    command("sfdisk")
    floppy, disk = image("freedos722.img"), tmp_path / "dos.img"
    with open(disk, "wb") as f: f.truncate(31 * 16 * 63 * 512)
    run("sfdisk", "-q", disk, input="start=63, type=6, bootable\n")
    run(mformat, "-i", f"{disk}@@{63 * 512}", "-h", 16, "-s", 63, "-T", 31 * 1008 - 63, "-H", 63, "::")
    (tmp_path / "readme").write_bytes(b"from outside\r\n")
    run(mcopy, "-i", f"{disk}@@{63 * 512}", tmp_path / "readme", "::README.TXT")
    with VM(fda=floppy, hda=disk, boot="a") as vm:
        boot(vm, "A:\\>")
        vm.keyboard.type("type c:\\readme.txt\n"); boot(vm, "from outside")
        vm.keyboard.type("copy a:\\command.com c:\\\n"); boot(vm, "A:\\>")
        vm.keyboard.type("md c:\\new\n"); boot(vm, "A:\\>")
        vm.keyboard.type("echo hello from inside > c:\\new\\out.txt\n"); boot(vm, "A:\\>")
        vm.run(seconds=1)
        vm.hda.save(tmp_path / "after.img")
    read = lambda image, name: subprocess.run([mcopy, "-i", image, name, "-"], check=True, capture_output=True).stdout
    after = f"{tmp_path / 'after.img'}@@{63 * 512}"
    assert read(after, "::NEW/OUT.TXT") == b"hello from inside \r\n" and read(after, "::COMMAND.COM") == read(str(floppy), "::COMMAND.COM")
