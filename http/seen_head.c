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

void seen_head_take(struct seen_head *seen, const char *data, size_t size,
                    const struct exchange *exchange)
{
    buffer_reset(&seen->text);
    buffer_add(&seen->text, data, size);
    buffer_add(&seen->text, exchange->head, exchange->head_size);
    buffer_add_text(&seen->text, exchange->reason);
    seen->size = size;
    seen->lines_size = exchange->head_size;
    seen->status = exchange->status;
    seen->facts = exchange->facts;
}

void seen_head_give(const struct seen_head *seen, struct exchange *exchange)
{
    const char *const lines = seen->text.data + seen->size;
    const char *const reason = lines + seen->lines_size;

    exchange_begin_head(exchange, seen->status, reason,
                        seen->text.size - seen->size - seen->lines_size);
    exchange_add_lines(exchange, lines, seen->lines_size, &seen->facts);
}
