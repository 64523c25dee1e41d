/* http/curl_addresses.h - whom a handle of libcurl connects to: the addresses of a name, from
 * names.h, since libcurl is to look nothing up itself.
 *
 * libcurl keeps the addresses of a host for all handles of its multi, and takes them over
 * when it is about to connect. It goes on with the next one where an address refuses; but of
 * those that do not answer it may give one family all the time there is, so it has to be made
 * to begin again, with those that it has not tried yet. */
#ifndef HTTP_CURL_ADDRESSES_H
#define HTTP_CURL_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>

#include "http/names.h"
#include "http/target.h"

enum { CURL_HOSTS_KEPT = 4 };

/* Part of whatever has the handle; all zero, but for the handle, at first. */
struct curl_addresses {
    CURL *easy;
    struct addresses *addresses; /* held for the request under way; NULL: it has none */
    uint32_t tried;              /* bits: to which of them libcurl began to connect */

    /* What follows is curl_addresses.c's. */
    struct curl_slist *list; /* the last that libcurl was given */
    struct {
        uint64_t version; /* of struct addresses, and so of one name; 0: none */
        uint16_t port;
    } given[CURL_HOSTS_KEPT];
    size_t given_next; /* to be replaced */
};

void curl_addresses_clear(struct curl_addresses *addresses);

/* Those of a request that begins: libcurl is told them unless it has been. */
void curl_addresses_set(struct curl_addresses *addresses, struct addresses *of_name,
                        const struct target *target);

/* The request is over. */
void curl_addresses_unset(struct curl_addresses *addresses);

/* The next request is to be given addresses even if it is one to a known host: it makes a
 * new connection, and so takes the next turn. */
void curl_addresses_forget_given(struct curl_addresses *addresses);

/* libcurl begins to connect to this one. */
void curl_addresses_note_tried(struct curl_addresses *addresses,
                               const struct sockaddr *address);
bool curl_addresses_has_untried(const struct curl_addresses *addresses);

/* libcurl is given those alone that were not tried. */
void curl_addresses_give_untried(struct curl_addresses *addresses,
                                 const struct target *target);

#endif
