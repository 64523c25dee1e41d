/* http/cookies.h - the cookies of one virtual user (RFC 6265).
 *
 * A cookie for a whole public suffix ("co.uk") is refused by the Public Suffix List of
 * libpsl. What is over a limit is dropped, the oldest first. */
#ifndef HTTP_COOKIES_H
#define HTTP_COOKIES_H

#include <stddef.h>
#include <time.h>

#include "base/arena.h"

#define COOKIES_MAX 300u                /* of one user */
#define COOKIE_SIZE_MAX ((size_t)4096)  /* name, value, domain and path together */
#define COOKIES_SENT_MAX ((size_t)8190) /* bytes of one Cookie header */

/* A jar; NULL is an empty one. */
struct cookies;

void cookies_destroy(struct cookies *cookies);

/* What a Set-Cookie header in the answer to `url` says; one that is not well-formed, or
 * not for its host to set, changes nothing. `now`: of CLOCK_REALTIME. */
void cookies_take(struct cookies **cookies, const char *url, const char *header,
                  size_t length, time_t now);

/* The value of the Cookie header of a request to `url`, in the arena; NULL: none. */
const char *cookies_for(const struct cookies *cookies, const char *url, time_t now,
                        struct arena *arena);

#endif
