#include "differential/compare.h"

#include <string.h>

const char *aspect_words(enum aspect aspect)
{
    static const char *const words[] = {
#define X(name, words) [ASPECT_##name] = words,
        DIFFERENTIAL_ASPECTS(X)
#undef X
    };

    return words[aspect];
}

static bool same_bytes(const char *left, size_t left_size, const char *right,
                       size_t right_size)
{
    return left_size == right_size &&
           (left_size == 0 || memcmp(left, right, left_size) == 0);
}

static bool same_text(const char *left, const char *right)
{
    if (left == NULL || right == NULL)
        return left == right;
    return strcmp(left, right) == 0;
}

static bool both_went_on(const struct outcome *left, const struct outcome *right)
{
    return outcome_next_is_fine(left) && outcome_next_is_fine(right);
}

/* What an exchange that is not complete has of an answer is nobody's to use: only its
 * failure is compared. So are connections only after answers that both took. */
static bool answers_differ(const struct outcome *left, const struct outcome *right,
                           enum aspect aspect)
{
    const struct exchange *const a = &left->exchange, *const b = &right->exchange;

    switch (aspect) {
    case ASPECT_STATUS:
        return a->status != b->status;
    case ASPECT_REASON:
        return !same_text(a->reason, b->reason);
    case ASPECT_HEAD:
        return !same_bytes(a->head, a->head_size, b->head, b->head_size);
    case ASPECT_BODY:
        return !same_bytes(a->body_data, a->body_length, b->body_data, b->body_length);
    case ASPECT_BYTES_IN:
        return a->bytes_in != b->bytes_in;
    case ASPECT_NEXT_CONNECTION:
        return both_went_on(left, right) &&
               left->after.new_connection != right->after.new_connection;
    case ASPECT_NEXT_REPLACED:
        return both_went_on(left, right) &&
               left->after.replaced != right->after.replaced;
    default:
        return false;
    }
}

bool pair_differs(const struct pair *pair, enum aspect aspect)
{
    const struct outcome *const left = pair->left, *const right = pair->right;
    const struct exchange *const a = &left->exchange, *const b = &right->exchange;

    switch (aspect) {
    case ASPECT_OUTCOME:
        return a->complete != b->complete;
    case ASPECT_WORDS:
        return !a->complete && !b->complete && !same_text(a->failure, b->failure);
    case ASPECT_WRITTEN:
        return a->written != b->written;
    case ASPECT_REQUESTS:
        return left->requests != right->requests;
    case ASPECT_REPLACED:
        return a->replaced != b->replaced;
    case ASPECT_NEXT:
        return outcome_next_is_fine(left) != outcome_next_is_fine(right);
    default:
        return a->complete && b->complete && answers_differ(left, right, aspect);
    }
}

bool accepted_is_of(const struct accepted *row, const char *left, const char *right)
{
    return strcmp(row->left, left) == 0 && strcmp(row->right, right) == 0;
}

const struct accepted *accepted_find(const struct pair *pair, enum aspect aspect)
{
    for (size_t i = 0; i < accepted_count; i++) {
        const struct accepted *const row = &accepted_rows[i];

        if (row->aspect == aspect &&
            accepted_is_of(row, pair->left->transport, pair->right->transport) &&
            (row->applies != NULL ? row->applies(pair) : row->flaw == pair->flaw))
            return row;
    }
    return NULL;
}
