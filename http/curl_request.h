/* http/curl_request.h - a handle of libcurl, and the request that it is set to.
 *
 * A handle is used again for each request of its user, and nearly all of them are as the
 * one before: so an option is only set when it changes. */
#ifndef HTTP_CURL_REQUEST_H
#define HTTP_CURL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>

#include "http/exchange.h"
#include "http/target.h"

enum { CURL_URLS_KEPT = 4 };

/* The headers of a request without a body, and without any of its own: the same for all
 * handles of a user. All zero at first. */
struct curl_common {
    header_lines user_headers; /* of which the lists were made */
    struct curl_slist
        *lists[2]; /* of an exchange that keeps the body: [true]; NULL: not
                                    made yet */
};

/* A URL as libcurl wants it. */
struct curl_target {
    char *text; /* NULL: none */
    struct target target;
    bool is_named; /* its host has to be looked up */
    CURLU *parsed;
};

/* Part of whatever has it. */
struct curl_request {
    CURL *easy;
    const struct curl_target
        *url; /* of the request under way; NULL: none was set yet */

    /* What follows is curl_request.c's: what the handle is set to. */
    struct curl_common *common;
    struct curl_target urls[CURL_URLS_KEPT];
    size_t url_next; /* to be replaced */
    char method[32];
    bool with_body, with_cookies, with_socket;
    struct curl_slist *headers;
    struct curl_slist *own_headers; /* made for the last request that needed any */
    char *own_type;                 /* the content type in it; NULL: none */
    header_lines own_user;          /* the session's, in it */
    bool own_is_general;            /* no header of the request's own is in it */
    bool own_keeps_body;            /* it is of an exchange that does */
    long timeout_ms, connect_timeout_ms;
    int verify; /* -1: not yet set */
};

void curl_request_open(struct curl_request *request, struct curl_common *common);
void curl_request_close(struct curl_request *request);
void curl_common_clear(struct curl_common *common);

/* 0; or -1: it is no URL of ours, and `ret_failure` says why. */
int curl_request_set_url(struct curl_request *request, const char *text,
                         const char **ret_failure);

/* All else that the exchange asks for, and what time it has left. It borrows the body until
 * curl_request_forget_body(). */
void curl_request_set(struct curl_request *request, const struct exchange *exchange);
void curl_request_forget_body(struct curl_request *request);

#endif
