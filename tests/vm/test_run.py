"""`run`, `step`, `reset`: ends, counted in guest time; the reasons of API.md."""
import signal
import threading
import time

import pytest

from pyv86_nb.stop import REASONS, Stop


def hello(machine):
    for _ in range(2000): yield
    machine.vga_fake.print("hello")
    while True: yield


def shell(machine):
    """A prompt; a line of keys is answered with itself and another prompt."""
    vga, moves, typed = machine.vga_fake, machine.keyboard.moves, ""
    vga.print("A:\\>")
    while True:
        yield
        while moves:
            code, down = moves.pop(0)
            if not down: continue
            if code == "Enter":
                vga.print(f"\nyou said {typed}\nA:\\>")
                typed = ""
            elif code.startswith("Key"):
                typed += code[3].lower()
                vga.print(code[3].lower())


def test_instructions_are_exact_and_stop_says_where(fake_vm):
    vm = fake_vm(hello)
    s = vm.run(instructions=1234)
    assert s == Stop("instructions", 1234, 1234e-6)
    assert vm.run(instructions=1).instructions == vm.instructions == 1235
    assert vm.run(instructions=0).instructions == 1235
    assert vm.step().instructions == 1236 and vm.step(10).reason == "instructions"
    assert vm.instructions == 1246 and s.reason in REASONS


def test_seconds_are_exact(fake_vm):
    vm = fake_vm(hello)
    assert vm.run(seconds=0.0125).reason == "seconds"
    assert vm.time == 0.0125 and vm.instructions == 12500


def test_timeout_is_host_time(fake_vm):
    vm = fake_vm(hello)
    t = time.perf_counter()
    assert vm.run(timeout=0.1).reason == "timeout"
    assert 0.1 <= time.perf_counter() - t < 20                    # it would run for ever


def test_until_text(fake_vm):
    vm = fake_vm(hello)
    s = vm.run(until="hello", seconds=1)
    assert s.reason == "until" and 2000 <= s.instructions <= 2400
    assert vm.run(until="hello", seconds=0.1).reason == "seconds"


def test_until_ends_at_the_same_instruction_whatever_the_slices(fake_vm):
    counts = set()
    for speed in (1e3, 1e5, 1e7):
        vm = fake_vm(hello)
        vm._runner.speed = speed
        counts.add(vm.run(until="hello").instructions)
    assert len(counts) == 1


def test_until_callable_is_asked_at_least_every_10_ms(fake_vm):
    vm, asked = fake_vm(hello), []
    def f(vm):
        asked.append(vm.time)
        return vm.instructions >= 100_000
    assert vm.run(until=f).reason == "until"
    assert max(b - a for a, b in zip(asked, asked[1:])) <= 0.01 and asked[0] == 0
    assert vm.run(until=lambda vm: True).instructions == vm.instructions
    with pytest.raises(ZeroDivisionError): vm.run(until=lambda vm: 1 / 0)
    assert vm.run(instructions=1).reason == "instructions"


def test_an_old_prompt_does_not_count_and_typing_is_answered(fake_vm):
    vm = fake_vm(shell)
    assert vm.run(until="A:\\>").reason == "until"
    assert vm.run(until="A:\\>", seconds=0.2).reason == "seconds"
    vm.keyboard.type("hey\n")
    assert vm.run(until="A:\\>", seconds=1).reason == "until"
    assert "you said hey" in "\n".join("".join(chr(c & 255) for c in row) for row in vm._machine.vga_fake.cells)
    vm.keyboard.type("abc\n")
    vm.run(until="you said abc", seconds=1)
    assert vm.run(until="A:\\>", seconds=0.1).reason == "until"
    assert vm.run(until="A:\\>", seconds=0.1).reason == "seconds"


def test_what_stood_before_an_input_does_not_answer_it(fake_vm):
    vm = fake_vm(shell)
    vm.run(seconds=0.01)                                       # a prompt that nobody waited for
    vm.keyboard.type("x\n")
    assert vm.run(until="nothing like it", seconds=0.5).reason == "seconds"
    vm.keyboard.type("y\n")                                    # nor for its answer
    s = vm.run(until="A:\\>", seconds=0.5)
    assert s.reason == "until" and "you said y" in "\n".join("".join(chr(c & 255) for c in row) for row in vm._machine.vga_fake.cells)


def test_halted_shutdown_reset_and_triple_fault(fake_vm):
    def program(machine):
        yield
        yield "reset"
        yield
        yield "triple"
        yield
        yield "off"
        yield "hlt"
    vm = fake_vm(program)
    assert vm.run().reason == "reset" and vm._machine.processor.resets == 0
    s = vm.run()
    assert s.reason == "triple-fault" and "#DF" in s.detail and vm._machine.processor.resets == 1
    assert vm.run(instructions=0).reason == "instructions" and vm._machine.processor.resets == 2
    assert vm.run().reason == "shutdown"
    s = vm.run()
    assert s.reason == "halted" and "HLT" in s.detail and vm.state == "halted"
    vm.reset()
    assert vm.state == "halted" and vm._machine.processor.resets == 3


def test_hlt_goes_straight_to_the_deadline_and_counts_no_instructions(fake_vm):
    def program(machine):
        b = machine.board
        b.write(0x20, 0x11); b.write(0x21, 8); b.write(0x21, 4); b.write(0x21, 1); b.write(0x21, 0xFE)
        b.write(0x43, 0x34); b.write(0x40, 0xA9); b.write(0x40, 0x04)          # 1000 Hz
        while True:
            yield "hlt"
            b.acknowledge()
            b.write(0x20, 0x20)
    vm = fake_vm(program, mips=10)
    s = vm.run(seconds=1)
    assert 998 <= s.instructions <= 1003 and s.time == 1
    s = vm.run(instructions=5)
    assert 1.004 <= s.time <= 1.0061


@pytest.mark.parametrize("given", [dict(until=3), dict(until=""), dict(until="  "), dict(instructions=-1), dict(instructions=1.5), dict(seconds=-1),
                                   dict(seconds="1"), dict(timeout=float("nan")), dict(timeout=True), dict(seconds=1e12), dict(seconds=10**400), dict(timeout=float("inf"))])
def test_bad_ends_are_refused(fake_vm, given):
    vm = fake_vm(hello)
    with pytest.raises((ValueError, TypeError)) as refused: vm.run(**given)
    assert vm.instructions == 0 and len(str(refused.value)) < 200
    with pytest.raises(ValueError): vm.step(0)


@pytest.fixture
def ctrl_c():
    """Python's own SIGINT: a process that a shell has put into the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_pauses_and_propagates(fake_vm):
    vm = fake_vm(hello)
    threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt): vm.run()
    n = vm.instructions
    assert n > 0 and vm.state == "paused" and vm.run(instructions=1).instructions == n + 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_inputs_are_logged_with_tick_and_sequence(fake_vm):
    vm = fake_vm(shell)
    vm.run(instructions=100)
    vm.keyboard.press("ctrl+alt+delete")
    vm.memory[0x500:0x504] = b"abcd"
    vm.regs.eax = 5
    vm.run(seconds=0.1)
    assert [e for _, _, e in vm.input_log] == [
        ("memory", 0x500, b"abcd"), ("register", "eax", 5), ("key_down", "ControlLeft"), ("key_down", "AltLeft"), ("key_down", "Delete"),
        ("key_up", "Delete"), ("key_up", "AltLeft"), ("key_up", "ControlLeft")]
    ticks = [(t, s) for t, s, _ in vm.input_log]
    assert ticks == sorted(ticks) and ticks[0][0] == 100


def test_typing_waits_for_room_and_is_deterministic(fake_vm):
    logs = []
    for speed in (1e3, 1e7):
        vm = fake_vm(shell)
        vm._runner.speed = speed
        vm.keyboard.type("ab")
        vm._machine.keyboard.full = True
        vm.run(seconds=0.05)
        assert vm._machine.keyboard.moves == [] and vm.input_log == []
        vm._machine.keyboard.full = False
        vm.run(seconds=0.1)
        logs.append(vm.input_log)
    assert logs[0] == logs[1] and len(logs[0]) == 4


@pytest.mark.parametrize("pasted", ["", "xyz"])
def test_a_persons_keys_wait_for_room_in_their_order_and_before_what_is_pasted(fake_vm, pasted):
    vm = fake_vm(shell, mips=0.05)
    keyboard = vm._machine.keyboard
    keyboard.full = True
    vm._post("paste", pasted)
    for code in "ABC":
        vm._post("key_down", f"Key{code}"), vm._post("key_up", f"Key{code}")
    vm._post("key_down", "KeyD"), vm._post("release_all")
    vm.run(seconds=0.05)
    assert keyboard.moves == [] and vm.input_log == []
    keyboard.full = False
    vm.run(seconds=0.5)
    keys = [e for _, _, e in vm.input_log]
    assert keys[:8] == [(k, f"Key{c}") for c in "ABC" for k in ("key_down", "key_up")] + [("key_down", "KeyD"), ("release_all",)]
    assert [e[1] for e in keys[8::2]] == [f"Key{c.upper()}" for c in pasted] and not vm._events.held
    vm._post("key_down", "KeyE")
    vm.run(instructions=100)
    assert vm.input_log[-1][2] == ("key_down", "KeyE"), "and at once when there is room"


def test_a_guest_that_reads_no_keys_loses_a_persons_and_no_typed_ones(fake_vm):
    vm = fake_vm(shell, mips=0.05)
    vm._machine.keyboard.full = True
    vm._post("paste", "x")
    vm._post("key_down", "KeyA"), vm._post("key_up", "KeyA")
    vm.run(seconds=0.6)
    assert [e for _, _, e in vm.input_log] == [("key_down", "KeyA"), ("key_up", "KeyA")]
    vm._post("key_down", "KeyB")
    vm.run(instructions=100)
    assert vm.input_log[-1][2] == ("key_down", "KeyB"), "nobody waits a second time"
    vm._machine.keyboard.full = False
    vm.run(seconds=0.1)
    assert [e for _, _, e in vm.input_log][3:] == [("key_down", "KeyX"), ("key_up", "KeyX")]


def test_a_closed_vm_refuses_everything_in_one_sentence(fake_vm):
    vm = fake_vm(shell)
    regs, memory = vm.regs, vm.memory
    vm.close()
    vm.close()
    calls = [vm.run, vm.step, vm.start, vm.pause, vm.reset, vm.timers, vm.disassemble, vm.snapshot, lambda: vm.load(0, b"x"), lambda: vm.translate(0),
             lambda: regs.eax, lambda: setattr(regs, "eax", 1), lambda: regs.array, lambda: memory[0], lambda: memory.write(0, b"x"),
             lambda: vm.keyboard.type("x"), lambda: vm.keyboard.press("a"), lambda: vm.screen.text(), lambda: vm.screen.png(),
             lambda: vm.serial[0].read(), lambda: vm.serial[0].write(b"x"), lambda: vm.fda.insert(bytes(512)), lambda: vm.fda.eject(),
             lambda: vm.fda.save("x"), lambda: vm.trace.irq.array, lambda: vm.trace.registers.start(), lambda: vm.time, lambda: vm.instructions,
             lambda: vm.devices, lambda: vm.mips, lambda: vm.__enter__(), lambda: vm._post("reset"), lambda: len(memory)]
    for call in calls:
        with pytest.raises(RuntimeError, match="this VM is closed; make a new one"): call()
    assert repr(vm) == "<VM: closed>" and vm.state == "closed" and not vm.running
