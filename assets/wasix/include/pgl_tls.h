/*
 * The kernel's calls on TLS sessions, for src/backend/libpq/be-secure-kernel.c.  Each returns 0 or a WASI
 * error number, which is an errno.  A kernel without TLS (the library's feature "tls" is off) answers
 * ENOTSUP.  Where one fails with EPROTO or EPROTONOSUPPORT (no common version), tls_message says why.
 */
#ifndef PGL_TLS_H
#define PGL_TLS_H

#include <stdint.h>

#define PGL_TLS(name) __attribute__((import_module("pglite"), import_name(#name)))

typedef struct PglTlsSettings
{
	const void *chain;			/* the server's certificate and those above it, PEM, as the next three */
	uint32_t	chain_len;
	const void *key;
	uint32_t	key_len;
	const void *authorities;	/* who signs clients' certificates; empty: clients are not asked for one */
	uint32_t	authorities_len;
	const void *revoked;		/* revocation lists for clients' certificates */
	uint32_t	revoked_len;
	const void *protocol;		/* for ALPN */
	uint32_t	protocol_len;
	const void *ciphers;		/* for TLS 1.2, in OpenSSL's language */
	uint32_t	ciphers_len;
	const void *curve;			/* by OpenSSL's name */
	uint32_t	curve_len;
	uint32_t	prefer_server_ciphers;
	uint32_t	min_version;	/* 12 or 13 */
	uint32_t	max_version;
} PglTlsSettings;

/* What tls_configure failed on. */
#define PGL_TLS_CHAIN		1
#define PGL_TLS_KEY			2
#define PGL_TLS_PAIR		3		/* certificate and key do not belong together */
#define PGL_TLS_AUTHORITIES	4
#define PGL_TLS_REVOKED		5
#define PGL_TLS_CIPHERS		6
#define PGL_TLS_CURVE		7
#define PGL_TLS_VERSIONS	8

/* What a call that fails with EAGAIN waits for. */
#define PGL_TLS_WANT_READ	1
#define PGL_TLS_WANT_WRITE	2

/* What there is to know about a session; the last five are empty if the client has sent no certificate. */
#define PGL_TLS_VERSION				1	/* TLSv1.3 */
#define PGL_TLS_CIPHER				2	/* by OpenSSL's name */
#define PGL_TLS_BITS				3	/* in decimal */
#define PGL_TLS_PROTOCOL			4	/* what ALPN agreed on; empty if the client did not use it */
#define PGL_TLS_CERTIFICATE			5	/* the server's, DER */
#define PGL_TLS_CERTIFICATE_HASH	6	/* of the channel binding tls-server-end-point: SHA256, ... */
#define PGL_TLS_PEER_COMMON_NAME	7
#define PGL_TLS_PEER_NAME			8	/* RFC 2253 */
#define PGL_TLS_PEER_SUBJECT		9	/* with slashes */
#define PGL_TLS_PEER_ISSUER			10
#define PGL_TLS_PEER_SERIAL			11	/* in decimal */

PGL_TLS(tls_available) extern int32_t k_tls_available(void);
/*
 * Makes the configuration of this process, and of those it will spawn, in place of an earlier one.  That
 * one stays if it fails with EINVAL; then *part is what it failed on, and tls_message says why.
 */
PGL_TLS(tls_configure) extern int32_t k_tls_configure(const PglTlsSettings *settings, uint32_t *part);
PGL_TLS(tls_forget) extern int32_t k_tls_forget(void);
/* Begins a session on a socket, as the server.  early: what was already read from the socket. */
PGL_TLS(tls_accept) extern int32_t k_tls_accept(int32_t fd, const void *early, uint32_t len);
/* None of these waits.  A write is tried again with the same bytes, or more. */
PGL_TLS(tls_handshake) extern int32_t k_tls_handshake(int32_t fd, uint32_t *wants);
PGL_TLS(tls_read) extern int32_t k_tls_read(int32_t fd, void *buffer, uint32_t len, uint32_t *result, uint32_t *wants);
PGL_TLS(tls_write) extern int32_t k_tls_write(int32_t fd, const void *data, uint32_t len, uint32_t *result, uint32_t *wants);
/* Sends close_notify, if the socket takes it now. */
PGL_TLS(tls_close) extern int32_t k_tls_close(int32_t fd);
/* Puts as much of it into the buffer as there is room for, without a 0 at the end; *result is its whole length. */
PGL_TLS(tls_fact) extern int32_t k_tls_fact(int32_t fd, uint32_t fact, void *buffer, uint32_t size, uint32_t *result);
/* Why the last call failed: text that ends with 0, cut off where the buffer ends. */
PGL_TLS(tls_message) extern int32_t k_tls_message(char *buffer, uint32_t size);

#endif
