"""The whole PC on real parts: the demonstration disk without firmware, FreeDOS under SeaBIOS.  mtools judges what was saved."""
import asyncio
import hashlib
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pyv86_nb import VM, Snapshot, demo

TIERS = ("python", "threaded", "native")


def bare(tier, **given):
    vm = VM("4M", bare="real", tier=tier, **given)
    vm.load(0x7C00, bytes(demo.program()), entry=0x7C00)
    return vm


@pytest.fixture(scope="module")
def machines():
    made = {}
    yield made
    for vm in made.values(): vm.close()


@pytest.fixture
def dos(machines, image, seabios):
    """FreeDOS at its prompt, one machine for all tests that type into it."""
    if "dos" not in machines:
        machines["dos"] = vm = VM(fda=image("freedos722.img"))
        assert vm.run(until="A:\\>", timeout=60).reason == "until", text(vm)
    return machines["dos"]


def text(vm): return "\n".join(vm.screen.text())


# WITHOUT FIRMWARE

@pytest.mark.parametrize("tier", TIERS)
def test_the_demonstration_disk(tier):
    with bare(tier) as vm:
        assert vm.run(until="Type something", timeout=60).reason == "until"
        assert "pyv86_nb demo disk" in text(vm) and vm.screen.mode == "text 80x25" and vm.screen.array().shape == (400, 720, 3)
        assert vm.screen.png()[:8] == b"\x89PNG\r\n\x1a\n"


def test_tiers_agree_to_the_instruction():
    def run(tier):
        with bare(tier) as vm:
            vm.keyboard.type("Hi!")
            stop = vm.run(seconds=0.004)
            state = hashlib.sha256(vm.memory[:].tobytes() + vm._machine.board.words.tobytes() if tier == "python" else vm.memory[:].tobytes())
            return stop, vm.regs.array.tolist(), vm.input_log, state.hexdigest() if tier != "python" else hashlib.sha256(vm.memory[:].tobytes()).hexdigest()
    threaded = run("threaded")
    assert run("native") == threaded and run("python") == threaded


def test_it_counts_ticks_takes_keys_and_talks_on_com1():
    with bare("native") as vm:
        vm.run(seconds=1.001)
        assert "Timer ticks           100" in text(vm)
        vm.keyboard.type("Hello, world!")
        assert vm.run(until="Hello, world!", seconds=2).reason == "until"
        vm.run(seconds=0.1)
        assert "Hello, world!" in vm.serial[0].text and b"Hello" in vm.serial[0].read() and vm.serial[0].read() == b""
        a = vm.trace.irq.array
        ticks = a[(a["event"] == "accept") & (a["irq"] == 0)]
        assert np.allclose(np.diff(ticks["time"][1:]), 11932 / 1193182, atol=2e-6) and (ticks["latency"][1:] < 1e-4).all()
        assert {"accept", "eoi", "iret"} <= set(a["event"]) and (a["irq"][a["event"] == "accept"] == 1).sum() >= 26
        timers = {str(r["name"]): r for r in vm.timers()}
        assert timers["pit0"]["reload"] == 11932 and timers["pm"]["frequency"] == 3579545
        assert vm.devices["pit"].counter[0].cr == 11932 and "8254" in repr(vm.devices["pit"])


def test_step_and_instructions_are_exact_on_the_real_engine():
    with bare("native") as vm:
        assert vm.step().instructions == 1 and vm.step(1000).instructions == 1001
        vm.trace.registers.start(every=777)
        vm.run(instructions=77_700)
        a = vm.trace.registers.array
        assert vm.instructions == 78_701 and a["instruction"].tolist() == list(range(1778, 78702, 777))
        vm.run(seconds=0.1)
        halting = vm.instructions
        assert vm.run(instructions=5000).instructions == halting + 5000


@pytest.mark.parametrize("tier", TIERS)
def test_garbage_ends_in_a_reported_triple_fault(tier):
    with VM("1M", bare="flat", tier=tier) as vm:
        vm.load(0, b"\x0f\x0b", entry=0)                     # UD2, and no IDT
        stop = vm.run(timeout=60)
        assert stop.reason == "triple-fault" and "#UD" in stop.detail and "#DF" in stop.detail and stop.instructions == 0
        assert vm.state == "triple-fault"
        vm.run(instructions=0)                               # performs the reset
        assert vm.regs.eip == 0xFFF0 and vm.regs.cs == 0xF000


@pytest.mark.parametrize("tier", TIERS)
def test_hlt_with_interrupts_disabled_is_reported(tier):
    with VM("1M", bare=True, tier=tier) as vm:
        vm.load(0x1000, b"\x40\xfa\xf4", entry=0x1000)       # INC EAX; CLI; HLT
        stop = vm.run(timeout=60)
        assert (stop.reason, stop.instructions, vm.regs.eax) == ("halted", 3, 1)
        assert vm.regs.cr0 & 1 and vm.disassemble(0x1000, 1)[0].text == "inc eax"


def test_segment_registers_load_as_the_mode_says():
    with VM("1M", bare="real") as vm:
        vm.regs.ds = 0x1234
        assert vm.regs.ds == 0x1234
    with VM("1M", bare="flat") as vm:
        with pytest.raises(ValueError, match="ds"): vm.regs.ds = 0x1234
        with pytest.raises(ValueError): vm.regs.cr0 = 0x80000000
        assert vm.input_log == []


@pytest.mark.parametrize("tier", TIERS)
def test_system_segments_load_as_by_lldt_and_ltr(tier):
    """SDM vol. 2, LLDT and LTR: an LDT, type 2; an available TSS, type 9, which is busy then; else #GP or #NP with the selector.  What has been
    loaded is what the guest's SLDT, STR and selectors with TI = 1 see."""
    row = lambda base, limit, kind: (limit | (base & 0xFFFFFF) << 16 | kind << 40 | 0x40 << 48).to_bytes(8, "little")
    with VM("1M", bare="flat", tier=tier) as vm:
        vm.memory.write(0x1000, b"".join([bytes(8), row(0, 0xFFFF, 0x9B), row(0, 0xFFFF, 0x93), row(0x3000, 0xF, 0x82), row(0x4000, 0x67, 0x89),
                                          row(0x3000, 0xF, 0x02)]))
        vm.memory.write(0x3008, row(0x50000, 0xFF, 0x93))
        vm.regs.gdtr = 0x1000, 0x2F
        for name, value, words in (("ldtr", 0x20, "#GP.0x20"), ("ldtr", 0x28, "#NP.0x28"), ("ldtr", 0x38, "#GP.0x38"), ("tr", 0x18, "#GP.0x18"),
                                   ("tr", 0, "#GP.0x0"), ("tr", 0x10000, "16 bits")):
            with pytest.raises(ValueError, match=words): setattr(vm.regs, name, value)
        vm.regs.ldtr = 0x18
        vm.regs.tr = 0x20
        with pytest.raises(ValueError, match="tr"): vm.regs.tr = 0x20                        # busy
        vm.load(0x7000, demo.assemble("sldt eax; str ebx; mov ecx, 0xC; mov ds, ecx; mov byte ptr [2], 7; hlt", 0x7000, bits=32), entry=0x7000)
        assert vm.run(timeout=60).reason == "halted"
        assert (vm.regs.ldtr, vm.regs.tr, vm.regs.eax, vm.regs.ebx & 0xFFFF) == (0x18, 0x20, 0x18, 0x20)
        assert vm.memory[0x50002] == 7 and vm.memory[0x1000 + 0x25] == 0x8B
        vm.regs.ldtr = 0
        assert vm.regs.ldtr == 0
    with VM("1M", bare="real") as vm, pytest.raises(ValueError, match="real"): vm.regs.tr = 8


def test_a_reset_button_and_a_reset_by_the_guest():
    with VM("1M", bare="real") as vm:
        vm.load(0x7C00, bytes.fromhex("b0fee664ebfe"), entry=0x7C00)         # MOV AL, FEh; OUT 64h, AL; JMP $
        assert vm.run(timeout=60).reason == "reset"
        assert vm.run(instructions=0).reason == "instructions" and vm.regs.cs == 0xF000
        vm.load(0x7C00, bytes.fromhex("ebfe"), entry=0x7C00)
        vm.reset()
        assert vm.regs.eip == 0xFFF0 and vm.memory[0x7C00] == 0xEB


# THE ROWS OF BAD INPUT THAT NEED THE REAL PARTS

@pytest.mark.parametrize("given, words", [
    (dict(bios=b"x" * 1000), "64 KiB"), (dict(vga_bios=b"x" * 512), "option ROM"), (dict(fda=bytes(512 * 7)), "floppy"), (dict(fdb=bytes(512)), "fdb=")])
def test_what_cannot_be_firmware_or_a_floppy(given, words):
    with pytest.raises(ValueError, match=words) as e: VM(**given)
    assert "\n" not in str(e.value)


def test_without_seabios_the_apt_command_is_named(monkeypatch):
    from pyv86_nb.board import firmware
    monkeypatch.setattr(firmware, "find", lambda *a: None)
    with pytest.raises(FileNotFoundError, match="apt-get install seabios"): VM()


# FREEDOS

def test_dir_ver_and_mem(dos):
    for command, answer in (("dir", "bytes free"), ("ver", "FreeCom version"), ("memory", "Heap  ")):
        dos.keyboard.type(f"{command}\n")
        assert dos.run(until=answer, timeout=30).reason == "until", text(dos)
        assert dos.run(until="A:\\>", timeout=30).reason == "until", text(dos)


def test_cls_and_a_prompt_at_its_old_place(dos):
    for _ in range(3):
        dos.keyboard.type("cls\n")
        assert dos.run(until="A:\\>", timeout=30).reason == "until", text(dos)
    assert dos.run(until="A:\\>", seconds=1).reason == "seconds"


def test_enter_on_a_full_screen(dos):
    for i in range(30):
        dos.keyboard.type("\n")
        assert dos.run(until="A:\\>", seconds=3).reason == "until", f"{i}: {text(dos)}"


def test_a_program_on_the_image_and_a_batch_file(dos):
    dos.keyboard.type("hello\n")
    assert dos.run(until="A:\\>", timeout=30).reason == "until"
    assert "ello" in text(dos).lower()
    dos.keyboard.type("echo ver> go.bat\n")
    dos.run(until="A:\\>", timeout=30)
    dos.keyboard.type("go\n")
    assert dos.run(until="FreeCom version", timeout=30).reason == "until"
    assert dos.run(until="A:\\>", timeout=30).reason == "until"


def test_writes_are_saved_to_a_copy(dos, tmp_path, image, command):
    before = image("freedos722.img").read_bytes()
    dos.keyboard.type("echo written by the guest> new.txt\n")
    assert dos.run(until="A:\\>", timeout=30).reason == "until"
    dos.run(seconds=0.5)
    path = dos.fda.save(tmp_path / "saved.img")
    out = subprocess.run([command("mtype"), "-i", str(path), "::NEW.TXT"], capture_output=True, text=True, check=True)
    assert "written by the guest" in out.stdout
    assert image("freedos722.img").read_bytes() == before and path.stat().st_size == len(before)
    with pytest.raises(ValueError, match="no disk in fdb"): dos.fdb.save(tmp_path / "x")
    with pytest.raises(ValueError, match="directory"): dos.fda.save(tmp_path)


def test_the_prompt_in_real_time_and_ctrl_alt_delete(dos):
    async def talk():
        dos._displayed = True
        dos.start()
        dos.keyboard.type("ver\n")
        assert (await dos.wait_for("FreeCom version", timeout=60)).reason == "until"
        assert (await dos.wait_for("A:\\>", timeout=60)).reason == "until"
        dos.keyboard.press("ctrl+alt+delete")
        assert (await dos.wait_for("SeaBIOS", timeout=60)).reason == "until"
        assert (await dos.wait_for("A:\\>", timeout=60)).reason == "until"
        dos.pause()
    try:
        in_a_loop(talk())
    finally:
        dos.pause()
        dos._displayed = False


def test_a_floppy_is_changed(dos, image):
    dos.fda.insert(demo.disk())
    assert "bytes in memory" in repr(dos.fda) and dos.fda.disk is not None
    dos.fda.eject()
    assert dos.fda.disk is None and "empty" in repr(dos.fda)
    dos.keyboard.type("dir\n")
    assert dos.run(until="(F)ail?", timeout=60).reason == "until", text(dos)   # keys before the whole question are thrown away
    dos.fda.insert(image("freedos722.img"))
    dos.keyboard.type("r")
    assert dos.run(until="A:\\>", timeout=60).reason == "until", text(dos)


def test_view_state_and_the_mime_bundle(dos):
    took = []
    for _ in range(20):
        t = time.perf_counter()
        state = dos._view_state()
        took.append(time.perf_counter() - t)
    assert min(took) < 0.005                                            # the first fills tables; and the host may be busy
    assert state["mode"] == "text 80x25" and state["cells"].shape == (25, 80) and state["font"].shape == (256, 16, 9) and state["cell"] == (9, 16)
    assert state["palette"].shape == (16, 3) and len(state["cursor"]) == 5 and state["cursor"][4] and isinstance(state["font_version"], int)
    data, _ = dos._repr_mimebundle_(include={"image/png", "text/plain"})
    assert data["text/plain"] == repr(dos) and data["image/png"]
    dos._displayed = False


def test_the_same_run_twice_is_the_same_to_the_bit(image, seabios):
    ends = []
    for speed in (1e5, 1e9):
        with VM(fda=image("freedos722.img")) as vm:
            vm._runner.speed = speed
            stop = vm.run(until="A:\\>", timeout=60)
            vm.keyboard.type("dir\n")
            again = vm.run(until="bytes free", timeout=60)
            ends.append((stop, again, vm.regs.array.tolist(), hashlib.sha256(vm.memory[:]).hexdigest(), vm.input_log))
    assert ends[0] == ends[1]


# IN TIME

@pytest.mark.parametrize("tier", ("threaded", "native"))
def test_a_restored_machine_continues_bit_for_bit(tier, tmp_path):
    def state(vm):
        return (vm.regs.array.tolist(), hashlib.sha256(vm.memory[:]).hexdigest(), vm._machine.board.words.tobytes(), vm.trace.irq.array.tobytes(),
                vm.serial[0].text, vm.time)
    with bare(tier) as vm:
        vm.run(seconds=0.123)
        vm.keyboard.type("some text")
        vm.run(seconds=0.02)                                 # half of it is typed
        s = vm.snapshot()
        vm.run(seconds=0.5)
        end = state(vm)
        assert "some text" in text(vm)
        vm.restore(s)
        assert vm.instructions == s.instructions and vm.time == s.time and "some text" not in text(vm)
        vm.run(seconds=0.5)
        assert state(vm) == end
        with VM.from_snapshot(Snapshot.load(s.save(tmp_path / "s.npz"))) as other:
            assert other.instructions == s.instructions
            other.run(seconds=0.5)
            assert state(other) == end
        with VM("8M", bare="real") as other, pytest.raises(ValueError, match="from_snapshot"): other.restore(s)
        with pytest.raises(TypeError): vm.restore("s")
        with pytest.raises(FileNotFoundError): Snapshot.load(tmp_path / "no")
        (tmp_path / "bad").write_bytes(b"nothing")
        with pytest.raises(ValueError, match="not a snapshot"): Snapshot.load(tmp_path / "bad")


@pytest.mark.parametrize("name", ["irq.lines", "irq.frames", "irq.watch", "irq.ring", "cpu.reg", "cpu.tsc_offset"])
@pytest.mark.parametrize("how", ["missing", "shorter"])
def test_a_snapshot_of_another_form_is_refused_whole(name, how):
    """What another version kept in another way: one sentence, and the machine is as it was."""
    with bare("threaded") as vm:
        vm.run(seconds=0.01)
        s = vm.snapshot()
        old = Snapshot(s.meta, dict(s.arrays), s.media)
        array = old.arrays.pop(name)
        if how == "shorter": old.arrays[name] = array[:, :-1] if name == "irq.ring" and array.ndim > 1 else array.reshape(-1)[:-1]
        if how == "shorter" and name == "irq.ring" and array.ndim == 1: old.arrays[name] = array.view(np.uint8)
        vm.run(seconds=0.01)
        before = vm.instructions, vm.time, vm.regs.array.tobytes(), vm.memory[:].tobytes()
        with pytest.raises(ValueError, match="another version") as e: vm.restore(old)
        assert "\n" not in str(e.value) and name in str(e.value)
        assert (vm.instructions, vm.time, vm.regs.array.tobytes(), vm.memory[:].tobytes()) == before
        vm.restore(s)
        assert vm.time == s.time


def test_a_snapshot_of_freedos_keeps_what_was_written(dos, tmp_path):
    dos.keyboard.type("echo kept> kept.txt\n")
    assert dos.run(until="A:\\>", timeout=60).reason == "until"
    dos.run(seconds=0.3)
    s = dos.snapshot()
    with VM.from_snapshot(s) as other:
        other.keyboard.type("cls\n")
        other.run(until="A:\\>", timeout=60)
        other.keyboard.type("type kept.txt\n")
        assert other.run(until="kept\n".strip(), timeout=60).reason == "until"
        assert other.run(until="A:\\>", timeout=60).reason == "until" and "\nkept\n" in text(other)


def in_a_loop(work):
    """asyncio.run in a thread of its own: where browser tests ran before, this one has a running loop already."""
    with ThreadPoolExecutor(1) as pool: return pool.submit(asyncio.run, work).result()


def test_memory_shows_the_display_as_the_processor_would_read_it():
    """Oracle: the screen, which is drawn from the planes."""
    with bare("native") as vm:
        vm.run(seconds=0.2)
        before = vm.snapshot()
        shown = bytes(vm.memory[0xB8000:0xB8000 + 80 * 25 * 2:2]).decode("ascii", "ignore")
        letters = [c for c in shown if c.isalnum()]
        assert letters == [c for c in text(vm) if c.isascii() and c.isalnum()] and letters
        assert bytes(vm.memory.virtual[0xB8000:0xB8010]) == bytes(vm.memory[0xB8000:0xB8010])
        assert (vm.snapshot().arrays["board"] == before.arrays["board"]).all(), "looking has changed a chip"
        vm.memory[0xB8000:0xB8004] = b"H\x1ei\x1e"
        assert text(vm).startswith("Hi")


def test_the_mouse_speaks_in_packets(seabios):
    """Moves, clicks and wheel in the order they were asked for.   IntelliMouse: after the rates 200, 100, 80 packets have a fourth byte."""
    with VM("4M") as vm:
        vm.run(seconds=1)
        out = lambda port, v: vm._machine.board.write(port, v)

        def got():
            said = []
            for _ in range(200):
                vm.run(seconds=0.001)
                if vm._machine.board.read(0x64) & 0x21 == 0x21: said.append(vm._machine.board.read(0x60))
            return bytes(said)

        out(0x64, 0x60), out(0x60, 0x00)                                       # both devices on, nobody interrupts
        for v in (0xF3, 200, 0xF3, 100, 0xF3, 80, 0xF4):
            out(0x64, 0xD4), out(0x60, v)
            assert got() == b"\xFA"
        vm.mouse.move(5, 7), vm.mouse.press("right"), vm.mouse.move(-2, 0), vm.mouse.release("right"), vm.mouse.wheel(-2), vm.mouse.click()
        packets = list(zip(*[iter(got())] * 4, strict=True))
        buttons = [p[0] & 7 for p in packets]
        assert [b for i, b in enumerate(buttons) if b != ([0] + buttons)[i]] == [2, 0, 1, 0]
        signed = lambda v: v - 256 if v > 127 else v
        assert sum(signed(p[1]) for p in packets) == 3 and sum(signed(p[2]) for p in packets) == -7 and sum(signed(p[3]) for p in packets) == -2
        assert next(i for i, p in enumerate(packets) if signed(p[3])) >= max(i for i, p in enumerate(packets) if p[0] & 2)
        for wrong in (lambda: vm.mouse.wheel(1.5), lambda: vm.mouse.wheel(300), lambda: vm.mouse.press("thumb")):
            with pytest.raises(ValueError, match="wheel|press"): wrong()
