//go:build cuda

// A trampoline jumps through its slot, which at first holds the address of a
// stub that has the name looked up by weft_cuda_resolve (shim.c).
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
	.type \name, @function
\name:
	endbr64
	jmp *.Lslot_\name(%rip)
.Lstub_\name:
	endbr64
	leaq .Lname_\name(%rip), %rax
	leaq .Lslot_\name(%rip), %r11
	jmp resolve
	.size \name, .-\name
	.endm

	.text
	.type resolve, @function
resolve: // keeps the six integer and eight vector argument registers
	.cfi_startproc
	pushq %rbp
	.cfi_def_cfa_offset 16
	.cfi_offset 6, -16
	movq %rsp, %rbp
	.cfi_def_cfa_register 6
	subq $176, %rsp
	movq %rdi, (%rsp)
	movq %rsi, 8(%rsp)
	movq %rdx, 16(%rsp)
	movq %rcx, 24(%rsp)
	movq %r8, 32(%rsp)
	movq %r9, 40(%rsp)
	.irp i,0,1,2,3,4,5,6,7
	movups %xmm\i, 48+16*\i(%rsp)
	.endr
	movq %rax, %rdi
	movq %r11, %rsi
	call weft_cuda_resolve
	.irp i,0,1,2,3,4,5,6,7
	movups 48+16*\i(%rsp), %xmm\i
	.endr
	movq (%rsp), %rdi
	movq 8(%rsp), %rsi
	movq 16(%rsp), %rdx
	movq 24(%rsp), %rcx
	movq 32(%rsp), %r8
	movq 40(%rsp), %r9
	leave
	.cfi_def_cfa 7, 8
	jmp *%rax
	.cfi_endproc
	.size resolve, .-resolve

#include "functions.h"

	.section .note.GNU-stack, "", @progbits
