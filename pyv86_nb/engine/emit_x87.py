"""x87 instructions in native code on x86-64 hosts: the guest's FPU is in the host's.

What isa/x87.py says in integers, the host's own instruction does: results of 80 bits, status word, tags and stack are the same for
every processor (SDM vol. 1, chapter 8), with all exceptions masked, which is when handlers run.   What processors do each in
their own way, transcendental functions and partial remainders, stays with engine/fpu.py.

The first handler of a slice that wants it leaves by `exit_x87`, and code is entered again with the guest's registers in the host's FPU
(ENTER).  They go back to the state when the slice leaves (LEAVE), with which the host's FPU is empty as Python left it.   Next time
they come along at once, if the slice has used them.  MMX, whose registers they are, works in the state: `exit_mmx`.

    x87   0: the registers are in the state    1: in the host's FPU    2: in the state, and wanted there by the next slice
"""
from . import state as S
from .isa import x87
from .isa.flags import condition, of_order
from .isa.rows import parse
from .lanes_llvm import IS_X86, has
from .records import READ, WRITE
from .val import Val

IN_STATE, IN_HOST, WANTED = range(3)
NO_FOP = 0xFFFFFFFF                                     # no instruction has been noted in this slice
STATUS, TOP, ALL_MASKED = 0x477F, 0x3800, 0x3F
SIZE = {"Ms": "dword", "Md": "qword", "Mw": "word", "Ml": "dword", "Mq": "qword", "Mt": "tbyte"}
IMAGE = "ptr elementtype([512 x i8])"
# FXSAVE's image, which is the quicker to write; and FRSTOR's, the quicker to read, and of nothing else than the FPU
SAVED_FSW, SAVED_TAGS, SAVED_ST, SAVED_SIZE = 2, 4, 32, 16
LOADED_FSW, LOADED_TAGS, LOADED_ST, LOADED_SIZE = 4, 8, 28, 10
# steps that touch nothing but words of the state that are kept up to date
AS_IN_INTEGERS = x87.wait, x87.store_control


class X87:
    def run_x87(self, f):
        """The row's instruction, by the host."""
        row, ir = f.row, self.ir
        if row.step in AS_IN_INTEGERS:
            return row.step(self, f)
        if row.step is x87.status_to_ax:
            return self._status_to_ax(f)
        self.unless(self._in_host().truth(), "exit_x87")
        place = next((o for o in row.operands if o in SIZE), None)
        if row.step is x87.load_control:
            row.step(self, f)
            ir.put(f'call void asm sideeffect inteldialect "fldcw word ptr $0", "*m"(ptr elementtype(i16) {ir.at("%s", S.offset("fcw"))})')
        elif row.step is x87.clear_exceptions:
            ir.put('call void asm sideeffect "fnclex", ""()')
        elif place:
            self._with_memory(row, place)
        else:
            self._with_registers(f)
            self.track(False)

    def _in_host(self): return self.ir.load(8, self.ir.at("%s", S.offset("x87"))) == IN_HOST

    def _status_to_ax(self, f):
        """From where it is: what asks after a function has been computed by the kernel."""
        def hosts(): return [self.ir.wide(16, self.ir.name('call i16 asm sideeffect "fnstsw %ax", "={ax}"()'))]
        def own(): return [self.rd_word("fsw") | self.rd_word("ftop") << 11]
        self.wr_reg(x87.AX, "r", 16, *self.either(self._in_host(), hosts, own))

    def _with_memory(self, row, place):
        self.ordinary(row.name != "fisttp" or has("sse3"))
        p = self.probe(self.t(), x87.WIDTHS[place], row.fpu == 2)
        kind = "=*m" if row.fpu == 2 else "*m"
        self.ir.put(f'call void asm sideeffect inteldialect "{row.name} {SIZE[place]} ptr $0", "{kind}"(ptr elementtype(i8) {p})')
        if row.step is not x87.store_status:
            self.track(True)

    def _with_registers(self, f):
        """The opcode, and the guest's own ModRM behind it, patched in."""
        row, ir = f.row, self.ir
        encoding = parse(row.encoding)
        code = f".byte {encoding.opcode}; .byte imm"
        if row.step is x87.compare_to_flags:
            r = ir.name(f'call {{i8, i8, i8}} asm sideeffect "{code}; sete $0; setp $1; setb $2", "=q,=q,=q,~{{flags}}"()')
            zf, pf, cf = (ir.wide(8, ir.name(f"extractvalue {{i8, i8, i8}} {r}, {i}")) for i in range(3))
            self.set_flags(*of_order(zf, pf, cf))
        elif row.step is x87.move_if:                   # as FCMOVNE ST, ST(i), which is DB C8+i
            holds = ir.name(f"zext i1 {(condition(f.cc, *self.flags()) != 0).bit} to i8")
            code = f".byte 0xDB; .byte imm+{8 - 8 * int(encoding.extension) & 255}"
            ir.put(f'call void asm sideeffect "testb $0, $0; {code}", "q,~{{flags}}"(i8 {holds})')
        elif row.step is not x87.nothing:
            ir.put(f'call void asm sideeffect "{code}", "~{{flags}}"()')

    def leave_to_mmx(self):
        self.unless((self._in_host() ^ 1).truth(), "exit_mmx")


# BEFORE A SLICE, AND AFTER IT

def _room(ir):
    """The address of a place for an image, aligned as FXSAVE wants it."""
    at = ir.name(f"ptrtoint ptr {ir.at('%s', S.offset('room_x87'))} to i64")
    return ir.name(f"inttoptr i64 {Val(at, ir) + 15 & -16} to ptr")


def _begin(ir, condition, name):
    ir.put(f"br i1 {condition.truth()}, label %{name}, label %after_{name}")
    ir.label(name)


def _end(ir, name):
    ir.put(f"br label %after_{name}")
    ir.label(f"after_{name}")


def _of_host(m, instruction, word):
    """An instruction on a word of the state."""
    kind = "=*m" if instruction == "fnstcw" else "*m"
    m.ir.put(f'call void asm sideeffect "{instruction} $0", "{kind}"(ptr elementtype(i16) {m.ir.at("%s", S.offset(word))})')


def enter(m):
    """The guest's registers to the host's FPU, if they are wanted there."""
    if not IS_X86:
        return
    ir = m.ir
    _begin(ir, (m.rd_word("x87") == WANTED) & (m.rd_word("mode") & S.FPU != 0), "fpu")
    room, top, empty = _room(ir), m.rd_word("ftop"), m.rd_word("ftw") ^ 0xFF
    _of_host(m, "fnstcw", "usual_fcw")
    ir.store(16, m.rd_word("fcw") | ALL_MASKED, room)
    ir.store(16, m.rd_word("fsw") | top << 11, ir.at(room, LOADED_FSW))
    for shift, mask in ((4, 0x0F0F), (2, 0x3333), (1, 0x5555)):
        empty = (empty | empty << shift) & mask
    ir.store(16, empty * 3, ir.at(room, LOADED_TAGS))
    for i in range(8):
        here, there = m.st(top + i & 7), ir.at(room, LOADED_ST + LOADED_SIZE * i)
        ir.store(64, ir.load(64, here), there)
        ir.store(16, ir.load(16, ir.at(here, 8)), ir.at(there, 8))
    ir.put(f'call void asm sideeffect "frstor $0", "*m"({IMAGE} {room})')
    m.wr_word("kept_fop", m.rd_word("fop"))
    m.wr_word("fop", NO_FOP)
    m.wr_word("x87", IN_HOST)
    _end(ir, "fpu")


def leave(m, reason):
    """And back; the host's FPU is left empty.  An access that is tried again finds them where they were."""
    if not IS_X86:
        return
    ir = m.ir
    _begin(ir, m.rd_word("x87") == IN_HOST, "fpu_back")
    room = _room(ir)
    ir.put(f'call void asm sideeffect "fxsave64 $0; emms", "=*m"({IMAGE} {room})')
    _of_host(m, "fldcw", "usual_fcw")
    status = ir.load(16, ir.at(room, SAVED_FSW))
    top = (status & TOP) >> 11
    m.wr_word("fsw", status & STATUS)
    m.wr_word("ftop", top)
    m.wr_word("ftw", ir.load(8, ir.at(room, SAVED_TAGS)))
    for i in range(8):
        here, there = m.st(top + i & 7), ir.at(room, SAVED_ST + SAVED_SIZE * i)
        ir.store(64, ir.load(64, there), here)
        ir.store(64, ir.load(16, ir.at(there, 8)), ir.at(here, 8))
    used = m.rd_word("fop") != NO_FOP
    m.wr_word("fop", used.pick(m.rd_word("fop"), m.rd_word("kept_fop")))
    m.wr_word("fcs", used.pick(m.rd_reg(S.SELECTORS + S.CS), m.rd_word("fcs")))
    m.wr_word("x87", (used | (reason == READ) | (reason == WRITE)).pick(WANTED, IN_STATE))
    _end(ir, "fpu_back")
