#include "http/seen_head.h"

#include <string.h>

void seen_head_clear(struct seen_head *seen)
{
    buffer_clear(&seen->text);
    *seen = (struct seen_head){.raw_size = 0};
}

bool seen_head_is_at(const struct seen_head *seen, const char *data, size_t size)
{
    return seen->raw_size > 0 && seen->raw_size <= size &&
           memcmp(seen->text.data, data, seen->raw_size) == 0;
}

static bool is_worth_keeping(struct seen_head *seen)
{
    seen->misses++;
    return seen->misses <= SEEN_HEAD_TRIES || seen->misses % SEEN_HEAD_RETRY == 0;
}

bool seen_head_keep(struct seen_head *seen, const char *data, size_t size,
                    const struct exchange *exchange)
{
    if (size > SEEN_HEAD_MAX || !is_worth_keeping(seen))
        return false;
    buffer_reset(&seen->text);
    buffer_add(&seen->text, data, size);
    buffer_add(&seen->text, exchange->head, exchange->head_size);
    buffer_add_text(&seen->text, exchange->reason);
    seen->raw_size = size;
    seen->status = exchange->status;
    seen->facts = exchange->facts;
    return true;
}

void seen_head_replay(struct seen_head *seen, struct exchange *exchange)
{
    const char *const lines = seen->text.data + seen->raw_size;
    const char *const reason = lines + seen->facts.lines_size;

    seen->misses = 0;
    exchange_begin_head(exchange, seen->status, reason, strlen(reason));
    exchange_set_lines(exchange, lines, &seen->facts);
}
