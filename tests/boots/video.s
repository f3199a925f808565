# A boot sector that sets a video mode through the BIOS and draws.   VESA BIOS Extension 2.0, functions 4F00h-4F02h, 4F05h.
# MODE is a number of INT 10h, AH=0; or, with WIDTH, HEIGHT and DEPTH, a mode is looked for that has them, and drawn through the
# linear framebuffer or, with BANKS = 1, through its 64 KiB windows; with DISPI = 1 it is set without the BIOS, by the registers of
# the Bochs VBE Display API.  "!" to port E9h says that it is done.

.equ INFO, 0x2000
.equ LINES, 0x2028                      # of the mode's information: bytes of a line +10h, width +12h, height +14h, depth +19h, address +28h

.if MODE
        mov     ax, MODE
        int     0x10
        mov     ah, 1                   # the cursor blinks in real time: off
        mov     cx, 0x2000
        int     0x10
        mov     dl, 0
1:      mov     si, offset text         # letters in all colours
2:      lodsb
        cmp     al, 0
        je      3f
        mov     ah, 0x0E
        mov     bh, 0
        mov     bl, dl
        and     bl, 15
        push    dx
        int     0x10
        pop     dx
        jmp     2b
3:      inc     dl
        cmp     dl, 18
        jb      1b
        mov     cx, 100                 # and a line of points
4:      mov     ax, cx
        and     al, 15
        mov     ah, 0x0C
        mov     dx, cx
        mov     bh, 0
        int     0x10
        loop    4b
.else
        mov     di, 0x3000
        mov     dword ptr [di], 0x32454256      # "VBE2"
        mov     ax, 0x4F00
        int     0x10
        lfs     si, [0x3000 + 14]       # the list of modes
next:   mov     cx, fs:[si]
        add     si, 2
        cmp     cx, 0xFFFF
        je      none
        mov     ax, 0x4F01
        mov     di, INFO
        push    cx
        push    si
        int     0x10
        pop     si
        pop     cx
    .if DISPI
        cmp     dword ptr [INFO + 0x28], 0      # any with a framebuffer
        je      next
        mov     si, offset regs
3:      lodsw
        cmp     ax, 0xFFFF
        je      4f
        mov     dx, 0x1CE
        out     dx, ax
        inc     dx
        lodsw
        out     dx, ax
        jmp     3b
4:      mov     ecx, WIDTH * ((DEPTH + 7) / 8) * HEIGHT / 4
    .else
        cmp     word ptr [INFO + 0x12], WIDTH
        jne     next
        cmp     word ptr [INFO + 0x14], HEIGHT
        jne     next
        cmp     byte ptr [INFO + 0x19], DEPTH
        jne     next
        mov     bx, cx
        or      bx, 0x4000 * (1 - BANKS)
        mov     ax, 0x4F02
        int     0x10
        movzx   ecx, word ptr [INFO + 0x10]
        movzx   eax, word ptr [INFO + 0x14]
        mul     ecx
        shr     eax, 2
        mov     ecx, eax                # double words of the picture
    .endif
        mov     ebp, 0x12345678
    .if BANKS
        mov     ax, 0xA000
        mov     es, ax
        xor     dx, dx                  # window by window
1:      push    cx
        mov     ax, 0x4F05
        xor     bx, bx
        int     0x10
        pop     cx
        xor     di, di
2:      call    random
        mov     es:[di], ebp
        add     di, 4
        dec     ecx
        jz      done
        test    di, di
        jnz     2b
        inc     dx
        jmp     1b
    .else
        lgdt    [table]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        mov     bx, 8                   # a limit of 4 GiB, which stays
        mov     es, bx
        and     al, 0xFE
        mov     cr0, eax
        mov     edi, [INFO + 0x28]
2:      call    random
        mov     es:[edi], ebp
        add     edi, 4
        dec     ecx
        jnz     2b
    .endif
.endif
done:   mov     al, 0x21
        out     0xE9, al
none:   hlt
        jmp     none

random: imul    ebp, ebp, 1664525       # Numerical Recipes, 7.1
        add     ebp, 1013904223
        ret

regs:   .word   4, 0, 1, WIDTH, 2, HEIGHT, 3, DEPTH, 4, 0x41, 0xFFFF
text:   .asciz  " The quick brown fox, 1234567890\r\n"
table:  .word   15
        .long   gdt
gdt:    .quad   0
        .quad   0x00CF92000000FFFF
