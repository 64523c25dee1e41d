/* tests/differential/generate.h - the answers: valid, odd and hostile ones, each cut,
 * truncated and ended in every way, and then mutations of them. */
#ifndef DIFFERENTIAL_GENERATE_H
#define DIFFERENTIAL_GENERATE_H

#include <stdint.h>

#include "differential/script.h"

/* Gets each script; borrows it. */
typedef void (*script_visitor)(const struct script *script, void *data);

/* Those that are the same in each run: every base answer whole, cut everywhere, cut in two
 * at each byte, and truncated at each byte, with each ending. */
void generate_bases(script_visitor visit, void *data);

/* `count` mutations; each depends on the seed and on its own number only. */
void generate_mutations(uint64_t seed, uint64_t count, script_visitor visit,
                        void *data);

#endif
