/* http/cookies.c - RFC 6265, section 5, and of its successor the prefixes "__Host-" and
 * "__Secure-", which are never taken over a way that is not https.
 *
 * The cookies of a jar stand in the order in which they are sent: longer paths first, then
 * older ones first. An expired one stays until its place is needed. */
#include "http/cookies.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <libpsl.h>

#include "base/memory.h"
#include "base/text.h"
#include "http/target.h"

enum { DATE_MAX = 80, DOMAIN_MAX = 255 };

#define NEVER INT64_MAX
#define LONG_AGO INT64_MIN

/* A piece of somebody's text. */
struct span {
    const char *text;
    size_t length;
};

struct cookie {
    struct cookie *next;
    int64_t expires;  /* time_t; NEVER: it lives as long as the user */
    uint64_t created; /* a number, which stays when another value is set */
    uint16_t name_length, pair_length, domain_length, path_length;
    uint16_t capacity; /* of ... */
    bool host_only, secure;
    char text[]; /* "name=value", domain, path: one after the other */
};

struct cookies {
    struct cookie *first;
    size_t count;
    uint64_t created; /* so many so far */
};

/* Where a request goes to, as far as it matters here. */
struct place {
    bool secure;
    struct span host; /* in any case */
    struct span path; /* without query */
    struct target
        target; /* that they are parts of, where the URL was not a plain one */
};

/* A Set-Cookie header. */
struct said {
    struct span name, value;
    struct span domain; /* without its leading dot; NULL: none */
    struct span path;   /* NULL: none */
    int64_t expires;
    bool secure;
};

/* --- spans ----------------------------------------------------------------------------- */

static struct span trim(struct span span)
{
    span.text = text_trim(span.text, &span.length);
    return span;
}

/* What comes before the first `mark`, or all of it; `rest` is what follows the mark. False:
 * there is no mark. */
static bool split(struct span span, char mark, struct span *ret_part,
                  struct span *ret_rest)
{
    const char *const found =
        span.length > 0 ? memchr(span.text, mark, span.length) : NULL;
    const size_t length = found != NULL ? (size_t)(found - span.text) : span.length;

    *ret_part = (struct span){span.text, length};
    *ret_rest = found != NULL ? (struct span){found + 1, span.length - length - 1}
                              : (struct span){span.text + length, 0};
    return found != NULL;
}

static bool same(struct span left, struct span right)
{
    return left.length == right.length &&
           memcmp(left.text, right.text, left.length) == 0;
}

static bool same_in_any_case(struct span left, struct span right)
{
    return left.length == right.length &&
           text_is_same_word(left.text, right.text, left.length);
}

static bool is_word(struct span span, const char *word)
{
    return text_is_word(span.text, span.length, word);
}

static bool has_control_code(struct span span)
{
    for (size_t i = 0; i < span.length; i++) {
        if ((unsigned char)span.text[i] < ' ' || span.text[i] == '\x7F')
            return true;
    }
    return false;
}

/* --- where a request goes to ------------------------------------------------------------ */

static bool is_of_plain_host(char byte)
{
    const char letter = text_lower_case(byte);

    return (letter >= 'a' && letter <= 'z') || text_is_digit(letter) || letter == '-' ||
           letter == '.' || letter == '_';
}

/* Whether the host is one that libcurl leaves as it is, but for its case. */
static bool is_plain_host(struct span host)
{
    for (size_t i = 0; i < host.length; i++) {
        if (!is_of_plain_host(host.text[i]))
            return false;
    }
    return host.length > 0;
}

/* Of nearly all URLs the parts are easily found. False: of this one they are not. */
static bool read_plain_url(const char *url, struct place *ret_place)
{
    const struct target_scheme *const scheme = target_scheme(url);
    const char *authority, *path, *at;
    size_t length;
    struct span host, port;

    if (scheme == NULL || scheme->over_tcp != NULL)
        return false;
    authority = url + scheme->prefix_length;
    path = url + target_origin_length(url);
    length = (size_t)(path - authority);
    at = memrchr(authority, '@', length);
    host.text = at != NULL ? at + 1 : authority;
    host.length = (size_t)(path - host.text);
    split(host, ':', &host, &port);
    if (!is_plain_host(host) || strstr(path, "/.") != NULL)
        return false;
    *ret_place = (struct place){
        .secure = scheme->tls, .host = host, .path = {path, strcspn(path, "?#")}
    };
    return true;
}

/* -1: it is no URL of ours. */
static int read_any_url(const char *url, struct place *ret_place)
{
    struct target target;
    const char *failure;

    if (target_parse(url, &target, &failure) == -1)
        return -1;
    *ret_place = (struct place){
        .secure = target.tls,
        .host = {target.host,          strlen(target.host)},
        .path = { target.path, strcspn(target.path,                "?")},
        .target = target,
    };
    return 0;
}

/* 0, and the caller clears the place's target; or -1. */
static int read_place(const char *url, struct place *ret_place)
{
    if (!read_plain_url(url, ret_place) && read_any_url(url, ret_place) == -1)
        return -1;
    if (ret_place->path.length == 0)
        ret_place->path = (struct span){"/", 1};
    return 0;
}

/* Whether a host is an address: IPv6, or its last label is a number, which that of no name
 * is. */
static bool is_address(struct span host)
{
    const char *const dot = memrchr(host.text, '.', host.length);
    const char *const end = host.text + host.length;
    const char *label = dot != NULL ? dot + 1 : host.text;

    if (memchr(host.text, ':', host.length) != NULL)
        return true;
    if (end - label > 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
        return true;
    while (label < end && text_is_digit(*label))
        label++;
    return label == end;
}

/* 5.1.3. */
static bool domain_matches(struct span domain, struct span host)
{
    const size_t more = host.length - domain.length;

    if (host.length <= domain.length)
        return same_in_any_case(host, domain);
    return host.text[more - 1] == '.' &&
           text_is_same_word(host.text + more, domain.text, domain.length) &&
           !is_address(host);
}

/* 5.1.4. */
static bool path_matches(struct span cookie, struct span request)
{
    if (request.length < cookie.length ||
        memcmp(request.text, cookie.text, cookie.length) != 0)
        return false;
    return request.length == cookie.length || cookie.text[cookie.length - 1] == '/' ||
           request.text[cookie.length] == '/';
}

/* 5.1.4: up to the last slash. */
static struct span default_path(struct span request)
{
    const char *const slash = memrchr(request.text, '/', request.length);

    if (request.text[0] != '/' || slash == request.text)
        return (struct span){"/", 1};
    return (struct span){request.text, (size_t)(slash - request.text)};
}

/* --- what a header says (5.2) ----------------------------------------------------------- */

static void read_expires(struct span value, int64_t *expires)
{
    char text[DATE_MAX + 1];
    time_t date;

    if (value.length > DATE_MAX)
        return;
    memcpy(text, value.text, value.length);
    text[value.length] = '\0';
    date = curl_getdate(text, NULL);
    if (date != -1)
        *expires = date;
}

/* False: it is no number, and says nothing. */
static bool read_max_age(struct span value, int64_t now, int64_t *expires)
{
    const bool past = value.length > 0 && value.text[0] == '-';
    int64_t age = 0;

    if (value.length == past)
        return false;
    for (size_t i = past; i < value.length; i++) {
        if (!text_is_digit(value.text[i]))
            return false;
        if (age < NEVER / 100)
            age = age * 10 + (value.text[i] - '0');
    }
    *expires = past || age == 0 ? LONG_AGO : age < NEVER - now ? now + age : NEVER;
    return true;
}

static void read_domain(struct span value, struct span *domain)
{
    if (value.length > 0 && value.text[0] == '.')
        value.text++, value.length--;
    if (value.length > 0)
        *domain = value;
}

/* The last of each name counts, and Max-Age more than Expires. */
static void read_attributes(struct span text, int64_t now, struct said *said)
{
    bool has_max_age = false;

    while (text.length > 0) {
        struct span attribute, name, value;

        split(text, ';', &attribute, &text);
        split(attribute, '=', &name, &value);
        name = trim(name);
        value = trim(value);
        if (is_word(name, "expires") && !has_max_age)
            read_expires(value, &said->expires);
        else if (is_word(name, "max-age"))
            has_max_age |= read_max_age(value, now, &said->expires);
        else if (is_word(name, "domain"))
            read_domain(value, &said->domain);
        else if (is_word(name, "path"))
            said->path = value;
        else if (is_word(name, "secure"))
            said->secure = true;
    }
}

/* False: it is not well-formed. */
static bool read_header(struct span header, int64_t now, struct said *ret_said)
{
    struct said said = {.expires = NEVER};
    struct span pair;

    split(header, ';', &pair, &header);
    if (!split(pair, '=', &said.name, &said.value))
        return false;
    said.name = trim(said.name);
    said.value = trim(said.value);
    if (said.name.length == 0 || has_control_code(said.name) ||
        has_control_code(said.value))
        return false;
    read_attributes(header, now, &said);
    if (has_control_code(said.domain) || has_control_code(said.path))
        return false;
    *ret_said = said;
    return true;
}

/* --- what may be set (5.3) -------------------------------------------------------------- */

/* Where libpsl has no list of its own, at least a name without a dot is one. */
static bool is_public_suffix(struct span domain)
{
    const psl_ctx_t *const list = psl_builtin();
    char text[DOMAIN_MAX + 1];

    for (size_t i = 0; i < domain.length; i++)
        text[i] = text_lower_case(domain.text[i]);
    text[domain.length] = '\0';
    return list != NULL ? psl_is_public_suffix(list, text) == 1
                        : strchr(text, '.') == NULL;
}

/* Makes the domain that of the host where none, or the host itself, is meant alone. False:
 * it is not for this host to set. */
static bool settle_domain(struct said *said, struct span host, bool *ret_host_only)
{
    const bool is_host =
        said->domain.text == NULL || same_in_any_case(said->domain, host);

    if (host.length > DOMAIN_MAX)
        return false;
    if (is_host) {
        *ret_host_only =
            said->domain.text == NULL || is_address(host) || is_public_suffix(host);
        said->domain = host;
        return true;
    }
    *ret_host_only = false;
    /* The list knows nothing of names that end with a dot. */
    return domain_matches(said->domain, host) &&
           said->domain.text[said->domain.length - 1] != '.' &&
           !is_public_suffix(said->domain);
}

static bool has_prefix(struct span name, const char *prefix)
{
    const size_t length = strlen(prefix);

    return name.length >= length && text_is_same_word(name.text, prefix, length);
}

/* "__Host-" wants a Path that is said: the request's own would not do. */
static bool prefix_holds(const struct said *said, const struct place *place,
                         bool host_only, bool says_path)
{
    const bool is_secure = said->secure && place->secure;

    if (has_prefix(said->name, "__Secure-"))
        return is_secure;
    if (has_prefix(said->name, "__Host-"))
        return is_secure && host_only && says_path &&
               same(said->path, (struct span){"/", 1});
    return true;
}

/* Fills in what the header leaves to the request. False: the cookie is refused. */
static bool settle(struct said *said, const struct place *place, bool *ret_host_only)
{
    const bool says_path = said->path.text != NULL;

    if (!settle_domain(said, place->host, ret_host_only))
        return false;
    if (said->path.length == 0 || said->path.text[0] != '/')
        said->path = default_path(place->path);
    return prefix_holds(said, place, *ret_host_only, says_path) &&
           said->name.length + said->value.length + said->domain.length +
                   said->path.length <=
               COOKIE_SIZE_MAX;
}

/* --- the jar ---------------------------------------------------------------------------- */

static struct span name_of(const struct cookie *cookie)
{
    return (struct span){cookie->text, cookie->name_length};
}

static struct span domain_of(const struct cookie *cookie)
{
    return (struct span){cookie->text + cookie->pair_length, cookie->domain_length};
}

static struct span path_of(const struct cookie *cookie)
{
    return (struct span){cookie->text + cookie->pair_length + cookie->domain_length,
                         cookie->path_length};
}

static char *append(char *end, struct span span)
{
    memcpy(end, span.text, span.length);
    return end + span.length;
}

/* What was said, in the cookie's own memory where it has the room; NULL: a new one. */
static struct cookie *set_cookie(struct cookie *cookie, const struct said *said,
                                 bool host_only)
{
    const size_t pair_length = said->name.length + 1 + said->value.length;
    const size_t size = pair_length + said->domain.length + said->path.length;
    char *end;

    if (cookie == NULL || cookie->capacity < size) {
        cookie = xrealloc_array(cookie, 1, sizeof(*cookie) + size);
        cookie->capacity = (uint16_t)size;
    }
    cookie->expires = said->expires;
    cookie->name_length = (uint16_t)said->name.length;
    cookie->pair_length = (uint16_t)pair_length;
    cookie->domain_length = (uint16_t)said->domain.length;
    cookie->path_length = (uint16_t)said->path.length;
    cookie->host_only = host_only;
    cookie->secure = said->secure;
    end = append(cookie->text, said->name);
    *end++ = '=';
    end = append(end, said->value);
    end = append(end, said->domain);
    append(end, said->path);
    return cookie;
}

static void remove_cookie(struct cookies *jar, struct cookie **link)
{
    struct cookie *const cookie = *link;

    *link = cookie->next;
    jar->count--;
    free(cookie);
}

/* Of the same name, domain and path; a link to NULL: there is none. */
static struct cookie **find_same(struct cookies *jar, const struct said *said)
{
    struct cookie **link = &jar->first;

    while (*link != NULL &&
           !(same(name_of(*link), said->name) && same(path_of(*link), said->path) &&
             same_in_any_case(domain_of(*link), said->domain)))
        link = &(*link)->next;
    return link;
}

static void remove_expired(struct cookies *jar, int64_t now)
{
    struct cookie **link = &jar->first;

    while (*link != NULL) {
        if ((*link)->expires <= now)
            remove_cookie(jar, link);
        else
            link = &(*link)->next;
    }
}

static void remove_oldest(struct cookies *jar)
{
    struct cookie **oldest = &jar->first;

    for (struct cookie **link = &jar->first; *link != NULL; link = &(*link)->next) {
        if ((*link)->created < (*oldest)->created)
            oldest = link;
    }
    remove_cookie(jar, oldest);
}

static void make_room(struct cookies *jar, int64_t now)
{
    if (jar->count == COOKIES_MAX)
        remove_expired(jar, now);
    if (jar->count == COOKIES_MAX)
        remove_oldest(jar);
}

/* The newest of all. */
static void insert(struct cookies *jar, struct cookie *cookie)
{
    struct cookie **link = &jar->first;

    while (*link != NULL && (*link)->path_length >= cookie->path_length)
        link = &(*link)->next;
    cookie->created = ++jar->created;
    cookie->next = *link;
    *link = cookie;
    jar->count++;
}

/* One that is there already keeps its place and its age. */
static void store(struct cookies *jar, const struct said *said, bool host_only,
                  int64_t now)
{
    struct cookie **const link = find_same(jar, said);

    if (*link != NULL && said->expires <= now) {
        remove_cookie(jar, link);
    } else if (*link != NULL) {
        *link = set_cookie(*link, said, host_only);
    } else if (said->expires > now) {
        make_room(jar, now);
        insert(jar, set_cookie(NULL, said, host_only));
    }
}

void cookies_take(struct cookies **cookies, const char *url, const char *header,
                  size_t length, time_t now)
{
    struct place place;
    struct said said;
    bool host_only;

    if (read_place(url, &place) == -1)
        return;
    if (read_header((struct span){header, length}, now, &said) &&
        settle(&said, &place, &host_only)) {
        if (*cookies == NULL)
            *cookies = xcalloc(1, sizeof(**cookies));
        store(*cookies, &said, host_only, now);
        if ((*cookies)->count == 0) {
            cookies_destroy(*cookies);
            *cookies = NULL;
        }
    }
    target_clear(&place.target);
}

void cookies_destroy(struct cookies *cookies)
{
    if (cookies == NULL)
        return;
    while (cookies->first != NULL)
        remove_cookie(cookies, &cookies->first);
    free(cookies);
}

/* --- what is sent (5.4) ----------------------------------------------------------------- */

struct choice {
    const struct cookie *items[COOKIES_MAX];
    size_t count;
    size_t length; /* of all, each followed by "; " */
};

static bool is_for(const struct cookie *cookie, const struct place *place, int64_t now)
{
    return cookie->expires > now && (!cookie->secure || place->secure) &&
           (cookie->host_only ? same_in_any_case(domain_of(cookie), place->host)
                              : domain_matches(domain_of(cookie), place->host)) &&
           path_matches(path_of(cookie), place->path);
}

static void choose(const struct cookies *jar, const struct place *place, int64_t now,
                   struct choice *choice)
{
    choice->count = 0;
    choice->length = 0;
    for (const struct cookie *cookie = jar->first; cookie != NULL;
         cookie = cookie->next) {
        if (!is_for(cookie, place, now))
            continue;
        choice->items[choice->count++] = cookie;
        choice->length += cookie->pair_length + 2u;
    }
}

static void drop_oldest(struct choice *choice)
{
    size_t oldest = 0;

    for (size_t i = 1; i < choice->count; i++) {
        if (choice->items[i]->created < choice->items[oldest]->created)
            oldest = i;
    }
    choice->length -= choice->items[oldest]->pair_length + 2u;
    choice->count--;
    memmove(&choice->items[oldest], &choice->items[oldest + 1],
            (choice->count - oldest) * sizeof(choice->items[0]));
}

static const char *join(const struct choice *choice, struct arena *arena)
{
    char *const text = arena_alloc(arena, choice->length);
    char *end = text;

    for (size_t i = 0; i < choice->count; i++) {
        if (i > 0)
            end = append(end, (struct span){"; ", 2});
        end = append(
            end, (struct span){choice->items[i]->text, choice->items[i]->pair_length});
    }
    *end = '\0';
    return text;
}

const char *cookies_for(const struct cookies *cookies, const char *url, time_t now,
                        struct arena *arena)
{
    struct place place;
    struct choice choice;

    if (cookies == NULL || read_place(url, &place) == -1)
        return NULL;
    choose(cookies, &place, now, &choice);
    target_clear(&place.target);
    while (choice.length > COOKIES_SENT_MAX + 2) /* no "; " follows the last one */
        drop_oldest(&choice);
    return choice.count > 0 ? join(&choice, arena) : NULL;
}
