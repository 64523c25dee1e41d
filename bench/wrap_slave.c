/* bench/wrap_slave.c - runs the slave of a local run under another program: preloaded into
 * molotov-runner, it takes the place of execv().
 *
 *     WRAP_SLAVE="valgrind --tool=callgrind" LD_PRELOAD=libwrap_slave.so molotov-runner ...
 *
 * Only the slave, since valgrind knows no pidfd, by which the runner watches it. The words
 * of $WRAP_SLAVE are split at blanks; the first one is looked for in $PATH. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WORDS_MAX = 64,
};

/* Adds `word` to a list of `*count`; one that does not fit ends the process. */
static void add_word(char **words, size_t *count, char *word)
{
    if (*count == WORDS_MAX) {
        fprintf(stderr, "wrap_slave: more than %d words\n", WORDS_MAX);
        _exit(127);
    }
    words[(*count)++] = word;
}

static int exec_wrapped(char *wrapper, const char *program, char *const *argv)
{
    char *words[WORDS_MAX + 1] = {NULL};
    char path[4096];
    size_t count = 0;
    const ssize_t length = readlink(program, path, sizeof(path) - 1);

    /* /proc/self/exe would be the wrapper. */
    if (length > 0)
        path[length] = '\0';
    else
        snprintf(path, sizeof(path), "%s", program);
    for (char *word = strtok(wrapper, " "); word != NULL; word = strtok(NULL, " "))
        add_word(words, &count, word);
    add_word(words, &count, path);
    for (size_t i = 1; argv[i] != NULL; i++)
        add_word(words, &count, argv[i]);
    unsetenv("LD_PRELOAD");
    unsetenv("WRAP_SLAVE");
    return execvp(words[0], words);
}

int execv(const char *program, char *const argv[])
{
    int (*next)(const char *, char *const[]);
    const char *const wrapper = getenv("WRAP_SLAVE");

    if (wrapper != NULL && argv[0] != NULL && argv[1] != NULL &&
        strcmp(argv[1], "--slave") == 0)
        return exec_wrapped(strdup(wrapper), program, argv);
    *(void **)&next = dlsym(RTLD_NEXT, "execv");
    return next(program, argv);
}
