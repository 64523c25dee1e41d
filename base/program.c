#include "base/program.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memory.h"
#include "base/text.h"

enum { HELP_WIDTH = 80, HELP_WIDTH_LEAST = 40, HELP_WIDTH_MOST = 100 };

static const char *program_name = "molotov";
static int first_stderr = -1; /* where stderr is a log file by now */

/* A descriptor we open must never take the number of one that is expected to be there. */
static void ensure_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        fd_close(&fd);
}

void program_open(const char *name)
{
    program_name = name;
    ensure_standard_descriptors();
    signal(SIGPIPE, SIG_IGN);
}

static void complain_on(int fd, enum program_status status, const char *message)
{
    dprintf(fd, "%s: %s\n", program_name, message);
    if (status == PROGRAM_USAGE)
        dprintf(fd, "Try '%s --help'.\n", program_name);
}

int program_complain(enum program_status status, const struct error *err)
{
    char clean[ERROR_SIZE]; /* it may quote what a stranger wrote */

    text_clean(clean, sizeof(clean), err->message, strlen(err->message));
    fflush(stderr);
    complain_on(STDERR_FILENO, status, clean);
    if (first_stderr != -1)
        complain_on(first_stderr, status, clean);
    return (int)status;
}

size_t program_help_width(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == -1 || size.ws_col < HELP_WIDTH_LEAST)
        return HELP_WIDTH;
    return size.ws_col < HELP_WIDTH_MOST ? size.ws_col : HELP_WIDTH_MOST;
}

int program_log_to(const char *path, struct error *err)
{
    int fd, rc = 0;

    if (strcmp(path, "-") == 0 || strcmp(path, "stdout") == 0)
        return 0;
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0644);
    if (fd != -1 && first_stderr == -1)
        first_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd == -1 || dup2(fd, STDERR_FILENO) == -1)
        rc = error_errno(err, "cannot write the log file '%s'", path);
    fd_close(&fd);
    return rc;
}

char *program_beside(const char *name)
{
    char own[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    char *slash;

    own[length > 0 ? length : 0] = '\0';
    slash = strrchr(own, '/');
    if (slash == NULL) /* no /proc: wherever the shell would find it */
        return xstrdup(name);
    return xasprintf("%.*s/%s", (int)(slash - own), own, name);
}

const char *program_host(void)
{
    static char clean[HOST_NAME_MAX + 1];
    char name[HOST_NAME_MAX + 1] = "";

    if (gethostname(name, sizeof(name) - 1) == -1 || name[0] == '\0')
        return "localhost";
    text_clean(clean, sizeof(clean), name, strlen(name));
    return clean;
}
