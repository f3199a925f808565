"""`vm.regs.xmm`, `.mm` and `.mxcsr`.   Oracle: struct, and what instructions of the guest do with them (SDM vol. 2)."""
import struct

import numpy as np
import pytest

from pyv86_nb import VM


@pytest.fixture
def vm():
    with VM("1M", bare=True, tier="python") as made:
        made.regs.cr4, made.regs.fpu_control = 0x600, 0x37F
        made.regs.cr0 = 0x21
        yield made


def test_arrays_in_and_out(vm):
    vm.regs.xmm[1] = np.array([1, 2, 3, 4], "f4")
    vm.regs.xmm[2] = struct.pack("<4f", .5, .25, .125, 8)
    vm.load(0, bytes.fromhex("0f58ca"), entry=0)         # ADDPS XMM1, XMM2
    vm.step()
    assert vm.regs.xmm[1].view("f4").tolist() == [1.5, 2.25, 3.125, 12] and vm.regs.mxcsr == 0x1F80
    assert vm.regs.xmm[1].dtype == np.uint8 and not vm.regs.xmm[1].flags.writeable


def test_mmx_registers_are_the_fpus(vm):
    vm.regs.mm[3] = bytes(range(8))
    vm.load(0, bytes.fromhex("0ffcdb"), entry=0)         # PADDB MM3, MM3
    vm.step()
    assert vm.regs.mm[3].tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert vm.regs.st[3].exponent == 0xFFFF              # SDM vol. 1, 9.5.1


def test_rounding_by_mxcsr(vm):
    vm.regs.mxcsr = 0x3F80                               # down
    vm.regs.xmm[0], vm.regs.xmm[1] = np.array([-1, 1, 1, 1], "f4"), np.array([3, 3, 3, 3], "f4")
    vm.load(0, bytes.fromhex("0f5ec1"), entry=0)         # DIVPS XMM0, XMM1
    vm.step()
    assert vm.regs.mxcsr == 0x3FA0                       # PE
    assert vm.regs.xmm[0].view("u4").tolist() == [0xBEAAAAAB, 0x3EAAAAAA, 0x3EAAAAAA, 0x3EAAAAAA]


@pytest.mark.parametrize("write, error, words", [
    (lambda r: r.xmm.__setitem__(0, b"short"), ValueError, "16 bytes"), (lambda r: r.mm.__setitem__(0, bytes(16)), ValueError, "8 bytes"),
    (lambda r: r.xmm.__setitem__(8, bytes(16)), IndexError, "0 to 7"), (lambda r: r.xmm.__setitem__("a", bytes(16)), TypeError, "number"),
    (lambda r: r.xmm.__setitem__(0, 5), TypeError, "numpy array"), (lambda r: setattr(r, "mxcsr", 0x10000), ValueError, "reserved"),
    (lambda r: setattr(r, "xmm", 1), AttributeError, "by number")])
def test_what_is_refused(vm, write, error, words):
    before = repr(vm.regs.xmm), repr(vm.regs.mm), vm.regs.mxcsr
    with pytest.raises(error, match=words):
        write(vm.regs)
    assert (repr(vm.regs.xmm), repr(vm.regs.mm), vm.regs.mxcsr) == before
