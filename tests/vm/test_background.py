"""`start`, `pause`, `wait_for`, the wall clock: threads and real time."""
import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from test_run import hello, shell


def busy(machine):
    while True: yield


PATIENCE = 60                                            # s: nothing takes so long unless it never happens


def wait(condition):
    end = time.perf_counter() + PATIENCE
    while not condition():
        assert time.perf_counter() < end, "it did not happen in time"
        time.sleep(0.005)


def quickest(work, times=5):
    """The shortest real time that `work` took, and the shortest time of the processor: what else the host does makes either longer, never shorter."""
    took = []
    for _ in range(times):
        cpu, real = time.thread_time(), time.perf_counter()
        work()
        took.append((time.perf_counter() - real, time.thread_time() - cpu))
    return map(min, zip(*took))


def test_start_returns_at_once_and_pause_stands_still(fake_vm):
    vm, interval = fake_vm(busy), sys.getswitchinterval()
    assert vm.start() is vm and vm.running and vm.state == "running"
    assert vm.start().running
    assert sys.getswitchinterval() <= 0.001
    wait(lambda: vm.instructions > 10_000)
    vm.pause()
    n = vm.instructions
    time.sleep(0.05)
    assert vm.instructions == n and not vm.running and vm.state == "paused" and sys.getswitchinterval() == interval
    vm.pause()
    assert vm.run(instructions=5).instructions == n + 5


def test_run_and_step_are_refused_while_started(fake_vm):
    vm = fake_vm(busy).start()
    for call in (vm.run, vm.step, lambda: vm.run(instructions=1)):
        with pytest.raises(RuntimeError, match="pause.. it first"): call()
    vm.pause()


def test_run_is_refused_while_another_thread_runs_it(fake_vm):
    vm, enough = fake_vm(busy), threading.Event()
    thread = threading.Thread(target=lambda: vm.run(until=lambda vm: enough.is_set(), timeout=PATIENCE))
    thread.start()
    wait(lambda: vm.state == "running")
    with pytest.raises(RuntimeError, match="another run"): vm.run(instructions=1)
    with pytest.raises(RuntimeError, match="another thread"): vm.start()
    assert vm.regs.eip > 0 and vm.memory[0:4].tolist() == [0] * 4       # visitors get their turn between slices
    enough.set()
    thread.join()


def test_looking_at_a_running_machine_waits_for_a_boundary(fake_vm):
    vm = fake_vm(busy).start()
    wait(lambda: vm.instructions > 1000)
    row = vm.regs.array[0]
    assert row["eip"] == row["instruction"] > 0
    took = []
    for _ in range(50):
        t = time.perf_counter()
        vm._view_state()
        took.append(time.perf_counter() - t)
    assert sorted(took)[25] < 0.1
    vm.pause()


def test_a_machine_that_stops_in_the_background_says_why(fake_vm):
    def program(machine):
        yield
        yield "triple"
    vm = fake_vm(program).start()
    wait(lambda: not vm.running)
    assert vm.state == "triple-fault" and "#DF" in vm.last_stop.detail
    vm.run(instructions=0)
    assert vm._machine.processor.resets == 1


def test_a_reset_in_the_background_goes_on(fake_vm):
    def program(machine):
        yield
        yield "reset"
        machine.vga_fake.print("again")
        while True: yield
    vm = fake_vm(program).start()
    wait(lambda: vm._machine.processor.resets == 1 and "again" in str(vm._machine.vga_fake.cells.astype(np_bytes()).tobytes()))
    assert vm.running
    vm.pause()


def np_bytes():
    import numpy
    return numpy.uint8


def test_a_failure_in_the_background_is_raised_by_the_next_call(fake_vm):
    def program(machine):
        yield
        raise ZeroDivisionError("a chip broke")
    vm = fake_vm(program).start()
    wait(lambda: not vm.running)
    assert vm.state == "failed"
    with pytest.raises(RuntimeError, match="a chip broke"): vm.run()


def test_wait_for(fake_vm):
    async def talk():
        vm = fake_vm(shell)
        with pytest.raises(RuntimeError, match="start.. it first"): await vm.wait_for("A:\\>")
        for timeout in (1e12, float("nan"), -1, 10**400, "5"):
            with pytest.raises(ValueError, match="timeout=.* is not a time"): await vm.wait_for("A:\\>", timeout=timeout)
        vm.start()
        assert (await vm.wait_for("A:\\>", timeout=PATIENCE)).reason == "until"
        assert (await vm.wait_for("A:\\>", timeout=0.1)).reason == "timeout"
        vm.keyboard.type("hey\n")
        await asyncio.sleep(0.3)                                        # the guest is quicker than the call
        assert (await vm.wait_for("you said hey", timeout=PATIENCE)).reason == "until"
        assert (await vm.wait_for("A:\\>", timeout=PATIENCE)).reason == "until"
        waiting = asyncio.create_task(vm.wait_for("never", timeout=PATIENCE))
        await asyncio.sleep(0.05)
        vm.pause()
        assert (await waiting).reason == "paused"
    in_a_loop(talk())


def test_two_machines_side_by_side(fake_vm):
    a, b = fake_vm(hello), fake_vm(busy)
    a.start(), b.start()
    wait(lambda: a.instructions > 5000 and b.instructions > 5000)
    a.keyboard.press("a")
    a.pause()
    n = b.instructions
    wait(lambda: b.instructions > n)
    b.pause()
    assert "hello" in bytes(a._machine.vga_fake.cells.astype("u1")[0]).decode() and not b._machine.keyboard.moves
    assert {t.name for t in threading.enumerate()}.isdisjoint({"pyv86_nb machine"})


def test_close_ends_the_thread_and_with_closes(fake_vm):
    with fake_vm(busy) as vm:
        vm.start()
        thread = vm._runner.thread
    assert vm.closed and not thread.is_alive()


def test_input_from_any_thread(fake_vm):
    vm = fake_vm(shell).start()
    threads = [threading.Thread(target=lambda c=c: [vm._post(k, f"Key{c}") for k in ("key_down", "key_down", "key_up")]) for c in "ABC"]
    for t in threads: t.start()
    for t in threads: t.join()
    wait(lambda: len(vm.input_log) == 9)
    vm._post("key_down", "KeyX")
    vm._post("release_all")
    wait(lambda: len(vm.input_log) == 11)
    vm.pause()
    assert not vm._events.held
    with pytest.raises(ValueError, match="not an input"): vm._post("wibble")


# THE WALL CLOCK

def test_wall_clock_keeps_real_time_and_sleeps(fake_vm):
    vm = fake_vm(busy, clock="wall", mips=0.05)
    real, cpu = quickest(lambda: vm.run(seconds=0.5))
    assert 0.49 <= real < 0.7 and cpu < 0.3 and vm.time == pytest.approx(2.5, abs=1e-4)


def test_hlt_waits_in_real_time(fake_vm):
    def program(machine):
        machine.board.write(0x43, 0x34); machine.board.write(0x40, 0); machine.board.write(0x40, 0)
        machine.board.write(0x20, 0x11); machine.board.write(0x21, 8); machine.board.write(0x21, 4); machine.board.write(0x21, 1)
        while True:
            yield "hlt"
            machine.board.acknowledge(); machine.board.write(0x20, 0x20)
    vm = fake_vm(program, clock="wall", mips=100)
    vm.run(seconds=0.06)                                                # what is compiled at first use
    n = vm.instructions
    real, cpu = quickest(lambda: vm.run(seconds=0.5))
    assert 0.49 <= real < 0.7 and cpu < 0.25 and vm.instructions - n < 100


def test_an_input_wakes_the_pacer(fake_vm):
    vm = fake_vm(shell, clock="wall", mips=0.02)
    door, woken = vm._runner.door, []
    sleep = door.wait
    door.wait = lambda seconds: woken.append(sleep(seconds))              # true: somebody has called
    vm.start()
    wait(lambda: len(woken) > 5)
    assert not any(woken)

    def pressed():
        vm._post("key_down", "KeyA"), vm._post("key_up", "KeyA")
        return any(woken)
    wait(pressed)
    vm.pause()


def test_a_host_too_slow_lowers_the_rate_and_guest_time_does_not_jump(fake_vm):
    vm = fake_vm(busy, clock="wall", mips=100)                          # the fake manages a few hundred thousand a second
    times, began = [], time.perf_counter()

    def slow_enough(vm):
        times.append(vm.time)
        return vm.mips < 50
    assert vm.run(timeout=PATIENCE, until=slow_enough).reason == "until"
    assert any(e[0] == "rate" for _, _, e in vm.input_log)
    assert times == sorted(times) and vm.time <= time.perf_counter() - began + 0.1
    ticks = [t for t, _, _ in vm.input_log]
    assert ticks == sorted(ticks)
    rate = vm.mips
    end = vm.time + 0.2
    assert vm.run(seconds=0.2).reason == "seconds" and vm.time == pytest.approx(end, abs=1e-4)
    assert vm.mips <= rate                                              # never raised by itself
    t = vm.time
    vm.mips = 100
    assert vm.mips == 100 and vm.time == pytest.approx(t, abs=1e-4)


def test_auto_is_virtual_until_displayed(fake_vm):
    vm = fake_vm(busy, mips=0.02)
    assert vm.clock == "virtual"
    vm.start()
    wait(lambda: vm.time > 0.5)
    vm._displayed = True
    assert vm.clock == "wall"
    time.sleep(0.1)

    def keeps_real_time():
        a, t = vm.time, time.perf_counter()
        time.sleep(0.3)
        guest, real = vm.time - a, time.perf_counter() - t
        assert guest < real + 0.1                                        # a host that is busy makes it late, nothing makes it early
        return guest > real - 0.1
    wait(keeps_real_time)
    vm.pause()


def in_a_loop(work):
    """asyncio.run in a thread of its own: where browser tests ran before, this one has a running loop already."""
    with ThreadPoolExecutor(1) as pool: return pool.submit(asyncio.run, work).result()
