/*
 * memcpy and relatives.
 *
 * In a module with bulk memory every copy of unknown length is one `memory.copy`, and Wasmer makes that a
 * call out of compiled code: more than ten nanoseconds for a copy that is mostly a few dozen bytes
 * long (tuples, varlenas, sort keys). So the compiler is told to call these instead
 * (-mno-bulk-memory-opt); they copy short pieces themselves and leave long ones to the instruction.
 * wasi-libc's own know neither SIMD nor the instruction.
 *
 * Pieces that are no multiple of the width end with one that overlaps the one before.
 */
#include <stddef.h>
#include <stdint.h>
#include <wasm_simd128.h>

/* Bytes from which on the call out of compiled code pays. */
#define LONG 512

/* Or the compiler would see what these loops do, and call the functions they are in. */
#define SELF __attribute__((no_builtin("memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen")))

typedef uint16_t __attribute__((aligned(1), may_alias)) u16;
typedef uint32_t __attribute__((aligned(1), may_alias)) u32;
typedef uint64_t __attribute__((aligned(1), may_alias)) u64;

static inline void
bulk_copy(void *to, const void *from, size_t len)
{
	__asm__ volatile ("local.get %0\n\tlocal.get %1\n\tlocal.get %2\n\tmemory.copy 0, 0"
					  : : "r" (to), "r" (from), "r" (len) : "memory");
}

static inline void
bulk_fill(void *to, int byte, size_t len)
{
	__asm__ volatile ("local.get %0\n\tlocal.get %1\n\tlocal.get %2\n\tmemory.fill 0"
					  : : "r" (to), "r" (byte), "r" (len) : "memory");
}

/* Up to 16 bytes, which may overlap: everything is read before anything is written. */
static inline void
copy_short(char *to, const char *from, size_t len)
{
	if (len >= 8)
	{
		uint64_t	first = *(const u64 *) from;
		uint64_t	last = *(const u64 *) (from + len - 8);

		*(u64 *) to = first;
		*(u64 *) (to + len - 8) = last;
	}
	else if (len >= 4)
	{
		uint32_t	first = *(const u32 *) from;
		uint32_t	last = *(const u32 *) (from + len - 4);

		*(u32 *) to = first;
		*(u32 *) (to + len - 4) = last;
	}
	else if (len >= 2)
	{
		uint16_t	first = *(const u16 *) from;
		uint16_t	last = *(const u16 *) (from + len - 2);

		*(u16 *) to = first;
		*(u16 *) (to + len - 2) = last;
	}
	else if (len == 1)
		*to = *from;
}

SELF void *
memcpy(void *restrict to, const void *restrict from, size_t len)
{
	char	   *t = to;
	const char *f = from;

	if (len <= 16)
		copy_short(t, f, len);
	else if (len <= LONG)
	{
		size_t		i = 0;

		for (; i + 16 < len; i += 16)
			wasm_v128_store(t + i, wasm_v128_load(f + i));
		wasm_v128_store(t + len - 16, wasm_v128_load(f + len - 16));
	}
	else
		bulk_copy(to, from, len);
	return to;
}

SELF void *
memmove(void *to, const void *from, size_t len)
{
	char	   *t = to;
	const char *f = from;

	if (len <= 16)
		copy_short(t, f, len);
	else if (len > LONG)
		bulk_copy(to, from, len);
	else if (t <= f)
	{
		/* Forwards; the end is read before it can be overwritten. */
		v128_t		end = wasm_v128_load(f + len - 16);
		size_t		i = 0;

		for (; i + 16 < len; i += 16)
			wasm_v128_store(t + i, wasm_v128_load(f + i));
		wasm_v128_store(t + len - 16, end);
	}
	else
	{
		/* Backwards; likewise the beginning. */
		v128_t		beginning = wasm_v128_load(f);
		size_t		i = len;

		for (; i > 16; i -= 16)
			wasm_v128_store(t + i - 16, wasm_v128_load(f + i - 16));
		wasm_v128_store(t, beginning);
	}
	return to;
}

SELF void *
memset(void *to, int byte, size_t len)
{
	char	   *t = to;
	uint64_t	eight = (uint8_t) byte * 0x0101010101010101ull;

	if (len > LONG)
		bulk_fill(to, byte, len);
	else if (len > 16)
	{
		v128_t		sixteen = wasm_i8x16_splat(byte);
		size_t		i = 0;

		for (; i + 16 < len; i += 16)
			wasm_v128_store(t + i, sixteen);
		wasm_v128_store(t + len - 16, sixteen);
	}
	else if (len >= 8)
	{
		*(u64 *) t = eight;
		*(u64 *) (t + len - 8) = eight;
	}
	else if (len >= 4)
	{
		*(u32 *) t = eight;
		*(u32 *) (t + len - 4) = eight;
	}
	else if (len >= 2)
	{
		*(u16 *) t = eight;
		*(u16 *) (t + len - 2) = eight;
	}
	else if (len == 1)
		*t = byte;
	return to;
}

/* The sign of the first difference, as bytes compare. */
static inline int
order(uint64_t a, uint64_t b)
{
	a = __builtin_bswap64(a);
	b = __builtin_bswap64(b);
	return a < b ? -1 : a > b;
}

static inline int
compare16(const unsigned char *a, const unsigned char *b)
{
	uint32_t	equal = wasm_i8x16_bitmask(wasm_i8x16_eq(wasm_v128_load(a), wasm_v128_load(b)));
	int			at;

	if (equal == 0xffff)
		return 0;
	at = __builtin_ctz(~equal);
	return a[at] - b[at];
}

SELF int
memcmp(const void *first, const void *second, size_t len)
{
	const unsigned char *a = first;
	const unsigned char *b = second;
	int			result;

	if (len > 16)
	{
		size_t		i = 0;

		for (; i + 16 < len; i += 16)
			if ((result = compare16(a + i, b + i)) != 0)
				return result;
		return compare16(a + len - 16, b + len - 16);
	}
	if (len >= 8)
	{
		result = order(*(const u64 *) a, *(const u64 *) b);
		return result ? result : order(*(const u64 *) (a + len - 8), *(const u64 *) (b + len - 8));
	}
	for (size_t i = 0; i < len; i++)
		if (a[i] != b[i])
			return a[i] - b[i];
	return 0;
}

SELF int
bcmp(const void *first, const void *second, size_t len)
{
	return memcmp(first, second, len);
}

/* Aligned blocks of 16 never cross the end of memory, so reading past the string is harmless. */
SELF size_t
strlen(const char *string)
{
	const char *block = (const char *) ((uintptr_t) string & ~(uintptr_t) 15);
	unsigned	skip = (uintptr_t) string & 15;
	uint32_t	zeros = wasm_i8x16_bitmask(wasm_i8x16_eq(wasm_v128_load(block), wasm_i8x16_splat(0))) >> skip;

	if (zeros)
		return __builtin_ctz(zeros);
	for (;;)
	{
		block += 16;
		zeros = wasm_i8x16_bitmask(wasm_i8x16_eq(wasm_v128_load(block), wasm_i8x16_splat(0)));
		if (zeros)
			return block - string + __builtin_ctz(zeros);
	}
}
