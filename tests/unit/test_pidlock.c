#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/pidlock.h"

enum { RIVALS = 8, ROUNDS = 500 };

static char folder[] = "/tmp/molotov-test-pidlock-XXXXXX";
static char path[100];

static void expect_holder(pid_t pid)
{
    struct pidlock lock;
    struct error err = {.message = ""};
    pid_t holder = -1;
    char text[32];

    assert_int_equal(pidlock_take(&lock, path, &holder, &err), -1);
    assert_int_equal(holder, pid);
    snprintf(text, sizeof(text), "process %ld ", (long)pid);
    assert_non_null(strstr(err.message, text));
    assert_non_null(strstr(err.message, path));
    assert_int_equal(lock.fd, -1);
    pidlock_release(&lock);
    assert_int_equal(pidlock_take(&lock, path, NULL, NULL), -1);
}

static void test_taken_and_released(void **state)
{
    struct pidlock lock;
    struct error err;
    struct buffer text = BUFFER_INIT, want = BUFFER_INIT;

    (void)state;
    assert_int_equal(pidlock_take(&lock, path, NULL, &err), 0);
    assert_int_equal(file_read(path, 100, &text, &err), 0);
    buffer_printf(&want, "%ld\n", (long)getpid());
    assert_string_equal(buffer_text(&text), buffer_text(&want));
    expect_holder(getpid());
    pidlock_release(&lock);
    assert_int_equal(lock.fd, -1);
    assert_int_equal(access(path, F_OK), -1);
    pidlock_release(&lock);
    assert_int_equal(pidlock_take(&lock, path, NULL, &err), 0);
    pidlock_release(&lock);
    buffer_clear(&text);
    buffer_clear(&want);
}

/* What a longer pid or a stranger left in the file is gone. */
static void test_file_that_is_there(void **state)
{
    static const char *const contents[] = {"", "123456789\n123456789\n", "nonsense"};
    struct error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
        struct pidlock lock;
        pid_t holder = -1;

        assert_int_equal(file_write(path, contents[i], strlen(contents[i]), 0600, &err),
                         0);
        assert_int_equal(pidlock_take(&lock, path, &holder, &err), 0);
        assert_int_equal(holder, 0);
        expect_holder(getpid());
        pidlock_release(&lock);
    }
}

static pid_t fork_holder(struct pidlock *lock)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        if (pidlock_take(lock, path, NULL, NULL) == 0 && write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

/* However it dies, the lock is free; the file it left is in nobody's way. */
static void test_holder_is_killed(void **state)
{
    struct pidlock lock;
    struct error err;
    const pid_t pid = fork_holder(&lock);

    (void)state;
    expect_holder(pid);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(pidlock_take(&lock, path, NULL, &err), 0);
    expect_holder(getpid());
    pidlock_release(&lock);
}

static void test_unknown_holder(void **state)
{
    static const char *const contents[] = {"", "x", "0", "-5", "99999999999999999999"};
    const pid_t pid = fork_holder(&(struct pidlock){.fd = -1});

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
        struct pidlock lock;
        struct error err;
        pid_t holder = -1;
        const int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

        assert_int_equal(write(fd, contents[i], strlen(contents[i])),
                         strlen(contents[i]));
        close(fd);
        assert_int_equal(pidlock_take(&lock, path, &holder, &err), -1);
        assert_int_equal(holder, 0);
        assert_non_null(strstr(err.message, "another process"));
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void test_no_file(void **state)
{
    char *const link = xasprintf("%s/link", folder);
    const char *const paths[] = {"/no/such/folder/lock", folder, link};

    (void)state;
    assert_int_equal(symlink(path, link), 0); /* somebody else may have made it */
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct pidlock lock;
        struct error err = {.message = ""};
        pid_t holder = -1;

        assert_int_equal(pidlock_take(&lock, paths[i], &holder, &err), -1);
        assert_int_equal(holder, 0);
        assert_int_equal(lock.fd, -1);
        assert_non_null(strstr(err.message, paths[i]));
    }
    free(link);
}

static int wait_in_child(struct pidlock *held)
{
    struct pidlock lock;

    fd_close(&held->fd); /* a copy, which would hold it, too */
    return pidlock_wait(&lock, path, 20, NULL) == 0 ? 0 : 1;
}

static void test_waits(void **state)
{
    struct pidlock lock, held;
    struct error err;
    const uint64_t start_us = clock_us();
    int status = 0;
    pid_t pid;

    (void)state;
    assert_int_equal(pidlock_take(&held, path, NULL, &err), 0);
    assert_int_equal(pidlock_wait(&lock, path, 0.2, &err), -1);
    assert_in_range(clock_us() - start_us, 200000, 10000000);
    assert_non_null(strstr(err.message, path));
    pid = fork();
    if (pid == 0)
        _exit(wait_in_child(&held));
    usleep(200000);
    pidlock_release(&held);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(pidlock_wait(&lock, path, 0, &err), 0); /* it has died */
    pidlock_release(&lock);
}

/* Takes the lock again and again, and says in `inside` who is within. */
static int play_rival(int *inside)
{
    for (int round = 0; round < ROUNDS;) {
        struct pidlock lock;

        if (pidlock_take(&lock, path, NULL, NULL) == -1)
            continue;
        if (__atomic_add_fetch(inside, 1, __ATOMIC_SEQ_CST) != 1)
            return 1;
        __atomic_sub_fetch(inside, 1, __ATOMIC_SEQ_CST);
        pidlock_release(&lock);
        round++;
    }
    return 0;
}

/* Never two at once, though each one that goes removes the file. */
static void test_one_at_a_time(void **state)
{
    int *const inside = mmap(NULL, sizeof(*inside), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[RIVALS];

    (void)state;
    assert_ptr_not_equal(inside, MAP_FAILED);
    for (size_t i = 0; i < RIVALS; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(play_rival(inside));
    }
    for (size_t i = 0; i < RIVALS; i++) {
        int status = 0;

        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    munmap(inside, sizeof(*inside));
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/lock", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return folder_remove(folder, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken_and_released),
        cmocka_unit_test(test_file_that_is_there),
        cmocka_unit_test(test_holder_is_killed),
        cmocka_unit_test(test_unknown_holder),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_one_at_a_time),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
