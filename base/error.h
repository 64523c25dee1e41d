/* base/error.h - why something could not be done, in words for the person who asked.
 *
 * A function that can fail returns 0, or -1 with its `struct error` filled: what was
 * wrong, where, and what to do. It is filled once, where the failure happened; whoever
 * knows more puts that in front with error_prefix(), and it is shown once, where the
 * work is given up. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#define ERROR_SIZE 1024

struct error {
    char message[ERROR_SIZE]; /* one line, no full stop, cut at ERROR_SIZE */
};

/* Each returns -1, so that a caller can `return error_set(...)`. `err` may be NULL. */
int error_set(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same, with ": " and the words of errno as it was at the call. */
int error_errno(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts the text and ": " in front of the message. */
int error_prefix(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
