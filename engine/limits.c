#include "engine/limits.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "scenario/coroutine.h"
#include "scenario/host.h"

enum {
    SPARE_DESCRIPTORS = 64, /* loop, channels, files and libraries of the user's code */
    SPARE_MAPPINGS = 2000,  /* libraries and malloc */
    DEFAULT_MAP_COUNT = 65530,
};

static long read_number(const char *path, long fallback)
{
    FILE *const file = fopen(path, "re");
    long number = fallback;

    if (file == NULL)
        return fallback;
    if (fscanf(file, "%ld", &number) != 1)
        number = fallback;
    fclose(file);
    return number;
}

static int check_descriptors(const struct job *job, struct error *err)
{
    const long limit = (long)fd_raise_limit() - SPARE_DESCRIPTORS;

    if (job->workers <= limit)
        return 0;
    return error_set(
        err,
        "%ld workers in a process need as many open descriptors, and the "
        "limit here leaves %ld: raise it (ulimit -Hn), or spread the workers "
        "over more processes (-p)",
        job->workers, limit > 0 ? limit : 0);
}

static int check_mappings(const struct job *job, const struct test *test,
                          struct error *err)
{
    const long maps =
        read_number("/proc/sys/vm/max_map_count", DEFAULT_MAP_COUNT) - SPARE_MAPPINGS;
    const long each = (long)test->host->mappings;

    if (each == 0 || job->workers <= maps / each)
        return 0;
    return error_set(
        err,
        "%ld workers in a process need %ld memory mappings for their stacks, "
        "and vm.max_map_count leaves room for %ld workers: raise it (sysctl), "
        "or spread the workers over more processes (-p)",
        job->workers, job->workers * each, maps / each);
}

int limits_check(const struct job *job, const struct test *test, struct error *err)
{
    if (check_descriptors(job, err) == -1)
        return -1;
    return check_mappings(job, test, err);
}

void limits_apply(const struct job *job, const struct test *test)
{
    const unsigned long long total = (unsigned long long)sysconf(_SC_PHYS_PAGES) *
                                     (unsigned long long)sysconf(_SC_PAGESIZE);
    unsigned long long bytes = (unsigned long long)job->memory_limit_mib << 20;
    struct rlimit limit;

    if (bytes == 0)
        bytes = total / 4 * 3 / job_process_count(job);
    /* Stacks are mapped in full, but resident only as far as they are used. */
    bytes += test->host->mappings > 0
                 ? (unsigned long long)job->workers * COROUTINE_STACK_SIZE
                 : 0;
    limit = (struct rlimit){.rlim_cur = bytes, .rlim_max = bytes};
#if !defined(__SANITIZE_ADDRESS__) /* whose shadow memory counts, in terabytes */
    if (setrlimit(RLIMIT_DATA, &limit) == -1)
        log_warning("the memory of a process cannot be limited");
#else
    (void)limit;
#endif
}

void limits_offer_to_oom_killer(void)
{
    FILE *const file = fopen("/proc/self/oom_score_adj", "we");

    if (file == NULL)
        return;
    fputs("1000\n", file);
    fclose(file);
}
