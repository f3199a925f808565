"""Registers, memory, traces, timers: numbers for numpy and pandas."""
import numpy as np
import pytest

from pyv86_nb import loader, translate
from pyv86_nb.board import rate
from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.devices.clock import Clock

pandas = pytest.importorskip("pandas")


def busy(machine):
    while True: yield


# REGISTERS

def test_registers_by_name(fake_vm):
    vm = fake_vm(busy)
    vm.regs.eax, vm.regs.gdtr, vm.regs.cs = 0x1234, (0x1000, 0x17), 8
    assert (vm.regs.eax, vm.regs.gdtr, vm.regs.cs) == (0x1234, (0x1000, 0x17), 8)
    vm.regs.ebx = -1
    assert vm.regs.ebx == 0xFFFFFFFF and "ebx=FFFFFFFF" in repr(vm.regs)
    row = vm.regs.array
    assert row.shape == (1,) and row["eax"][0] == 0x1234 and row["gdtr_limit"][0] == 0x17 and row.dtype.names[:2] == ("instruction", "time")
    assert list(pandas.DataFrame(row)["ebx"]) == [0xFFFFFFFF]


@pytest.mark.parametrize("name, value, error, words", [
    ("eax", 1 << 32, ValueError, "32 bits"), ("ds", 0x10000, ValueError, "16 bits"), ("eip", "x", TypeError, "int"), ("gdtr", 5, TypeError, "pair"),
    ("cs", 0xBAD8, ValueError, "0xbad8"), ("rax", 1, AttributeError, "the names are"), ("st", 1, AttributeError, "by number"), ("xmm", 1, AttributeError, "by number")])
def test_bad_registers(fake_vm, name, value, error, words):
    vm = fake_vm(busy)
    with pytest.raises(error, match=words): setattr(vm.regs, name, value)
    assert vm.input_log == []


# MEMORY

def test_memory_is_a_read_only_view(fake_vm):
    vm = fake_vm(busy)
    view = vm.memory[0x7C00:0x7E00]
    assert view.shape == (512,) and view.dtype == np.uint8 and not view.flags.writeable
    vm.memory[0x7C00:0x7C02] = b"\x55\xaa"
    assert view[:2].tolist() == [0x55, 0xAA] and vm.memory[0x7C01] == 0xAA                  # the same bytes
    vm.memory[0x7C00:0x7C04] = 0
    vm.memory[0x7C00] = 7
    vm.memory.write(0x500, np.arange(2, dtype="<u4"))
    assert vm.memory.read(0x500, 8) == b"\0\0\0\0\1\0\0\0" and vm.memory[0x7C00:0x7C02].tolist() == [7, 0]
    assert vm.memory[0xFFFFFFF0:0xFFFFFFF4].tolist() == [255] * 4 and len(vm.memory) == 1 << 20
    assert np.asarray(vm.memory).shape == (1 << 20,) and vm.memory[0:8:2].shape == (4,)
    assert [e[0] for _, _, e in vm.input_log] == ["memory"] * 4


@pytest.mark.parametrize("act, error", [
    (lambda m: m[-1], ValueError), (lambda m: m["x"], TypeError), (lambda m: m.__setitem__(slice(0, 4), b"12345"), ValueError),
    (lambda m: m.write(0, "text"), TypeError), (lambda m: m.write(0, [256]), ValueError), (lambda m: m[0:1 << 32], ValueError),
    (lambda m: m.__setitem__(slice(0, 4, 2), b"12"), ValueError), (lambda m: m.read(1 << 32, 4), ValueError)])
def test_bad_memory(fake_vm, act, error):
    vm = fake_vm(busy)
    with pytest.raises(error) as e: act(vm.memory)
    assert "\n" not in str(e.value) and not vm._machine.memory.writes


def test_a_view_of_a_running_machine_is_a_copy(fake_vm):
    vm = fake_vm(busy).start()
    view = vm.memory[0:4]
    vm.pause()
    vm.memory[0:4] = b"abcd"
    assert view.tolist() == [0] * 4


def test_translate_and_virtual_memory(fake_vm):
    vm = fake_vm(busy)
    assert vm.translate(0x1234).physical == 0x1234
    put = lambda at, v: vm.memory.write(at, int(v).to_bytes(4, "little"))
    put(0x1000 + 0x300 * 4, 0x2067); put(0x2000, 0x5063); put(0x1000, 0x87)
    vm.regs.cr3, vm.regs.cr4, vm.regs.cr0 = 0x1000, 0x10, 0x80000001
    w = vm.translate(0xC0000123)
    assert int(w) == 0x5123 and [e.level for e in w.entries] == ["PDE", "PTE"] and "user" in w.entries[0].flags
    assert vm.translate(0x123456).physical == 0x123456 and "large" in vm.translate(0).entries[0].flags
    assert vm.translate(0x40000000).physical is None and "not present" in vm.translate(0x40000000).why
    vm.memory.virtual[0xC0000000:0xC0000004] = b"page"
    assert vm.memory[0x5000:0x5004].tobytes() == b"page" == vm.memory.virtual[0xC0000000:0xC0000004].tobytes()
    with pytest.raises(ValueError, match="not mapped"): vm.memory.virtual[0x40000000:0x40000004]
    with pytest.raises(ValueError): translate.walk(1 << 32, 0, 0, 0, None)


def test_translate_pae():
    """SDM volume 3, 4.4.2: 2 + 9 + 9 + 12 bits, entries of 8 bytes; a PDE with PS holds 2 MiB."""
    memory = {0x1020 + 8 * 3: 0x2001, 0x2000 + 8 * 5: 0x3067, 0x3000 + 8 * 7: 0x8000000123456063, 0x2000 + 8 * 6: 0x40200083 | 1 << 33}
    dword = lambda at: memory.get(at & ~7, 0) >> 8 * (at & 4) & 0xFFFFFFFF
    w = translate.walk(3 << 30 | 5 << 21 | 7 << 12 | 0x89, 0x80000001, 0x1020, 0x20, dword)
    assert w.physical == 0x123456089 and [e.level for e in w.entries] == ["PDPTE", "PDE", "PTE"] and "no-execute" in w.entries[2].flags
    assert translate.walk(3 << 30 | 6 << 21 | 0x12345, 0x80000001, 0x1020, 0x20, dword).physical == 0x240200000 + 0x12345
    assert translate.walk(0, 0x80000001, 0x1020, 0x20, dword).why == "the page directory pointer is not present"
    assert translate.walk(3 << 30, 0x80000001, 0x1020, 0x20, dword).why == "the page directory entry is not present"


# LOADING

def test_load_bytes_and_elf(fake_vm, tmp_path):
    vm = fake_vm(busy)
    vm.load(0x7C00, b"\xfa\xf4", entry=0x7C00)
    assert vm.memory[0x7C00:0x7C02].tolist() == [0xFA, 0xF4] and vm.regs.eip == 0x7C00
    head = b"\x7fELF\x01\x01\x01" + bytes(9) + b"\2\0\3\0\1\0\0\0" + (0x100000).to_bytes(4, "little") + (52).to_bytes(4, "little") + bytes(8)
    head += b"\x34\0\x20\0\1\0" + bytes(6)
    program = b"".join(v.to_bytes(4, "little") for v in (1, 84, 0xC0001000, 0x1000, 4, 8, 7, 4))
    (tmp_path / "kernel").write_bytes(head + program + b"\x90\x90\x90\xf4")
    vm.load(None, tmp_path / "kernel")
    assert vm.memory[0x1000:0x1008].tolist() == [0x90] * 3 + [0xF4] + [0] * 4 and vm.regs.eip == 0x100000
    assert loader.pieces(0, b"x") == ([(0, b"x")], None, None)


@pytest.mark.parametrize("given, error", [
    ((0, b""), ValueError), ((None, b"flat"), ValueError), ((-1, b"x"), ValueError), ((0, "no/such"), FileNotFoundError), ((1 << 20, b"x"), ValueError),
    ((0, 3.5), ValueError), ((None, b"\x7fELF\x02" + bytes(60)), ValueError)])
def test_bad_loads(fake_vm, given, error):
    vm = fake_vm(busy)
    with pytest.raises(error): vm.load(*given)
    with pytest.raises(ValueError): vm.load(0, b"x", entry=-1)
    assert not vm._machine.memory.writes


def test_disassemble(fake_vm):
    pytest.importorskip("iced_x86")
    vm = fake_vm(busy)
    vm.load(0x7C00, bytes.fromhex("fab80010f4ebfe"), entry=0x7C00)
    rows = vm.disassemble(n=3)
    assert [r.text for r in rows] == ["cli", "mov ax, 1000h", "hlt"] and rows[1].bytes == b"\xb8\0\x10" and rows[1].address == 0x7C01
    assert vm.disassemble(0x7C05, 1)[0].text == "jmp short 7C05h" and "00007C00" in repr(rows)
    with pytest.raises(ValueError): vm.disassemble(n=0)
    with pytest.raises(ValueError): vm.disassemble(-5)


def test_without_iced_the_error_names_the_package(fake_vm, monkeypatch):
    import sys
    monkeypatch.setitem(sys.modules, "iced_x86", None)
    with pytest.raises(ImportError, match="pip install iced-x86"): fake_vm(busy).disassemble()


# TRACES

def test_registers_are_sampled_exactly(fake_vm):
    vm = fake_vm(busy)
    vm.run(instructions=5)
    vm.trace.registers.start(capacity=8, every=100)
    vm.run(instructions=1000)
    a = vm.trace.registers.array
    assert a["instruction"].tolist() == list(range(305, 1006, 100)) and vm.trace.registers.lost == 2
    assert a["eip"].tolist() == a["instruction"].tolist() and a["time"][0] == 305e-6
    vm.trace.registers.stop()
    vm.run(instructions=1000)
    assert len(vm.trace.registers.array) == 8
    vm.trace.registers.clear()
    assert len(vm.trace.registers) == 0 and vm.trace.registers.lost == 0


def test_timers_are_sampled_in_guest_time(fake_vm):
    def program(machine):
        b = machine.board
        b.write(0x43, 0x36); b.write(0x40, 0xA9); b.write(0x40, 0x04)                       # 1193: 1000 Hz, square
        while True: yield
    vm = fake_vm(program)
    vm.run(instructions=5)
    vm.trace.timer.start(every=100e-6, timer=["pit0", "rtc"])
    vm.run(seconds=0.01)
    frame = vm.trace.timer.frame()
    pit = frame[frame.timer == "pit0"]
    assert len(pit) == 101 and set(frame.timer) == {"pit0", "rtc"} and pit.reload.iloc[0] == 1193
    assert np.allclose(np.diff(pit.time), 100e-6)
    assert abs(pit.output.mean() - 0.5) < 0.06 and pit.period.iloc[-1] == pytest.approx(1193 / 1193182)


def test_irq_trace_is_on_from_power_on(fake_vm):
    def program(machine):
        b = machine.board
        b.write(0x20, 0x11); b.write(0x21, 8); b.write(0x21, 4); b.write(0x21, 1); b.write(0x21, 0xFE)
        b.write(0x43, 0x34); b.write(0x40, 0xA9); b.write(0x40, 0x04)
        while True:
            yield "hlt"
            b.acknowledge()
            b.write(0x20, 0x20)
    vm = fake_vm(program, mips=10)
    vm.run(seconds=0.01)
    a = vm.trace.irq.array
    accepts = a[(a["event"] == "accept") & (a["irq"] == 0)]
    assert len(accepts) in (10, 11) and set(accepts["vector"]) == {8} and a.dtype.names[:2] == ("instruction", "time")
    assert np.allclose(np.diff(accepts["time"][1:]), 1193 / 1193182, atol=2e-6) and (accepts["latency"] >= 0).all()
    vm.trace.irq.start(capacity=100, irq=0, event=("accept", "eoi"))
    vm.run(seconds=0.01)
    assert set(vm.trace.irq.array["event"]) == {"accept", "eoi"} and vm.trace.irq.lost == 0
    n = len(vm.trace.irq.array)
    vm.trace.irq.stop()
    vm.run(seconds=0.01)
    assert len(vm.trace.irq.array) == n
    vm.trace.irq.clear()
    assert len(pandas.DataFrame(vm.trace.irq.array)) == 0


@pytest.mark.parametrize("act, error, words", [
    (lambda t: t.registers.start(capacity=0), ValueError, "rows"), (lambda t: t.registers.start(every=0), ValueError, "instructions"),
    (lambda t: t.registers.start(speed=1), TypeError, "every="), (lambda t: t.timer.start(every=-1), ValueError, "guest seconds"),
    (lambda t: t.timer.start(timer="hpet"), ValueError, "pit0"), (lambda t: t.irq.start(irq=99), ValueError, "0 to 15"),
    (lambda t: t.irq.start(event="bang"), ValueError, "raise"), (lambda t: t.port, AttributeError, "does not exist in this version"),
    (lambda t: t.block.start(), AttributeError, "vm.trace.irq"), (lambda t: t.wibble, AttributeError, "no such recorder")])
def test_bad_traces(fake_vm, act, error, words):
    with pytest.raises(error, match=words): act(fake_vm(busy).trace)


def test_arrow(fake_vm, monkeypatch):
    vm = fake_vm(busy)
    vm.trace.timer.start(every=1e-3, timer="pit0")
    vm.run(seconds=0.01)
    try:
        import pyarrow
    except ImportError:
        with pytest.raises(ImportError, match="pip install pyarrow"): vm.trace.timer.__arrow_c_stream__()
        return
    table = pyarrow.table(vm.trace.timer)
    assert table.num_rows == 11 and table.column("timer")[0].as_py() == "pit0"


# TIMERS

def test_timers(fake_vm):
    def program(machine):
        b = machine.board
        b.write(0x43, 0x34); b.write(0x40, 0xA9); b.write(0x40, 0x04)
        b.write(0x70, 0x0B); b.write(0x71, 0x42); b.write(0x70, 0x0C)                       # periodic interrupts on, 1024 Hz
        while True:
            yield
            b.read(0x71)
    vm = fake_vm(program)
    vm.run(seconds=0.0105)
    t = {str(r["name"]): r for r in vm.timers()}
    assert set(t) >= {"pit0", "pit1", "pit2", "rtc", "tsc"}
    assert t["pit0"]["mode"] == "2 rate generator" and t["pit0"]["reload"] == 1193 and t["pit0"]["frequency"] == 1193182
    assert t["pit0"]["period"] == pytest.approx(1e-3, rel=1e-3) and 0.0105 < t["pit0"]["next"] <= 0.0116 and t["pit0"]["output"] == 1
    assert t["rtc"]["mode"] == "periodic" and t["rtc"]["period"] == pytest.approx(1 / 1024) and 0.0105 < t["rtc"]["next"] < 0.0116
    assert t["tsc"]["count"] == 10500 and t["tsc"]["frequency"] == 1e6
    assert np.isnan(t["pit2"]["next"]) and len(pandas.DataFrame(vm.timers())) == len(vm.timers())


# THE RATE

def test_a_change_of_rate_moves_no_crystal():
    b = at_pc(clock=Clock(ips=100_000_000))
    b.write(0x43, 0x34); b.write(0x40, 0xA9); b.write(0x40, 0x04)
    b.write(0x70, 0x0B); b.write(0x71, 0x42)
    def edges(n):
        out, was = [], b.chips["pit"].counter[0].OUT
        while len(out) < n:
            b.advance(max(b.clock.ips // 10_000_000, 1))
            level = b.chips["pit"].pins.OUT[0].level
            if level and not was: out.append(b.clock.now / b.clock.ips)
            was = level
        return out
    times = edges(3)
    for ips in (37_000_003, 5_000_000, 250_000_000, 100_000_000):
        before = b.clock.now / b.clock.ips
        gone = rate.set_rate(b, ips)
        assert b.clock.ips == ips and abs(b.clock.now / ips - before) <= 1 / ips and isinstance(gone, int)
        times += edges(3)
    assert np.allclose(np.diff(times), 1193 / 1193182, atol=5e-7)


def test_every_field_that_could_hold_ticks_is_known():
    b = at_pc()
    for c in b.family():
        known = rate.IN_TICKS.get(type(c).__name__, ()) + rate.NOT_IN_TICKS.get(type(c).__name__, ()) + ("ips",)
        for e in c.layout.values():
            if e.kind == "field" and e.bits >= 48:
                assert e.name in known, f"{type(c).__name__}.{e.name}: add it to board/rate.py, as ticks or as something else"
