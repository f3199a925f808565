"""Sums, products and shifts of the engine and of the chips under watch, for a process of its own: `python tests/engine/exact_arithmetic.py`.

numba takes + - * of int64 for sums that never leave 64 bits (LLVM: nsw) and shift counts for 0-63; where they are not, compiled code
may do anything.  Here the modules that numba compiles are imported with each of these operations checked, and run as Python: random
streams, every form of every row, and numbers of the FPU at the edges; chips programmed with whatever comes, early and late in the
machine's life, at its slowest and fastest.  What wraps on purpose is wide.plus, minus, times.
"""
import ast
import importlib.abc
import importlib.machinery
import importlib.util
import pathlib
import random
import sys

ROOT = pathlib.Path(__file__).parents[2] / "pyv86_nb"
sys.path.append(str(pathlib.Path(__file__).parents[1] / "devices"))
# unbounded on purpose, as nothing of them is compiled: wide words and floating point of the plain reader, and what only Python calls
PYTHON_ONLY_FUNCTIONS = {"read_wide", "write_wide"}     # of modules that are compiled
PYTHON_ONLY = {"wide", "lanes", "lanes_llvm", "softfloat", "floating", "packed", "cipher", "text", "val", "emit", "emit_vector", "forms", "stencils",
               "models", "plain", "processor", "memory", "cache", "unit", "view", "fpu_registers", "vector_registers", "irq_trace", "bus"}
YEARS, LONGEST = 3600 * 24 * 365 * 10, 1 << 61           # s of guest time, ticks: NEVER is 2**62
LOW, HIGH = -1 << 63, (1 << 63) - 1
found: dict = {}


def note(where, what):
    found.setdefault(where, what)


def add(a, b, where):
    r = a + b
    if type(r) is int and not LOW <= r <= HIGH:
        note(where, f"{a:#x} + {b:#x}")
    return r


def sub(a, b, where):
    r = a - b
    if type(r) is int and not LOW <= r <= HIGH:
        note(where, f"{a:#x} - {b:#x}")
    return r


def mult(a, b, where):
    r = a * b
    if type(r) is int and not LOW <= r <= HIGH:
        note(where, f"{a:#x} * {b:#x}")
    return r


def lshift(a, b, where):
    if type(b) is int and not 0 <= b <= 63:
        note(where, f"{a} << {b}")
    return a << b


def rshift(a, b, where):
    if type(b) is int and not 0 <= b <= 63:
        note(where, f"{a} >> {b}")
    return a >> b


def neg(a, where):
    if type(a) is int and a == LOW:
        note(where, "-(-2**63)")
    return -a


CHECKS = {ast.Add: add, ast.Sub: sub, ast.Mult: mult, ast.LShift: lshift, ast.RShift: rshift}


class Watch(ast.NodeTransformer):
    """Calls of the checks in place of operators, inside functions; of a chip's, those that are compiled."""

    def __init__(self, name, chip):
        self.name, self.chip, self.depth = name, chip, 0

    def visit_FunctionDef(self, node):
        if node.name in PYTHON_ONLY_FUNCTIONS or self.chip and not any(ast.unparse(d) == "kernel" for d in node.decorator_list):
            return node
        self.depth += 1
        node.body = [self.visit(n) for n in node.body]
        self.depth -= 1
        return node

    def call(self, function, node, *args):
        where = ast.Constant(f"{self.name}:{node.lineno}")
        return ast.copy_location(ast.Call(ast.Name(f"exact__{function}", ast.Load()), [*args, where], []), node)

    def visit_BinOp(self, node):
        self.generic_visit(node)
        check = CHECKS.get(type(node.op))
        return self.call(check.__name__, node, node.left, node.right) if check and self.depth else node

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        return self.call("neg", node, node.operand) if isinstance(node.op, ast.USub) and self.depth else node

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        check = CHECKS.get(type(node.op))
        if not check or not self.depth:
            return node
        read = ast.parse(ast.unparse(node.target), mode="eval").body
        return ast.copy_location(ast.Assign([node.target], self.call(check.__name__, node, read, node.value)), node)


class Loader(importlib.machinery.SourceFileLoader):
    def source_to_code(self, data, path, *, _optimization=-1):
        tree = ast.fix_missing_locations(Watch(pathlib.Path(path).stem, "devices" in path).visit(ast.parse(data)))
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimization)

    def get_code(self, fullname):
        return self.source_to_code(self.get_data(self.path), self.path)

    def exec_module(self, module):
        for f in (*CHECKS.values(), neg):
            vars(module)[f"exact__{f.__name__}"] = f
        super().exec_module(module)


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if not name.startswith(("pyv86_nb.engine", "pyv86_nb.devices")) or name.rpartition(".")[2] in PYTHON_ONLY:
            return None
        at = ROOT.joinpath(*name.split(".")[1:]).with_suffix(".py")
        return importlib.util.spec_from_file_location(name, at, loader=Loader(name, str(at))) if at.exists() else None


def chips(acts):
    """Every chip, in the hands of the guests of test_hostile_guest.py."""
    import test_hostile_guest as H

    rng = random.Random("chips")
    for ips in (1_200_000, 100_000_000, 3_333_333_000, 50_000_000_000):
        for age in (0, 3600, min(YEARS, LONGEST // ips)):
            for act in (H.ide, H.virtio, H.floppy, H.fw_cfg, H.timers, *[H.anything] * 6):
                pc = H.Pc(ips)
                pc.board.clock.now = age * ips
                for _ in range(acts):
                    act(rng, pc)


def main(cases, numbers, acts):
    sys.meta_path.insert(0, Finder())
    import every_form as E
    import fuzz
    import test_fpu
    from fpu_machine import FpuMachine
    from worlds import WORLDS

    fuzz.main(500_000, cases, ("python",))
    rng = random.Random("exact")
    machines = {w.name: E.machine("python", w) for ws in E.WORLDS.values() for w in ws}
    for i, row, form in E.ALL[::7]:
        case = E.attempt(next(E.seeds(i, form)), row, form)
        m = machines[case.world.name]
        m.start(E.fill(rng, case, row), case.regs, case.world.eip, case.eflags, False, case.xmm)
        m.run(E.ticks_of(row))
    m = FpuMachine("python", WORLDS[0])
    for _ in range(numbers):
        state = test_fpu.state(rng)
        m.one(test_fpu.instruction(rng, state), state)
    chips(acts)
    for where, what in sorted(found.items()):
        print("leaves 64 bits:", where, what)
    print(f"{len(found)} places")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
