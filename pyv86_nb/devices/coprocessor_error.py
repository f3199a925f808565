"""The latch between FERR# and IRQ13.   IBM PC/AT Technical Reference (1984), "Coprocessor"; Intel Pentium Processor Family Developer's
Manual 241430, 5.1.26 and figure 23-1 of SDM vol. 1, appendix D (MS-DOS compatibility mode): FERR#, IGNNE#.

    FERR# --> [ latch ] --> IRQ13          a write to F0h ends the request and, while the error lasts, holds IGNNE#, so that
    F0h  ---> [ clear ] --> IGNNE#         the handler can use the processor's FPU; IGNNE# goes with FERR#

With CR0.NE set the processor reports errors itself, by #MF, and FERR# stays quiet.

Not emulated: F1h as the reset of a 287 (it clears the latch, like F0h).
"""
from .chip import Chip, field, kernel, pin_out, writes


class CoprocessorError(Chip):
    """port F0h: coprocessor errors"""
    IRQ13 = pin_out("an unmasked error waits to be seen")
    IGNNE = pin_out("the processor goes on in spite of the error")
    error = field(1, "FERR# as the processor drives it, 1: error")

    @writes(0, "the processor drives FERR#", bank="ferr")
    @kernel
    def drive(latch, v, now):
        if v & 1 and latch.error == 0:
            latch.IRQ13 = 1
        if v & 1 == 0:
            latch.IGNNE = 0
        latch.error = v & 1

    @writes(0, "clear")
    @kernel
    def clear(latch, v, now):
        latch.IRQ13, latch.IGNNE = 0, latch.error

    @writes(1, "reset")
    @kernel
    def reset_287(latch, v, now):
        latch.IRQ13, latch.IGNNE = 0, latch.error
