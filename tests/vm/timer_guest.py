"""How a guest in real mode begins that the 8254 interrupts: segments and stack, IRQ0 to vector 8 and to a handler of this name, counter 0 in mode 2.
8259A data sheet, initialization command words; 8254 data sheet, control word."""


def timer_guest(handler: str, count: int) -> str:
    """Interrupts are still off when this has run; DS and SS are 0.  The rate is 1193182 Hz / count."""
    return f"""
        cli
        xor     ax, ax
        mov     ds, ax
        mov     ss, ax
        mov     sp, 0x7000
        mov     word ptr [0x20], offset {handler}
        mov     [0x22], ax
        mov     al, 0x11
        out     0x20, al
        mov     al, 8
        out     0x21, al
        mov     al, 4
        out     0x21, al
        mov     al, 1
        out     0x21, al
        mov     al, 0xFE
        out     0x21, al
        mov     al, 0x34
        out     0x43, al
        mov     al, {count & 255}
        out     0x40, al
        mov     al, {count >> 8}
        out     0x40, al
"""
