/* tests/unit/answers.h - answers of all kinds: valid ones, odd ones, and hostile ones.
 *
 * test_answer.c feeds each cut at every byte; the fuzz target begins with them. */
#ifndef TESTS_UNIT_ANSWERS_H
#define TESTS_UNIT_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "http/answer.h"
#include "unit/random.h"

struct sample_answer {
    const char *name;
    const char *bytes;
    size_t size;
    const char *method; /* NULL: GET */

    /* What comes of it when the connection ends after these bytes. */
    const char *failure; /* NULL: it is complete */
    int status;
    const char *reason, *head, *body; /* NULL: "", or, where it failed, anything */
    bool keep_alive;
    size_t left; /* bytes after its end */
};

#define BYTES(text) .bytes = (text), .size = sizeof(text) - 1
#define OK_1 "HTTP/1.1 200 OK\r\n"
#define OK_0 "HTTP/1.0 200 OK\r\n"
#define CHUNKED OK_1 "Transfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_HEAD "Transfer-Encoding: chunked\n"

#define NO_ANSWER "the server closed the connection without an answer"
#define NOT_HTTP "the answer is not HTTP"
#define CUT_HEAD "the answer ended within its head"
#define CUT_ANSWER "the answer ended before its end"
#define BAD_LINE "a header line of the answer is not well-formed"
#define BAD_LENGTH "the answer's Content-Length is not one number"
#define BAD_CODING "the answer's Transfer-Encoding is not \"chunked\""
#define OLD_CODING "the answer is HTTP/1.0, but has a Transfer-Encoding"
#define TWO_LENGTHS "the answer has both a Transfer-Encoding and a Content-Length"
#define BAD_CHUNKS "the answer's chunked body is broken"
#define BAD_BODY "the answer's compressed body is broken"
#define SWITCHED "the server changed the protocol, but nobody asked it to"

/* clang-format off */
static const struct sample_answer sample_answers[] = {
    /* --- the status line --- */
    {"a body of a length", BYTES(OK_1 "Content-Length: 5\r\n\r\nhello"),
     .status = 200, .reason = "OK", .head = "Content-Length: 5\n", .body = "hello",
     .keep_alive = true},
    {"no reason", BYTES("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
     .status = 200, .reason = "", .head = "Content-Length: 2\n", .body = "ok",
     .keep_alive = true},
    {"an empty reason", BYTES("HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n"),
     .status = 404, .reason = "", .head = "Content-Length: 0\n", .keep_alive = true},
    {"a reason of odd letters",
     BYTES("HTTP/1.1 999  Nicht \xF6" "ffentlich\t!\r\nContent-Length: 0\r\n\r\n"),
     .status = 999, .reason = " Nicht \xF6" "ffentlich\t!",
     .head = "Content-Length: 0\n", .keep_alive = true},
    {"nothing", BYTES(""), .failure = NO_ANSWER},
    {"a letter", BYTES("H"), .failure = CUT_HEAD},
    {"the start of a status line", BYTES("HTTP/1.1 200"), .failure = CUT_HEAD},
    {"a status line without LF", BYTES("HTTP/1.1 200 OK\r"), .failure = CUT_HEAD},
    {"a status line and no more", BYTES(OK_1), .failure = CUT_HEAD, .status = 200},
    {"an empty line first", BYTES("\r\n" OK_1 "Content-Length: 0\r\n\r\n"),
     .failure = NOT_HTTP},
    {"garbage", BYTES("\0\xFF\xFENo HTTP at all \x1B[31m\x07\r\n"), .failure = NOT_HTTP},
    {"a greeting without a line end", BYTES("SSH-2.0-"), .failure = NOT_HTTP},
    {"a TLS alert", BYTES("\x15\x03\x01\0\x02\x02\x46"), .failure = NOT_HTTP},
    {"HTTP/2", BYTES("HTTP/2 200 OK\r\n\r\n"), .failure = NOT_HTTP},
    {"HTTP/1.2", BYTES("HTTP/1.2 200 OK\r\n\r\n"), .failure = NOT_HTTP},
    {"HTTP/1.", BYTES("HTTP/1.\r\n\r\n"), .failure = NOT_HTTP},
    {"HTTP/1.10", BYTES("HTTP/1.10 200 OK\r\n\r\n"), .failure = NOT_HTTP},
    {"http/1.1", BYTES("http/1.1 200 OK\r\n\r\n"), .failure = NOT_HTTP},
    {"ICY", BYTES("ICY 200 OK\r\n\r\n"), .failure = NOT_HTTP},
    {"no status", BYTES("HTTP/1.1\r\n\r\n"), .failure = NOT_HTTP},
    {"no status, but a blank", BYTES("HTTP/1.1 \r\n\r\n"), .failure = NOT_HTTP},
    {"a status of two digits", BYTES("HTTP/1.1 99 Too Low\r\n\r\n"),
     .failure = NOT_HTTP},
    {"a status under 100", BYTES("HTTP/1.1 099 Too Low\r\n\r\n"), .failure = NOT_HTTP},
    {"a status of four digits", BYTES("HTTP/1.1 2000 OK\r\n\r\n"), .failure = NOT_HTTP},
    {"a status with a sign", BYTES("HTTP/1.1 +20 OK\r\n\r\n"), .failure = NOT_HTTP},
    {"a status with a letter", BYTES("HTTP/1.1 2x0 OK\r\n\r\n"), .failure = NOT_HTTP},
    {"two blanks before the status", BYTES("HTTP/1.1  200 OK\r\n\r\n"),
     .failure = NOT_HTTP},
    {"a tab before the status", BYTES("HTTP/1.1\t200 OK\r\n\r\n"), .failure = NOT_HTTP},
    {"a tab after the status", BYTES("HTTP/1.1 200\tOK\r\n\r\n"), .failure = NOT_HTTP},
    {"a bare LF after the status line", BYTES("HTTP/1.1 200 OK\nA: b\r\n\r\n"),
     .failure = NOT_HTTP},
    {"a bare CR in the status line", BYTES("HTTP/1.1 200 O\rK\r\nA: b\r\n\r\n"),
     .failure = NOT_HTTP},
    {"two CR after the status line", BYTES("HTTP/1.1 200 OK\r\r\nA: b\r\n\r\n"),
     .failure = NOT_HTTP},
    {"a NUL in the reason", BYTES("HTTP/1.1 200 O\0K\r\nA: b\r\n\r\n"),
     .failure = NOT_HTTP},

    /* --- header lines --- */
    {"lines of all kinds",
     BYTES(OK_1 "Content-Length: 0\r\nX-Empty:\r\nX-Blank: \t \r\nX!#$%&'*+-.^_`|~9:x\r\n"
                "X-Odd: \x1B[31m\x07\x7F\xFF\r\nX-Colons:::\r\n\r\n"),
     .status = 200, .reason = "OK",
     .head = "Content-Length: 0\nX-Empty:\nX-Blank: \t \nX!#$%&'*+-.^_`|~9:x\n"
             "X-Odd: \x1B[31m\x07\x7F\xFF\nX-Colons:::\n",
     .keep_alive = true},
    {"a head that is cut in a line", BYTES(OK_1 "Content-Type: text/pl"),
     .failure = CUT_HEAD, .status = 200},
    {"a head that is cut after a CR", BYTES(OK_1 "A: b\r"), .failure = CUT_HEAD,
     .status = 200},
    {"a head that is cut after a line", BYTES(OK_1 "A: b\r\n"), .failure = CUT_HEAD,
     .status = 200},
    {"a head that is cut in its end", BYTES(OK_1 "A: b\r\n\r"), .failure = CUT_HEAD,
     .status = 200},
    {"a bare LF after a line", BYTES(OK_1 "A: b\nC: d\r\n\r\n"), .failure = BAD_LINE,
     .status = 200},
    {"a bare LF at the end", BYTES(OK_1 "A: b\r\n\n"), .failure = BAD_LINE,
     .status = 200},
    {"bare LF everywhere", BYTES(OK_1 "A: b\nContent-Length: 0\n\n"),
     .failure = BAD_LINE, .status = 200},
    {"a bare CR in a value", BYTES(OK_1 "A: b\rContent-Length: 5\r\n\r\n"),
     .failure = BAD_LINE, .status = 200},
    {"a bare CR for the end", BYTES(OK_1 "A: b\r\n\rX\r\n\r\n"), .failure = BAD_LINE,
     .status = 200},
    {"two CR", BYTES(OK_1 "A: b\r\r\n\r\n"), .failure = BAD_LINE, .status = 200},
    {"a NUL in a value", BYTES(OK_1 "A: b\0c\r\n\r\n"), .failure = BAD_LINE,
     .status = 200},
    {"a NUL in a name", BYTES(OK_1 "A\0: b\r\n\r\n"), .failure = BAD_LINE,
     .status = 200},
    {"a folded line", BYTES(OK_1 "A: b\r\n c\r\n\r\n"), .failure = BAD_LINE,
     .status = 200},
    {"a line folded with a tab", BYTES(OK_1 "A: b\r\n\tc: d\r\n\r\n"),
     .failure = BAD_LINE, .status = 200},
    {"a blank before the first name", BYTES(OK_1 " A: b\r\n\r\n"), .failure = BAD_LINE,
     .status = 200},
    {"a blank before the colon", BYTES(OK_1 "Content-Length : 5\r\n\r\nhello"),
     .failure = BAD_LINE, .status = 200},
    {"an empty name", BYTES(OK_1 ": b\r\n\r\n"), .failure = BAD_LINE, .status = 200},
    {"no colon", BYTES(OK_1 "What is this\r\n\r\n"), .failure = BAD_LINE, .status = 200},
    {"a name alone", BYTES(OK_1 "Server\r\n\r\n"), .failure = BAD_LINE, .status = 200},
    {"a control code in a name", BYTES(OK_1 "A\x1B: b\r\n\r\n"), .failure = BAD_LINE,
     .status = 200},
    {"a letter of no ASCII in a name", BYTES(OK_1 "\xC3\xA4: b\r\n\r\n"),
     .failure = BAD_LINE, .status = 200},
    {"brackets in a name", BYTES(OK_1 "A(b): c\r\n\r\n"), .failure = BAD_LINE,
     .status = 200},

    /* --- lengths --- */
    {"a length of nothing", BYTES(OK_1 "Content-Length: 0\r\n\r\n"),
     .status = 200, .reason = "OK", .head = "Content-Length: 0\n", .keep_alive = true},
    {"the same length twice",
     BYTES(OK_1 "Content-Length: 2\r\nCONTENT-LENGTH:\t02 \r\n\r\nok"),
     .status = 200, .reason = "OK", .head = "Content-Length: 2\nCONTENT-LENGTH:\t02 \n",
     .body = "ok", .keep_alive = true},
    {"two lengths", BYTES(OK_1 "Content-Length: 4\r\nContent-Length: 9\r\n\r\nfour"),
     .failure = BAD_LENGTH, .status = 200},
    {"a list of lengths", BYTES(OK_1 "Content-Length: 4, 4\r\n\r\nfour"),
     .failure = BAD_LENGTH, .status = 200},
    {"a negative length", BYTES(OK_1 "Content-Length: -5\r\n\r\nfour"),
     .failure = BAD_LENGTH, .status = 200},
    {"a length that overflows",
     BYTES(OK_1 "Content-Length: 18446744073709551620\r\n\r\nfour"),
     .failure = BAD_LENGTH, .status = 200},
    {"an empty length", BYTES(OK_1 "Content-Length: \r\n\r\nfour"),
     .failure = BAD_LENGTH, .status = 200},
    {"a body that is cut", BYTES(OK_1 "Content-Length: 1000\r\n\r\nonly this"),
     .failure = CUT_ANSWER, .status = 200},
    {"a body that never begins", BYTES(OK_1 "Content-Length: 1\r\n\r\n"),
     .failure = CUT_ANSWER, .status = 200},
    {"a body and more", BYTES(OK_1 "Content-Length: 5\r\n\r\nhello, world"),
     .status = 200, .reason = "OK", .head = "Content-Length: 5\n", .body = "hello",
     .keep_alive = true, .left = 7},
    {"two answers",
     BYTES(OK_1 "Content-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
     .status = 200, .reason = "OK", .head = "Content-Length: 0\n",
     .keep_alive = true, .left = 19},
    {"a body of odd bytes", BYTES(OK_1 "Content-Length: 6\r\n\r\n\r\n\r\n\xFF\n"),
     .status = 200, .reason = "OK", .head = "Content-Length: 6\n",
     .body = "\r\n\r\n\xFF\n", .keep_alive = true},

    /* --- no length --- */
    {"until the connection ends", BYTES(OK_1 "A: b\r\n\r\nall\r\n of it"),
     .status = 200, .reason = "OK", .head = "A: b\n", .body = "all\r\n of it"},
    {"until the connection ends, with nothing", BYTES(OK_1 "\r\n"),
     .status = 200, .reason = "OK"},
    {"until the connection ends, whatever it says",
     BYTES(OK_0 "Connection: keep-alive\r\n\r\nall"),
     .status = 200, .reason = "OK", .head = "Connection: keep-alive\n", .body = "all"},

    /* --- answers without a body --- */
    {"204", BYTES("HTTP/1.1 204 No Content\r\n\r\n"),
     .status = 204, .reason = "No Content", .keep_alive = true},
    {"204 with a length", BYTES("HTTP/1.1 204 None\r\nContent-Length: 4\r\n\r\nfour"),
     .status = 204, .reason = "None", .head = "Content-Length: 4\n", .keep_alive = true,
     .left = 4},
    {"304", BYTES("HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"),
     .status = 304, .reason = "Not Modified", .head = "Content-Length: 10\n",
     .keep_alive = true},
    {"304 with a coding",
     BYTES("HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"),
     .status = 304, .reason = "Same", .head = CHUNKED_HEAD "Connection: close\n"},
    {"the answer to a HEAD", BYTES(OK_1 "Content-Length: 1000000\r\n\r\n"), "HEAD",
     .status = 200, .reason = "OK", .head = "Content-Length: 1000000\n",
     .keep_alive = true},
    {"the answer to a HEAD with a body", BYTES(OK_1 "Content-Length: 4\r\n\r\nfour"),
     "HEAD", .status = 200, .reason = "OK", .head = "Content-Length: 4\n",
     .keep_alive = true, .left = 4},
    {"the chunked answer to a HEAD", BYTES(CHUNKED), "HEAD", .status = 200,
     .reason = "OK", .head = CHUNKED_HEAD, .keep_alive = true},
    {"the compressed answer to a HEAD",
     BYTES(OK_1 "Content-Encoding: gzip\r\n\r\n"), "HEAD", .status = 200,
     .reason = "OK", .head = "Content-Encoding: gzip\n", .keep_alive = true},
    {"the answer to a HEAD with a bad length",
     BYTES(OK_1 "Content-Length: x\r\n\r\n"), "HEAD", .failure = BAD_LENGTH,
     .status = 200},
    {"205 has a length like any other",
     BYTES("HTTP/1.1 205 Reset\r\nContent-Length: 2\r\n\r\nok"), .status = 205,
     .reason = "Reset", .head = "Content-Length: 2\n", .body = "ok",
     .keep_alive = true},

    /* --- answers before the answer --- */
    {"100", BYTES("HTTP/1.1 100 Continue\r\n\r\n" OK_1 "Content-Length: 2\r\n\r\nok"),
     .status = 200, .reason = "OK", .head = "Content-Length: 2\n", .body = "ok",
     .keep_alive = true},
    {"some 103",
     BYTES("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: close\r\n\r\n"
           "HTTP/1.0 103 Early Hints\r\nContent-Length: 700\r\n\r\n"
           "HTTP/1.1 199\r\nContent-Encoding: gzip\r\n\r\n"
           "HTTP/1.1 199\r\nTransfer-Encoding: chunked\r\n\r\n"
           OK_1 "A: b\r\nContent-Length: 2\r\n\r\nok"),
     .status = 200, .reason = "OK", .head = "A: b\nContent-Length: 2\n", .body = "ok",
     .keep_alive = true},
    {"100 and no more", BYTES("HTTP/1.1 100 Continue\r\n\r\n"), .failure = NO_ANSWER,
     .status = 100},
    {"100 and a letter", BYTES("HTTP/1.1 100 Continue\r\n\r\nH"), .failure = CUT_HEAD,
     .status = 100},
    {"100 and garbage", BYTES("HTTP/1.1 100 Continue\r\n\r\nHTTP 200\r\n"),
     .failure = NOT_HTTP, .status = 100},
    {"101", BYTES("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\nPRI *"),
     .failure = SWITCHED, .status = 101},
    {"a bad line in a 1xx", BYTES("HTTP/1.1 103 Hints\r\nno colon\r\n\r\n"),
     .failure = BAD_LINE, .status = 103},

    /* --- chunks --- */
    {"chunks", BYTES(CHUNKED "5\r\nhello\r\n0007\r\n, world\r\n0\r\n\r\n"),
     .status = 200, .reason = "OK", .head = CHUNKED_HEAD, .body = "hello, world",
     .keep_alive = true},
    {"no chunks at all", BYTES(CHUNKED "0\r\n\r\n"), .status = 200, .reason = "OK",
     .head = CHUNKED_HEAD, .keep_alive = true},
    {"any number of zeros", BYTES(CHUNKED "0000000000000001\r\nx\r\n0000000\r\n\r\n"),
     .status = 200, .reason = "OK", .head = CHUNKED_HEAD, .body = "x",
     .keep_alive = true},
    {"a size of letters of any case",
     BYTES(CHUNKED "aB\r\n"
           "0123456789012345678901234567890123456789012345678901234567890123456789"
           "0123456789012345678901234567890123456789012345678901234567890123456789"
           "0123456789012345678901234567890\r\n0\r\n\r\n"),
     .status = 200, .reason = "OK", .head = CHUNKED_HEAD,
     .body = "0123456789012345678901234567890123456789012345678901234567890123456789"
             "0123456789012345678901234567890123456789012345678901234567890123456789"
             "0123456789012345678901234567890",
     .keep_alive = true},
    {"coding of any case and blanks",
     BYTES(OK_1 "TRANSFER-encoding:\t ChUnKeD \r\n\r\n2\r\nok\r\n0\r\n\r\n"),
     .status = 200, .reason = "OK", .head = "TRANSFER-encoding:\t ChUnKeD \n",
     .body = "ok", .keep_alive = true},
    {"extensions",
     BYTES(CHUNKED "2;a\r\nok\r\n2 ; b=c\t\r\nok\r\n2;\"d;e\"\r\nok\r\n0;f\r\n\r\n"),
     .status = 200, .reason = "OK", .head = CHUNKED_HEAD, .body = "okokok",
     .keep_alive = true},
    {"a trailer",
     BYTES(CHUNKED "2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: x\r\n"
                   "Transfer-Encoding: gzip\r\nConnection: close\r\n\r\n"),
     .status = 200, .reason = "OK", .head = CHUNKED_HEAD, .body = "ok",
     .keep_alive = true},
    {"chunks and more", BYTES(CHUNKED "2\r\nok\r\n0\r\n\r\n0\r\n\r\n"),
     .status = 200, .reason = "OK", .head = CHUNKED_HEAD, .body = "ok",
     .keep_alive = true, .left = 5},
    {"a body of line ends", BYTES(CHUNKED "4\r\n\r\n\r\n\r\n0\r\n\r\n"),
     .status = 200, .reason = "OK", .head = CHUNKED_HEAD, .body = "\r\n\r\n",
     .keep_alive = true},
    {"no chunk", BYTES(CHUNKED), .failure = CUT_ANSWER, .status = 200},
    {"chunks that are cut", BYTES(CHUNKED "64\r\nonly this"), .failure = CUT_ANSWER,
     .status = 200},
    {"the largest chunk", BYTES(CHUNKED "fFfFfFfFfFfFfFfF\r\nonly this"),
     .failure = CUT_ANSWER, .status = 200},
    {"chunks without the last one", BYTES(CHUNKED "2\r\nok\r\n"), .failure = CUT_ANSWER,
     .status = 200},
    {"chunks without their end", BYTES(CHUNKED "2\r\nok\r\n0\r\n"),
     .failure = CUT_ANSWER, .status = 200},
    {"a trailer without its end", BYTES(CHUNKED "2\r\nok\r\n0\r\nA: b\r\n"),
     .failure = CUT_ANSWER, .status = 200},
    {"a chunk larger than 64 bits", BYTES(CHUNKED "10000000000000000\r\nx\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"too many zeros", BYTES(CHUNKED "00000000000000001\r\nx\r\n0\r\n\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"a size that is no number", BYTES(CHUNKED "zz\r\nwhat\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"a size with a sign", BYTES(CHUNKED "+2\r\nok\r\n0\r\n\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"a size with 0x", BYTES(CHUNKED "0x2\r\nok\r\n0\r\n\r\n"), .failure = BAD_CHUNKS,
     .status = 200},
    {"a size after a blank", BYTES(CHUNKED " 2\r\nok\r\n0\r\n\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"a size before a blank", BYTES(CHUNKED "2 \r\nok\r\n0\r\n\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"two sizes", BYTES(CHUNKED "2 2\r\nok\r\n0\r\n\r\n"), .failure = BAD_CHUNKS,
     .status = 200},
    {"no size", BYTES(CHUNKED "\r\nok\r\n0\r\n\r\n"), .failure = BAD_CHUNKS,
     .status = 200},
    {"an extension of no size", BYTES(CHUNKED ";a\r\nok\r\n0\r\n\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"a bare LF after a size", BYTES(CHUNKED "2\nok\r\n0\r\n\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"a bare CR in an extension", BYTES(CHUNKED "2;a\rb\r\nok\r\n0\r\n\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"a NUL in an extension", BYTES(CHUNKED "2;a\0b\r\nok\r\n0\r\n\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"a bare LF after a chunk", BYTES(CHUNKED "2\r\nok\n0\r\n\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"a bare CR after a chunk", BYTES(CHUNKED "2\r\nok\r0\r\n\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"a chunk longer than its size", BYTES(CHUNKED "2\r\noky\r\n0\r\n\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"a chunk shorter than its size", BYTES(CHUNKED "4\r\nok\r\n0\r\n\r\n"),
     .failure = BAD_CHUNKS, .status = 200},
    {"a bare LF for the end", BYTES(CHUNKED "0\r\n\n"), .failure = BAD_LINE,
     .status = 200},
    {"a folded trailer", BYTES(CHUNKED "0\r\nA: b\r\n c\r\n\r\n"), .failure = BAD_LINE,
     .status = 200},
    {"a trailer without a colon", BYTES(CHUNKED "0\r\nand then\r\n\r\n"),
     .failure = BAD_LINE, .status = 200},

    /* --- codings --- */
    {"another coding", BYTES(OK_1 "Transfer-Encoding: gzip\r\n\r\n"),
     .failure = BAD_CODING, .status = 200},
    {"two codings", BYTES(OK_1 "Transfer-Encoding: gzip, chunked\r\n\r\n"),
     .failure = BAD_CODING, .status = 200},
    {"chunked twice", BYTES(OK_1 "Transfer-Encoding: chunked, chunked\r\n\r\n"),
     .failure = BAD_CODING, .status = 200},
    {"chunked in two lines",
     BYTES(OK_1 "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
     .failure = BAD_CODING, .status = 200},
    {"chunked, or not",
     BYTES(OK_1 "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n"),
     .failure = BAD_CODING, .status = 200},
    {"chunked after a vertical tab", BYTES(OK_1 "Transfer-Encoding: \vchunked\r\n\r\n"),
     .failure = BAD_CODING, .status = 200},
    {"chunked in quotes", BYTES(OK_1 "Transfer-Encoding: \"chunked\"\r\n\r\n"),
     .failure = BAD_CODING, .status = 200},
    {"identity", BYTES(OK_1 "Transfer-Encoding: identity\r\n\r\n"),
     .failure = BAD_CODING, .status = 200},
    {"an empty coding", BYTES(OK_1 "Transfer-Encoding:\r\n\r\n"),
     .failure = BAD_CODING, .status = 200},
    {"a coding and a length",
     BYTES(OK_1 "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     .failure = TWO_LENGTHS, .status = 200},
    {"a length and a coding",
     BYTES(OK_1 "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
     .failure = TWO_LENGTHS, .status = 200},
    {"a coding in HTTP/1.0", BYTES(OK_0 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     .failure = OLD_CODING, .status = 200},

    /* --- the connection --- */
    {"cookies",
     BYTES(OK_1 "Set-Cookie: a=b\r\nset-cookie: c=d\r\nContent-Length: 2\r\n\r\nok"),
     .status = 200, .reason = "OK",
     .head = "Set-Cookie: a=b\nset-cookie: c=d\nContent-Length: 2\n", .body = "ok",
     .keep_alive = true},
    {"close", BYTES(OK_1 "Connection: close\r\nContent-Length: 0\r\n\r\n"),
     .status = 200, .reason = "OK", .head = "Connection: close\nContent-Length: 0\n"},
    {"close in a list",
     BYTES(OK_1 "connection: Keep-Alive ,, \tCLOSE\r\nContent-Length: 0\r\n\r\n"),
     .status = 200, .reason = "OK",
     .head = "connection: Keep-Alive ,, \tCLOSE\nContent-Length: 0\n"},
    {"close in another line",
     BYTES(OK_1 "Connection: close,x\r\nConnection: keep-alive\r\n"
                "Content-Length: 0\r\n\r\n"),
     .status = 200, .reason = "OK",
     .head = "Connection: close,x\nConnection: keep-alive\nContent-Length: 0\n"},
    {"not close",
     BYTES(OK_1 "Connection: closed, x-close,\r\nX-onnection: close\r\n"
                "Content-Length: 0\r\n\r\n"),
     .status = 200, .reason = "OK",
     .head = "Connection: closed, x-close,\nX-onnection: close\nContent-Length: 0\n",
     .keep_alive = true},
    {"HTTP/1.0", BYTES(OK_0 "Content-Length: 0\r\n\r\n"),
     .status = 200, .reason = "OK", .head = "Content-Length: 0\n"},
    {"HTTP/1.0 that is kept",
     BYTES(OK_0 "Connection: x,Keep-Alive\r\nContent-Length: 0\r\n\r\n"),
     .status = 200, .reason = "OK",
     .head = "Connection: x,Keep-Alive\nContent-Length: 0\n", .keep_alive = true},
    {"HTTP/1.0 that is not",
     BYTES(OK_0 "Connection: keep-alive, close\r\nContent-Length: 0\r\n\r\n"),
     .status = 200, .reason = "OK",
     .head = "Connection: keep-alive, close\nContent-Length: 0\n"},

    /* --- compressed bodies: gzip of "OK" --- */
    {"gzip",
     BYTES(OK_1 "Content-Encoding: gzip\r\nContent-Length: 22\r\n\r\n"
                "\x1F\x8B\x08\0\0\0\0\0\x02\x03\xF3\xF7\x06\0\x2D\xD9\x36\xD7\x02\0\0\0"),
     .status = 200, .reason = "OK",
     .head = "Content-Encoding: gzip\nContent-Length: 22\n", .body = "OK",
     .keep_alive = true},
    {"gzip in chunks",
     BYTES(OK_1 "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
                "a\r\n\x1F\x8B\x08\0\0\0\0\0\x02\x03\r\n"
                "c\r\n\xF3\xF7\x06\0\x2D\xD9\x36\xD7\x02\0\0\0\r\n0\r\n\r\n"),
     .status = 200, .reason = "OK", .head = "Content-Encoding: gzip\n" CHUNKED_HEAD,
     .body = "OK", .keep_alive = true},
    {"gzip until the connection ends",
     BYTES(OK_1 "Content-Encoding: gzip\r\n\r\n"
                "\x1F\x8B\x08\0\0\0\0\0\x02\x03\xF3\xF7\x06\0\x2D\xD9\x36\xD7\x02\0\0\0"),
     .status = 200, .reason = "OK", .head = "Content-Encoding: gzip\n", .body = "OK"},
    {"gzip that ends too early",
     BYTES(OK_1 "Content-Encoding: gzip\r\nContent-Length: 21\r\n\r\n"
                "\x1F\x8B\x08\0\0\0\0\0\x02\x03\xF3\xF7\x06\0\x2D\xD9\x36\xD7\x02\0\0"),
     .failure = BAD_BODY, .status = 200},
    {"gzip that is cut",
     BYTES(OK_1 "Content-Encoding: gzip\r\nContent-Length: 22\r\n\r\n"
                "\x1F\x8B\x08\0\0\0\0\0\x02\x03\xF3\xF7\x06\0\x2D"),
     .failure = CUT_ANSWER, .status = 200},
    {"gzip that is none",
     BYTES(OK_1 "Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\n0123456789"),
     .failure = BAD_BODY, .status = 200},
    {"an unknown coding",
     BYTES(OK_1 "Content-Encoding: rot13\r\nContent-Length: 2\r\n\r\nBX"),
     .failure = BAD_BODY, .status = 200},
    {"an unknown coding of nothing",
     BYTES(OK_1 "Content-Encoding: rot13\r\nContent-Length: 0\r\n\r\n"),
     .status = 200, .reason = "OK",
     .head = "Content-Encoding: rot13\nContent-Length: 0\n", .keep_alive = true},
};
/* clang-format on */

/* --- playing an answer ------------------------------------------------------------ */

/* The pieces in which the bytes come. */
struct pieces {
    size_t first, then;
    struct random *random; /* not NULL: sizes by chance instead */
};

struct outcome {
    struct arena arena;
    struct exchange exchange;
    struct answer answer;
    bool was_over; /* before the connection ended */
    size_t taken;
};

static inline size_t next_piece(const struct pieces *pieces, size_t at, size_t left)
{
    size_t size = at == 0 ? pieces->first : pieces->then;

    if (pieces->random != NULL)
        size = random_size(pieces->random, 12);
    if (size == 0)
        size = 1;
    return size < left ? size : left;
}

/* A piece has memory of its own, of its size: what reads beyond it is found. */
static inline size_t feed_piece(struct answer *answer, const char *data, size_t size)
{
    char *const piece = xmalloc(size);
    size_t taken;

    memcpy(piece, data, size);
    taken = answer_feed(answer, piece, size);
    free(piece);
    return taken;
}

/* Feeds an exchange of its own until the answer is over, then ends the connection. The
 * caller clears the outcome's arena. `seen` may be NULL. */
static inline void play_answer(struct outcome *ret_outcome, const char *method,
                               bool keep_body, const char *data, size_t size,
                               const struct pieces *pieces, struct seen_head *seen)
{
    struct answer *const answer = &ret_outcome->answer;
    size_t at = 0;

    *ret_outcome = (struct outcome){.taken = 0};
    ret_outcome->exchange = (struct exchange){
        .method = method, .keep_body = keep_body, .arena = &ret_outcome->arena};
    answer_begin(answer, &ret_outcome->exchange, seen);
    while (at < size && !answer_is_over(answer)) {
        const size_t piece = next_piece(pieces, at, size - at);

        ret_outcome->taken += feed_piece(answer, data + at, piece);
        at += piece;
    }
    ret_outcome->was_over = answer_is_over(answer);
    answer_end_of_input(answer);
}

static inline bool same_bytes(const char *left, size_t left_size, const char *right,
                              size_t right_size)
{
    return left_size == right_size &&
           (left_size == 0 || memcmp(left, right, left_size) == 0);
}

static inline bool same_text(const char *left, const char *right)
{
    return left == NULL || right == NULL ? left == right : strcmp(left, right) == 0;
}

/* What the lines of a head say. */
static inline bool same_facts(const struct head_facts *left,
                              const struct head_facts *right)
{
    return left->lines == right->lines && left->lines_size == right->lines_size &&
           left->codings == right->codings && left->cookies_set == right->cookies_set &&
           left->has_length == right->has_length &&
           (!left->has_length || left->length == right->length);
}

/* What the two differ in; NULL: nothing. How much of a compressed body that is broken was
 * decoded before may differ. */
static inline const char *compare_outcomes(const struct outcome *left,
                                           const struct outcome *right)
{
    const struct exchange *const a = &left->exchange, *const b = &right->exchange;
    const bool is_complete = left->answer.state == ANSWER_COMPLETE;

    if (left->answer.state != right->answer.state || left->was_over != right->was_over)
        return "state";
    if (is_complete && left->taken != right->taken)
        return "bytes taken";
    if (left->answer.keep_alive != right->answer.keep_alive)
        return "whether the connection is kept";
    if (!same_text(a->failure, b->failure) || !same_text(a->detail, b->detail))
        return "failure";
    if (a->status != b->status || !same_text(a->reason, b->reason))
        return "status";
    if (!same_bytes(a->head, a->head_size, b->head, b->head_size))
        return "head";
    if (is_complete && !same_facts(&a->facts, &b->facts))
        return "what the head says";
    if ((is_complete || a->facts.codings == 0) &&
        !same_bytes(a->body_data, a->body_length, b->body_data, b->body_length))
        return "body";
    return NULL;
}

#endif
