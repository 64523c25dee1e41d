/* http/hash.h - a hash of short texts for tables that are looked into on each request.
 *
 * Multiply and fold, eight bytes at a time, as in FxHash; against collisions by design it
 * does nothing: they only make a table slower. */
#ifndef HTTP_HASH_H
#define HTTP_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash_word(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u; /* 2^64 by the golden ratio */
    return hash ^ (hash >> 32);
}

/* Goes on from `hash`, which is 0 at first. */
static inline uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t size)
{
    uint64_t word;

    for (; size >= sizeof(word); bytes += sizeof(word), size -= sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        hash = hash_word(hash, word);
    }
    word = size;
    for (; size > 0; size--)
        word = word << 8 | (unsigned char)*bytes++;
    return hash_word(hash, word);
}

static inline uint64_t hash_text(uint64_t hash, const char *text)
{
    return hash_bytes(hash, text, strlen(text));
}

#endif
