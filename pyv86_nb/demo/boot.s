# The demonstration disk: a PC that does something to look at with no operating system and no firmware service.
#
# It runs in two places.  Under a BIOS the first sector is loaded at 0000:7C00 and reads the rest with INT 13h, the one
# firmware call in it.  On a machine without firmware (bare="real") the whole program is put at 7C00h and started there.
# From then on it speaks to chips only:
#
#   8259A   both, vectors 20h and 28h, every line masked but IRQ0 and IRQ1      Intel 231468
#   8254    counter 0, mode 2, 1193182 Hz / 11932 = 100 Hz                      Intel 231164
#   8042    self test, translation on, keyboard enabled, IRQ1                   IBM PC/AT Technical Reference
#   VGA     80x25 text of 9x16 dots: every register, sixteen colours, a font    IBM PS/2 Hardware Interface, video subsystem
#   MC146818 date and time, read between updates                                Motorola ADI-856
#   16550   COM1 at 115200 8N1 repeats what is typed                            National Semiconductor PC16550D
#
# GNU assembler, Intel operand order, 16-bit code for a 386 or later; `demo.assemble` translates it at run time.
# The glyphs of font.txt are put after the last line, as records of a code and sixteen rows.

.equ SECTORS, 12                        # read after the boot sector: 6 KiB, all on the first track
.equ HZ, 100
.equ PIT_RELOAD, 11932                  # 1193182 Hz / 100, rounded
.equ STATE, 64                          # bytes of variables, at the end
.equ SCREEN, 0xB800
.equ LEFT, 4                            # the typing field
.equ RIGHT, 75
.equ TOP, 13
.equ BOTTOM, 21

.equ INK, 0x17                          # attributes: background, foreground
.equ DIM, 0x13
.equ BRIGHT, 0x1F
.equ FRAME, 0x19
.equ TITLE, 0x1E
.equ LIVE, 0x1A

# ---------------------------------------------------------------- the boot sector
start:  cli
        cld
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7C00
        push    ax                      # CS:IP may have arrived as 07C0:0000
        push    offset loader
        retf
loader: cmp     dword ptr [0x13 * 4], 0 # no INT 13h: no firmware, and the program is in memory already
        je      program
        mov     di, 3                   # a floppy that has just spun up may fail twice
1:      sti
        mov     ax, 0x0200 + SECTORS
        mov     bx, 0x7E00
        mov     cx, 0x0002              # cylinder 0, sector 2
        mov     dh, 0                   # head 0, the drive in DL as the BIOS left it
        int     0x13
        cli
        jnc     program
        xor     ax, ax
        int     0x13
        dec     di
        jnz     1b
        mov     ax, SCREEN
        mov     es, ax
        xor     di, di
        mov     si, offset unread
        mov     ah, 0x4F
2:      lodsb
        stosw
        test    al, al
        jnz     2b
3:      hlt
        jmp     3b
unread: .asciz "The demonstration disk cannot be read. "

        .org    510
        .word   0xAA55

# ---------------------------------------------------------------- vectors, chips, picture
program:
        xor     di, di                  # vectors: exceptions stop with a message, anything else returns
        mov     cx, 32
        mov     eax, offset exception
        rep stosd
        mov     cx, 224
        mov     eax, offset nothing
        rep stosd
        mov     word ptr [0x20 * 4], offset irq0
        mov     word ptr [0x21 * 4], offset irq1
        xor     eax, eax
        mov     cx, STATE / 4
        mov     di, offset state
        rep stosd

        call    video
        call    picture
        call    keyboard
        mov     si, offset interrupts_and_timer
        call    outs
        mov     si, offset greeting
        call    serial

# ---------------------------------------------------------------- the idle loop
idle:   cli
        mov     eax, [ticks]
        cmp     eax, [shown]
        jne     tick
        mov     al, [key_tail]
        cmp     al, [key_head]
        jne     key
        sti                             # STI holds interrupts off for one instruction, so none is lost before HLT
        hlt
        jmp     idle
tick:   sti
        mov     [shown], eax
        call    show_time
        jmp     idle
key:    sti
        call    take_key
        jmp     idle

# ---------------------------------------------------------------- interrupt handlers
irq0:   push    ax
        inc     dword ptr [ticks]
        jmp     eoi
irq1:   push    ax
        push    bx
        in      al, 0x60                # reading lowers IRQ1
        movzx   bx, byte ptr [key_head]
        mov     [keys + bx], al
        inc     bl
        and     bl, 31
        cmp     bl, [key_tail]          # full: the newest is dropped
        je      1f
        mov     [key_head], bl
1:      pop     bx
eoi:    mov     al, 0x20
        out     0x20, al
        pop     ax
nothing: iret                           # spurious IRQ7 and IRQ15 want no EOI
exception:
        mov     ax, SCREEN
        mov     es, ax
        mov     di, (23 * 80 + 22) * 2
        mov     ah, 0x4F
        mov     si, offset crashed
        call    text
2:      cli
        hlt
        jmp     2b

# ---------------------------------------------------------------- tables of port writes
outs:   lodsw                           # SI: port, value; port 0 ends
        test    ax, ax
        jz      1f
        mov     dx, ax
        lodsb
        out     dx, al
        jmp     outs
1:      ret

.macro write port, value
        .word   \port
        .byte   \value
.endm

interrupts_and_timer:
        write   0x20, 0x11              # ICW1: edge, cascade, ICW4 follows
        write   0x21, 0x20              # ICW2: vectors 20h..27h
        write   0x21, 0x04              # ICW3: a slave on IR2
        write   0x21, 0x01              # ICW4: 8086
        write   0xA0, 0x11
        write   0xA1, 0x28
        write   0xA1, 0x02
        write   0xA1, 0x01
        write   0x21, 0xFC              # OCW1: IRQ0 and IRQ1 pass
        write   0xA1, 0xFF
        write   0x43, 0x34              # counter 0, low then high byte, mode 2, binary
        write   0x40, PIT_RELOAD & 255
        write   0x40, PIT_RELOAD >> 8
        write   0x70, 0x0B              # RTC register B: 24 hours, BCD, no interrupts
        write   0x71, 0x02
        write   0x3FB, 0x80             # COM1: DLAB, divisor 1, 8N1, FIFOs, DTR RTS
        write   0x3F8, 0x01
        write   0x3F9, 0x00
        write   0x3FB, 0x03
        write   0x3FA, 0x07
        write   0x3FC, 0x03
        .word   0

# ---------------------------------------------------------------- 8042 and keyboard
keyboard:
        mov     al, 0xAD                # keyboard off while the controller is set up
        call    command
        mov     cx, 16
1:      in      al, 0x60                # throw away what is in the buffer
        loop    1b
        mov     al, 0xAA                # self test: answers 55h
        call    command
        call    answer
        mov     al, 0x60                # write the command byte: IRQ1, system flag, translation to set 1
        call    command
        mov     al, 0x45
        call    data
        mov     al, 0xAE
        call    command
        mov     al, 0xF4                # to the keyboard itself: start scanning; answers FAh
        call    data
        call    answer
        ret
command:
        call    ready
        out     0x64, al
        ret
data:   call    ready
        out     0x60, al
        ret
ready:  mov     ah, al                  # wait for an empty input buffer, but not for ever
        mov     cx, 0xFFFF
1:      in      al, 0x64
        test    al, 2
        loopnz  1b
        mov     al, ah
        ret
answer: mov     cx, 0xFFFF
1:      in      al, 0x64
        test    al, 1
        loopz   1b
        in      al, 0x60
        ret

# ---------------------------------------------------------------- VGA: mode, colours, font
video:  mov     dx, 0x3C4
        mov     ax, 0x0100              # sequencer held in reset while the clock changes
        out     dx, ax
        mov     dx, 0x3C2
        mov     al, 0x67                # colour addresses, memory on, 28 MHz, 400 lines
        out     dx, al
        mov     dx, 0x3D4
        mov     ax, 0x0E11              # CRTC registers 0..7 are behind a lock
        out     dx, ax
        mov     si, offset mode
1:      lodsw                           # port, count, values of index 0, 1, 2...
        test    ax, ax
        jz      3f
        mov     dx, ax
        lodsb
        movzx   cx, al
        xor     bx, bx
2:      lodsb
        mov     ah, al
        mov     al, bl
        out     dx, ax
        inc     bx
        loop    2b
        jmp     1b
3:      mov     dx, 0x3C4
        mov     ax, 0x0300
        out     dx, ax
        mov     dx, 0x3DA               # attribute controller: a read here makes the next write an index
        in      al, dx
        mov     dx, 0x3C0
        xor     bx, bx
        mov     cx, 16
4:      mov     al, bl                  # palette register n shows DAC entry n
        out     dx, al
        out     dx, al
        inc     bx
        loop    4b
        mov     cx, 5
5:      mov     al, bl
        out     dx, al
        lodsb
        out     dx, al
        inc     bx
        loop    5b
        mov     al, 0x20                # the screen on
        out     dx, al
        mov     dx, 0x3C6
        mov     al, 0xFF
        out     dx, al
        mov     dx, 0x3C8
        xor     al, al
        out     dx, al
        inc     dx
        mov     cx, 48
        rep outsb

        mov     si, offset font_access
        call    words
        mov     ax, 0xA000
        mov     es, ax
        mov     si, offset glyphs
6:      lodsb                           # code, then sixteen rows; the font keeps 32 bytes for each; FFh ends
        cmp     al, 0xFF
        je      7f
        movzx   di, al
        shl     di, 5
        mov     cx, 8
        rep movsw
        jmp     6b
7:      mov     si, offset text_access
        call    words
        mov     ax, SCREEN
        mov     es, ax
        ret
words:  lodsw                           # SI: port, index and value; port 0 ends
        test    ax, ax
        jz      1f
        mov     dx, ax
        lodsw
        out     dx, ax
        jmp     words
1:      ret

mode:   .word   0x3C4                   # sequencer: reset, 9 dots, planes 0 and 1, font 0, odd/even
        .byte   5, 0x01, 0x00, 0x03, 0x00, 0x02
        .word   0x3D4                   # CRTC: 80x25, 400 lines at 70 Hz, cursor on lines 13 and 14
        .byte   25, 0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E
        .byte   0x00, 0x00, 0x00, 0x00, 0x9C, 0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF
        .word   0x3CE                   # graphics controller: odd/even, memory at B8000
        .byte   9, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0E, 0x00, 0xFF
        .word   0
        .byte   0x04, 0x00, 0x0F, 0x08, 0x00   # attributes 10h..14h: line graphics, bright backgrounds, 4 planes, 9-dot panning
        .byte    0,  0,  0,   3,  6, 16,   8, 36, 24,  16, 40, 46      # DAC: black, navy, green, teal
        .byte   46, 12, 14,  38, 16, 42,  46, 30, 10,  44, 47, 52      # red, violet, amber, grey
        .byte   18, 20, 28,  22, 34, 58,  32, 58, 36,  30, 56, 60      # slate, blue, mint, cyan
        .byte   62, 26, 26,  58, 34, 60,  63, 56, 26,  63, 63, 63      # coral, pink, yellow, white
font_access:                            # plane 2, without odd/even, at A0000
        .word   0x3C4, 0x0402, 0x3C4, 0x0604, 0x3CE, 0x0005, 0x3CE, 0x0406, 0
text_access:
        .word   0x3C4, 0x0302, 0x3C4, 0x0204, 0x3CE, 0x1005, 0x3CE, 0x0E06, 0

# ---------------------------------------------------------------- the picture
picture:
        xor     di, di
        mov     cx, 80 * 25
        mov     ax, INK << 8 | ' '
        rep stosw
        mov     ah, FRAME
        mov     si, offset double_frame
        mov     di, 0
        mov     bx, 23                  # rows between top and bottom
        mov     bp, 78
        call    box
        mov     si, offset single_frame
        mov     di, (12 * 80 + 2) * 2
        mov     bx, 9
        mov     bp, 74
        call    box
        mov     si, offset words_on_screen
1:      lodsw                           # where, attribute, text; FFFFh ends
        cmp     ax, 0xFFFF
        je      2f
        mov     di, ax
        lodsb
        mov     ah, al
        call    text
        jmp     1b
2:      mov     di, (9 * 80 + 57) * 2   # the sixteen colours
        xor     bx, bx
        mov     cx, 16
3:      mov     ah, bl
        or      ah, 0x10
        mov     al, 0xDB
        stosw
        inc     bx
        loop    3b
        call    cursor
        ret

box:    push    di                      # SI: eight signs; BX rows and BP columns inside; AH colour
        call    line
        pop     di
        add     di, 160
1:      push    di
        push    si
        lodsb
        stosw
        add     di, bp
        add     di, bp
        lodsb
        stosw
        pop     si
        pop     di
        add     di, 160
        dec     bx
        jnz     1b
        inc     si
        inc     si
line:   lodsb
        stosw
        mov     cx, bp
        lodsb
        rep stosw
        lodsb
        stosw
        ret
double_frame:
        .byte   0xC9, 0xCD, 0xBB, 0xBA, 0xBA, 0xC8, 0xCD, 0xBC
single_frame:
        .byte   0xDA, 0xC4, 0xBF, 0xB3, 0xB3, 0xC0, 0xC4, 0xD9

text:   lodsb                           # SI to ES:DI in colour AH, up to a zero
        test    al, al
        jz      1f
        stosw
        jmp     text
1:      ret

.macro at row, column, colour, words
        .word   (\row * 80 + \column) * 2
        .byte   \colour
        .asciz  "\words"
.endm

words_on_screen:
        at      0, 30, TITLE,  " pyv86_nb demo disk "
        at      2, 4,  BRIGHT, "This is a PC with no operating system: what runs is this disk alone, and"
        at      3, 4,  BRIGHT, "it speaks to the chips below itself."
        at      5, 4,  DIM,    "Timer ticks"
        at      6, 4,  DIM,    "Running for"
        at      7, 4,  DIM,    "CMOS clock"
        at      8, 4,  DIM,    "Scan code"
        at      9, 4,  DIM,    "This second"
        at      5, 44, DIM,    "\x07 8254 PIT"
        at      5, 57, INK,    "counter 0, 100 Hz"
        at      6, 44, DIM,    "\x07 8259A PIC"
        at      6, 57, INK,    "IRQ0, IRQ1"
        at      7, 44, DIM,    "\x07 MC146818"
        at      7, 57, INK,    "date and time"
        at      8, 44, DIM,    "\x07 8042"
        at      8, 57, INK,    "scan code set 1"
        at      9, 44, DIM,    "\x07 VGA"
        at      12, 5, TITLE,  " Type something "
        at      23, 4, DIM,    "Enter and Backspace work.  COM1 repeats what you type."
        .word   0xFFFF
crashed:
        .asciz  " A CPU exception: the machine stopped. "
greeting:
        .asciz  "pyv86_nb demo disk on COM1\r\n"

# ---------------------------------------------------------------- what changes: ticks, time, the bar
show_time:
        mov     eax, [shown]
        mov     di, (5 * 80 + 28) * 2
        mov     cx, 11
        call    decimal
        mov     eax, [shown]
        xor     edx, edx
        mov     ecx, HZ
        div     ecx                     # EAX seconds, EDX hundredths
        push    edx
        push    eax
        mov     ebx, edx
        mov     di, (6 * 80 + 28) * 2
        mov     eax, ebx
        call    pair
        mov     al, '.'
        call    sign
        pop     eax
        mov     ecx, 60
        xor     edx, edx
        div     ecx
        push    eax
        mov     eax, edx
        call    pair
        mov     al, ':'
        call    sign
        pop     eax
        xor     edx, edx
        div     ecx
        push    eax
        mov     eax, edx
        call    pair
        mov     al, ':'
        call    sign
        pop     eax
        call    pair
        pop     edx
        mov     di, (9 * 80 + 18) * 2   # the bar: twenty steps a second
        mov     ax, dx
        mov     bl, 5
        div     bl
        movzx   bx, al
        mov     cx, 20
        mov     ax, LIVE << 8 | 0xFE
1:      test    bx, bx
        jns     2f
        mov     ax, 0x18 << 8 | 0xFE
2:      stosw
        dec     bx
        loop    1b
        call    show_clock
        ret

# AL to the place DI, then one place to the left.
sign:   mov     ah, LIVE
        mov     es:[di], ax
        sub     di, 2
        ret
# The lowest two decimal digits of EAX, then the rest in EAX; keeps ECX.
pair:   push    ecx
        mov     ecx, 10
        call    digit
        call    digit
        pop     ecx
        ret
digit:  xor     edx, edx
        div     ecx
        push    eax
        mov     al, dl
        add     al, '0'
        call    sign
        pop     eax
        ret
# EAX right-aligned in CX places that end at DI.
decimal:
        mov     bp, cx
        mov     ecx, 10
1:      call    digit
        dec     bp
        test    eax, eax
        jnz     1b
2:      mov     al, ' '
        dec     bp
        js      3f
        call    sign
        jmp     2b
3:      ret

show_clock:
        mov     al, 0x0A                # not while an update is in progress
        out     0x70, al
        in      al, 0x71
        test    al, 0x80
        jnz     2f
        mov     di, (7 * 80 + 18) * 2
        mov     al, '2'                 # the chip counts two digits of the year
        call    put
        mov     al, '0'
        call    put
        mov     si, offset clock_parts
1:      lodsb                           # register, sign after it
        out     0x70, al
        in      al, 0x71
        mov     ah, al
        shr     al, 4
        call    bcd
        mov     al, ah
        and     al, 15
        call    bcd
        lodsb
        test    al, al
        jz      2f
        call    put
        jmp     1b
2:      ret
bcd:    add     al, '0'
put:    push    ax
        mov     ah, LIVE
        stosw
        pop     ax
        ret
clock_parts:
        .byte   0x09, '-', 0x08, '-', 0x07, ' ', 0x04, ':', 0x02, ':', 0x00, 0

# ---------------------------------------------------------------- keys
take_key:
        movzx   bx, byte ptr [key_tail]
        mov     al, [keys + bx]
        inc     bl
        and     bl, 31
        mov     [key_tail], bl
        call    show_code
        cmp     al, 0xE0                # the next code is of the grey keys
        jne     1f
        mov     byte ptr [prefix], 1
        ret
1:      xor     ah, ah
        xchg    ah, [prefix]
        mov     bl, al
        and     bl, 0x7F
        cmp     bl, 0x2A                # the shift keys, pressed or let go
        je      2f
        cmp     bl, 0x36
        je      2f
        test    al, 0x80
        jnz     4f
        test    ah, ah
        jz      3f
        cmp     al, 0x1C                # grey Enter is the only grey key that types
        jne     4f
        jmp     3f
2:      test    ah, ah
        jnz     4f
        test    al, 0x80
        setz    [shift]
        ret
3:      cmp     al, 0x39
        ja      4f
        movzx   bx, al
        mov     al, [plain + bx]
        cmp     byte ptr [shift], 0
        je      5f
        mov     al, [shifted + bx]
5:      test    al, al
        jz      4f
        call    type
4:      ret

type:   push    ax
        call    send
        pop     ax
        movzx   bx, byte ptr [row]
        movzx   cx, byte ptr [column]
        cmp     al, 8
        je      back
        cmp     al, 10
        je      newline
        call    place
        mov     ah, BRIGHT
        stosw
        inc     cx
        cmp     cx, RIGHT - LEFT + 1
        jb      moved
newline:
        xor     cx, cx
        inc     bx
        cmp     bx, BOTTOM - TOP + 1
        jb      moved
        dec     bx
        call    scroll
        jmp     moved
back:   jcxz    1f
        dec     cx
        call    place
        mov     ax, BRIGHT << 8 | ' '
        stosw
moved:  mov     [row], bl
        mov     [column], cl
        call    cursor
1:      ret
# DI: the place of row BX, column CX of the typing field.
place:  imul    di, bx, 160
        add     di, cx
        add     di, cx
        add     di, (TOP * 80 + LEFT) * 2
        ret
scroll: push    bx
        push    cx
        push    ds
        mov     ax, es
        mov     ds, ax
        mov     di, (TOP * 80 + LEFT) * 2
        mov     bx, BOTTOM - TOP
1:      lea     si, [di + 160]
        mov     cx, RIGHT - LEFT + 1
        rep movsw
        add     di, (80 - (RIGHT - LEFT + 1)) * 2
        dec     bx
        jnz     1b
        mov     cx, RIGHT - LEFT + 1
        mov     ax, BRIGHT << 8 | ' '
        rep stosw
        pop     ds
        pop     cx
        pop     bx
        ret
cursor: movzx   bx, byte ptr [row]
        movzx   cx, byte ptr [column]
        call    place
        shr     di, 1
        mov     bx, di
        mov     dx, 0x3D4
        mov     al, 0x0E
        mov     ah, bh
        out     dx, ax
        mov     al, 0x0F
        mov     ah, bl
        out     dx, ax
        ret

# The scan code AL in hexadecimal, and whether a key went down or up; keeps AL.
show_code:
        push    ax
        mov     di, (8 * 80 + 18) * 2
        mov     ah, al
        shr     al, 4
        call    hex
        mov     al, ah
        and     al, 15
        call    hex
        mov     al, 'h'
        call    put
        mov     si, offset down
        test    ah, 0x80
        jz      1f
        mov     si, offset up
1:      mov     ah, LIVE
        call    text
        pop     ax
        ret
hex:    add     al, '0'
        cmp     al, '9'
        jbe     put
        add     al, 7
        jmp     put
down:   .asciz  " down"
up:     .asciz  " up  "

# ---------------------------------------------------------------- COM1
serial: lodsb
        test    al, al
        jz      1f
        call    send
        jmp     serial
1:      ret
send:   push    ax
        mov     dx, 0x3FD
        mov     cx, 0xFFFF
1:      in      al, dx                  # wait for the transmitter, but not for ever: there may be no UART
        test    al, 0x20
        loopz   1b
        pop     ax
        mov     dx, 0x3F8
        out     dx, al
        ret

# ---------------------------------------------------------------- scan code set 1 to ASCII, codes 00h..39h
plain:  .ascii  "\0\0331234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 "
shifted:
        .ascii  "\0\033!@#$%^&*()_+\b\tQWERTYUIOP{}\n\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 "

        .balign 4
state:                                  # zeroed at the start, so a warm reset begins anew
ticks:  .long   0
shown:  .long   0
keys:   .fill   32
key_head: .byte 0
key_tail: .byte 0
shift:  .byte   0
prefix: .byte   0
row:    .byte   0
column: .byte   0
        .org    state + STATE
glyphs:
