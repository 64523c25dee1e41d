/* scenario/make_rule.h - reads the rules that a compiler writes with -MM: "x: a.c b.h". */
#ifndef SCENARIO_MAKE_RULE_H
#define SCENARIO_MAKE_RULE_H

#include <stdbool.h>

#include "base/buffer.h"

/* The next name of the rule at `*at`, unescaped, replaces what `name` holds: true. False,
 * when the rule is over: `*at` is then behind its line. */
bool make_rule_next(const char **at, struct buffer *name);

#endif
