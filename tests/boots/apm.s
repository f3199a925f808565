# A boot sector that asks the BIOS for APM 1.2 and switches the machine off.   Advanced Power Management BIOS Interface
# Specification 1.2, section 4.  WAY says how: 1 by INT 15h, 2 by the 16-bit and 3 by the 32-bit protected-mode interface.
# What each call answers is put down from 8000h on: AX, EBX, CX, DX, SI, flags; bytes 14 each.

.equ LOG, 0x8000
.equ OWN16, 0x20                        # selectors: 8, 10h, 18h are the BIOS's, as the connection says
.equ OWN32, 0x28
.equ DATA, 0x30

.macro BIOS                             # far call through `entry`, m16:16 or m16:32
    .if WAY == 2
        .byte   0xFF, 0x1E
        .word   entry
    .else
        .byte   0xFF, 0x1D
        .long   entry
    .endif
.endm

        mov     di, LOG
        mov     bp, offset calls        # real mode first: present? connect, version, status, event, disconnect
next:   mov     ax, [bp]
        mov     bx, [bp + 2]
        mov     cx, 0x0102
        add     bp, 4
        cmp     ax, 0
        je      own
        call    ask
        jmp     next

own:    mov     ax, 0x5300 + WAY        # connect: AX code, BX entry, CX (DX for 32 bits) data
        xor     ebx, ebx
        call    ask
.if WAY == 1
        mov     ax, 0x5307
        mov     bx, 1
        mov     cx, 3
        call    ask                     # does not come back
.else
        mov     [entry], ebx
        movzx   esi, ax
        mov     bp, offset gdt + 8
        call    base
    .if WAY == 3
        movzx   esi, cx
        call    base
        movzx   esi, dx
    .else
        movzx   esi, cx
    .endif
        call    base
        cli
        lgdt    [table]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
    .if WAY == 2
        .byte   0xEA                    # far jump, ptr16:16
        .word   protected, OWN16
protected:
        mov     ax, DATA
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     word ptr [entry + 2], 8
    .else
        .byte   0xEA
        .word   protected, OWN32
.code32
protected:
        mov     ax, DATA
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        movzx   esp, sp
        mov     word ptr [entry + 4], 8
    .endif
        mov     ax, 0x530E
        xor     bx, bx
        mov     cx, 0x0102
        BIOS
        mov     [di], ax
        setc    [di + 2]
        mov     ax, 0x5307
        mov     bx, 1
        mov     cx, 3
        BIOS
        hlt
.code16
base:   shl     esi, 4                  # the base of the next descriptor
        mov     [bp + 2], si
        shr     esi, 16
        mov     ax, si
        mov     [bp + 4], al
        add     bp, 8
        ret
.endif
stop:   hlt
        jmp     stop

ask:    push    bp
        int     0x15
        pop     bp
        pushf
        mov     [di], ax
        mov     [di + 2], ebx
        mov     [di + 6], cx
        mov     [di + 8], dx
        mov     [di + 10], si
        pop     word ptr [di + 12]
        and     byte ptr [di + 12], 1   # CF
        mov     byte ptr [di + 13], 0
        add     di, 14
        ret

calls:  .word   0x5300, 0, 0x5301, 0, 0x530E, 0, 0x5301, 0, 0x530A, 1, 0x530B, 0, 0x530F, 1, 0x5307, 0x1234, 0x5380, 0, 0x5304, 0, 0, 0
entry:  .word   0, 0, 0
table:  .word   0x37
        .long   gdt
gdt:    .quad   0
.if WAY == 3
        .quad   0x00409A000000FFFF
        .quad   0x00009A000000FFFF
        .quad   0x000092000000FFFF
.else
        .quad   0x00009A000000FFFF
        .quad   0x000092000000FFFF
        .quad   0
.endif
        .quad   0x00009A000000FFFF
        .quad   0x00CF9A000000FFFF
        .quad   0x00CF92000000FFFF
