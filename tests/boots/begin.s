# How the boot sectors of these tests begin: all segments 0, the stack below 7C00h, no interrupts.

start:  cli
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7C00
        cld
