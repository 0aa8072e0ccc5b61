/*
 * Linked with OpenSSL's libcrypto into modules that use it.
 */
#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

#include "c.h"
#include "port.h"

/*
 * OpenSSL's own generator keeps its state in memory, which copies of a database would share and then go on from with
 * the same numbers.
 */
static int
random_bytes(unsigned char *bytes, int len)
{
	return pg_strong_random(bytes, len);
}

static int
random_status(void)
{
	return 1;
}

static const RAND_METHOD generator = {.bytes = random_bytes, .pseudorand = random_bytes, .status = random_status};

/* When the module is loaded. */
__attribute__((constructor)) static void
initialise(void)
{
	/* All memory goes with the process: nothing is to be cleaned up at its end. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	RAND_set_rand_method(&generator);
	/* Blowfish, CAST5 and DES are given only to who asks for them. */
	OSSL_PROVIDER_load(NULL, "default");
	OSSL_PROVIDER_load(NULL, "legacy");
}
