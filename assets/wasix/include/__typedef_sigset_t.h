/*
 * wasi-libc's placeholder is one byte.  Every object that holds a sigset_t must see this one: mixing the
 * two smashes stacks.
 */
#ifndef __wasilibc___typedef_sigset_t_h
#define __wasilibc___typedef_sigset_t_h
typedef unsigned long long sigset_t;
#endif
