"""Floppies with a boot sector of ours: begin.s and a program beside it."""
import pathlib

from pyv86_nb import demo

HERE = pathlib.Path(__file__).parent
FLOPPY = 1_474_560


def floppy(name: str, **given: int) -> bytes:
    """An image that starts `name`, assembled with these constants."""
    constants = "".join(f".equ {n}, {v}\n" for n, v in given.items())
    sector = bytes(demo.assemble(constants + (HERE / "begin.s").read_text() + (HERE / name).read_text(), 0x7C00))
    assert len(sector) <= 510, f"{name} has {len(sector)} bytes, a boot sector 510"
    return sector.ljust(510, b"\0") + b"\x55\xaa" + bytes(FLOPPY - 512)
