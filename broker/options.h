/* broker/options.h - what molotov-broker can be told; the rows are in options.c. */
#ifndef BROKER_OPTIONS_H
#define BROKER_OPTIONS_H

#include <stdbool.h>

#include "job/options.h"

struct broker_options {
    char *frontend, *backend, *publisher; /* endpoints to bind */
    char *db;                             /* a file */
    long agent_timeout, prepare_timeout;  /* seconds */
    long leave_after;                     /* seconds; 0: it stays */
    char *logfile;                        /* NULL: stderr */
    bool debug, check, version, help;
    char *unused; /* what is only taken for old command lines */
};

/* All at their defaults, where that asks nothing of this machine. */
void broker_options_init(struct broker_options *options);
void broker_options_clear(struct broker_options *options);

struct option_table broker_options_table(struct broker_options *options);

/* What is wrong with the values given. */
int broker_options_check(const struct broker_options *options, struct error *err);

/* Fills in what was not given: endpoints and the database in this user's directories. */
int broker_options_complete(struct broker_options *options, struct error *err);

/* Logs what was given (as options_parse() tells it) but does not do what its name says,
 * or is not wise. After broker_options_complete(). */
void broker_options_warn(const struct broker_options *options,
                         const struct text_list *given);

#endif
