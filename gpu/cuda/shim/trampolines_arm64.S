//go:build cuda

// A trampoline jumps through its slot, which at first holds the address of a
// stub that has the name looked up by weft_cuda_resolve (shim.c). The hints are
// landing pads for machines that check indirect jumps.
	.macro CUFN name
	.section .rodata.str1.1, "aMS", @progbits, 1
.Lname_\name:
	.asciz "\name"
	.data
	.balign 8
.Lslot_\name:
	.quad .Lstub_\name
	.text
	.balign 16
	.globl \name
	.hidden \name
	.type \name, %function
\name:
	hint #34
	adrp x17, .Lslot_\name
	ldr x16, [x17, :lo12:.Lslot_\name]
	br x16
.Lstub_\name:
	hint #36
	adrp x16, .Lname_\name
	add x16, x16, :lo12:.Lname_\name
	adrp x17, .Lslot_\name
	add x17, x17, :lo12:.Lslot_\name
	b resolve
	.size \name, .-\name
	.endm

	.text
	.type resolve, %function
resolve: // keeps x0-x8 and q0-q7, the argument registers, and the return address
	.cfi_startproc
	stp x29, x30, [sp, #-224]!
	.cfi_def_cfa_offset 224
	.cfi_offset 29, -224
	.cfi_offset 30, -216
	mov x29, sp
	stp x0, x1, [sp, #16]
	stp x2, x3, [sp, #32]
	stp x4, x5, [sp, #48]
	stp x6, x7, [sp, #64]
	str x8, [sp, #80]
	stp q0, q1, [sp, #96]
	stp q2, q3, [sp, #128]
	stp q4, q5, [sp, #160]
	stp q6, q7, [sp, #192]
	mov x0, x16
	mov x1, x17
	bl weft_cuda_resolve
	mov x16, x0
	ldp x0, x1, [sp, #16]
	ldp x2, x3, [sp, #32]
	ldp x4, x5, [sp, #48]
	ldp x6, x7, [sp, #64]
	ldr x8, [sp, #80]
	ldp q0, q1, [sp, #96]
	ldp q2, q3, [sp, #128]
	ldp q4, q5, [sp, #160]
	ldp q6, q7, [sp, #192]
	ldp x29, x30, [sp], #224
	.cfi_restore 30
	.cfi_restore 29
	.cfi_def_cfa_offset 0
	br x16
	.cfi_endproc
	.size resolve, .-resolve

#include "functions.h"

	.section .note.GNU-stack, "", %progbits
