#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

enum { LINE_SIZE = 2048 };

static enum log_level lowest = LOG_LEVEL_WARNING;

void log_set_level(enum log_level level)
{
    lowest = level;
}

void log_write(enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"ERROR", "WARNING", "INFO", "DEBUG"};
    char text[LINE_SIZE], clean[LINE_SIZE], when[32];
    const time_t now = time(NULL);
    struct tm parts;
    va_list args;

    if (level > lowest)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    text_clean(clean, sizeof(clean), text, strlen(text));
    localtime_r(&now, &parts);
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &parts);
    fprintf(stderr, "%s %s [%ld] %s\n", when, names[level], (long)getpid(), clean);
}
