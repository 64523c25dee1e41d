/* outputs/summary.h - the report of a run as text for people. */
#ifndef OUTPUTS_SUMMARY_H
#define OUTPUTS_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "outputs/report.h"

/* Adds the whole report, from "**** Molotov" to "*** Bye ***", in lines of at most
 * `width` columns (figures that need more are not cut). */
void summary_write(const struct report *report, size_t width, bool colour,
                   struct buffer *text);

#endif
