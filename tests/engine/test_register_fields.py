"""Renaming the temporaries of native handlers.  Oracle: iced-x86 reads the renamed bytes as the same instructions with another register."""
import re

import iced_x86 as iced
import pytest

from pyv86_nb.engine import register_fields as R
from pyv86_nb.engine import stencils
from pyv86_nb.engine.emit import HOSTS, INDEX_HOST, RB_IN_X, T_HOST, U_HOST, USES_T, USES_U

NAMES = "ax cx dx bx sp bp si di".split()


def spelling(number):
    """What a register is called at 64, 32, 16 and 8 bits."""
    if number > 7:
        return f"r{number}", f"r{number}d", f"r{number}w", f"r{number}b"
    name = NAMES[number]
    return f"r{name}", f"e{name}", name, name[0] + "l" if name.endswith("x") else name + "l"


def text(code):
    return [re.sub(r"near .*|short .*|rip[^]]*", "", str(i)) for i in iced.Decoder(64, code)]      # where to: holes


@pytest.fixture(scope="module")
def handlers():
    made = stencils.load("native")
    cut, _ = stencils.cut_up(made.object, len(made.moves))
    return made, [cut.code[a:a + n].tobytes() for a, n in zip(cut.start, cut.size, strict=True)]


def test_a_renamed_handler_is_the_same_with_another_register(handlers):
    made, codes = handlers
    renamings = 0
    for n in sorted(set(made.fields[:, 0])):
        for which, register in enumerate((T_HOST, U_HOST, INDEX_HOST)):
            fields = [R.Field(*row[1:5]) for row in made.fields[made.fields[:, 0] == n] if row[5] == which]
            for host in HOSTS if fields else ():
                renamed = text(R.renamed(codes[n], fields, register ^ host))
                expected = text(codes[n])
                for old, new in zip(spelling(register), spelling(host), strict=True):
                    expected = [re.sub(rf"\b{old}\b", new, line) for line in expected]
                assert renamed == expected
                renamings += 1
    assert renamings > 8 * 500


def test_every_operand_of_a_handler_has_fields_or_is_marked(handlers):
    made, codes = handlers
    fields = {(row[0], row[5]) for row in made.fields.tolist()}
    for n, moves in enumerate(made.moves.tolist()):
        for which, uses in enumerate((USES_T, USES_U, RB_IN_X)):
            named = (T_HOST, U_HOST, INDEX_HOST)[which] in set().union(*(used for _, used in R.mentions(codes[n], iced.InstructionInfoFactory())))
            if moves & uses and named:
                assert (n, which) in fields or moves & R.FIXED_T << which


def test_an_instruction_without_four_bits_is_refused():
    encoder = iced.Encoder(64)
    encoder.encode(iced.Instruction.create_reg_reg(iced.Code.EVEX_VPBROADCASTD_XMM_K1Z_R32, iced.Register.XMM0, iced.Register.R14D), 0)
    code = encoder.take_buffer()
    with pytest.raises(R.CannotRename, match="prefix"):
        R.fields(code, 14, R.mentions(code, iced.InstructionInfoFactory()))
