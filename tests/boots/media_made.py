"""Boot media made from Debian's tools and a kernel: an isolinux CD, a grub-mkrescue CD, a hard disk with GRUB and ext2."""
import pathlib
import shutil
import subprocess

ISOLINUX, MODULES, GRUB = (pathlib.Path(p) for p in ("/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios", "/usr/lib/grub/i386-pc"))
IPXE = pathlib.Path("/usr/lib/ipxe/ipxe.iso")
APPEND = "console=tty0 console=ttyS0,115200"
SECTOR, START = 512, 2048                                # the partition begins at 1 MiB


def run(*args, **more):
    return subprocess.run([*map(str, args)], check=True, capture_output=True, text=True, **more).stdout


def writable(source, target):
    shutil.copyfile(source, target)
    return target


def isolinux_iso(folder, kernel, initrd):
    """A CD with a menu; and a file of its own to be read."""
    top = folder / "isolinux-cd"
    (top / "isolinux").mkdir(parents=True)
    for f in (ISOLINUX, *(MODULES / n for n in ("ldlinux.c32", "menu.c32", "libutil.c32", "libcom32.c32"))): writable(f, top / "isolinux" / f.name)
    writable(kernel, top / "vmlinuz"); writable(initrd, top / "initrd")
    (top / "isolinux/isolinux.cfg").write_text(
        "default menu.c32\nprompt 0\ntimeout 10\nmenu title A menu from a CD\nlabel linux\n  menu label Linux from the CD\n"
        f"  kernel /vmlinuz\n  append initrd=/initrd {APPEND}\n")
    run("xorriso", "-as", "mkisofs", "-quiet", "-o", folder / "isolinux.iso", "-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot",
        "-boot-load-size", 4, "-boot-info-table", "-R", top)
    return folder / "isolinux.iso"


def grub_cfg(prefix, append=APPEND):
    return f'set timeout=1\nmenuentry "Linux by GRUB" {{\n linux {prefix}/vmlinuz {append}\n initrd {prefix}/initrd\n}}\n'


def grub_iso(folder, kernel, initrd):
    top = folder / "grub-cd"
    (top / "boot/grub").mkdir(parents=True)
    writable(kernel, top / "vmlinuz"); writable(initrd, top / "initrd")
    (top / "boot/grub/grub.cfg").write_text(grub_cfg(""))
    run("grub-mkrescue", "-d", GRUB, "-o", folder / "grub.iso", top)
    return folder / "grub.iso"


def grub_disk(folder, kernel, initrd, mib=64):
    """A hard disk: one ext2 partition, GRUB in the gap before it (GRUB manual, "BIOS installation")."""
    top, image = folder / "disk", folder / "disk.img"
    (top / "boot/grub").mkdir(parents=True)
    writable(kernel, top / "boot/vmlinuz"); writable(initrd, top / "boot/initrd")
    (top / "boot/grub/grub.cfg").write_text(grub_cfg("/boot"))
    with open(image, "wb") as f: f.truncate(mib << 20)
    run("sfdisk", "-q", image, input=f"start={START}, type=83, bootable\n")
    run("mke2fs", "-q", "-t", "ext2", "-d", top, "-E", f"offset={START * SECTOR}", image, f"{(mib << 10) - START * SECTOR // 1024}k")
    run("grub-mkimage", "-d", GRUB, "-O", "i386-pc", "-o", folder / "core.img", "-p", "(hd0,msdos1)/boot/grub", "biosdisk", "part_msdos", "ext2", "linux",
        "normal")
    boot, core = bytearray((GRUB / "boot.img").read_bytes()), (folder / "core.img").read_bytes()
    with open(image, "r+b") as f:
        boot[0x1B8:0x1FE] = f.read(SECTOR)[0x1B8:0x1FE]  # the partition table stays
        boot[0x66:0x68] = b"\x90\x90"                    # the drive is the one in DL, as of any hard disk
        f.seek(0); f.write(boot + core)
    assert len(core) < (START - 1) * SECTOR
    return image


def extent(image, folder):
    """The partition alone, for e2fsck and debugfs."""
    part = folder / "part.img"
    with open(image, "rb") as f, open(part, "wb") as out:
        f.seek(START * SECTOR)
        shutil.copyfileobj(f, out)
    return part
