# A boot sector that moves the power management block of the PIIX4 and switches the machine off at its new place.   82371AB
# data sheet (290562-001), 7.1: PMBASE (40h), PMREGMISC (80h), function 3.  What it reads is put down from 8000h on, a dword each.

.equ LOG, 0x8000

.macro SELECT register
        mov     eax, 0x80000B00 + \register     # 00:01.3
        mov     dx, 0xCF8
        out     dx, eax
        mov     dx, 0xCFC
.endm

.macro PLACE base, enable
        SELECT  0x40
        mov     eax, \base
        out     dx, eax
        SELECT  0x80
        in      al, dx
        and     al, 0xFE
        or      al, \enable
        out     dx, al
.endm

.macro READ port
        mov     dx, \port
        in      eax, dx
        stosd
.endm

.macro ENABLES port
        mov     dx, \port
        xor     eax, eax
        in      ax, dx
        stosd
.endm

        mov     di, LOG
        PLACE   0x600, 1
        SELECT  0x40
        in      eax, dx
        stosd
        SELECT  0x80
        in      eax, dx
        and     eax, 1
        stosd
        READ    0xB008                  # where firmware had put the timer
        mov     bx, 0x608
        call    counts
        mov     dx, 0x602               # PM1_EN is the chip's, wherever it answers
        mov     ax, 0x0020
        out     dx, ax
        ENABLES 0x602
        PLACE   0x600, 0
        READ    0x608
        ENABLES 0x602
        PLACE   0xB000, 1
        READ    0x608
        ENABLES 0xB002
        mov     bx, 0xB008
        call    counts
        PLACE   0x600, 1
        mov     dx, 0x604               # SLP_EN with SLP_TYP 0
        mov     ax, 0x2000
        out     dx, ax
stop:   hlt
        jmp     stop

counts: mov     dx, bx                  # whether the port BX has a timer of 24 bits that runs
        in      eax, dx
        mov     ebx, eax
        mov     cx, 0xFFFF
1:      in      eax, dx
        cmp     eax, ebx
        loope   1b
        setne   al
        shr     ebx, 24
        mov     ah, bl
        movzx   eax, ax
        stosd
        ret
