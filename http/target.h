/* http/target.h - where a URL leads: whom to connect to, and what to ask for there.
 *
 *     http://user:password@host:8080/path?query     tcp
 *     https://host/path                             TLS
 *     http+unix://%2Frun%2Fapp.sock/path            a unix socket: its path, percent-encoded,
 *     https+unix://...                              stands where the host would */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct target_scheme {
    const char *prefix; /* "http://" */
    size_t prefix_length;
    const char *over_tcp; /* to a unix socket: the same, as if to a host; NULL: tcp */
    bool tls;
    uint16_t port; /* the default */
};

/* All that there are; the last one's prefix is NULL. */
extern const struct target_scheme target_schemes[];

/* The one that a URL begins with, in any case; NULL: none of ours. It costs a comparison
 * or two: it can be asked for each request. */
const struct target_scheme *target_scheme(const char *url);

/* Whether a URL begins with a scheme at all, one of ours or not. */
bool target_is_absolute(const char *url);

struct target {
    bool tls;
    uint16_t port;
    /* In ASCII and lower case, without brackets, an IPv6 zone after a '%'; of a unix
     * socket "localhost". */
    char *host;
    char *socket_path; /* of a unix socket; NULL: tcp */
    char *authority;   /* as the Host header has it: the port where it is no default */
    char *credentials; /* "user:password", decoded; NULL: none */
    char *path;        /* path and query, as the request line has it: begins with '/' */
};

/* 0, and the caller clears it; -1: it is no URL of ours, and `ret_failure` is
 * failure_bad_url or failure_scheme. */
int target_parse(const char *url, struct target *ret_target, const char **ret_failure);
void target_clear(struct target *target);

/* The length of the part of an absolute URL that says whom to connect to:
 * scheme://user@host:port. */
size_t target_origin_length(const char *url);

#endif
