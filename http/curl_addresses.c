#include "http/curl_addresses.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"

/* --- the words in which libcurl is told ------------------------------------------------- */

static void add_address(struct buffer *text, const union address *address)
{
    char digits[INET6_ADDRSTRLEN] = "";

    if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->v6.sin6_addr, digits, sizeof(digits));
        buffer_printf(text, "[%s]", digits);
    } else {
        inet_ntop(AF_INET, &address->v4.sin_addr, digits, sizeof(digits));
        buffer_add_text(text, digits);
    }
}

static bool was_tried(const struct curl_addresses *addresses, size_t index)
{
    return addresses->tried >> index & 1;
}

/* All that were not tried, in the order in which they are to be. */
static void give(struct curl_addresses *addresses, const struct target *target,
                 size_t first)
{
    const struct addresses *const all = addresses->addresses;
    struct buffer text = BUFFER_INIT;
    const char *separator = "";

    buffer_printf(&text, "+%s:%u:", target->host, target->port);
    for (size_t i = 0; i < all->count; i++) {
        const size_t index = (first + i) % all->count;

        if (was_tried(addresses, index))
            continue;
        buffer_add_text(&text, separator);
        add_address(&text, &all->items[index]);
        separator = ",";
    }
    curl_easy_setopt(addresses->easy, CURLOPT_RESOLVE, NULL);
    curl_slist_free_all(addresses->list);
    addresses->list = curl_slist_append(NULL, buffer_text(&text));
    if (addresses->list == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    curl_easy_setopt(addresses->easy, CURLOPT_RESOLVE, addresses->list);
    buffer_clear(&text);
}

/* --- of one request ------------------------------------------------------------------- */

/* Whether libcurl was given them; it is taken that it will be. */
static bool note_given(struct curl_addresses *addresses, uint64_t version,
                       uint16_t port)
{
    for (size_t i = 0; i < ARRAY_SIZE(addresses->given); i++) {
        if (addresses->given[i].version == version && addresses->given[i].port == port)
            return true;
    }
    addresses->given[addresses->given_next].version = version;
    addresses->given[addresses->given_next].port = port;
    addresses->given_next = (addresses->given_next + 1) % ARRAY_SIZE(addresses->given);
    return false;
}

void curl_addresses_set(struct curl_addresses *addresses, struct addresses *of_name,
                        const struct target *target)
{
    addresses->addresses = addresses_hold(of_name);
    addresses->tried = 0;
    if (!note_given(addresses, of_name->version, target->port))
        give(addresses, target, addresses_take_turn(of_name));
}

void curl_addresses_unset(struct curl_addresses *addresses)
{
    addresses_release(addresses->addresses);
    addresses->addresses = NULL;
}

void curl_addresses_forget_given(struct curl_addresses *addresses)
{
    memset(addresses->given, 0, sizeof(addresses->given));
}

void curl_addresses_clear(struct curl_addresses *addresses)
{
    curl_addresses_unset(addresses);
    curl_slist_free_all(addresses->list);
}

/* --- those that do not answer ----------------------------------------------------------- */

static bool is_same(const union address *left, const struct sockaddr *right)
{
    if (left->any.sa_family != right->sa_family)
        return false;
    if (right->sa_family == AF_INET6)
        return memcmp(&left->v6.sin6_addr,
                      &((const struct sockaddr_in6 *)(const void *)right)->sin6_addr,
                      sizeof(left->v6.sin6_addr)) == 0;
    return left->v4.sin_addr.s_addr ==
           ((const struct sockaddr_in *)(const void *)right)->sin_addr.s_addr;
}

void curl_addresses_note_tried(struct curl_addresses *addresses,
                               const struct sockaddr *address)
{
    const struct addresses *const all = addresses->addresses;

    for (size_t i = 0; all != NULL && i < all->count; i++) {
        if (is_same(&all->items[i], address))
            addresses->tried |= 1u << i;
    }
}

bool curl_addresses_has_untried(const struct curl_addresses *addresses)
{
    return addresses->addresses != NULL &&
           addresses->tried != (1u << addresses->addresses->count) - 1;
}

/* Others must not be left with so few. */
void curl_addresses_give_untried(struct curl_addresses *addresses,
                                 const struct target *target)
{
    curl_addresses_forget_given(addresses);
    give(addresses, target, addresses->addresses->first);
}
