#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memory.h"

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) != -1;
}

static int open_null(void)
{
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_int_not_equal(fd, -1);
    return fd;
}

static void test_close(void **state)
{
    int fd = open_null();
    const int number = fd;

    (void)state;
    fd_close(&fd);
    assert_int_equal(fd, -1);
    assert_false(is_open(number));
    errno = 0;
    fd_close(&fd); /* closed already: nothing is even tried */
    assert_int_equal(errno, 0);
}

static void test_raise_limit(void **state)
{
    struct rlimit limit;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 256;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(fd_raise_limit(), (size_t)limit.rlim_max);
    assert_int_equal(fd_raise_limit(), (size_t)limit.rlim_max);
    getrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(limit.rlim_cur, limit.rlim_max);
}

static void test_count_open(void **state)
{
    const size_t before = fd_count_open();
    int fds[3] = {open_null(), open_null(), open_null()};

    (void)state;
    assert_true(before >= 3 || !is_open(0) || !is_open(1) || !is_open(2));
    assert_int_equal(fd_count_open(), before + 3);
    fd_close(&fds[1]);
    assert_int_equal(fd_count_open(), before + 2);
    fd_close(&fds[0]);
    fd_close(&fds[2]);
    assert_int_equal(fd_count_open(), before);
}

/* Of a process that has two, and nothing else. */
static void test_count_all(void **state)
{
    const pid_t pid = fork();
    int status = 0;

    (void)state;
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        close_range(0, ~0u, 0);
        _exit(open_null() + open_null() == 1 ? (int)fd_count_open() : 99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_raise_limit),
        cmocka_unit_test(test_count_open),
        cmocka_unit_test(test_count_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
