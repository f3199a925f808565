"""The FPU's registers by name, for those outside: st0-st7 as (significand, exponent, empty), fpu_control, fpu_status with TOP, and
fpu_tag as FNSTENV has it, two bits for each physical register (SDM vol. 1, figure 8-7)."""
from . import fpu_images as images
from . import fpu_state as fpu
from .isa.wide import wrap

NAMES = (*(f"st{i}" for i in range(8)), "fpu_control", "fpu_status", "fpu_tag")


def get(cpu, name):
    if name[:2] == "st":
        i = int(name[2:])
        register = fpu.st(cpu, i)
        return register.significand & (1 << 64) - 1, register.exponent, fpu.is_empty(cpu, i)
    return {"fpu_control": fpu.control, "fpu_status": fpu.status, "fpu_tag": images.all_tags}[name](cpu)


def set(cpu, name, value):
    if name[:2] == "st":
        fpu.put(cpu, int(name[2:]), wrap(value[0]), value[1])
    elif name == "fpu_control":
        fpu.set_control(cpu, value)
    elif name == "fpu_status":
        images.set_words(cpu, cpu.fcw, value)
    else:
        images.set_tags(cpu, value)
