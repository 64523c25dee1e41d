/* stats/stats.h - all that was measured in an interval, or in a whole run.
 *
 * The workers of a process record into one; two merge into one in any order and any
 * grouping, with the same totals, and under the caps the same rows. Counts only grow by
 * recording and merging, and totals are always derived from the rows, so they cannot
 * disagree. Recording allocates only for what it sees the first time. */
#ifndef STATS_STATS_H
#define STATS_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats/histogram.h"
#include "stats/table.h"

#define STATS_REQUESTS_MAX 1000u
#define STATS_SCENARIOS_MAX 200u
#define STATS_ERRORS_MAX 200u
#define STATS_COUNTERS_MAX 200u
#define STATS_SAMPLE_MAX 500u /* bytes of an error's sample */
#define STATS_STATUS_MAX 999u /* a status above it is counted as 0 */

/* Where the time of a request went. A phase that did not happen (a kept connection needs
 * no look-up) is not recorded. The whole is the request's latency. */
#define STATS_PHASES(X) \
    X(DNS, dns, "looking up the name") \
    X(CONNECT, connect, "opening the connection") \
    X(TLS, tls, "the TLS handshake") \
    X(FIRST_BYTE, first_byte, "from writing the request to the answer's first byte")

enum stats_phase {
#define PHASE_NUMBER(upper, lower, help) PHASE_##upper,
    STATS_PHASES(PHASE_NUMBER)
#undef PHASE_NUMBER
        PHASE_COUNT
};

extern const char *const stats_phase_names[PHASE_COUNT]; /* "dns", "connect" ... */

struct status_count {
    unsigned status; /* 0 to 999 */
    uint64_t count;
};

/* Requests of one method and one name (the user's, or the URL without its query). */
struct request_stats {
    struct table_row row; /* its name: "METHOD name" */
    uint64_t hits;        /* a byte of it was written; each hop of a redirect is one */
    uint64_t hit_errors;  /* of the hits: no complete answer came */
    uint64_t unsent;      /* no hits: failed before a byte was written */
    uint64_t bytes_in;    /* heads and bodies of answers, before TLS */
    uint64_t bytes_out;   /* heads and bodies of requests, before TLS */
    struct status_count *statuses; /* ascending; of complete answers; some may be 0 */
    size_t status_count;
    struct histogram *phases[PHASE_COUNT]; /* NULL (or empty) until one is recorded */
    struct histogram latency;              /* of complete answers. Last: see kinds.h */
};

struct scenario_stats {
    struct table_row row;
    uint64_t ok;
    uint64_t failed;
    uint64_t cancelled;       /* cut by a forced end: neither ok nor failed */
    struct histogram latency; /* of the runs that were ok. Last, too */
};

/* Errors with one message. */
struct error_stats {
    struct table_row row; /* its name: the message */
    uint64_t count;
    uint64_t sample_us; /* when the sample happened, since START */
    /* Clean text: the earliest one; of two at once, the lesser. */
    char sample[STATS_SAMPLE_MAX + 1];
};

/* A number that a script counts (mlt_count). Up and down are kept apart, since a
 * saturated difference would depend on the order of its parts. */
struct counter_stats {
    struct table_row row;
    uint64_t added, taken;
    int64_t value; /* added - taken, or the nearest that fits */
};

/* Plain numbers that add up, each a field of struct stats. */
#define STATS_SCALARS(X) \
    X(workers_started) \
    X(workers_ended) \
    X(setup_failed) \
    X(session_setup_failed) \
    X(lines_dropped) \
    X(connections) \
    X(replaced_connections) /* kept ones that had been closed: others took their place */ \
    X(curl_requests)        /* what each transport had, hits and unsent together */ \
    X(direct_requests)

struct stats {
#define SCALAR_FIELD(name) uint64_t name;
    STATS_SCALARS(SCALAR_FIELD)
#undef SCALAR_FIELD
    struct table requests;  /* of struct request_stats */
    struct table scenarios; /* of struct scenario_stats */
    struct table errors;    /* of struct error_stats */
    struct table counters;  /* of struct counter_stats */
};

void stats_init(struct stats *stats);
void stats_clear(struct stats *stats); /* frees; call stats_init() to use it again */
void stats_reset(struct stats *stats); /* all counts zero; rows and memory stay */
bool stats_is_empty(const struct stats *stats); /* nothing was counted since */

/* Adds all of `from` to `into`; sums saturate. `from` stays as it is. */
void stats_merge(struct stats *into, const struct stats *from);

/* --- recording: rows stay valid until stats_clear() ------------------------------- */

/* `name` is cut at '?' and '#' by the caller; the pair shares one cap. Counts and the
 * latency are the caller's to add (histogram_record). */
struct request_stats *stats_request(struct stats *stats, const char *method,
                                    const char *name, size_t name_length);
struct scenario_stats *stats_scenario(struct stats *stats, const char *name);
void stats_add_status(struct request_stats *request, unsigned status, uint64_t count);
void stats_add_phase(struct request_stats *request, enum stats_phase phase,
                     uint64_t duration_us);
/* `sample` is where or how it happened this time; cleaned and cut as `message` is. */
void stats_add_error(struct stats *stats, const char *message, uint64_t at_us,
                     const char *sample);
void stats_add_counter(struct stats *stats, const char *name, int64_t by);

/* --- reading ---------------------------------------------------------------------- */

/* Sums over all scenarios, then over all requests. */
#define STATS_TOTALS(X) \
    X(ok) \
    X(failed) \
    X(cancelled) \
    X(hits) \
    X(hit_errors) \
    X(unsent) \
    X(bytes_in) \
    X(bytes_out)

struct stats_totals {
#define TOTAL_FIELD(name) uint64_t name;
    STATS_TOTALS(TOTAL_FIELD)
#undef TOTAL_FIELD
};

void stats_total(const struct stats *stats, struct stats_totals *ret_totals);
void stats_totals_add(struct stats_totals *into, const struct stats_totals *from);

/* Merges the latency of all requests into `latency`. */
void stats_add_latency(const struct stats *stats, struct histogram *latency);

/* Rows in the order of their names, "(other)" last: an array of table.count pointers
 * that the caller frees (NULL when there is none). After a stats_reset() rows may have
 * counted nothing. */
struct table_row **stats_sorted_rows(const struct table *table);

/* The two halves of a request row's name, a longer method cut. "(other)" has an empty
 * method. */
void stats_split_request_name(const struct request_stats *request, char ret_method[32],
                              const char **ret_name);

#endif
