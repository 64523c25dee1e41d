#include "base/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/log.h"

/* OpenSSL's SHA-256 fails only where memory does: dies like xmalloc(). */
static void require(int ok)
{
    if (ok == 1)
        return;
    log_error("SHA-256 cannot be computed: out of memory");
    abort();
}

void digest_init(struct digest *digest)
{
    EVP_MD_CTX *const state = EVP_MD_CTX_new();

    require(state != NULL);
    require(EVP_DigestInit_ex(state, EVP_sha256(), NULL));
    digest->state = state;
}

void digest_add(struct digest *digest, const void *data, size_t size)
{
    require(EVP_DigestUpdate(digest->state, data, size));
}

void digest_finish(struct digest *digest, char ret_text[DIGEST_SIZE])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];

    require(EVP_DigestFinal_ex(digest->state, bytes, NULL));
    EVP_MD_CTX_free(digest->state);
    digest->state = NULL;
    for (size_t i = 0; i < (DIGEST_SIZE - 1) / 2; i++)
        snprintf(ret_text + 2 * i, 3, "%02x", bytes[i]);
}

void digest_of(const void *data, size_t size, char ret_text[DIGEST_SIZE])
{
    struct digest digest;

    digest_init(&digest);
    digest_add(&digest, data, size);
    digest_finish(&digest, ret_text);
}

bool digest_is_one(const char *text, size_t length)
{
    if (length != DIGEST_SIZE - 1)
        return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\0' || strchr("0123456789abcdef", text[i]) == NULL)
            return false;
    return true;
}
