"""How a run is cut into slices changes nothing: not the instructions counted, not what the guest does, on any tier."""
import pytest

from pyv86_nb import VM

TIERS = ("python", "threaded", "native")
CUTS = (1, 4, 7, 100_000)


def ends(tier, code, at=0x1000):
    out = set()
    for cut in CUTS:
        with VM("1M", bare="flat", tier=tier) as vm:
            vm.load(at, bytes.fromhex(code), entry=at)
            processor = vm._machine.processor
            for _ in range(5000):
                if processor.run(cut): break
            out.add((processor.now, processor.instructions, *(processor.get(r) for r in ("eip", "eax", "ecx", "esi", "edi", "eflags")), vm.memory[:].tobytes()))
    return out


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("code", [
    "bf00800000 b9e8030000 f3aa f4",                                                           # REP STOSB
    "bf00800000be00900000 c6050580000007 b932000000 f3a6 7500 f4",                             # REPE CMPSB that stops on the condition
    "bf00800000 b064 b932000000 c6051080000064 f2ae f4",                                       # REPNE SCASB
], ids=["rep stosb", "repe cmpsb", "repne scasb"])
def test_repeated_instructions(tier, code):
    assert len(ends(tier, code)) == 1


@pytest.mark.parametrize("tier", TIERS)
def test_code_translated_in_a_page_that_is_already_written_to(tier):
    """A write beside code, then a call to new code in the window that the write opened, then a write over that code."""
    caller = ("b9 02000000"                    # 1000: MOV ECX, 2
              "c605 00180000 b0"               # 1005: MOV BYTE [1800h], B0h      MOV AL, imm8
              "c605 01180000 05"               # 100C:      [1801h], 5
              "c605 02180000 c3"               # 1013:      [1802h], C3h          RET
              "bc 00700000"                    # 101A: MOV ESP, 7000h
              "e8 dc070000"                    # 101F: CALL 1800h
              "00c4"                           # 1024: ADD AH, AL
              "c605 01180000 09"               # 1026: MOV BYTE [1801h], 9        the called code is another now
              "e8 ce070000"                    # 102D: CALL 1800h
              "00c4 f4")                       # 1032: ADD AH, AL; HLT
    (end,) = ends(tier, caller.replace(" ", ""))
    assert end[3] & 0xFFFF == 14 << 8 | 9
