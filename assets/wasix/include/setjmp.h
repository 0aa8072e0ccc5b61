/* The compiler's setjmp lowering knows only the name setjmp; there is no signal mask to save. */
#pragma once
#include_next <setjmp.h>
#define sigjmp_buf jmp_buf
#define sigsetjmp(buf, save_mask) setjmp(buf)
#define siglongjmp(buf, value) longjmp(buf, value)
