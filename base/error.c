#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return -1;
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    return -1;
}

int error_errno(struct error *err, const char *format, ...)
{
    const int code = errno;
    char text[ERROR_SIZE];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return error_set(err, "%s: %s", text, strerror(code));
}

int error_prefix(struct error *err, const char *format, ...)
{
    char text[ERROR_SIZE], old[ERROR_SIZE];
    va_list args;

    if (err == NULL)
        return -1;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    memcpy(old, err->message, sizeof(old));
    return error_set(err, "%s: %s", text, old);
}
