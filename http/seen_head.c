#include "http/seen_head.h"

#include <string.h>

void seen_head_clear(struct seen_head *seen)
{
    buffer_clear(&seen->text);
    seen->size = 0;
}

bool seen_head_is_at(const struct seen_head *seen, const char *data, size_t size)
{
    return seen->size > 0 && seen->size <= size &&
           memcmp(seen->text.data, data, seen->size) == 0;
}

static bool is_worth_taking(struct seen_head *seen)
{
    seen->misses++;
    return seen->misses <= SEEN_HEAD_TRIES || seen->misses % SEEN_HEAD_RETRY == 0;
}

bool seen_head_take(struct seen_head *seen, const char *data, size_t size,
                    const struct exchange *exchange)
{
    if (size > SEEN_HEAD_MAX || !is_worth_taking(seen))
        return false;
    buffer_reset(&seen->text);
    buffer_add(&seen->text, data, size);
    buffer_add(&seen->text, exchange->head, exchange->head_size);
    buffer_add_text(&seen->text, exchange->reason);
    seen->size = size;
    seen->lines_size = exchange->head_size;
    seen->status = exchange->status;
    seen->facts = exchange->facts;
    return true;
}

void seen_head_give(struct seen_head *seen, struct exchange *exchange)
{
    const char *const lines = seen->text.data + seen->size;
    const char *const reason = lines + seen->lines_size;

    seen->misses = 0;
    exchange_begin_head(exchange, seen->status, reason,
                        seen->text.size - seen->size - seen->lines_size);
    exchange_add_lines(exchange, lines, seen->lines_size, &seen->facts);
}
