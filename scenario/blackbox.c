#include "scenario/blackbox.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memory.h"
#include "base/text.h"
#include "stats/stats.h"

struct box_header {
    char names[STATS_SCENARIOS_MAX][TABLE_NAME_MAX + 1];
};

struct blackbox {
    struct box_header *header;
    struct blackbox_slot *slots;
    size_t processes;
};

static size_t box_size(size_t processes)
{
    return sizeof(struct box_header) + processes * sizeof(struct blackbox_slot);
}

int blackbox_create(size_t processes, int *ret_fd, struct error *err)
{
    int fd = memfd_create("molotov-blackbox", MFD_CLOEXEC);

    if (fd == -1)
        return error_errno(err, "cannot make shared memory");
    if (ftruncate(fd, (off_t)box_size(processes)) == -1) {
        error_errno(err, "cannot make shared memory of %zu bytes", box_size(processes));
        fd_close(&fd);
        return -1;
    }
    *ret_fd = fd;
    return 0;
}

int blackbox_map(int fd, size_t processes, struct blackbox **ret_box, struct error *err)
{
    void *const memory =
        mmap(NULL, box_size(processes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct blackbox *box;

    if (memory == MAP_FAILED)
        return error_errno(err, "cannot map shared memory");
    box = xcalloc(1, sizeof(*box));
    box->header = memory;
    box->slots =
        (struct blackbox_slot *)(void *)((char *)memory + sizeof(struct box_header));
    box->processes = processes;
    *ret_box = box;
    return 0;
}

void blackbox_unmap(struct blackbox *box)
{
    if (box == NULL)
        return;
    munmap(box->header, box_size(box->processes));
    free(box);
}

void blackbox_set_names(struct blackbox *box, const struct test *test)
{
    for (size_t i = 0; i < test->scenario_count; i++)
        text_clean(box->header->names[i], sizeof(box->header->names[i]),
                   test->scenarios[i].name, strlen(test->scenarios[i].name));
}

struct blackbox_slot *blackbox_slot(struct blackbox *box, size_t process)
{
    return &box->slots[process];
}

char *blackbox_running(const struct blackbox *box, size_t process)
{
    const uint32_t scenario = box->slots[process].scenario;
    const uint32_t fixture = box->slots[process].fixture;
    char name[TABLE_NAME_MAX + 1];

    if (fixture > 0 && fixture <= FIXTURE_COUNT)
        return xstrdup(test_fixture_names[fixture - 1]);
    if (scenario == 0 || scenario > STATS_SCENARIOS_MAX)
        return NULL;
    text_clean(name, sizeof(name), box->header->names[scenario - 1],
               strnlen(box->header->names[scenario - 1], TABLE_NAME_MAX));
    return xstrdup(name);
}
