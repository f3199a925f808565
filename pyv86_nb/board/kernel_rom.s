# The option ROM that starts a kernel given to the machine: Linux by the boot protocol of Documentation/x86/boot, others by
# Multiboot 0.6.96.  Firmware has made its tables and offers it as a boot device (PnP BIOS Specification 1.0A, 3.2: BEV).
#
# kernel_rom.py puts the parameters behind the code.  kernel_rom.hex is this text assembled; the tests compare them.

        .word   0xAA55
        .byte   0                       # blocks of 512 bytes (kernel_rom.py)
        xor     ax, ax                  # firmware calls this when it finds the ROM
        retf

        .org    0x1A
        .word   pnp
        .org    0x20
pnp:    .ascii  "$PnP"
        .byte   1, 2                    # revision, length / 16
        .word   0                       # no other header
        .byte   0, 0                    # checksum (kernel_rom.py)
        .long   0                       # device
        .word   maker, product
        .byte   2, 0x80, 0, 0x14        # class: network-like boot device; may be started, needs no init
        .word   0, 0                    # no boot connection vector, no disconnect vector
        .word   start, 0, 0             # bootstrap entry vector
maker:  .asciz  "pyv86_nb"
product: .asciz "kernel given to the machine"

# Everything is brought to its place by DMA of the firmware configuration device.

start:  cld
        push    cs
        pop     ds
        xor     ebp, ebp
        mov     bp, cs
        shl     ebp, 4                  # linear address of this ROM
        mov     si, offset table
        lea     edi, [ebp + table]
1:      cmp     dword ptr [si], 0
        je      2f
        xor     eax, eax
        mov     dx, 0x514
        out     dx, eax
        mov     eax, edi
        bswap   eax
        mov     dx, 0x518
        out     dx, eax
        add     si, 16
        add     edi, 16
        jmp     1b
2:      cmp     byte ptr [kind], 0
        jne     multiboot

# Linux: CS is DS + 20h, the other segments are the real-mode kernel's, the stack is the end of its heap.

        cli
        mov     ax, [place]
        mov     ds, ax
        mov     es, ax
        mov     fs, ax
        mov     gs, ax
        mov     ss, ax
        mov     sp, 0xE000
        add     ax, 0x20
        push    ax
        push    0
        retf

# Multiboot: what only firmware knows goes into the information structure, then flat protected mode.

multiboot:
        mov     ax, [place]
        mov     es, ax
        mov     di, 132                 # the memory map is at 128, each row behind its length
        xor     ebx, ebx
3:      mov     eax, 0xE820
        mov     edx, 0x534D4150
        mov     ecx, 20
        int     0x15
        jc      5f
        cmp     eax, 0x534D4150
        jne     5f
        mov     dword ptr es:[di - 4], 20
        cmp     dword ptr es:[di], 0x100000
        jne     4f
        cmp     dword ptr es:[di + 16], 1
        jne     4f
        mov     eax, es:[di + 8]
        shr     eax, 10
        mov     es:[8], eax             # mem_upper, KiB
4:      add     di, 24
        test    ebx, ebx
        jz      5f
        cmp     di, 2000
        jb      3b
5:      movzx   eax, di
        sub     eax, 132
        mov     es:[44], eax            # mmap_length
        int     0x12
        movzx   eax, ax
        mov     es:[4], eax             # mem_lower, KiB
        cli
        mov     word ptr es:[2040], 23
        lea     eax, [ebp + gdt]
        mov     es:[2042], eax
        lgdt    es:[2040]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        mov     eax, 8
        push    eax
        lea     eax, [ebp + flat]
        push    eax
        .byte   0x66
        retf

        .code32
flat:   mov     eax, 16
        mov     ds, eax
        mov     es, eax
        mov     fs, eax
        mov     gs, eax
        mov     ss, eax
        movzx   ebx, word ptr [ebp + place]
        shl     ebx, 4
        mov     eax, 0x2BADB002
        jmp     dword ptr [ebp + entry]

        .balign 8
gdt:    .quad   0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF

        .org    0x1C0
kind:   .word   0                       # 0 Linux, 1 Multiboot
place:  .word   0                       # segment of the real-mode kernel, or of the information structure
entry:  .long   0                       # of a Multiboot kernel
        .quad   0
table:                                  # descriptors of DMA, up to one of control word 0
