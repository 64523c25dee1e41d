#include "http/url.h"

#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/text.h"
#include "http/target.h"

/* To be cleaned up, whatever it is; NULL: it is no URL. */
static CURLU *parse(const char *text)
{
    CURLU *const url = curl_url();

    if (url == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    if (curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK)
        return url;
    curl_url_cleanup(url);
    return NULL;
}

/* --- resolving ------------------------------------------------------------------------ */

static const char *parse_reference(struct arena *arena, const char *base,
                                   const char *reference)
{
    CURLU *const url = parse(base);
    char *text = NULL;
    const char *resolved = NULL;

    if (url != NULL &&
        curl_url_set(url, CURLUPART_URL, reference, CURLU_URLENCODE) == CURLUE_OK &&
        curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK)
        resolved = arena_strndup(arena, text, strlen(text));
    curl_free(text);
    curl_url_cleanup(url);
    return resolved;
}

/* The first `length` bytes of `origin`, and what follows there. */
static const char *put_behind(struct arena *arena, const char *origin, size_t length,
                              const char *rest)
{
    const size_t rest_size = strlen(rest) + 1;
    char *const text = arena_alloc(arena, length + rest_size);

    memcpy(text, origin, length);
    memcpy(text + length, rest, rest_size);
    return text;
}

static const char *parse_reference_of_socket(struct arena *arena, const char *base,
                                             size_t origin_length,
                                             const char *reference)
{
    const char *const origin =
        target_scheme(base)->tls ? "https://localhost" : "http://localhost";
    const size_t length = strlen(origin);
    const char *const resolved = parse_reference(
        arena, put_behind(arena, origin, length, base + origin_length), reference);

    if (resolved == NULL || strncmp(resolved, origin, length) != 0 ||
        target_origin_length(resolved) != length)
        return resolved;
    return put_behind(arena, base, origin_length, resolved + length);
}

static bool is_of_socket(const char *url)
{
    const struct target_scheme *const scheme = target_scheme(url);

    return scheme != NULL && scheme->over_tcp != NULL;
}

/* A path with nothing in it to resolve, to encode or to cut off, as nearly all are. */
static bool is_plain_path(const char *text)
{
    bool is_ascii = true;
    const char *at = text;

    if (text[0] != '/' || text[1] == '/')
        return false;
    for (; *at != '\0'; at++) {
        const unsigned char byte = (unsigned char)*at;

        if (byte <= ' ' || byte == 0x7F || byte == '#' || (byte == '/' && at[1] == '.'))
            return false;
        is_ascii &= byte < 0x80;
    }
    return is_ascii || text_is_clean(text, (size_t)(at - text));
}

const char *url_resolve(struct arena *arena, const char *base, size_t origin_length,
                        const char *reference)
{
    if (is_plain_path(reference))
        return put_behind(arena, base, origin_length, reference);
    if (is_of_socket(base))
        return parse_reference_of_socket(arena, base, origin_length, reference);
    return parse_reference(arena, base, reference);
}

/* --- comparing ------------------------------------------------------------------------ */

static bool same_part(CURLU *left, CURLU *right, CURLUPart part)
{
    char *left_text = NULL, *right_text = NULL;
    const bool same =
        curl_url_get(left, part, &left_text, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        curl_url_get(right, part, &right_text, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        text_is_word(left_text, strlen(left_text), right_text);

    curl_free(left_text);
    curl_free(right_text);
    return same;
}

static bool parse_same_origin(const char *left_text, const char *right_text)
{
    CURLU *const left = parse(left_text);
    CURLU *const right = parse(right_text);
    const bool same = left != NULL && right != NULL &&
                      same_part(left, right, CURLUPART_SCHEME) &&
                      same_part(left, right, CURLUPART_HOST) &&
                      same_part(left, right, CURLUPART_PORT);

    curl_url_cleanup(left);
    curl_url_cleanup(right);
    return same;
}

/* A redirect leads to a socket only from that socket, and then in the same words. */
bool url_same_origin(const char *left, const char *right)
{
    const size_t length = target_origin_length(left);

    if (target_origin_length(right) == length && strncmp(left, right, length) == 0)
        return true;
    return !is_of_socket(left) && !is_of_socket(right) &&
           parse_same_origin(left, right);
}
