#include "base/endpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

#define IPC "ipc://"
#define TCP "tcp://"
#define HOST_MAX 255u
#define PORT_MAX 65535ul

enum { SHOWN_SIZE = 200 };

/* The parts of HOST:PORT, borrowed. A host in brackets has them. */
struct address {
    const char *host;
    size_t host_length;
    const char *port;
};

/* --- reading them -------------------------------------------------------------------- */

/* Splits what follows tcp://; -1: there is no port. */
static int split_address(const char *text, struct address *ret_address)
{
    const char *const host_end =
        text[0] == '[' ? strchr(text, ']') : strrchr(text, ':');
    const char *const colon =
        host_end != NULL && *host_end == ']' ? host_end + 1 : host_end;

    if (colon == NULL || *colon != ':' || colon[1] == '\0')
        return -1;
    *ret_address = (struct address){
        .host = text, .host_length = (size_t)(colon - text), .port = colon + 1};
    return 0;
}

/* The address of a tcp endpoint; -1: it is none. */
static int read_address(const char *endpoint, struct address *ret_address)
{
    if (!text_starts_with(endpoint, TCP))
        return -1;
    return split_address(endpoint + strlen(TCP), ret_address);
}

static bool host_is(const struct address *address, const char *host)
{
    return strlen(host) == address->host_length &&
           strncmp(host, address->host, address->host_length) == 0;
}

static bool host_is_any(const struct address *address)
{
    return host_is(address, "*") || host_is(address, "0.0.0.0") ||
           host_is(address, "[::]");
}

static bool is_host(const struct address *address)
{
    static const char signs[] = "-._%0123456789"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const char *host = address->host;
    size_t length = address->host_length;

    if (host_is(address, "*"))
        return true;
    if (length > 2 && host[0] == '[') {
        host++;
        length -= 2;
    }
    for (size_t i = 0; i < length; i++)
        if (strchr(signs, host[i]) == NULL &&
            (host[i] != ':' || host == address->host)) /* only within brackets */
            return false;
    return length > 0 && length <= HOST_MAX;
}

static bool is_port(const char *port)
{
    return strcmp(port, "*") == 0 ||
           (strlen(port) <= 5 && strspn(port, "0123456789") == strlen(port) &&
            strtoul(port, NULL, 10) <= PORT_MAX);
}

static int check_ipc(const char *title, const char *path, const char *shown,
                     struct error *err)
{
    if (path[0] != '/')
        return error_set(err, "%s: the path of '%s' must begin with '/': ipc:///PATH",
                         title, shown);
    if (strlen(path) > ENDPOINT_IPC_MAX)
        return error_set(err,
                         "%s: the path of '%s' has %zu bytes, and a socket's has %u at "
                         "the most",
                         title, shown, strlen(path), ENDPOINT_IPC_MAX);
    return 0;
}

static int check_tcp(const char *title, const char *text, const char *shown,
                     struct error *err)
{
    struct address address;

    if (split_address(text, &address) == -1)
        return error_set(err, "%s: '%s' has no port: tcp://HOST:PORT", title, shown);
    if (!is_port(address.port))
        return error_set(err, "%s: '%s' is no port, in '%s': 0 to %lu", title,
                         address.port, shown, PORT_MAX);
    if (memchr(address.host, ':', address.host_length) != NULL &&
        address.host[0] != '[')
        return error_set(err,
                         "%s: an IPv6 address is written tcp://[::1]:PORT, not '%s'",
                         title, shown);
    if (!is_host(&address))
        return error_set(err, "%s: '%s' names no host: tcp://HOST:PORT", title, shown);
    return 0;
}

int endpoint_check(const char *title, const char *endpoint, struct error *err)
{
    char shown[SHOWN_SIZE];

    text_clean(shown, sizeof(shown), endpoint, strlen(endpoint));
    if (!text_is_clean(endpoint, strlen(endpoint)))
        return error_set(err, "%s: '%s' has a control character, or is not UTF-8",
                         title, shown);
    if (text_starts_with(endpoint, IPC))
        return check_ipc(title, endpoint + strlen(IPC), shown, err);
    if (text_starts_with(endpoint, TCP))
        return check_tcp(title, endpoint + strlen(TCP), shown, err);
    return error_set(err, "%s takes tcp://HOST:PORT or ipc:///PATH, not '%s'", title,
                     shown);
}

int endpoint_check_target(const char *title, const char *endpoint, struct error *err)
{
    struct address address;

    if (endpoint_check(title, endpoint, err) == -1)
        return -1;
    if (read_address(endpoint, &address) == 0 &&
        (host_is(&address, "*") || strtoul(address.port, NULL, 10) == 0))
        return error_set(
            err,
            "%s: '%s' is where a broker can listen; to connect to it takes "
            "its host and its port",
            title, endpoint);
    return 0;
}

const char *endpoint_ipc_path(const char *endpoint)
{
    return text_starts_with(endpoint, IPC) ? endpoint + strlen(IPC) : NULL;
}

bool endpoint_is_ipv6(const char *endpoint)
{
    struct address address;

    return read_address(endpoint, &address) == 0 &&
           (address.host[0] == '[' || host_is(&address, "*"));
}

bool endpoint_is_any_host(const char *endpoint)
{
    struct address address;

    return read_address(endpoint, &address) == 0 && host_is_any(&address);
}

char *endpoint_as_seen(const char *advertised, const char *reached)
{
    struct address told, way;

    if (read_address(advertised, &told) == -1 || !host_is_any(&told))
        return xstrdup(advertised);
    if (read_address(reached, &way) == -1)
        return xasprintf(TCP "127.0.0.1:%s", told.port);
    return xasprintf(TCP "%.*s:%s", (int)way.host_length, way.host, told.port);
}

bool endpoint_is_dead(const char *endpoint)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *const path = endpoint_ipc_path(endpoint);
    bool dead = false;
    int fd;

    if (path == NULL || strlen(path) >= sizeof(address.sun_path))
        return false;
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return false;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == -1)
        dead = errno == ENOENT || errno == ENOTDIR || errno == ECONNREFUSED;
    fd_close(&fd);
    return dead;
}

/* --- directories --------------------------------------------------------------------- */

/* FOLDER/more, where the variable holds an absolute path; else NULL. */
static char *below_variable(const char *variable, const char *more)
{
    const char *const folder = getenv(variable);

    return folder != NULL && folder[0] == '/' ? xasprintf("%s/%s", folder, more) : NULL;
}

/* The session's, which is not made where it is not there. */
static char *below_runtime_directory(void)
{
    const char *const runtime = getenv("XDG_RUNTIME_DIR");

    if (runtime == NULL || access(runtime, W_OK | X_OK) == -1)
        return NULL;
    return below_variable("XDG_RUNTIME_DIR", "molotov");
}

int run_directory(char **ret_path, struct error *err)
{
    static const char service[] = "/run/molotov"; /* made by who runs it as one */
    char *const session = below_runtime_directory();
    char *const temporary = xasprintf("/tmp/molotov-%lu", (unsigned long)geteuid());
    const char *const paths[] = {access(service, W_OK | X_OK) == 0 ? service : NULL,
                                 session, temporary};
    const int rc = folder_choose(paths, ARRAY_SIZE(paths), ret_path, err);

    if (rc == 0)
        chmod(*ret_path, 0700); /* one that was there, and others could enter */
    free(session);
    free(temporary);
    return rc;
}

int state_directory(char **ret_path, struct error *err)
{
    char *const state = below_variable("XDG_STATE_HOME", "molotov");
    char *const home = below_variable("HOME", ".local/state/molotov");
    const char *const paths[] = {state, state == NULL ? home : NULL};
    const int rc = folder_choose(paths, ARRAY_SIZE(paths), ret_path, err);

    free(state);
    free(home);
    return rc == 0 ? 0 : run_directory(ret_path, err);
}

int endpoint_default(const char *name, char **ret_endpoint, struct error *err)
{
    const char *const broker = getenv("MOLOTOV_BROKER");
    char *directory = NULL, *endpoint = NULL;
    int rc = -1;

    if (strcmp(name, "frontend") == 0 && broker != NULL && broker[0] != '\0') {
        if (endpoint_check_target("$MOLOTOV_BROKER", broker, err) == -1)
            return -1;
        *ret_endpoint = xstrdup(broker);
        return 0;
    }
    if (run_directory(&directory, err) == -1)
        return -1;
    endpoint = xasprintf(IPC "%s/%s", directory, name);
    rc = endpoint_check("the default endpoint", endpoint, err);
    if (rc == 0)
        *ret_endpoint = endpoint;
    else
        free(endpoint);
    free(directory);
    return rc;
}
