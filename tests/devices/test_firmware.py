"""Finding firmware: what is accepted, what is refused, and in which words."""
import pathlib

import pytest

from pyv86_nb.board import firmware

ROM = b"\x55\xAA\x02" + bytes(1021)


def test_given_bytes_and_paths(tmp_path):
    image = bytes(0x20000)
    (tmp_path / "my.bin").write_bytes(image)
    assert firmware.bios(image) == firmware.bios(str(tmp_path / "my.bin")) == firmware.bios(tmp_path / "my.bin") == image
    assert firmware.vga_bios(ROM) == ROM


def test_the_system_is_searched_by_name_in_order(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b): folder.mkdir()
    (b / "bios.bin").write_bytes(bytes(0x10000)); (a / "bios-256k.bin").write_bytes(bytes(0x40000))
    assert len(firmware.bios(None, (a, b))) == 0x40000 and len(firmware.bios("seabios", (b, a))) == 0x10000


def test_nothing_found_names_the_package(tmp_path):
    with pytest.raises(FileNotFoundError, match="apt-get install seabios"): firmware.bios(None, (tmp_path,))
    with pytest.raises(FileNotFoundError, match="apt-get install seabios"): firmware.vga_bios(None, (tmp_path,))
    with pytest.raises(FileNotFoundError, match="nowhere.bin"): firmware.bios("nowhere.bin")


@pytest.mark.parametrize("n", [0, 1000, 0x10001, 0x110000])
def test_a_bios_of_impossible_size(n):
    with pytest.raises(ValueError, match=f"64 KiB.*{n} bytes"): firmware.bios(bytes(n))


def test_what_is_not_an_option_rom():
    with pytest.raises(ValueError, match="option ROM"): firmware.vga_bios(b"MZ" + bytes(1000))
    with pytest.raises(ValueError, match="cut off at 1024"): firmware.vga_bios(b"\x55\xAA\x04" + bytes(1021))
    with pytest.raises(TypeError, match="int"): firmware.bios(5)


@pytest.mark.skipif(not pathlib.Path("/usr/share/seabios/bios.bin").exists(), reason="seabios is not installed")
def test_debians_seabios():
    assert firmware.bios()[-16:][0] == 0xEA                                # the far jump at the reset vector
    assert firmware.vga_bios()[:2] == b"\x55\xAA"
