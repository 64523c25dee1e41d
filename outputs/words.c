#include "outputs/words.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

#define ELLIPSIS "\xE2\x80\xA6"
#define MICRO "\xC2\xB5"

/* Three digits that mean something: 1.23, 12.3, 123. */
static int decimals_of(double value)
{
    if (value < 9.995)
        return 2;
    return value < 99.95 ? 1 : 0;
}

const char *words_latency(uint64_t value_us, char ret_words[WORDS_SIZE])
{
    const double ms = (double)value_us / 1e3, s = (double)value_us / 1e6;

    if (value_us < 1000)
        snprintf(ret_words, WORDS_SIZE, "%u" MICRO "s", (unsigned)value_us);
    else if (value_us < 999500)
        snprintf(ret_words, WORDS_SIZE, "%.*fms", decimals_of(ms), ms);
    else
        snprintf(ret_words, WORDS_SIZE, "%.*fs", decimals_of(s), s);
    return ret_words;
}

const char *words_rate(double rate, char ret_words[WORDS_SIZE])
{
    snprintf(ret_words, WORDS_SIZE, "%.*f", rate < 9999.95 ? 1 : 0, rate);
    return ret_words;
}

const char *words_bytes(uint64_t bytes, char ret_words[WORDS_SIZE])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(ret_words, WORDS_SIZE, "%u B", (unsigned)bytes);
        return ret_words;
    }
    for (; value >= 1023.5 && unit + 1 < ARRAY_SIZE(units); unit++)
        value /= 1024;
    snprintf(ret_words, WORDS_SIZE, "%.*f %s", decimals_of(value), value, units[unit]);
    return ret_words;
}

const char *words_clock(double seconds, char ret_words[WORDS_SIZE])
{
    const unsigned long whole = seconds > 0 ? (unsigned long)seconds : 0;
    const unsigned long hours = whole / 3600, minutes = whole / 60 % 60;

    if (hours > 0)
        snprintf(ret_words, WORDS_SIZE, "%lu:%02lu:%02lu", hours, minutes, whole % 60);
    else
        snprintf(ret_words, WORDS_SIZE, "%lu:%02lu", minutes, whole % 60);
    return ret_words;
}

const char *words_count(uint64_t count, const char *noun, char ret_words[WORDS_SIZE])
{
    snprintf(ret_words, WORDS_SIZE, "%llu %s%s", (unsigned long long)count, noun,
             count == 1 ? "" : (text_ends_with(noun, "s") ? "es" : "s"));
    return ret_words;
}

/* The byte at which column `column` of `text` begins. */
static size_t offset_of_column(const char *text, size_t column)
{
    size_t at = 0;

    for (; text[at] != '\0'; at++)
        if (((unsigned char)text[at] & 0xC0) != 0x80 && column-- == 0)
            break;
    return at;
}

void words_add_start(struct buffer *buffer, const char *text, size_t width)
{
    buffer_add(buffer, text, offset_of_column(text, width));
}

void words_add_cut(struct buffer *buffer, const char *text, size_t width)
{
    const size_t columns = text_width(text);
    size_t left;

    if (columns <= width || width < 3) {
        words_add_start(buffer, text, width);
        return;
    }
    left = width / 2;
    words_add_start(buffer, text, left);
    buffer_add_text(buffer, ELLIPSIS);
    buffer_add_text(buffer,
                    text + offset_of_column(text, columns - (width - left - 1)));
}
