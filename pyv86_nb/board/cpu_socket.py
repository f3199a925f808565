"""The socket of the processor: the pins that the engine looks at after every access, as plain words.   Data sheet: Intel
Pentium Processor Family Developer's Manual 241430, chapter 5, pin names; RCIN# and A20 of the IBM PC/AT Technical Reference.

    INTR NMI    interrupt requests        A20       1: address line 20 passes
    RESET       restarts: RESET or INIT#  POWEROFF  the supply goes off
    IGNNE       1: x87 instructions pass over a pending error (coprocessor_error.py)
    REMAP       not a pin of any processor: memory, ports or interrupt routes have moved, the board must look (at_pc.py)
    NOTICE      nor this: what somebody waits for has changed (a text on the screen or COM1), the run is interrupted

One word serves RESET and INIT#: who has raised it says which it is (at_pc.py, reset_line).

Not emulated: SMI#, bus and test pins.
"""
from ..devices.chip import Chip, pin_out, pins_in

LOOKED_AT = "INTR", "NMI", "A20", "RESET", "REMAP", "POWEROFF", "IGNNE", "NOTICE"


class CpuSocket(Chip):
    """the pins of the processor, and the supply"""
    INTR = pins_in(1, "interrupt request")
    NMI = pins_in(1, "non-maskable interrupt")
    A20 = pins_in(1, "address line 20 passes (the chip's A20M# is the opposite)")
    RESET = pins_in(1, "the processor is reset")
    REMAP = pins_in(1, "memory, ports or interrupt routes have moved")
    POWEROFF = pins_in(1, "the supply goes off")
    IGNNE = pins_in(1, "x87 errors are ignored (the chip's IGNNE# is the opposite)")
    NOTICE = pins_in(1, "what somebody waits for has changed")
    VCC = pin_out("supply, 5 V: pins tied high", reset=1)
