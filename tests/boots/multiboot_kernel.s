# A 32-bit kernel that insists on the machine's interrupt hardware and prints what it has found, line by line, on COM1 and the screen.
# Multiboot 0.6.96; Intel MultiProcessor Specification 1.4, chapter 4; SDM vol. 3, chapters 4, 6, 11; 82093AA data sheet.
# AT&T syntax, for GNU as; linked at 1 MiB.

        .set    LAPIC, 0xFEE00000
        .set    IOAPIC, 0xFEC00000

        .section .boot, "a"
        .balign 4
        .long   0x1BADB002, 3, -(0x1BADB002 + 3)

        .text
        .globl  _start, print, check
_start: cli
        cld
        movl    $stack, %esp
        movl    %eax, magic
        movl    %ebx, info
        call    serial
        lgdt    gdt_at                                  # the loader's table need not be there any more
        ljmp    $8, $1f
1:      movl    $16, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss

        movl    $t_magic, %esi
        cmpl    $0x2BADB002, magic
        call    check

        movl    info, %ebx                              # the memory map has RAM at 1 MiB
        movl    $t_map, %esi
        movl    48(%ebx), %edi
        movl    44(%ebx), %ecx
        addl    %edi, %ecx
2:      cmpl    %ecx, %edi
        jae     4f
        cmpl    $0x100000, 4(%edi)
        jne     3f
        cmpl    $1, 20(%edi)
        je      4f
3:      addl    (%edi), %edi
        addl    $4, %edi
        jmp     2b
4:      cmpl    %ecx, %edi
        setae   %al
        testb   %al, %al
        call    check

        movl    $t_line, %esi                           # the command line
        movl    16(%ebx), %edi
        cmpl    $0x6C6C6568, (%edi)                     # "hell"
        call    check

        movl    $t_module, %esi                         # a module and its text
        cmpl    $1, 20(%ebx)
        jne     5f
        movl    24(%ebx), %edi
        movl    (%edi), %edi
        cmpl    $0x75646F6D, (%edi)                     # "modu"
5:      call    check

        call    find_mp
        movl    $t_mp, %esi
        testl   %eax, %eax
        sete    %al
        testb   %al, %al
        call    check

# pages: 4 MiB each, one to one; the second 4 MiB are seen at 1 GiB too; the last one has the APICs
        movl    $directory, %edi
        xorl    %eax, %eax
6:      movl    %eax, %edx
        orl     $0x83, %edx
        cmpl    $0xFEC00000, %eax
        jb      7f
        orl     $0x10, %edx                             # PCD
7:      movl    %edx, (%edi)
        addl    $4, %edi
        addl    $0x400000, %eax
        jnz     6b
        movl    $0x400083, directory + 4 * 256
        movl    $directory, %eax
        movl    %eax, %cr3
        movl    %cr4, %eax
        orl     $0x10, %eax                             # PSE
        movl    %eax, %cr4
        movl    %cr0, %eax
        orl     $0x80000000, %eax
        movl    %eax, %cr0
        jmp     8f
8:      movl    $0x12345678, 0x400000
        movl    $t_paging, %esi
        cmpl    $0x12345678, 0x40000000
        call    check

# a fault comes with its address
        lidt    idt_at
        movl    $14, %eax
        movl    $page_fault, %edx
        call    gate
        movl    $0, directory + 4 * 257
        movl    %cr3, %eax
        movl    %eax, %cr3
        movl    $9f, resume
        movl    0x40400010, %eax
9:      movl    %cr2, %eax
        movl    $t_fault, %esi
        cmpl    $0x40400010, %eax
        call    check

# 8259s out of the way, local APIC on
        movb    $0xFF, %al
        outb    %al, $0x21
        outb    %al, $0xA1
        movl    $t_version, %esi
        movl    LAPIC + 0x30, %eax
        andl    $0xF0, %eax
        cmpl    $0x10, %eax                             # integrated
        call    check
        movl    $0x1FF, LAPIC + 0xF0
        movl    $0, LAPIC + 0x80
        movl    $0x40, %eax
        movl    $timer, %edx
        call    gate
        movl    $0x41, %eax
        movl    $keyboard, %edx
        call    gate
        movl    $0x42, %eax
        movl    $message, %edx
        call    gate
        movl    $0x43, %eax
        movl    $pit, %edx
        call    gate
        movl    $0x44, %eax
        movl    $disk, %edx
        call    gate
        movl    $0xFF, %eax
        movl    $spurious, %edx
        call    gate

# APIC timer: one shot, then again and again
        movl    $0xB, LAPIC + 0x3E0                     # divide by 1
        movl    $0x00040, LAPIC + 0x320
        movl    $100000, LAPIC + 0x380
        sti
        movl    $100000000, %ecx
10:     cmpl    $1, ticks
        je      11f
        loop    10b
11:     movl    $t_once, %esi
        cmpl    $1, ticks
        call    check
        movl    $1000000, %ecx
12:     loop    12b
        movl    $t_only, %esi
        cmpl    $1, ticks
        call    check
        movl    $0x20040, LAPIC + 0x320
        movl    $50000, LAPIC + 0x380
        movl    $100000000, %ecx
13:     cmpl    $10, ticks
        jae     14f
        loop    13b
14:     movl    $0x10000, LAPIC + 0x320
        movl    $t_again, %esi
        cmpl    $10, ticks
        setb    %al
        testb   %al, %al
        call    check

# a message to itself, held back by the task priority
        movl    $0x50, LAPIC + 0x80
        movl    $0x44042, LAPIC + 0x300
        movl    $1000, %ecx
24:     loop    24b
        movl    $t_held, %esi
        cmpl    $0, messages
        call    check
        movl    $t_irr, %esi
        movl    LAPIC + 0x220, %eax
        cmpl    $4, %eax
        call    check
        movl    $0, LAPIC + 0x80
        movl    $100000, %ecx
23:     loop    23b
        movl    $t_self, %esi
        cmpl    $1, messages
        call    check

# I/O APIC: the 8254 on input 2, the keyboard on input 1
        movl    $1, IOAPIC
        movl    IOAPIC + 0x10, %eax
        shrl    $16, %eax
        andl    $255, %eax
        movl    $t_inputs, %esi
        cmpl    $23, %eax
        call    check
        movl    $0x15, IOAPIC
        movl    $0, IOAPIC + 0x10
        movl    $0x14, IOAPIC
        movl    $0x43, IOAPIC + 0x10
        movb    $0x34, %al                              # 1 kHz
        outb    %al, $0x43
        movb    $0xA9, %al
        outb    %al, $0x40
        movb    $0x04, %al
        outb    %al, $0x40
        movl    $100000000, %ecx
15:     cmpl    $5, pits
        jae     16f
        loop    15b
16:     movl    $0x14, IOAPIC
        movl    $0x10043, IOAPIC + 0x10
        movl    $t_pit, %esi
        cmpl    $5, pits
        setb    %al
        testb   %al, %al
        call    check
        movl    $0x13, IOAPIC
        movl    $0, IOAPIC + 0x10
        movl    $0x12, IOAPIC
        movl    $0x41, IOAPIC + 0x10
17:     inb     $0x64, %al                              # enable the keyboard's interrupt; a self-made byte in its output
        testb   $2, %al
        jnz     17b
        movb    $0x60, %al
        outb    %al, $0x64
18:     inb     $0x64, %al
        testb   $2, %al
        jnz     18b
        movb    $0x61, %al
        outb    %al, $0x60
19:     inb     $0x64, %al
        testb   $2, %al
        jnz     19b
        movb    $0xD2, %al
        outb    %al, $0x64
20:     inb     $0x64, %al
        testb   $2, %al
        jnz     20b
        movb    $0x1E, %al
        outb    %al, $0x60
        movl    $100000000, %ecx
21:     cmpl    $0, keys
        jne     22f
        loop    21b
22:     movl    $t_key, %esi
        cmpb    $0x1E, keys
        call    check
# two IDE disks: a sector of each by PIO, announced by interrupt 14
        movl    $0x2D, IOAPIC
        movl    $0, IOAPIC + 0x10
        movl    $0x2C, IOAPIC
        movl    $0x44, IOAPIC + 0x10
        movb    $0xE0, %bl                              # LBA, device 0
        call    read_sector
        movl    $t_disk0, %esi
        cmpl    $0x30534944, sector                     # "DIS0"
        call    check
        movb    $0xF0, %bl
        call    read_sector
        movl    $t_disk1, %esi
        cmpl    $0x31534944, sector
        call    check

        movl    $t_isr, %esi
        movl    LAPIC + 0x120, %eax
        orl     LAPIC + 0x270, %eax
        call    check

        movl    $t_done, %esi
        call    print
        movw    $0x3FD, %dx                             # the last character is on the line
25:     inb     %dx, %al
        testb   $0x40, %al
        jz      25b
        cli
        hlt

# zero flag: passed
check:  pushfl
        call    print
        popfl
        movl    $t_ok, %esi
        je      1f
        movl    $t_no, %esi
1:      call    print
        ret

print:  lodsb
        testb   %al, %al
        jz      2f
        movb    %al, %ah
        movw    $0x3FD, %dx
1:      inb     %dx, %al
        testb   $0x20, %al
        jz      1b
        movb    %ah, %al
        movw    $0x3F8, %dx
        outb    %al, %dx
        movl    cursor, %edx
        cmpb    $10, %al
        jne     3f
        movl    %edx, %eax
        subl    $0xB8000, %eax
        xorl    %edx, %edx
        movl    $160, %ecx
        divl    %ecx
        incl    %eax
        mull    %ecx
        leal    0xB8000(%eax), %edx
        jmp     4f
3:      movb    $7, %ah
        movw    %ax, (%edx)
        addl    $2, %edx
4:      movl    %edx, cursor
        jmp     print
2:      ret

serial: movw    $0x3FB, %dx
        movb    $0x83, %al
        outb    %al, %dx
        movw    $0x3F8, %dx
        movb    $1, %al
        outb    %al, %dx
        incw    %dx
        xorb    %al, %al
        outb    %al, %dx
        movw    $0x3FB, %dx
        movb    $3, %al
        outb    %al, %dx
        ret

# EAX: 1 if the MP floating pointer is there, its table adds up, and it names a processor and an I/O APIC
find_mp:
        movl    $0xF0000, %edi
1:      cmpl    $0x5F504D5F, (%edi)                     # "_MP_"
        je      2f
        addl    $16, %edi
        cmpl    $0x100000, %edi
        jb      1b
        jmp     9f
2:      movl    4(%edi), %edi
        cmpl    $0x504D4350, (%edi)                     # "PCMP"
        jne     9f
        movzwl  4(%edi), %ecx
        movl    %edi, %esi
        xorl    %eax, %eax
3:      addb    (%esi), %al
        incl    %esi
        loop    3b
        testb   %al, %al
        jnz     9f
        cmpl    $LAPIC, 0x24(%edi)
        jne     9f
        movzwl  0x22(%edi), %ecx
        leal    0x2C(%edi), %esi
        xorl    %eax, %eax
4:      cmpb    $0, (%esi)
        jne     5f
        orl     $1, %eax
        addl    $12, %esi
5:      cmpb    $2, (%esi)
        jne     6f
        cmpl    $IOAPIC, 4(%esi)
        jne     6f
        orl     $2, %eax
6:      addl    $8, %esi
        loop    4b
        cmpl    $3, %eax
        jne     9f
        movl    $1, %eax
        ret
9:      xorl    %eax, %eax
        ret

# sector 3 of the device in BL (ATA/ATAPI-6, 8.34 READ SECTORS); the interrupt's handler takes the data
read_sector:
        movl    $0, sectors
        movw    $0x1F7, %dx
1:      inb     %dx, %al                                # ready and not busy; nothing that was pending still is
        andb    $0xC0, %al
        cmpb    $0x40, %al
        jne     1b
        movw    $0x3F6, %dx
        xorb    %al, %al
        outb    %al, %dx
        movw    $0x1F2, %dx
        movb    $1, %al
        outb    %al, %dx
        incw    %dx
        movb    $3, %al
        outb    %al, %dx
        xorb    %al, %al
        incw    %dx
        outb    %al, %dx
        incw    %dx
        outb    %al, %dx
        incw    %dx
        movb    %bl, %al
        outb    %al, %dx
        incw    %dx
        movb    $0x20, %al
        outb    %al, %dx
        movl    $100000000, %ecx
2:      cmpl    $0, sectors
        jne     3f
        loop    2b
3:      ret

# vector EAX to handler EDX
gate:   movw    %dx, idt(, %eax, 8)
        movw    $8, idt + 2(, %eax, 8)
        movw    $0x8E00, idt + 4(, %eax, 8)
        shrl    $16, %edx
        movw    %dx, idt + 6(, %eax, 8)
        ret

page_fault:
        addl    $4, %esp
        pushl   %eax
        movl    resume, %eax
        movl    %eax, 4(%esp)
        popl    %eax
        iret
timer:  incl    ticks
        movl    $0, LAPIC + 0xB0
        iret
pit:    incl    pits
        movl    $0, LAPIC + 0xB0
        iret
message:
        incl    messages
        movl    $0, LAPIC + 0xB0
        iret
keyboard:
        pushl   %eax
        inb     $0x60, %al
        movb    %al, keys
        movl    $0, LAPIC + 0xB0
        popl    %eax
        iret
disk:   pushal
        movw    $0x1F7, %dx
        inb     %dx, %al
        movw    $0x1F0, %dx
        movl    $sector, %edi
        movl    $128, %ecx
        rep     insl
        incl    sectors
        movl    $0, LAPIC + 0xB0
        popal
        iret
spurious:
        iret

t_magic:   .asciz "multiboot magic"
t_map:     .asciz "memory map"
t_line:    .asciz "command line"
t_module:  .asciz "module"
t_mp:      .asciz "MP table with processor and I/O APIC"
t_paging:  .asciz "4 MiB pages"
t_fault:   .asciz "page fault"
t_version: .asciz "local APIC"
t_once:    .asciz "APIC timer, one shot"
t_only:    .asciz "and only one"
t_again:   .asciz "APIC timer, periodic"
t_held:    .asciz "message held back by TPR"
t_irr:     .asciz "and waiting in IRR"
t_self:    .asciz "message to itself"
t_inputs:  .asciz "I/O APIC with 24 inputs"
t_pit:     .asciz "8254 through input 2"
t_key:     .asciz "keyboard through input 1"
t_disk0:   .asciz "a sector of disk 0 by PIO"
t_disk1:   .asciz "a sector of disk 1 by PIO"
t_isr:     .asciz "nothing left in service"
t_ok:      .asciz ": ok\n"
t_no:      .asciz ": NOT SO\n"
t_done:    .asciz "END OF LIST\n"

        .balign 8
gdt:    .quad   0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
gdt_at: .word   23
        .long   gdt
idt_at: .word   2047
        .long   idt
        .data
cursor: .long   0xB8000
        .bss
        .balign 4096
directory: .skip 4096
idt:    .skip   2048
magic:  .skip   4
info:   .skip   4
ticks:  .skip   4
sectors: .skip  4
sector: .skip   512
pits:   .skip   4
messages: .skip 4
keys:   .skip   4
resume: .skip   4
        .skip   4096
stack:
