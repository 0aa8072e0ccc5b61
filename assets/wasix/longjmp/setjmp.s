# setjmp for clang's Wasm lowering (-wasm-enable-sjlj), in place of wasi-libc's libsetjmp.
#
# A jmp_buf holds the invocation it was made in (word 0) and the label of the call (word 1). A longjmp
# throws __c_longjmp with the address of longjmp_args = {jmp_buf, value}; the landing code of each
# function that called setjmp asks __wasm_setjmp_test whether the jmp_buf is one of its own.
# __wasm_longjmp itself is in longjmp.wat: the assembler has no exnref globals.

	.text
	.tagtype	__c_longjmp i32
	.globl	__c_longjmp
	.globl	__wasm_setjmp
	.globl	__wasm_setjmp_test
	.globl	longjmp_args
	.type	__wasm_setjmp,@function
	.type	__wasm_setjmp_test,@function
	.type	longjmp_args,@object

__c_longjmp:

	.section	.text.__wasm_setjmp,"",@
__wasm_setjmp:
	.functype	__wasm_setjmp (i32, i32, i32) -> ()
	local.get	0
	local.get	2
	i32.store	0
	local.get	0
	local.get	1
	i32.store	4
	end_function

	.section	.text.__wasm_setjmp_test,"",@
__wasm_setjmp_test:
	.functype	__wasm_setjmp_test (i32, i32) -> (i32)
	local.get	0
	i32.load	4
	i32.const	0
	local.get	0
	i32.load	0
	local.get	1
	i32.eq
	i32.select
	end_function

	.section	.bss.longjmp_args,"",@
	.p2align	3
longjmp_args:
	.skip	8
	.size	longjmp_args, 8
