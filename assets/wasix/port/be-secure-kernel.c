/*-------------------------------------------------------------------------
 *
 * be-secure-kernel.c
 *	  TLS by the kernel: what be-secure-openssl.c is with OpenSSL.
 *
 * The kernel encrypts, decrypts, and reads and writes the socket; it never waits.  Waiting is done here
 * and in be-secure.c as with OpenSSL, so that a signal, a timeout or a shutdown ends it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include <pgl_tls.h>

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "libpq/libpq.h"
#include "libpq/pqcomm.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/guc_hooks.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* As much of the kernel's messages as a log line shows. */
#define MESSAGE_SIZE	512

/* Set in the postmaster, inherited by its children. */
static bool configured = false;

static const char *
message(void)
{
	static char text[MESSAGE_SIZE];

	if (k_tls_message(text, sizeof(text)) != 0)
		return _("no SSL error reported");
	return text;
}

/* ------------------------------------------------------------ */
/*						 Configuration							*/
/* ------------------------------------------------------------ */

/*
 * The truth about ssl_library: Postgres is built for a kernel with TLS, but the program may not have it.
 */
const char *
show_ssl_library(void)
{
	return k_tls_available() == 0 ? ssl_library : "";
}

/* The contents of a file, or NULL with the failure reported. */
static void *
read_file(const char *path, const char *what, int elevel, uint32_t *len)
{
	FILE	   *file = AllocateFile(path, PG_BINARY_R);
	struct stat st;
	char	   *contents;

	if (!file || fstat(fileno(file), &st) != 0)
	{
		ereport(elevel,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("could not load %s file \"%s\": %m", what, path)));
		if (file)
			FreeFile(file);
		return NULL;
	}
	contents = palloc(st.st_size + 1);
	*len = fread(contents, 1, st.st_size, file);
	FreeFile(file);
	return contents;
}

/* Whether OpenSSL would look at a file of that name in a directory of revocation lists. */
static bool
is_crl_name(const char *name)
{
	return strlen(name) > 10 && strspn(name, "0123456789abcdef") == 8 &&
		name[8] == '.' && name[9] == 'r' && strspn(name + 10, "0123456789") == strlen(name + 10);
}

/* ssl_crl_file and the files of ssl_crl_dir as one; false with the failure reported. */
static bool
read_revocation_lists(int elevel, StringInfo all)
{
	uint32_t	len;
	void	   *contents;

	initStringInfo(all);
	if (ssl_crl_file[0])
	{
		contents = read_file(ssl_crl_file, _("SSL certificate revocation list"), elevel, &len);
		if (!contents)
			return false;
		appendBinaryStringInfo(all, contents, len);
	}
	if (ssl_crl_dir[0])
	{
		DIR		   *dir = AllocateDir(ssl_crl_dir);
		struct dirent *entry;

		if (!dir)
		{
			ereport(elevel,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("could not load SSL certificate revocation list directory \"%s\": %m",
							ssl_crl_dir)));
			return false;
		}
		while ((entry = ReadDirExtended(dir, ssl_crl_dir, elevel)) != NULL)
		{
			if (!is_crl_name(entry->d_name))
				continue;
			contents = read_file(psprintf("%s/%s", ssl_crl_dir, entry->d_name),
								 _("SSL certificate revocation list"), elevel, &len);
			if (!contents)
			{
				FreeDir(dir);
				return false;
			}
			appendStringInfoChar(all, '\n');
			appendBinaryStringInfo(all, contents, len);
		}
		FreeDir(dir);
	}
	return true;
}

/* The kernel's number of a protocol version, or -1 if it does not have it. */
static int
version_number(int version, int any)
{
	switch (version)
	{
		case PG_TLS_ANY:
			return any;
		case PG_TLS1_2_VERSION:
			return 12;
		case PG_TLS1_3_VERSION:
			return 13;
		default:
			return -1;
	}
}

static bool
set_versions(PglTlsSettings *settings, int elevel)
{
	int			min = version_number(ssl_min_protocol_version, 12);
	int			max = version_number(ssl_max_protocol_version, 13);

	if (min < 0 || max < 0)
	{
		const char *name = min < 0 ? "ssl_min_protocol_version" : "ssl_max_protocol_version";

		ereport(elevel,
		/*- translator: first %s is a GUC option name, second %s is its value */
				(errmsg("\"%s\" setting \"%s\" not supported by this build",
						name, GetConfigOption(name, false, false))));
		return false;
	}
	if (min > max)
	{
		ereport(elevel,
				(errmsg("could not set SSL protocol version range"),
				 errdetail("\"%s\" cannot be higher than \"%s\"",
						   "ssl_min_protocol_version",
						   "ssl_max_protocol_version")));
		return false;
	}
	settings->min_version = min;
	settings->max_version = max;
	return true;
}

/* Hands the settings to the kernel; false with the failure reported. */
static bool
configure(const PglTlsSettings *settings, int elevel)
{
	uint32_t	part = 0;
	int			result = k_tls_configure(settings, &part);
	const char *reason;

	if (result == 0)
		return true;
	if (result != EINVAL)
	{
		errno = result;
		ereport(elevel, (errmsg("could not create SSL context: %m")));
		return false;
	}
	reason = message();
	switch (part)
	{
		case PGL_TLS_CHAIN:
			ereport(elevel,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("could not load server certificate file \"%s\": %s",
							ssl_cert_file, reason)));
			break;
		case PGL_TLS_KEY:
			ereport(elevel,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("could not load private key file \"%s\": %s",
							ssl_key_file, reason)));
			break;
		case PGL_TLS_PAIR:
			ereport(elevel,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("check of private key failed: %s", reason)));
			break;
		case PGL_TLS_AUTHORITIES:
			ereport(elevel,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("could not load root certificate file \"%s\": %s",
							ssl_ca_file, reason)));
			break;
		case PGL_TLS_REVOKED:
			ereport(elevel,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("could not load SSL certificate revocation list file \"%s\" or directory \"%s\": %s",
							ssl_crl_file, ssl_crl_dir, reason)));
			break;
		case PGL_TLS_CIPHERS:
			ereport(elevel,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("could not set the cipher list (%s)", reason)));
			break;
		case PGL_TLS_CURVE:
			ereport(elevel,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("ECDH: unrecognized curve name: %s", SSLECDHCurve),
					 errdetail_internal("%s", reason)));
			break;
		default:
			ereport(elevel,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("could not create SSL context: %s", reason)));
			break;
	}
	return false;
}

static bool
load_configuration(int elevel, bool isServerStart)
{
	PglTlsSettings settings = {0};
	StringInfoData revoked;
	bool		loaded;

	settings.chain = read_file(ssl_cert_file, _("server certificate"), elevel, &settings.chain_len);
	if (!settings.chain)
		return false;
	if (!check_ssl_key_file_permissions(ssl_key_file, isServerStart))
		return false;
	settings.key = read_file(ssl_key_file, _("private key"), elevel, &settings.key_len);
	if (!settings.key)
		return false;
	if (!set_versions(&settings, elevel))
		return false;
	if (ssl_ca_file[0])
	{
		settings.authorities = read_file(ssl_ca_file, _("root certificate"), elevel,
										 &settings.authorities_len);
		if (!settings.authorities)
			return false;
		if (settings.authorities_len == 0)
		{
			/* To the kernel that would be no file. */
			ereport(elevel,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("could not load root certificate file \"%s\": %s",
							ssl_ca_file, _("the file is empty"))));
			return false;
		}
	}
	if (!read_revocation_lists(elevel, &revoked))
		return false;
	settings.revoked = revoked.data;
	settings.revoked_len = revoked.len;
	settings.protocol = PG_ALPN_PROTOCOL;
	settings.protocol_len = strlen(PG_ALPN_PROTOCOL);
	settings.ciphers = SSLCipherSuites;
	settings.ciphers_len = strlen(SSLCipherSuites);
	settings.curve = SSLECDHCurve;
	settings.curve_len = strlen(SSLECDHCurve);
	settings.prefer_server_ciphers = SSLPreferServerCiphers;
	loaded = configure(&settings, elevel);
	explicit_bzero(unconstify(void *, settings.key), settings.key_len);
	if (loaded && ssl_dh_params_file[0])
		ereport(LOG,
				(errmsg("\"ssl_dh_params_file\" has no effect: there are no DHE ciphers in this build")));
	return loaded;
}

int
be_tls_init(bool isServerStart)
{
	int			elevel = isServerStart ? FATAL : LOG;
	MemoryContext context;
	MemoryContext old;
	bool		loaded;

	if (k_tls_available() != 0)
	{
		ereport(elevel,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("SSL is not supported by this program"),
				 errhint("Build it with the feature \"tls\" of the crate pglite-oxide.")));
		return -1;
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "TLS configuration", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	loaded = load_configuration(elevel, isServerStart);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	if (!loaded)
		return -1;
	configured = true;
	ssl_loaded_verify_locations = ssl_ca_file[0] != '\0';
	return 0;
}

void
be_tls_destroy(void)
{
	(void) k_tls_forget();
	configured = false;
	ssl_loaded_verify_locations = false;
}

/* ------------------------------------------------------------ */
/*							 Sessions							*/
/* ------------------------------------------------------------ */

/* What the kernel knows about the session, with a 0 behind it, in the current memory context. */
static char *
fact(Port *port, uint32_t which, uint32_t *len)
{
	uint32_t	size = 0;
	char	   *value;

	if (k_tls_fact(port->sock, which, NULL, 0, &size) != 0)
		size = 0;
	value = palloc(size + 1);
	if (size > 0 && k_tls_fact(port->sock, which, value, size, &size) != 0)
		size = 0;
	value[size] = '\0';
	if (len)
		*len = size;
	return value;
}

static const char *
version_name(int version, const char *any)
{
	switch (version)
	{
		case PG_TLS1_2_VERSION:
			return "TLSv1.2";
		case PG_TLS1_3_VERSION:
			return "TLSv1.3";
		default:
			return any;
	}
}

static int
wait_for(uint32_t wants)
{
	return wants == PGL_TLS_WANT_WRITE ? WL_SOCKET_WRITEABLE : WL_SOCKET_READABLE;
}

static void
report_handshake(int error)
{
	if (error != EPROTO && error != EPROTONOSUPPORT)
	{
		errno = error;
		ereport(COMMERROR,
				(errcode_for_socket_access(),
				 errmsg("could not accept SSL connection: %m")));
		return;
	}
	ereport(COMMERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("could not accept SSL connection: %s", message()),
			 error == EPROTONOSUPPORT ?
			 errhint("This may indicate that the client does not support any SSL protocol version between %s and %s.",
					 version_name(ssl_min_protocol_version, "TLSv1.2"),
					 version_name(ssl_max_protocol_version, "TLSv1.3")) : 0));
}

/* Leaves what the client's certificate says in the port, if there is one. */
static void
take_peer_names(Port *port)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	char	   *serial = fact(port, PGL_TLS_PEER_SERIAL, NULL);

	/* Every certificate has a serial number, but its names may be empty. */
	port->peer_cert_valid = serial[0] != '\0';
	pfree(serial);
	if (port->peer_cert_valid)
	{
		port->peer_dn = fact(port, PGL_TLS_PEER_NAME, NULL);
		port->peer_cn = fact(port, PGL_TLS_PEER_COMMON_NAME, NULL);
		if (port->peer_cn[0] == '\0')
		{
			pfree(port->peer_cn);
			port->peer_cn = NULL;
		}
	}
	MemoryContextSwitchTo(old);
}

int
be_tls_open_server(Port *port)
{
	char	   *protocol;
	int			result;

	if (!configured)
	{
		ereport(COMMERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("could not initialize SSL connection: SSL context not set up")));
		return -1;
	}
	/* What was read before it was known to be TLS is the first that the session reads. */
	result = k_tls_accept(port->sock, port->raw_buf + port->raw_buf_consumed, port->raw_buf_remaining);
	if (result != 0)
	{
		errno = result;
		ereport(COMMERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("could not initialize SSL connection: %m")));
		return -1;
	}
	port->raw_buf_consumed += port->raw_buf_remaining;
	port->raw_buf_remaining = 0;
	port->ssl_in_use = true;

	for (;;)
	{
		uint32_t	wants = 0;

		result = k_tls_handshake(port->sock, &wants);
		if (result == 0)
			break;
		if (result != EAGAIN)
		{
			report_handshake(result);
			return -1;
		}

		/*
		 * No need to care about timeouts and interrupts: until the start-up packet is there,
		 * authentication_timeout ends the process.
		 */
		Assert(!port->noblock);
		(void) WaitLatchOrSocket(MyLatch, wait_for(wants) | WL_EXIT_ON_PM_DEATH, port->sock, 0,
								 WAIT_EVENT_SSL_OPEN_SERVER);
	}

	/* There is only one that the kernel agrees to. */
	protocol = fact(port, PGL_TLS_PROTOCOL, NULL);
	port->alpn_used = strcmp(protocol, PG_ALPN_PROTOCOL) == 0;
	pfree(protocol);

	port->peer_cn = NULL;
	port->peer_dn = NULL;
	take_peer_names(port);
	return 0;
}

void
be_tls_close(Port *port)
{
	(void) k_tls_close(port->sock);
	port->ssl_in_use = false;
	if (port->peer_cn)
	{
		pfree(port->peer_cn);
		port->peer_cn = NULL;
	}
	if (port->peer_dn)
	{
		pfree(port->peer_dn);
		port->peer_dn = NULL;
	}
}

/* The result of a read or write that has failed: -1 with errno set. */
static ssize_t
failed(int error, uint32_t wants, int *waitfor)
{
	if (error == EAGAIN)
	{
		*waitfor = wait_for(wants);
		errno = EWOULDBLOCK;
	}
	else if (error == EPROTO || error == EPROTONOSUPPORT)
	{
		ereport(COMMERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("SSL error: %s", message())));
		errno = ECONNRESET;
	}
	else
		errno = error;			/* for the caller to report */
	return -1;
}

ssize_t
be_tls_read(Port *port, void *ptr, size_t len, int *waitfor)
{
	uint32_t	n = 0;
	uint32_t	wants = 0;
	int			error = k_tls_read(port->sock, ptr, len, &n, &wants);

	return error == 0 ? (ssize_t) n : failed(error, wants, waitfor);
}

ssize_t
be_tls_write(Port *port, void *ptr, size_t len, int *waitfor)
{
	uint32_t	n = 0;
	uint32_t	wants = 0;
	int			error = k_tls_write(port->sock, ptr, len, &n, &wants);

	return error == 0 ? (ssize_t) n : failed(error, wants, waitfor);
}

/* ------------------------------------------------------------ */
/*					 Facts about a session						*/
/* ------------------------------------------------------------ */

int
be_tls_get_cipher_bits(Port *port)
{
	return atoi(fact(port, PGL_TLS_BITS, NULL));
}

const char *
be_tls_get_version(Port *port)
{
	return fact(port, PGL_TLS_VERSION, NULL);
}

const char *
be_tls_get_cipher(Port *port)
{
	return fact(port, PGL_TLS_CIPHER, NULL);
}

/* Names are UTF-8 in the kernel. */
static void
copy_name(Port *port, uint32_t which, char *ptr, size_t len)
{
	uint32_t	name_len;
	char	   *name = fact(port, which, &name_len);

	strlcpy(ptr, pg_any_to_server(name, name_len, PG_UTF8), len);
}

void
be_tls_get_peer_subject_name(Port *port, char *ptr, size_t len)
{
	copy_name(port, PGL_TLS_PEER_SUBJECT, ptr, len);
}

void
be_tls_get_peer_issuer_name(Port *port, char *ptr, size_t len)
{
	copy_name(port, PGL_TLS_PEER_ISSUER, ptr, len);
}

void
be_tls_get_peer_serial(Port *port, char *ptr, size_t len)
{
	strlcpy(ptr, fact(port, PGL_TLS_PEER_SERIAL, NULL), len);
}

/* The hash for the channel binding tls-server-end-point. */
char *
be_tls_get_certificate_hash(Port *port, size_t *len)
{
	static const struct
	{
		const char *name;
		pg_cryptohash_type type;
		size_t		len;
	}			hashes[] =
	{
		{"SHA224", PG_SHA224, PG_SHA224_DIGEST_LENGTH},
		{"SHA256", PG_SHA256, PG_SHA256_DIGEST_LENGTH},
		{"SHA384", PG_SHA384, PG_SHA384_DIGEST_LENGTH},
		{"SHA512", PG_SHA512, PG_SHA512_DIGEST_LENGTH},
	};
	uint32_t	certificate_len;
	char	   *certificate = fact(port, PGL_TLS_CERTIFICATE, &certificate_len);
	char	   *name = fact(port, PGL_TLS_CERTIFICATE_HASH, NULL);

	*len = 0;
	if (certificate_len == 0)
		return NULL;
	for (int i = 0; i < lengthof(hashes); i++)
	{
		pg_cryptohash_ctx *hash;
		char	   *digest;

		if (strcmp(name, hashes[i].name) != 0)
			continue;
		hash = pg_cryptohash_create(hashes[i].type);
		digest = palloc(hashes[i].len);
		if (hash == NULL || pg_cryptohash_init(hash) < 0 ||
			pg_cryptohash_update(hash, (uint8 *) certificate, certificate_len) < 0 ||
			pg_cryptohash_final(hash, (uint8 *) digest, hashes[i].len) < 0)
			elog(ERROR, "could not generate server certificate hash");
		pg_cryptohash_free(hash);
		*len = hashes[i].len;
		return digest;
	}
	elog(ERROR, "could not determine server certificate signature algorithm");
}
