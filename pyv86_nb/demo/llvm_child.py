"""The child process of `assemble.py`: the text of an inline-asm module on standard input, an ELF object on standard output.

Run as a program, never imported, and it imports llvmlite alone: nothing of this package, so that it starts in a tenth
of a second.  The text arrives escaped for an LLVM IR string.
"""

import sys

import llvmlite.binding as llvm


def main() -> None:
    """Assemble standard input; LLVM itself ends the process with status 1 when the text is wrong."""
    # The parser first: emitting inline assembly without one ends the process with a signal.
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.initialize_native_asmparser()
    quoted = sys.stdin.buffer.read().decode("ascii")
    try:
        target = llvm.Target.from_triple("i386-unknown-none-elf")
    except RuntimeError as refusal:
        sys.exit(f"this build of llvmlite has no x86 target ({refusal}); assemble on an x86 host")
    module = llvm.parse_assembly(f'target triple = "i386-unknown-none-elf"\nmodule asm "{quoted}"\n')
    sys.stdout.buffer.write(target.create_target_machine(reloc="static").emit_object(module))


if __name__ == "__main__":
    main()
