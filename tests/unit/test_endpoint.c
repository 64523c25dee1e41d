#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/endpoint.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/memory.h"

static char folder[] = "/tmp/molotov-test-endpoint-XXXXXX";

#define NAME_50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define PATH_107 "/xxxxx/" NAME_50 NAME_50

static void test_check(void **state)
{
    static const struct {
        const char *endpoint;
        const char *want; /* in the error; NULL: it is one */
    } cases[] = {
        {"ipc:///run/molotov/frontend",  NULL                                           },
        {"ipc://" PATH_107,              NULL                                           },
        {"ipc://" PATH_107 "x",          "108 bytes, and a socket's has 107"            },
        {"ipc://relative",               "must begin with '/'"                          },
        {"ipc://",                       "must begin with '/'"                          },
        {"ipc://*",                      "must begin with '/'"                          },
        {"ipc://@abstract",              "must begin with '/'"                          },
        {"tcp://127.0.0.1:7777",         NULL                                           },
        {"tcp://127.0.0.1:0",            NULL                                           },
        {"tcp://my-host.example.org:1",  NULL                                           },
        {"tcp://eth0:65535",             NULL                                           },
        {"tcp://*:7777",                 NULL                                           },
        {"tcp://*:*",                    NULL                                           },
        {"tcp://[::1]:7777",             NULL                                           },
        {"tcp://[fe80::1%eth0]:7777",    NULL                                           },
        {"tcp://[my-host]:7777",         NULL                                           },
        {"tcp://127.0.0.1",              "has no port: tcp://HOST:PORT"                 },
        {"tcp://127.0.0.1:",             "has no port"                                  },
        {"tcp://[::1]",                  "has no port"                                  },
        {"tcp://[::1",                   "has no port"                                  },
        {"tcp://[::1]7777",              "has no port"                                  },
        {"tcp://",                       "has no port"                                  },
        {"tcp://host:http",              "'http' is no port"                            },
        {"tcp://host:65536",             "'65536' is no port"                           },
        {"tcp://host:-1",                "'-1' is no port"                              },
        {"tcp://host:+1",                "'+1' is no port"                              },
        {"tcp://host:00000000000000080", "is no port"                                   },
        {"tcp://host:80/path",           "'80/path' is no port"                         },
        {"tcp://:7777",                  "names no host"                                },
        {"tcp://[]:7777",                "names no host"                                },
        {"tcp://a b:7777",               "names no host"                                },
        {"tcp://eth0;10.0.0.1:7777",     "names no host"                                },
        {"tcp://**:7777",                "names no host"                                },
        {"tcp://a/b:7777",               "names no host"                                },
        {"tcp://::1:7777",               "an IPv6 address is written tcp://[::1]:PORT"  },
        {"tcp:/host:7777",               "--broker takes tcp://HOST:PORT or ipc:///PATH"},
        {"udp://host:7777",              "--broker takes tcp://HOST:PORT or ipc:///PATH"},
        {"inproc://x",                   "--broker takes"                               },
        {"http://host:7777",             "--broker takes"                               },
        {"localhost:7777",               "--broker takes"                               },
        {"",                             "--broker takes"                               },
        {"tcp://ho\033st:7777",          "control character"                            },
        {"ipc:///tmp/\xff",              "not UTF-8"                                    },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {.message = ""};
        const int rc = endpoint_check("--broker", cases[i].endpoint, &err);

        if (rc != (cases[i].want == NULL ? 0 : -1) ||
            (rc == -1 && (strstr(err.message, cases[i].want) == NULL ||
                          strncmp(err.message, "--broker", 8) != 0)))
            fail_msg("%s: %d, '%s'", cases[i].endpoint, rc, err.message);
    }
}

/* Where a broker may listen is more than what others can connect to. */
static void test_check_target(void **state)
{
    static const char *const wildcards[] = {"tcp://*:5555", "tcp://127.0.0.1:*",
                                            "tcp://127.0.0.1:0", "tcp://*:*"};
    struct error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wildcards); i++) {
        assert_int_equal(endpoint_check("--broker", wildcards[i], &err), 0);
        assert_int_equal(endpoint_check_target("--broker", wildcards[i], &err), -1);
        assert_non_null(strstr(err.message, "its host and its port"));
    }
    assert_int_equal(endpoint_check_target("--broker", "tcp://[::1]:5555", &err), 0);
    assert_int_equal(endpoint_check_target("--broker", "ipc:///tmp/x", &err), 0);
    assert_int_equal(endpoint_check_target("--broker", "tcp://x", &err), -1);
}

/* However long it is, the error says what is wrong. */
static void test_check_long(void **state)
{
    static const char *const starts[] = {"tcp://", "ipc:///", "x"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        struct error err;
        char text[5000];

        memset(text, 'x', sizeof(text));
        memcpy(text, starts[i], strlen(starts[i]));
        memcpy(text + sizeof(text) - 3, ":1", 3);
        assert_int_equal(endpoint_check("--broker", text, &err), -1);
        assert_non_null(
            strstr(err.message, i == 0 ? "names no host" : (i == 1 ? "107" : "takes")));
    }
}

static void test_ipc_path(void **state)
{
    (void)state;
    assert_string_equal(endpoint_ipc_path("ipc:///a/b"), "/a/b");
    assert_null(endpoint_ipc_path("tcp://a:1"));
    assert_true(endpoint_is_ipv6("tcp://[::1]:1"));
    assert_true(endpoint_is_ipv6("tcp://*:1"));
    assert_false(endpoint_is_ipv6("tcp://127.0.0.1:1"));
    assert_false(endpoint_is_ipv6("tcp://host:1"));
    assert_false(endpoint_is_ipv6("ipc:///[::1]:1"));
}

static void test_as_seen(void **state)
{
    static const struct {
        const char *advertised, *reached, *want;
    } cases[] = {
        {"tcp://0.0.0.0:5",   "tcp://broker:7",    "tcp://broker:5"   },
        {"tcp://[::]:5",      "tcp://10.0.0.1:7",  "tcp://10.0.0.1:5" },
        {"tcp://*:5",         "tcp://[fe80::1]:7", "tcp://[fe80::1]:5"},
        {"tcp://[::]:5",      "ipc:///run/x",      "tcp://127.0.0.1:5"},
        {"tcp://10.1.2.3:5",  "tcp://broker:7",    "tcp://10.1.2.3:5" },
        {"tcp://[::1]:5",     "tcp://broker:7",    "tcp://[::1]:5"    },
        {"ipc:///run/x",      "tcp://broker:7",    "ipc:///run/x"     },
        {"ipc:///tmp/[::]:5", "tcp://broker:7",    "ipc:///tmp/[::]:5"},
        {"nonsense",          "tcp://broker:7",    "nonsense"         },
        {"tcp://0.0.0.0:5",   "nonsense",          "tcp://127.0.0.1:5"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *const seen = endpoint_as_seen(cases[i].advertised, cases[i].reached);

        assert_string_equal(seen, cases[i].want);
        assert_int_equal(endpoint_is_any_host(cases[i].advertised),
                         strcmp(cases[i].advertised, cases[i].want) != 0);
        free(seen);
    }
}

static void test_is_dead(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *const endpoint = xasprintf("ipc://%s/socket", folder);
    char *const below = xasprintf("%s/below", endpoint);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_true(endpoint_is_dead(endpoint));
    assert_true(strlen(endpoint) < sizeof(address.sun_path));
    strcpy(address.sun_path, endpoint + strlen("ipc://"));
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_true(endpoint_is_dead(endpoint)); /* not listening */
    assert_true(endpoint_is_dead(below));
    assert_int_equal(listen(fd, 0), 0);
    assert_false(endpoint_is_dead(endpoint));
    assert_false(endpoint_is_dead(endpoint)); /* perhaps the backlog is full now */
    fd_close(&fd);
    assert_true(endpoint_is_dead(endpoint));
    assert_false(endpoint_is_dead("tcp://127.0.0.1:1"));
    assert_false(endpoint_is_dead("ipc://" PATH_107 NAME_50)); /* cannot be said */
    free(endpoint);
    free(below);
}

/* --- directories ----------------------------------------------------------------------- */

static char *path_in_folder(const char *name)
{
    return xasprintf("%s/%s", folder, name);
}

static void expect_folder(char *got, const char *want)
{
    struct stat info;

    assert_string_equal(got, want);
    assert_int_equal(stat(got, &info), 0);
    assert_int_equal(info.st_mode, S_IFDIR | 0700);
    free(got);
}

/* Where /run/molotov is ours, the rest is not asked; so these tests ask it only then. */
static bool has_service(void)
{
    return folder_check_private("/run/molotov", NULL) == 0;
}

static void test_run_directory(void **state)
{
    char *const mine = path_in_folder("molotov");
    char *const temporary = xasprintf("/tmp/molotov-%lu", (unsigned long)geteuid());
    static const char *const not_there[] = {"", "relative", "/no/such/folder"};
    char *got = NULL;
    struct error err;

    (void)state;
    if (has_service())
        skip();
    setenv("XDG_RUNTIME_DIR", folder, 1);
    assert_int_equal(run_directory(&got, &err), 0);
    expect_folder(got, mine);
    assert_int_equal(run_directory(&got, &err), 0); /* it is there */
    expect_folder(got, mine);
    assert_int_equal(chmod(mine, 0777), 0); /* anybody's: not used */
    assert_int_equal(run_directory(&got, &err), 0);
    assert_string_equal(got, temporary);
    free(got);
    for (size_t i = 0; i < ARRAY_SIZE(not_there); i++) {
        setenv("XDG_RUNTIME_DIR", not_there[i], 1);
        assert_int_equal(run_directory(&got, &err), 0);
        expect_folder(got, temporary);
    }
    free(mine);
    free(temporary);
}

static void test_state_directory(void **state)
{
    char *const state_home = path_in_folder("state"), *const home =
                                                          path_in_folder("home");
    char *const in_state = path_in_folder("state/molotov");
    char *const in_home = path_in_folder("home/.local/state/molotov");
    char *run = NULL, *got = NULL;
    struct error err;

    (void)state;
    setenv("XDG_STATE_HOME", state_home, 1);
    setenv("HOME", home, 1);
    assert_int_equal(state_directory(&got, &err), 0);
    expect_folder(got, in_state);
    unsetenv("XDG_STATE_HOME");
    assert_int_equal(state_directory(&got, &err), 0);
    expect_folder(got, in_home);
    unsetenv("HOME");
    assert_int_equal(run_directory(&run, &err), 0);
    assert_int_equal(state_directory(&got, &err), 0);
    assert_string_equal(got, run);
    free(got);
    free(run);
    free(in_state);
    free(in_home);
    free(state_home);
    free(home);
}

static void expect_default(const char *name, const char *want)
{
    struct error err = {.message = ""};
    char *got = NULL;

    if (endpoint_default(name, &got, &err) == -1)
        fail_msg("%s", err.message);
    assert_string_equal(got, want);
    free(got);
}

static void test_default(void **state)
{
    char *run = NULL, *frontend, *backend;
    struct error err;
    char *got = NULL;

    (void)state;
    setenv("XDG_RUNTIME_DIR", folder, 1);
    assert_int_equal(run_directory(&run, &err), 0);
    frontend = xasprintf("ipc://%s/frontend", run);
    backend = xasprintf("ipc://%s/backend", run);
    unsetenv("MOLOTOV_BROKER");
    expect_default("frontend", frontend);
    setenv("MOLOTOV_BROKER", "", 1);
    expect_default("frontend", frontend);
    setenv("MOLOTOV_BROKER", "tcp://broker:7777", 1);
    expect_default("frontend", "tcp://broker:7777");
    expect_default("backend", backend);
    setenv("MOLOTOV_BROKER", "broker", 1);
    assert_int_equal(endpoint_default("frontend", &got, &err), -1);
    assert_non_null(strstr(err.message, "$MOLOTOV_BROKER"));
    assert_null(got);
    unsetenv("MOLOTOV_BROKER");
    free(run);
    free(frontend);
    free(backend);
}

static void test_default_too_long(void **state)
{
    char *const deep = path_in_folder(NAME_50 "/" NAME_50);
    char *got = NULL;
    struct error err;

    (void)state;
    if (has_service())
        skip();
    assert_int_equal(folder_make(deep, &err), 0);
    setenv("XDG_RUNTIME_DIR", deep, 1);
    assert_int_equal(endpoint_default("publisher", &got, &err), -1);
    assert_non_null(strstr(err.message, "107"));
    assert_null(got);
    free(deep);
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
        cmocka_unit_test(test_check),         cmocka_unit_test(test_check_target),
        cmocka_unit_test(test_check_long),    cmocka_unit_test(test_ipc_path),
        cmocka_unit_test(test_as_seen),       cmocka_unit_test(test_is_dead),
        cmocka_unit_test(test_run_directory), cmocka_unit_test(test_state_directory),
        cmocka_unit_test(test_default),       cmocka_unit_test(test_default_too_long),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
