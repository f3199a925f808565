"""The PC/AT board, as far as it goes here: who sits where, and which pin is soldered to which."""
from .backplane import Backplane
from ..engine.bus import INTA
from ..devices.chip import Chip, pin_out, pins_in
from ..devices.pic_8259 import Pic8259
from ..devices.pit_8254 import Pit8254
from ..devices.rtc_mc146818 import RtcMc146818
from ..devices.system_port_b import SystemPortB



class CpuSocket(Chip):
    """the pins of the processor, and the supply"""
    INTR = pins_in(1, "interrupt request")
    VCC = pin_out("supply, 5 V: pins tied high", reset=1)


def at_pc(clock=None, start=(26, 11, 21, 12, 0, 0), weekday=7):
    b = Backplane(clock)
    cpu = b.plug(CpuSocket("cpu"))

    #        address       chip
    pic1 = b.at(0x20, p1 := Pic8259("pic1", master=True, elcr_mask=0xF8))
    pic2 = b.at(0xA0, p2 := Pic8259("pic2", master=False, elcr_mask=0xDE))
    b.at(0x4D0, p1, "elcr"); b.at(0x4D1, p2, "elcr")
    b.at(INTA, p1, "inta"); b.at(INTA + 2, p2, "inta")   # the slave on IR2 answers at INTA + 2
    pit  = b.at(0x40, Pit8254("pit"))
    port = b.at(0x61, SystemPortB("port61"))
    rtc  = b.at(0x70, RtcMc146818("rtc", start, weekday))

    #   from               to
    pic1.INT            >> cpu.INTR
    pic2.INT            >> pic1.ir[2]
    pit.OUT[0]          >> pic1.ir[0]
    rtc.IRQ             >> pic2.ir[0]
    cpu.VCC             >> pit.GATE[0]
    cpu.VCC             >> pit.GATE[1]
    port.GATE2          >> pit.GATE[2]
    pit.OUT[2]          >> port.OUT2
    b.controllers = [(p1, 0), (p2, 8)]
    return b.power_on()

