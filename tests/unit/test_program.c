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
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/program.h"

static char folder[] = "/tmp/molotov-test-program-XXXXXX";

/* Runs it in a process of its own; its exit status. */
static int run_apart(int (*main_)(void))
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0)
        _exit(main_());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* --- the start ---------------------------------------------------------------------------- */

static int open_without_descriptors(void)
{
    int fd;

    close_range(0, ~0u, 0);
    program_open("molotov-test");
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (raise(SIGPIPE) != 0)
        return 99;
    return fd;
}

/* What we open never gets the number of stdin, stdout or stderr. */
static void test_open(void **state)
{
    (void)state;
    assert_int_equal(run_apart(open_without_descriptors), 3);
}

/* --- complaints ---------------------------------------------------------------------------- */

static char said[1000];

/* What it writes to stderr in a process of its own, into `said`; its exit status. */
static int run_listening(int (*main_)(void))
{
    int fds[2], status;
    const int before = dup(STDERR_FILENO);
    ssize_t count;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    dup2(fds[1], STDERR_FILENO);
    status = run_apart(main_);
    dup2(before, STDERR_FILENO);
    close(before);
    close(fds[1]);
    count = read(fds[0], said, sizeof(said) - 1);
    said[count > 0 ? count : 0] = '\0';
    close(fds[0]);
    return status;
}

static int complain_of_failure(void)
{
    struct error err;

    program_open("molotov-test");
    error_set(&err, "it\033[31m is\nwrong");
    return program_complain(PROGRAM_FAILED, &err);
}

static int complain_of_usage(void)
{
    struct error err;

    program_open("molotov-test");
    error_set(&err, "unknown option");
    return program_complain(PROGRAM_USAGE, &err);
}

static void test_complain(void **state)
{
    (void)state;
    assert_int_equal(run_listening(complain_of_failure), 1);
    assert_string_equal(said, "molotov-test: it [31m is wrong\n");
    assert_int_equal(run_listening(complain_of_usage), 2);
    assert_string_equal(said,
                        "molotov-test: unknown option\nTry 'molotov-test --help'.\n");
}

static char *log_path(void)
{
    return xasprintf("%s/log", folder);
}

static int log_to_file(void)
{
    char *const path = log_path();
    const int rc = program_log_to(path, NULL);

    free(path);
    fputs("to the log\n", stderr);
    return rc == 0 ? 0 : 1;
}

static int complain_beside_the_log(void)
{
    char *const path = log_path();

    if (program_log_to(path, NULL) == -1)
        return 99;
    free(path);
    return complain_of_failure();
}

static int log_as_before(void)
{
    const int rc =
        program_log_to("-", NULL) == 0 && program_log_to("stdout", NULL) == 0 ? 0 : 1;

    fputs("to stderr\n", stderr);
    return rc;
}

static int log_nowhere(void)
{
    struct error err;

    if (program_log_to("/no/such/folder/log", &err) == 0)
        return 99;
    return program_complain(PROGRAM_FAILED, &err);
}

static void test_log_to(void **state)
{
    char *const path = log_path();
    struct buffer text = BUFFER_INIT;
    struct error err;

    (void)state;
    assert_int_equal(file_write(path, "before\n", 7, 0600, &err), 0);
    assert_int_equal(run_listening(log_to_file), 0);
    assert_string_equal(said, "");
    assert_int_equal(file_read(path, 1000, &text, &err), 0);
    assert_string_equal(buffer_text(&text), "before\nto the log\n");
    buffer_reset(&text);
    assert_int_equal(run_listening(complain_beside_the_log), 1);
    assert_string_equal(said, "molotov-test: it [31m is wrong\n");
    assert_int_equal(file_read(path, 1000, &text, &err), 0);
    assert_non_null(strstr(buffer_text(&text), "molotov-test: it [31m is wrong\n"));
    assert_int_equal(run_listening(log_as_before), 0);
    assert_string_equal(said, "to stderr\n");
    assert_int_equal(run_listening(log_nowhere), 1);
    assert_non_null(strstr(said, "/no/such/folder/log"));
    buffer_clear(&text);
    free(path);
}

/* --- what a program asks ------------------------------------------------------------------- */

static int width_without_terminal(void)
{
    close(STDOUT_FILENO);
    open("/dev/null", O_WRONLY | O_CLOEXEC);
    return (int)program_help_width();
}

static void test_help_width(void **state)
{
    (void)state;
    assert_int_equal(run_apart(width_without_terminal), 80);
}

static void test_beside(void **state)
{
    char *const own = program_beside("test_program");
    char *const other = program_beside("no-such-program");

    (void)state;
    assert_int_equal(own[0], '/');
    assert_int_equal(access(own, X_OK), 0);
    assert_int_equal(access(other, X_OK), -1);
    assert_int_equal(strrchr(own, '/') - own, strrchr(other, '/') - other);
    free(own);
    free(other);
}

static void test_host(void **state)
{
    (void)state;
    assert_true(strlen(program_host()) > 0);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return folder_remove(folder, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),   cmocka_unit_test(test_complain),
        cmocka_unit_test(test_log_to), cmocka_unit_test(test_help_width),
        cmocka_unit_test(test_beside), cmocka_unit_test(test_host),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
