/* outputs/words.h - numbers as people read them. */
#ifndef OUTPUTS_WORDS_H
#define OUTPUTS_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

#define WORDS_SIZE 32u /* room for any of these */

/* Each writes into `ret_words` and returns it. */
const char *words_latency(uint64_t value_us, char ret_words[WORDS_SIZE]); /* 12.3ms */
const char *words_rate(double rate, char ret_words[WORDS_SIZE]);          /* 1234.5 */
const char *words_bytes(uint64_t bytes, char ret_words[WORDS_SIZE]);      /* 1.2 MiB */
const char *words_clock(double seconds, char ret_words[WORDS_SIZE]);      /* 1:02:03 */

/* "1 worker", "2 workers". */
const char *words_count(uint64_t count, const char *noun, char ret_words[WORDS_SIZE]);

/* Adds `text` in at most `width` columns: where it is longer, the middle gives way to
 * an ellipsis, since the beginnings and the ends of URLs differ most. */
void words_add_cut(struct buffer *buffer, const char *text, size_t width);

/* Adds the first `width` columns of `text`. */
void words_add_start(struct buffer *buffer, const char *text, size_t width);

#endif
