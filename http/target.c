/* http/target.c - a URL taken apart by libcurl's URL API, so that every transport takes the
 * same URLs, and asks for the same, as libcurl does: dot segments of the path are resolved
 * and its bytes over 127 percent-encoded, the fragment goes, the query stays as it is; a
 * blank or a control code is refused. Beyond libcurl:
 *
 * - "http:/host" and "http:///host" are refused (RFC 9110, 4.2.1): what the URL's first
 *   three slashes do not delimit is no origin that could be told by its text.
 * - Port 0 is refused here, not when the connection is.
 * - A host that is not ASCII is taken as UTF-8 whatever the locale of the process. libcurl
 *   would take it as the locale's, which is "C" in our programs, and refuse it: it has to be
 *   given the host as it stands here. (Its CURLU_PUNYCODE does the same, and leaks, in
 *   7.88, what it refuses.) */
#include "http/target.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <curl/curl.h>
#include <idn2.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/text.h"
#include "http/exchange.h"

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

#define PREFIX(text) (text), sizeof(text) - 1

/* clang-format off */
const struct target_scheme target_schemes[] = {
    {PREFIX("http://"),       NULL,       false, 80 },
    {PREFIX("https://"),      NULL,       true,  443},
    {PREFIX("http+unix://"),  "http://",  false, 80 },
    {PREFIX("https+unix://"), "https://", true,  443},
    {.prefix = NULL},
};
/* clang-format on */

const struct target_scheme *target_scheme(const char *url)
{
    const struct target_scheme *scheme = target_schemes;

    while (scheme->prefix != NULL &&
           !text_is_same_word(url, scheme->prefix, scheme->prefix_length))
        scheme++;
    return scheme->prefix != NULL ? scheme : NULL;
}

static bool is_of_scheme(char letter)
{
    const char lower = text_lower_case(letter);

    return (lower >= 'a' && lower <= 'z') || text_is_digit(letter) || letter == '+' ||
           letter == '.' || letter == '-';
}

bool target_is_absolute(const char *url)
{
    size_t length = 0;

    while (is_of_scheme(url[length]))
        length++;
    return length > 0 && strncmp(url + length, "://", 3) == 0;
}

/* Up to the path, the query or the fragment. */
static size_t authority_length(const char *authority)
{
    return strcspn(authority, "/?#");
}

/* Percent-decoded as libcurl does it: what is no escape stays. NULL: there is a NUL. */
static char *decode(const char *text, size_t length)
{
    int decoded_length = 0;
    char *const copy = xstrndup(text, length);
    char *const decoded = curl_easy_unescape(NULL, copy, 0, &decoded_length);
    char *ours = NULL;

    if (decoded != NULL && strlen(decoded) == (size_t)decoded_length)
        ours = xstrdup(decoded);
    curl_free(decoded);
    free(copy);
    return ours;
}

/* --- a unix socket ------------------------------------------------------------------- */

static bool is_printed(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] <= ' ' || text[i] == '\x7F')
            return false;
    }
    return true;
}

static char *decode_socket_path(const char *text, size_t length)
{
    char *const path = is_printed(text, length) ? decode(text, length) : NULL;

    if (path == NULL || path[0] != '/' || strlen(path) > SOCKET_PATH_MAX) {
        free(path);
        return NULL;
    }
    return path;
}

/* Takes the socket's path from the URL, and writes the URL as if it led to "localhost". -1:
 * it has no such path. */
static int take_socket_path(struct target *target, const struct target_scheme *scheme,
                            const char *url, struct buffer *over_tcp)
{
    const char *const authority = url + scheme->prefix_length;
    const char *const end = authority + authority_length(authority);
    const char *const at = memrchr(authority, '@', (size_t)(end - authority));
    const char *const socket_path = at != NULL ? at + 1 : authority;

    target->socket_path = decode_socket_path(socket_path, (size_t)(end - socket_path));
    if (target->socket_path == NULL)
        return -1;
    buffer_add_text(over_tcp, scheme->over_tcp);
    buffer_add(over_tcp, authority, (size_t)(socket_path - authority));
    buffer_add_text(over_tcp, "localhost");
    buffer_add_text(over_tcp, end);
    return 0;
}

/* --- the parts ------------------------------------------------------------------------ */

/* To be freed with curl_free(); NULL: there is none. */
static char *part_of(CURLU *parsed, CURLUPart part, unsigned flags)
{
    char *text = NULL;

    return curl_url_get(parsed, part, &text, flags) == CURLUE_OK ? text : NULL;
}

static bool is_ascii(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text > 127)
            return false;
    }
    return true;
}

/* What a host may be of after libidn2, which makes a slash of some letters. */
static bool is_plain_name(const char *host)
{
    const size_t length = strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-._");

    return length > 0 && host[length] == '\0';
}

/* The host in ASCII, to be freed with free(); NULL: it has no such form. */
static char *ascii_host(CURLU *parsed)
{
    char *const host = part_of(parsed, CURLUPART_HOST, 0);
    uint8_t *punycode = NULL;
    char *ascii = NULL;

    if (host == NULL || is_ascii(host))
        ascii = host != NULL ? xstrdup(host) : NULL;
    else if (idn2_lookup_u8((const uint8_t *)host, &punycode,
                            IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK &&
             is_plain_name((const char *)punycode))
        ascii = xstrdup((const char *)punycode);
    idn2_free(punycode);
    curl_free(host);
    return ascii;
}

static int take_port(struct target *target, CURLU *parsed)
{
    char *const port = part_of(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT);

    if (port != NULL)
        target->port = (uint16_t)strtoul(port, NULL, 10); /* libcurl knows its range */
    curl_free(port);
    return target->port != 0 ? 0 : -1;
}

/* As it is looked up: "fe80::1%eth0" of "[fe80::1]" and the zone "eth0". */
static char *bare_host(const char *host, const char *zone)
{
    const size_t bracket = host[0] == '[' ? 1 : 0;
    char *const bare =
        xasprintf("%.*s%s%s", (int)(strlen(host) - 2 * bracket), host + bracket,
                  zone != NULL ? "%" : "", zone != NULL ? zone : "");

    for (char *c = bare; *c != '\0' && *c != '%'; c++)
        *c = text_lower_case(*c);
    return bare;
}

/* The port is known. */
static int take_host(struct target *target, uint16_t default_port, CURLU *parsed)
{
    char *const host = ascii_host(parsed);
    char *const zone = part_of(parsed, CURLUPART_ZONEID, 0);
    int rc = -1;

    if (host == NULL)
        goto out;
    target->host = bare_host(host, zone);
    target->authority = target->port == default_port
                            ? xstrdup(host)
                            : xasprintf("%s:%u", host, target->port);
    rc = 0;
out:
    curl_free(zone);
    free(host);
    return rc;
}

static int take_credentials(struct target *target, CURLU *parsed)
{
    char *const user = part_of(parsed, CURLUPART_USER, 0);
    char *const password = part_of(parsed, CURLUPART_PASSWORD, 0);
    char *joined = NULL;

    if (user != NULL) {
        joined = xasprintf("%s:%s", user, password != NULL ? password : "");
        target->credentials = decode(joined, strlen(joined));
    }
    free(joined);
    curl_free(password);
    curl_free(user);
    return user == NULL || target->credentials != NULL ? 0 : -1;
}

static int take_path(struct target *target, CURLU *parsed)
{
    char *const path = part_of(parsed, CURLUPART_PATH, CURLU_URLENCODE);
    char *const query = part_of(parsed, CURLUPART_QUERY, 0);

    if (path != NULL)
        target->path = xasprintf("%s%s%s", path, query != NULL ? "?" : "",
                                 query != NULL ? query : "");
    curl_free(query);
    curl_free(path);
    return target->path != NULL ? 0 : -1;
}

static int take_parts(struct target *target, uint16_t default_port, const char *url)
{
    CURLU *const parsed = curl_url();
    int rc = -1;

    if (parsed == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    if (curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
        take_port(target, parsed) == 0 &&
        take_host(target, default_port, parsed) == 0 &&
        take_credentials(target, parsed) == 0 && take_path(target, parsed) == 0)
        rc = 0;
    curl_url_cleanup(parsed);
    return rc;
}

/* --- the whole ------------------------------------------------------------------------ */

int target_parse(const char *url, struct target *ret_target, const char **ret_failure)
{
    const struct target_scheme *const scheme = target_scheme(url);
    struct target target = {.tls = scheme != NULL && scheme->tls};
    struct buffer over_tcp = BUFFER_INIT;
    const char *failure = failure_bad_url;
    int rc = -1;

    if (scheme == NULL) {
        failure = target_is_absolute(url) ? failure_scheme : failure_bad_url;
        goto out;
    }
    if (authority_length(url + scheme->prefix_length) == 0)
        goto out;
    if (scheme->over_tcp != NULL) {
        if (take_socket_path(&target, scheme, url, &over_tcp) == -1)
            goto out;
        url = buffer_text(&over_tcp);
    }
    if (take_parts(&target, scheme->port, url) == -1)
        goto out;
    *ret_target = target;
    target = (struct target){.host = NULL}; /* the caller's now */
    rc = 0;
out:
    if (rc == -1)
        *ret_failure = failure;
    target_clear(&target);
    buffer_clear(&over_tcp);
    return rc;
}

void target_clear(struct target *target)
{
    free(target->host);
    free(target->socket_path);
    free(target->authority);
    free(target->credentials);
    free(target->path);
    *target = (struct target){.host = NULL};
}

size_t target_origin_length(const char *url)
{
    const char *const colon = strchr(url, ':'); /* a scheme has none */

    if (colon == NULL || colon[1] != '/' || colon[2] != '/')
        return 0;
    return (size_t)(colon + 3 - url) + authority_length(colon + 3);
}
