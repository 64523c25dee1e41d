/* tests/differential/reference.h - what is wrong with an answer, by a reading of all of its
 * bytes at once: slow and simple, so that it can be checked by eye against RFC 9112. */
#ifndef DIFFERENTIAL_REFERENCE_H
#define DIFFERENTIAL_REFERENCE_H

#include "differential/script.h"

/* The flaws that the direct transport refuses, and why it may where libcurl does not. */
#define REFERENCE_FLAWS(X) \
    X(STATUS_LINE, "no status line of HTTP/1.0 or 1.1", \
      "libcurl takes other versions, small letters and status lines without a blank; " \
      "RFC 9112, 4 knows one form") \
    X(BARE_LF, "a line that ends with LF alone", \
      "RFC 9112, 2.2 lets a client take it or not; a load test is to show it") \
    X(BARE_CR, "a CR without LF in a line", \
      "RFC 9112, 2.2 asks to replace or to refuse it; libcurl hands it on") \
    X(NUL, "a NUL in a line", \
      "RFC 9110, 5.5 asks to replace or to refuse it; libcurl takes it in an " \
      "extension") \
    X(FOLDED, "a header line that begins with a blank", \
      "RFC 9112, 5.2: a server must not send it, as agents read it in different ways") \
    X(NAME, "a header line without a name of token characters before its colon", \
      "RFC 9112, 5.1: a blank before the colon has led to attacks; libcurl hands on " \
      "any " \
      "line with a colon, and looks for the headers it knows only") \
    X(CODING, "a Transfer-Encoding that is not 'chunked', once", \
      "libcurl decodes others, or passes over them; we ask for none (no TE header)") \
    X(CODING_AND_LENGTH, "a Transfer-Encoding and a Content-Length", \
      "RFC 9112, 6.3: it ought to be handled as an error; libcurl ignores the length") \
    X(CODING_IN_1_0, "a Transfer-Encoding in HTTP/1.0", \
      "RFC 9112, 6.1: its framing is faulty; libcurl takes it") \
    X(CHUNK, "a chunk's size or its end is not well-formed", \
      "libcurl passes over all until LF after a size, and takes LF alone") \
    X(LONG_CHUNK_LINE, "a chunk's size and extension over 4 KiB", \
      "nothing that long can be meant; libcurl passes over any of it") \
    X(LEFTOVERS, "bytes after the end of the answer", \
      "a Content-Length too short is a defect of the service that a load test must " \
      "show; libcurl only drops the connection")

#define X(name, words, reason) FLAW_##name,
enum flaw {
    FLAW_NONE,
    REFERENCE_FLAWS(X)
        FLAW_OTHER, /* that both transports refuse, for the same reason */
    FLAW_CUT,       /* well-formed so far, but not all of it */
};
#undef X

/* The first of an answer's bytes. `ret_in_status_line`: it is cut, in a status line of which
 * some bytes came. */
enum flaw reference_flaw(const struct script *script, bool *ret_in_status_line);

#endif
