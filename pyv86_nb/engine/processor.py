"""A processor on any tier: the state record, its memory, the code cache, and what ties them to a board.

    p = Processor(PhysicalMemory(1 << 20), "native")
    p.memory.map(0, 1 << 20, 0, 0)
    p.run(1000)                                         # at most so many ticks; why it stopped (reasons.py)
"""
import ctypes
import mmap
import os
from time import perf_counter

import llvmlite.binding as llvm
import numpy as np

from . import (
    bus,
    decode,
    dispatch,
    door,
    forms,
    fpu_door,
    fpu_registers,
    kernels,
    reasons,
    stencils,
    unit,
    vector_registers,
)
from . import code as C
from . import segmentation as SEG
from . import state as S
from .access import overlaps_code
from .bus import NEVER, burst
from .debug import set_debug
from .exceptions import NAMES, Fault
from .interrupt import eflags
from .isa import flags as F
from .memory import PAGE, PAGES, PhysicalMemory
from .models import MODELS, configure, offered
from .paging import PAGE_ADDRESS, flush_address_space, note_stale, set_cr3, walk
from .plain import Plain
from .raw import (
    ACKNOWLEDGE,
    ADVANCE,
    BURST_READ,
    BURST_WRITE,
    DEADLINE,
    FRAME,
    IRET,
    MEMORY_READ,
    MEMORY_WRITE,
    PIN,
    PORT_READ,
    PORT_WRITE,
    REGION_SHIFT,
)
from .records import EXITS
from .system import set_cr0, set_cr4
from .view import view

TIERS = "python", "threaded", "native"
View = view(S.CPU)
RESET_EIP, RESET_CS = 0xFFF0, 0xF000
PAT_RESET = 0x0007040600070406                          # vol. 3, table 12-12
RUN = ctypes.CFUNCTYPE(*[ctypes.c_int64] * 6)           # called without the GIL


def run_entry(cpu, code, now):
    return dispatch.run(cpu, dispatch.code_at(code))


def flush_entry(cpu, now):
    flush_address_space(cpu, True)
    return 0


def no_board(d, what, address, size, value):
    """raw.io of a processor that stands alone: A20 is open, nothing is ever due, ports float."""
    if what & 255 == PIN:
        return 1 << 2
    if what & 255 == DEADLINE:
        return NEVER
    return (1 << 8 * size) - 1 if what & 255 in (PORT_READ, MEMORY_READ) else 0


LOOP = {"run": (run_entry, S.CPU, 1), "flush": (flush_entry, S.CPU, 0), "no_board": (no_board, door.DOOR, 3), **door.FUNCTIONS}
_parts: dict = {}


def parts(mode):
    """(tables, special, handlers, stencils, pieces, handler addresses, what keeps them alive) of "native" or "threaded", once."""
    if mode not in _parts:
        handlers = stencils.load(mode)
        special, n = np.array([handlers.where[k] for k in forms.SPECIAL], np.int64), len(handlers.moves)
        made = decode.tables(handlers.where), special, handlers
        if mode == "native":
            _parts[mode] = (*made, *stencils.cut_up(handlers.object, n), None, None)
        else:
            engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), stencils.target(jit=True))
            engine.add_object_file(llvm.ObjectFileRef.from_data(handlers.object))
            engine.finalize_object()
            addresses = np.array([engine.get_function_address(f"u{i}") for i in range(n)], np.int64)
            _parts[mode] = (*made, None, None, addresses, engine)
    return _parts[mode]


class Arena:
    """Executable memory, seen twice: `view` is written, `runs_at` is run, and no page is both."""

    def __init__(self, size):
        fd = os.memfd_create("pyv86_nb")
        try:
            os.ftruncate(fd, size)
            self.writes = mmap.mmap(fd, size, prot=mmap.PROT_READ | mmap.PROT_WRITE)
            self.runs = mmap.mmap(fd, size, prot=mmap.PROT_READ | mmap.PROT_EXEC)
        finally:
            os.close(fd)
        self.view = np.frombuffer(self.writes, np.uint8)
        self.runs_at = np.frombuffer(self.runs, np.uint8).ctypes.data


def native_refused() -> str | None:
    """Why this host cannot run the native tier, or None."""
    if not llvm.get_process_triple().startswith("x86_64"):
        return "the native tier pastes x86-64 code; this host is " + llvm.get_process_triple().split("-")[0]
    try:
        Arena(PAGE)
    except (OSError, AttributeError) as e:
        return f"the system gives no executable memory ({e})"
    return None


class Processor:
    """An i386-family processor.

    memory: what its physical addresses mean.  tier: "python", "threaded", "native", or "auto", the best that works here.
    board: a powered-on backplane with `bus` and `pins`, or None.  model: of models.py.  apic: whether the board has a local APIC
    for it.  seed: of RDRAND.  Raises ValueError for an unknown tier or model, OSError for a tier that the host refuses.
    """

    def __init__(self, memory: PhysicalMemory, tier: str = "auto", board=None, model: str = "max", apic: bool = False, seed: int = 0):
        refused = native_refused() if tier in ("auto", "native") else None
        if tier == "auto":
            tier = "threaded" if refused else "native"
        if tier not in TIERS:
            raise ValueError(f"there is no tier {tier!r}; choose auto, {', '.join(TIERS)}")
        if model not in MODELS:
            raise ValueError(f"there is no processor model {model!r}; choose {', '.join(MODELS)}")
        if refused and tier == "native":
            raise OSError(f"{refused}; use tier='threaded'")
        self.memory, self.tier, self.board = memory, tier, board
        self.array = np.zeros(1, S.CPU)
        self.address = self.array.ctypes.data
        words = memoryview(self.array.view(np.int64))
        self.cpu = View(words, words.cast("B").cast("I"))
        features = offered(model, apic)
        configure(self.cpu, model, features)
        self._apic = "apic" in features
        self.cpu.random = seed & (1 << 63) - 1
        self.cpu.board_io = self._board_io if board is not None else (lambda *a: no_board(None, *a))
        for name in ("read_frame", "write_frame", "region", "code_bits"):
            setattr(self.cpu, name, getattr(memory, name).ctypes.data)
        self.cpu.host, self.cpu.page_flags = memory.host.ctypes.data, memory.flags.ctypes.data
        memory.changed, memory.written = self._map_changed, self._written
        mode = "native" if tier == "native" else "threaded"
        if tier == "python":
            where, _ = forms.plan()
            self._tables = self._of_model(decode.tables(where), features)
        else:
            self._load(mode, features)
        self.plain = Plain(self.cpu, self._tables)
        self.reset()

    @staticmethod
    def _of_model(tables, features):
        """The decoder's tables without the opcodes that this model lacks."""
        return decode.opcode_map(features), *tables[1:]

    def _load(self, mode, features):
        tables, special, handlers, st, pieces, addresses, self._engine = parts(mode)
        self._tables = self._of_model(tables, features)
        at = unit.addresses(LOOP) | unit.addresses(kernels.UNIT) | unit.addresses(fpu_door.UNIT)
        for name in (*kernels.UNIT, *fpu_door.UNIT):
            setattr(self.cpu, f"{name}_at", at[name])
        self._run, self._flush = RUN(at["run"]), RUN(at["flush"])
        self._code = np.zeros(1, C.CODE)
        t = self._code[0]
        C.fill(t, self._tables, special, handlers, mode == "native", st, addresses)
        t["records_at"], t["state_at"] = t["records"].ctypes.data, self.address
        if mode == "native":
            self._arena = Arena(C.ARENA)
            t["arena"], t["runs_at"] = self._arena.view.ctypes.data, self._arena.runs_at
            end = 0
            for i, n in enumerate([*EXITS, "enter"]):
                piece = np.frombuffer(pieces[n], np.uint8)
                self._arena.view[end:end + len(piece)] = piece
                if n == "enter":
                    t["enter"] = self._arena.runs_at + end
                else:
                    t["exits"][i] = end
                end += len(piece) + 15 & ~15
            constants = np.frombuffer(st.constants, np.uint8)
            t["constants"] = end + 63 & ~63
            t["hot0"] = t["constants"] + len(constants)
            self._arena.view[t["constants"]:t["hot0"]] = constants
        else:
            t["enter"] = self._engine.get_function_address("enter")
        t["nblock"], t["nrec"], t["hot"], t["cold"] = 1, 1, t["hot0"], C.COLD_AT
        self.cpu.io = at["pass_through"] if self.board is not None else at["no_board"]
        if self.board is not None:
            self._door = door.make(self.board.bus, self.board.pins, self.address)
            self.cpu.io_data = self._door.ctypes.data

    # RUNNING

    patience = float("inf")                              # host seconds; when a run ends early for the host's sake the guest does not notice

    def run(self, ticks: int) -> int:
        """At most `ticks` ticks, and fewer where Python has had to do something and `patience` is over; the reason it stopped."""
        cpu, done, patient_until = self.cpu, self.now + ticks, perf_counter() + self.patience
        cpu.target = done
        cpu.attention = 1
        while True:
            if self.tier == "python":
                why = self.plain.run()
            else:
                why = self._run(self.address, self._code.ctypes.data, 0, 0, 0)
            if why == reasons.PYTHON_STEP:
                if not self.plain.one():
                    return reasons.TRIPLE_FAULT
            elif why == reasons.PYTHON_DUE:
                self._advance_board(self.now)
            elif why == reasons.PYTHON_REMAP:
                self.board.remap()
            else:
                return why
            cpu.attention = 1
            if perf_counter() >= patient_until:          # a guest's one OUT may move 64 MiB
                return reasons.BUDGET

    @property
    def now(self) -> int:
        """Ticks since power-on."""
        return self.cpu.end - self.cpu.budget

    @now.setter
    def now(self, tick: int):
        self.cpu.end, self.cpu.budget = tick, 0

    @property
    def instructions(self) -> int:
        """Instructions retired since power-on; a repeated one counts once."""
        return self.now - self.cpu.extra

    @property
    def worked(self) -> int:
        """Ticks spent on instructions, each element of a repeated one counted, not on waiting in HLT."""
        return self.instructions + self.cpu.elements

    @property
    def faults(self) -> list[str]:
        """The exceptions of the last delivery, first to last: what led to a triple fault."""
        chain = [self.cpu.chain[i] for i in range(min(self.cpu.chained, 8))]
        return [f"{NAMES.get(v >> 32, hex(v >> 32))}({v & 0xFFFFFFFF:#x})" for v in chain]

    def reset(self, init: bool = False) -> None:
        """RESET, or INIT, which leaves the time stamp, MSRs, caches and the coprocessors as they are: SDM vol. 3, table 10-1."""
        cpu, now, extra, caching = self.cpu, self.now, self.cpu.extra, self.cpu.cr0 & (S.NW | S.CD)
        kept = {n: self.array[n].copy() for n in ("a20", "random", *S.KEPT_BY_INIT * init)}
        for n in S.ARCHITECTURAL:
            self.array[n] = 0
        cpu.tsc_offset = -now
        cpu.apic_base = S.APIC_RESET if self._apic else 0
        cpu.pat, cpu.misc_enable = PAT_RESET, 1
        cpu.fcw, cpu.ftw, cpu.mxcsr = 0x40, 0xFF, S.MXCSR_RESET
        for n, v in kept.items():
            self.array[n] = v
        cpu.a20 = cpu.a20 or 0xFFFFFFFF
        cpu.reg[S.EDX] = cpu.signature
        cpu.cr0, cpu.cf, cpu.carries, cpu.result = S.ET | (caching if init else S.NW | S.CD), *F.from_image(0)
        cpu.idt_limit = cpu.gdt_limit = 0xFFFF
        cpu.dr[6], cpu.dr[7] = 0xFFFF0FF0, 0x400
        for s in range(8):
            SEG.set_segment(cpu, s, 0, 0, 0xFFFF, 0x82 if s >= S.LDTR else SEG.REAL_DATA)
        SEG.set_segment(cpu, S.CS, RESET_CS, 0xFFFF0000, 0xFFFF, SEG.REAL_DATA)
        cpu.eip = RESET_EIP
        cpu.extra, cpu.shut_down, cpu.external, cpu.chained = extra, 0, 0, 0
        self.now = now
        self.forget()

    def flat(self) -> None:
        """32-bit flat protected mode at CPL 0, paging off, IF=0, EIP=0, as some loaders leave it."""
        cpu = self.cpu
        cpu.cr0 |= S.PE
        for s in range(6):
            SEG.set_segment(cpu, s, 0x08 if s == S.CS else 0x10, 0, 0xFFFFFFFF, 0xC09B if s == S.CS else 0xC093)
        cpu.eip, cpu.eflags = 0, 0
        self.forget()

    def real(self) -> None:
        """Real mode at 0000:0000."""
        for s in range(6):
            SEG.set_segment(self.cpu, s, 0, 0, 0xFFFF, SEG.REAL_DATA)
        self.cpu.idt_limit, self.cpu.eip = 0x3FF, 0
        self.forget()

    def forget(self) -> None:
        """Drop everything derived: TLBs, recent targets, and so on."""
        flush_address_space(self.cpu)
        SEG.update_mode(self.cpu)
        self.cpu.attention, self.cpu.bounced = 1, 0

    # MEMORY, FROM THE OUTSIDE

    def _map_changed(self, first, last):
        if self.tier == "python": flush_address_space(self.cpu)
        else: self._flush(self.address, 0, 0, 0, 0)      # a board moves many pages in a row
        if (self.memory.flags[first:last] & S.CODE).any():
            self.cpu.stales = S.STALE                   # code may have gone: all of it is dropped

    def _written(self, address, n):
        begin, end = address // PAGE, -(-(address + n) // PAGE)
        pages = np.arange(begin, end) % PAGES
        for k in np.flatnonzero(self.memory.flags[pages] & S.CODE).tolist():
            first, last = max(address, (begin + k) * PAGE), min(address + n, (begin + k + 1) * PAGE)
            if overlaps_code(self.cpu, first % (PAGE * PAGES), last - first):
                note_stale(self.cpu, first % (PAGE * PAGES), last - first)

    def translate(self, linear: int) -> int:
        """The physical address of a linear one as the current program sees it; LookupError where there is none."""
        saved = [(n, getattr(self.cpu, n)) for n in ("cr2", "vector", "error")]
        try:
            return walk(self.cpu, linear, 0, 2) & PAGE_ADDRESS | linear & 4095
        except Fault:
            raise LookupError(f"no page at {linear:#x}") from None
        finally:
            for n, v in saved:
                setattr(self.cpu, n, v)

    # REGISTERS, BY NAME

    def get(self, name: str):
        """A register: eax..edi, eip, eflags, cs..gs, cr0.., dr0.., cpl, ldtr, tr, gdtr and idtr as (base, limit)."""
        cpu = self.cpu
        if name in S.GENERAL:
            return cpu.reg[S.GENERAL.index(name)]
        if name in S.SEGMENTS:
            return cpu.reg[S.SELECTORS + S.SEGMENTS.index(name)]
        if name == "eflags":
            return eflags(cpu)
        if name in ("gdtr", "idtr"):
            return getattr(cpu, name[:3] + "_base"), getattr(cpu, name[:3] + "_limit")
        if name[:2] == "dr" and name[2:] in "01234567":
            return cpu.dr[int(name[2:])]
        if name in ("eip", "cr0", "cr2", "cr3", "cr4", "cpl", "ldtr", "tr"):
            return getattr(cpu, name)
        if name in fpu_registers.NAMES:
            return fpu_registers.get(cpu, name)
        if name in vector_registers.NAMES:
            return vector_registers.get(cpu, name)
        raise AttributeError(f"there is no register {name!r}")

    def set(self, name: str, value) -> None:
        """Write a register; a segment register is loaded as the current mode would, and ValueError says why it cannot be."""
        cpu = self.cpu
        if name in ("gdtr", "idtr"):
            base, limit = value
            self._fits(name, base, 32)
            self._fits(name, limit, 16)
            setattr(cpu, name[:3] + "_base", base)
            setattr(cpu, name[:3] + "_limit", limit)
            return
        if name in fpu_registers.NAMES or name in vector_registers.NAMES:
            (fpu_registers if name in fpu_registers.NAMES else vector_registers).set(cpu, name, value)
            cpu.attention = 1
            return
        self._fits(name, value, 16 if name in S.SEGMENTS or name in ("ldtr", "tr") else 32)
        if name in S.GENERAL:
            cpu.reg[S.GENERAL.index(name)] = value
        elif name in S.SEGMENTS or name in ("ldtr", "tr"):
            self._load_segment(name, value)
        elif name == "eflags":
            cpu.cf, cpu.carries, cpu.result = F.from_image(value)
            cpu.eflags = value & ~(F.MASK | 2) & 0x3F7FD7
        elif name == "cr0":
            try:
                set_cr0(cpu, value)
            except Fault:
                raise ValueError(f"cr0 = {value:#x} is not a state that a processor can be in (PG needs PE, NW needs CD)") from None
        elif name == "eip":
            cpu.eip = value
        elif name == "cr2":
            cpu.cr2 = value
        elif name in ("cr3", "cr4"):
            try:
                (set_cr3 if name == "cr3" else set_cr4)(cpu, value)
            except Fault:
                raise ValueError(f"{name} = {value:#x} sets bits that are reserved on this processor") from None
            flush_address_space(cpu)
        elif name[:2] == "dr" and name[2:] in "01234567":
            set_debug(cpu, int(name[2:]), value)
        else:
            raise AttributeError(f"there is no register {name!r} that can be written")
        SEG.update_mode(cpu)
        cpu.attention = 1

    @staticmethod
    def _fits(name, value, bits):
        if not isinstance(value, (int, np.integer)) or not 0 <= value < 1 << bits:
            raise ValueError(f"{name} has {bits} bits; {value!r} does not fit")

    def _load_segment(self, name, selector):
        system = name in ("ldtr", "tr")
        if system and not SEG.protected(self.cpu):
            raise ValueError(f"{name} = {selector:#x} cannot be loaded: real and virtual-8086 mode have no {name.upper()}")
        s = S.NEW if system else S.SEGMENTS.index(name)
        try:
            if system:
                (SEG.load_ldtr if name == "ldtr" else SEG.load_tr)(self.cpu, selector)
            elif s == S.CS and SEG.protected(self.cpu):
                at = SEG.descriptor_at(self.cpu, selector, 13)
                low, high = (int.from_bytes(self.memory.read(self.translate(at + k), 4), "little") for k in (0, 4))
                if not SEG.is_code(SEG.rights_of(high)):
                    raise ValueError(f"cs = {selector:#x} names no code segment")
                SEG.set_segment(self.cpu, s, selector, SEG.base_of(low, high), SEG.limit_of(low, high), SEG.rights_of(high))
                self.cpu.cpl = selector & 3
            elif s == S.CS:
                SEG.set_real(self.cpu, s, selector)
            else:
                SEG.load_data_segment(self.cpu, s, selector)
        except Fault:
            raise ValueError(f"{name} = {selector:#x} cannot be loaded: {NAMES.get(self.cpu.vector)}({self.cpu.error:#x})") from None

    # THE BOARD, READ AS PYTHON

    def _advance_board(self, tick):
        clock = self.board.clock
        self._tell_trace()
        self.board.advance(max(tick - clock.now, 0))

    def _tell_trace(self):
        state, cpu = self.board.bus.irq, self.cpu
        state[1:4] = cpu.reg[S.SELECTORS + S.CS], cpu.eip, self.instructions

    def _board_io(self, what, address, size, value):
        """raw.io for the plain reader: as door.pass_through."""
        board, verb = self.board, what & 255
        if verb == PIN:
            return sum(int(board.words[board.pins[n]] & 1) << i for i, n in enumerate(door.PINS))
        if verb == DEADLINE:
            return board.next_deadline()
        if verb == ADVANCE:
            self._advance_board(address)
            return 0
        self._tell_trace()
        if verb == FRAME:
            bus.wires().note_frame(board.bus.address, address)
            return 0
        if verb == IRET:
            bus.wires().note_iret(board.bus.address, address)
            return 0
        board.clock.now = self.now
        if verb == PORT_READ:
            v = int(board.read(address, size))
            door.isa_cycle(self.cpu, address, int(board.clock.ips))
            return v
        if verb == PORT_WRITE:
            board.write(address, value, size)
            door.isa_cycle(self.cpu, address, int(board.clock.ips))
            return 0
        if verb in (BURST_READ, BURST_WRITE):
            return burst(board.bus.address, int(verb == BURST_WRITE), address & 0xFFFF, size, address >> 16, value)
        if verb == MEMORY_READ:
            return int(board.memory_read(what >> REGION_SHIFT, address, size))
        if verb == MEMORY_WRITE:
            board.memory_write(what >> REGION_SHIFT, address, size, value)
            return 0
        assert verb == ACKNOWLEDGE
        return int(board.acknowledge())


