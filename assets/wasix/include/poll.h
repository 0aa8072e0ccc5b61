/* WASI cannot ask whether the peer has closed its end; the kernel can (PGL_EVENTTYPE_FD_CLOSED). */
#pragma once
#include_next <poll.h>
#define POLLRDHUP 0x4
