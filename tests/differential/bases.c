#include "differential/bases.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"

#define OK "HTTP/1.1 200 OK\r\n"
#define LENGTH(text) "Content-Length: " text "\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define CODED(coding) "Content-Encoding: " coding "\r\n"

/* "molotov molotov molotov!", compressed. */
#define GZIP \
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\xcd\xcf\xc9\x2f\xc9\x2f\x53\xc8\x45" \
    "\xa5" \
    "\x15\x01\x4b\xa6\x00\x0c\x18\x00\x00\x00"
#define ZLIB \
    "\x78\x9c\xcb\xcd\xcf\xc9\x2f\xc9\x2f\x53\xc8\x45\xa5\x15\x01\x7a\x80\x09\x92"
#define RAW_DEFLATE "\xcb\xcd\xcf\xc9\x2f\xc9\x2f\x53\xc8\x45\xa5\x15\x01"
#define BROTLI \
    "\x1b\x17\x00\xf8\x8d\x94\x6e\xde\xb4\x7e\x03\x69\x0b\x99\x6c\x74\x76\xa5\x88\x3e" \
    "\xe1" \
    "\x40\x1d\x39\x03"
#define ZSTD \
    "\x28\xb5\x2f\xfd\x20\x18\x7d\x00\x00\x48\x6d\x6f\x6c\x6f\x74\x6f\x76\x20\x21\x01" \
    "\x00" \
    "\xeb\x0a\x17"
/* The same in zlib's form, and that in gzip's. */
#define ZLIB_IN_GZIP \
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x98\x73\xfa\xec\xf9\x93\xfa\x27\xf5" \
    "\x83" \
    "\x4f\xb8\x2e\x15\x65\xac\x6a\xe0\x9c\x04\x00\xdc\xf9\x0d\x8f\x13\x00\x00\x00"

static const struct base written[] = {
/* clang-format off */
#define ANSWER(name, method, text) {name, method, text, sizeof(text) - 1},
#define GET(name, text) ANSWER(name, "GET", text)
    /* well-formed */
    GET("length", OK LENGTH("5") "\r\nhello")
    GET("length 0", OK LENGTH("0") "\r\n")
    GET("length with zeros", OK "Content-Length: 0005\r\n\r\nhello")
    GET("length and close", OK LENGTH("5") "Connection: close\r\n\r\nhello")
    GET("length and keep-alive", OK LENGTH("5") "Connection: keep-alive\r\n\r\nhello")
    GET("chunks", OK CHUNKED "\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n")
    GET("chunks with extensions",
        OK CHUNKED "\r\n5;a=b\r\nhello\r\n2 ; c=\"d\"\r\n, \r\n0;e\r\n\r\n")
    GET("chunks with trailers",
        OK CHUNKED "Trailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n")
    GET("chunk sizes in upper and lower case, with zeros",
        OK CHUNKED "\r\n00A\r\n0123456789\r\n00b\r\nhello world\r\n000\r\n\r\n")
    GET("chunked in capitals", OK "transfer-encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    GET("no chunk", OK CHUNKED "\r\n0\r\n\r\n")
    GET("until close", OK "\r\nuntil the end")
    GET("until close, said", OK "Connection: close\r\n\r\nuntil the end")
    GET("until close, nothing", OK "\r\n")
    GET("204", "HTTP/1.1 204 No Content\r\n\r\n")
    GET("204 with a length", "HTTP/1.1 204 No Content\r\n" LENGTH("0") "\r\n")
    GET("204 with a length of 5", "HTTP/1.1 204 No Content\r\n" LENGTH("5") "\r\n")
    GET("204 that is chunked", "HTTP/1.1 204 No Content\r\n" CHUNKED "\r\n")
    GET("205", "HTTP/1.1 205 Reset Content\r\n" LENGTH("0") "\r\n")
    GET("304", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n")
    GET("304 with a length", "HTTP/1.1 304 Not Modified\r\n" LENGTH("5") "\r\n")
    GET("302", "HTTP/1.1 302 Found\r\nLocation: /\r\n" LENGTH("0") "\r\n")
    GET("401", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n"
        LENGTH("2") "\r\nno")
    GET("407", "HTTP/1.1 407 Proxy Authentication Required\r\n"
        "Proxy-Authenticate: Basic realm=\"x\"\r\n" LENGTH("2") "\r\nno")
    GET("416", "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */3\r\n"
        LENGTH("2") "\r\nno")
    GET("417", "HTTP/1.1 417 Expectation Failed\r\n" LENGTH("2") "\r\nno")
    GET("500", "HTTP/1.1 500 Internal Server Error\r\n" LENGTH("2") "\r\nno")
    GET("599 of many words", "HTTP/1.1 599 Of  many, many words!\r\n" LENGTH("0") "\r\n")
    GET("999", "HTTP/1.1 999 Denied\r\n" LENGTH("0") "\r\n")
    GET("no reason", "HTTP/1.1 200\r\n" LENGTH("2") "\r\nok")
    GET("empty reason", "HTTP/1.1 200 \r\n" LENGTH("2") "\r\nok")
    GET("reason beyond ASCII", "HTTP/1.1 200 \xc3\xa4h \xff\r\n" LENGTH("2") "\r\nok")
    GET("100 of HTTP/1.0 first",
        "HTTP/1.0 100 Continue\r\n\r\n" OK LENGTH("2") "\r\nok")
    GET("100 first", "HTTP/1.1 100 Continue\r\n\r\n" OK LENGTH("2") "\r\nok")
    GET("103 first", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK LENGTH("2") "\r\nok")
    GET("two 1xx first", "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 X\r\nA: b\r\n\r\n" OK
        LENGTH("2") "\r\nok")
    GET("1xx with a length first", "HTTP/1.1 103 X\r\n" LENGTH("3") "\r\n" OK LENGTH("2")
        "\r\nok")
    GET("1xx that says close first", "HTTP/1.1 103 X\r\nConnection: close\r\n\r\n" OK LENGTH("2")
        "\r\nok")
    GET("1xx and nothing more", "HTTP/1.1 100 Continue\r\n\r\n")
    GET("101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    GET("names in any case", OK "cOnTeNt-LeNgTh: 2\r\nX-y: Z\r\n\r\nok")
    GET("blanks around values", OK "Content-Length: \t 2 \t\r\nA:b\r\nC:  d  \r\nE:\r\nF: \t\r\n\r\nok")
    GET("all token characters", OK "!#$%&'*+-.^_`|~09azAZ: x\r\n" LENGTH("0") "\r\n")
    GET("values beyond ASCII", OK "A: \xc3\xa4\x80\xff\r\n" LENGTH("0") "\r\n")
    GET("duplicate headers", OK "A: 1\r\nA: 2\r\na: 3\r\n" LENGTH("0") "\r\n")
    GET("Set-Cookie", OK "Set-Cookie: a=b; Path=/\r\nSet-Cookie: c=d\r\n" LENGTH("0") "\r\n")
    GET("length twice, the same", OK LENGTH("2") LENGTH("2") "\r\nok")
    GET("length in a list, the same", OK LENGTH("2, 2") "\r\nok")
    ANSWER("HEAD", "HEAD", OK LENGTH("5") "\r\n")
    ANSWER("HEAD, chunked", "HEAD", OK CHUNKED "\r\n")
    ANSWER("HEAD, nothing said", "HEAD", OK "\r\n")
    ANSWER("HEAD with a body", "HEAD", OK LENGTH("5") "\r\nhello")
    ANSWER("HEAD, compressed", "HEAD", OK CODED("gzip") LENGTH("31") "\r\n")
    ANSWER("POST", "POST", "HTTP/1.1 201 Created\r\n" LENGTH("2") "\r\nok")
    ANSWER("POST, 100 first", "POST",
           "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n" LENGTH("2") "\r\nok")
    ANSWER("POST, 413 and close", "POST",
           "HTTP/1.1 413 Too Large\r\nConnection: close\r\n" LENGTH("2") "\r\nno")
    ANSWER("PUT", "PUT", "HTTP/1.1 204 No Content\r\n\r\n")
    ANSWER("DELETE", "DELETE", OK LENGTH("0") "\r\n")
    ANSWER("OPTIONS", "OPTIONS", OK "Allow: GET\r\n" LENGTH("0") "\r\n")
    /* nothing, which on a kept connection is a matter of the method */
    GET("nothing", "")
    GET("half a status line", "HTTP/1.1 2")
    ANSWER("nothing to a HEAD", "HEAD", "")
    ANSWER("nothing to a POST", "POST", "")
    ANSWER("nothing to a PUT", "PUT", "")
    ANSWER("nothing to a PATCH", "PATCH", "")
    ANSWER("nothing to a DELETE", "DELETE", "")
    ANSWER("nothing to a method of one's own", "PURGE", "")
    /* other versions */
    GET("1.0, length", "HTTP/1.0 200 OK\r\n" LENGTH("2") "\r\nok")
    GET("1.0, keep-alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" LENGTH("2") "\r\nok")
    GET("1.0, close and keep-alive",
        "HTTP/1.0 200 OK\r\nConnection: close, keep-alive\r\n" LENGTH("2") "\r\nok")
    GET("1.0, keep-alive until close", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nok")
    GET("1.0, until close", "HTTP/1.0 200 OK\r\n\r\nuntil the end")
    GET("1.0, chunked", "HTTP/1.0 200 OK\r\n" CHUNKED "\r\n2\r\nhi\r\n0\r\n\r\n")
    GET("1.2", "HTTP/1.2 200 OK\r\n" LENGTH("2") "\r\nok")
    GET("1.10", "HTTP/1.10 200 OK\r\n" LENGTH("2") "\r\nok")
    GET("0.9 in words", "HTTP/0.9 200 OK\r\n" LENGTH("2") "\r\nok")
    GET("2 in words", "HTTP/2 200 OK\r\n" LENGTH("2") "\r\nok")
    GET("2.0 in words", "HTTP/2.0 200 OK\r\n" LENGTH("2") "\r\nok")
    GET("3 in words", "HTTP/3 200 OK\r\n" LENGTH("2") "\r\nok")
    GET("a body alone", "<html>hello</html>\r\n")
    GET("a line alone", "hello\r\n\r\n")
    GET("ICY", "ICY 200 OK\r\n" LENGTH("2") "\r\nok")
    GET("RTSP", "RTSP/1.0 200 OK\r\n" LENGTH("2") "\r\nok")
    GET("http in small letters", "http/1.1 200 OK\r\n" LENGTH("2") "\r\nok")
    /* status lines that are none */
    GET("no blank before the status", "HTTP/1.1200 OK\r\n" LENGTH("2") "\r\nok")
    GET("two blanks before the status", "HTTP/1.1  200 OK\r\n" LENGTH("2") "\r\nok")
    GET("tab before the status", "HTTP/1.1\t200 OK\r\n" LENGTH("2") "\r\nok")
    GET("blank before all", " HTTP/1.1 200 OK\r\n" LENGTH("2") "\r\nok")
    GET("empty line before all", "\r\nHTTP/1.1 200 OK\r\n" LENGTH("2") "\r\nok")
    GET("no status", "HTTP/1.1\r\n" LENGTH("2") "\r\nok")
    GET("status of one digit", "HTTP/1.1 2 OK\r\n" LENGTH("2") "\r\nok")
    GET("status of two digits", "HTTP/1.1 20 OK\r\n" LENGTH("2") "\r\nok")
    GET("status of four digits", "HTTP/1.1 2000 OK\r\n" LENGTH("2") "\r\nok")
    GET("status 099", "HTTP/1.1 099 OK\r\n" LENGTH("2") "\r\nok")
    GET("status 000", "HTTP/1.1 000 OK\r\n" LENGTH("2") "\r\nok")
    GET("status with letters", "HTTP/1.1 2x0 OK\r\n" LENGTH("2") "\r\nok")
    GET("status below 0", "HTTP/1.1 -20 OK\r\n" LENGTH("2") "\r\nok")
    GET("status and more", "HTTP/1.1 200OK\r\n" LENGTH("2") "\r\nok")
    GET("control code in the reason", "HTTP/1.1 200 O\x01K\r\n" LENGTH("2") "\r\nok")
    GET("NUL in the reason", "HTTP/1.1 200 O\0K\r\n" LENGTH("2") "\r\nok")
    /* lines that are none */
    GET("bare LF everywhere", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
    GET("bare LF after the status line", "HTTP/1.1 200 OK\n" LENGTH("2") "\r\nok")
    GET("bare LF after a header", OK "A: b\n" LENGTH("2") "\r\nok")
    GET("bare LF at the end of the head", OK "Content-Length: 2\r\n\nok")
    GET("bare CR in a value", OK "A: b\rc\r\n" LENGTH("2") "\r\nok")
    GET("bare CR for a line end", OK "A: b\r" LENGTH("2") "\r\nok")
    GET("CR CR LF", OK "A: b\r\r\n" LENGTH("2") "\r\nok")
    GET("CR CR LF at the end of the head", OK LENGTH("2") "\r\r\nok")
    GET("folded", OK "A: b\r\n c\r\n" LENGTH("2") "\r\nok")
    GET("folded by a tab", OK "A: b\r\n\tc\r\n" LENGTH("2") "\r\nok")
    GET("folded length", OK "Content-Length:\r\n 2\r\n\r\nok")
    GET("folded first line", OK " A: b\r\n" LENGTH("2") "\r\nok")
    GET("NUL in a value", OK "A: b\0c\r\n" LENGTH("2") "\r\nok")
    GET("NUL in a name", OK "A\0B: c\r\n" LENGTH("2") "\r\nok")
    GET("NUL before a name", OK "\0A: b\r\n" LENGTH("2") "\r\nok")
    GET("NUL before a name, and no end", OK "\0A: b\r\n")
    GET("control code in a value", OK "A: b\x01\r\n" LENGTH("2") "\r\nok")
    GET("DEL in a value", OK "A: b\x7f\r\n" LENGTH("2") "\r\nok")
    GET("control code in a name", OK "A\x01: c\r\n" LENGTH("2") "\r\nok")
    GET("letter beyond ASCII in a name", OK "\xc3\xa4: c\r\n" LENGTH("2") "\r\nok")
    GET("blank before the colon", OK "A : b\r\n" LENGTH("2") "\r\nok")
    GET("blank before the colon of the length", OK "Content-Length : 2\r\n\r\nok")
    GET("blank in a name", OK "A B: c\r\n" LENGTH("2") "\r\nok")
    GET("no name", OK ": c\r\n" LENGTH("2") "\r\nok")
    GET("no colon", OK "nonsense\r\n" LENGTH("2") "\r\nok")
    GET("no colon, and then the end", OK LENGTH("2") "nonsense\r\n\r\nok")
    GET("body where lines should be", OK "<html>\r\n</html>\r\n\r\n")
    GET("HTTP/ as a name", OK "HTTP/1.1: x\r\n" LENGTH("2") "\r\nok")
    GET("two status lines", OK OK LENGTH("2") "\r\nok")
    /* lengths */
    GET("lengths that differ", OK LENGTH("2") LENGTH("3") "\r\nokk")
    GET("lengths that differ in a list", OK LENGTH("2, 3") "\r\nokk")
    GET("length below 0", OK LENGTH("-5") "\r\nhello")
    GET("length with a plus", OK LENGTH("+5") "\r\nhello")
    GET("length in hexadecimal", OK LENGTH("0x5") "\r\nhello")
    GET("length with a fraction", OK LENGTH("5.0") "\r\nhello")
    GET("length and a unit", OK LENGTH("5 bytes") "\r\nhello")
    GET("length in words", OK LENGTH("five") "\r\nhello")
    GET("no length in the length", OK "Content-Length:\r\n\r\nhello")
    GET("length in quotes", OK LENGTH("\"5\"") "\r\nhello")
    GET("length of 18 digits", OK LENGTH("999999999999999999") "\r\nhello")
    GET("length of 2^63", OK LENGTH("9223372036854775808") "\r\nhello")
    GET("length of 2^64", OK LENGTH("18446744073709551616") "\r\nhello")
    GET("length of 2^64 + 5", OK LENGTH("18446744073709551621") "\r\nhello")
    GET("length of 40 digits", OK LENGTH("1234567890123456789012345678901234567890") "\r\nhi")
    GET("length of 25 digits, most of them 0", OK LENGTH("0000000000000000000000005") "\r\nhello")
    /* chunks */
    GET("chunked and a length", OK CHUNKED LENGTH("5") "\r\n2\r\nhi\r\n0\r\n\r\n")
    GET("a length and chunked", OK LENGTH("5") CHUNKED "\r\n2\r\nhi\r\n0\r\n\r\n")
    GET("chunked twice", OK CHUNKED CHUNKED "\r\n2\r\nhi\r\n0\r\n\r\n")
    GET("chunked twice in a list",
        OK "Transfer-Encoding: chunked, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    GET("gzip, chunked", OK "Transfer-Encoding: gzip, chunked\r\n\r\n1f\r\n" GZIP "\r\n0\r\n\r\n")
    GET("gzip as transfer coding", OK "Transfer-Encoding: gzip\r\n\r\n" GZIP)
    GET("identity as transfer coding", OK "Transfer-Encoding: identity\r\n" LENGTH("2") "\r\nok")
    GET("unknown transfer coding", OK "Transfer-Encoding: x\r\n\r\nok")
    GET("nearly chunked", OK "Transfer-Encoding: xchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    GET("chunked and a blank", OK "Transfer-Encoding: chunked \r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    GET("chunked in quotes", OK "Transfer-Encoding: \"chunked\"\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    GET("no transfer coding", OK "Transfer-Encoding:\r\n" LENGTH("2") "\r\nok")
    GET("chunk without a size", OK CHUNKED "\r\n\r\nhi\r\n0\r\n\r\n")
    GET("chunk size that is none", OK CHUNKED "\r\nzz\r\nhi\r\n0\r\n\r\n")
    GET("chunk size below 0", OK CHUNKED "\r\n-2\r\nhi\r\n0\r\n\r\n")
    GET("chunk size with 0x", OK CHUNKED "\r\n0x2\r\nhi\r\n0\r\n\r\n")
    GET("chunk size after a blank", OK CHUNKED "\r\n 2\r\nhi\r\n0\r\n\r\n")
    GET("chunk size before a blank", OK CHUNKED "\r\n2 \r\nhi\r\n0 \r\n\r\n")
    GET("chunk size and nonsense", OK CHUNKED "\r\n2 x\r\nhi\r\n0\r\n\r\n")
    GET("chunk of 2^60", OK CHUNKED "\r\nfffffffffffffff\r\nhi\r\n0\r\n\r\n")
    GET("chunk of 2^64", OK CHUNKED "\r\n10000000000000000\r\nhi\r\n0\r\n\r\n")
    GET("chunk of 2^64 + 2", OK CHUNKED "\r\n10000000000000002\r\nhi\r\n0\r\n\r\n")
    GET("chunk size of 30 zeros", OK CHUNKED
        "\r\n0000000000000000000000000000002\r\nhi\r\n0\r\n\r\n")
    GET("chunk too long", OK CHUNKED "\r\n2\r\nhix\r\n0\r\n\r\n")
    GET("chunk too short", OK CHUNKED "\r\n5\r\nhi\r\n0\r\n\r\n")
    GET("chunk without its end", OK CHUNKED "\r\n2\r\nhi0\r\n\r\n")
    GET("chunk size ended by LF", OK CHUNKED "\r\n2\nhi\r\n0\r\n\r\n")
    GET("chunk ended by LF", OK CHUNKED "\r\n2\r\nhi\n0\r\n\r\n")
    GET("chunk ended by CR", OK CHUNKED "\r\n2\r\nhi\r0\r\n\r\n")
    GET("last chunk ended by LF", OK CHUNKED "\r\n2\r\nhi\r\n0\n\n")
    GET("last empty line ended by LF", OK CHUNKED "\r\n2\r\nhi\r\n0\r\n\n")
    GET("chunks all by LF", OK CHUNKED "\r\n2\nhi\n0\n\n")
    GET("CR in an extension", OK CHUNKED "\r\n2;a\rb\r\nhi\r\n0\r\n\r\n")
    GET("NUL in an extension", OK CHUNKED "\r\n2;a\0b\r\nhi\r\n0\r\n\r\n")
    GET("trailer that is no line", OK CHUNKED "\r\n2\r\nhi\r\n0\r\nnonsense\r\n\r\n")
    GET("trailer ended by LF", OK CHUNKED "\r\n2\r\nhi\r\n0\r\nA: b\n\r\n")
    GET("folded trailer", OK CHUNKED "\r\n2\r\nhi\r\n0\r\nA: b\r\n c\r\n\r\n")
    GET("trailer with a length", OK CHUNKED "\r\n2\r\nhi\r\n0\r\n" LENGTH("9") "\r\n")
    /* connections */
    GET("close in a list", OK "Connection: x, close\r\n" LENGTH("2") "\r\nok")
    GET("close in capitals", OK "Connection: CLOSE\r\n" LENGTH("2") "\r\nok")
    GET("close in a second header", OK "Connection: x\r\nConnection: close\r\n" LENGTH("2") "\r\nok")
    GET("close and keep-alive", OK "Connection: close, keep-alive\r\n" LENGTH("2") "\r\nok")
    GET("closer", OK "Connection: closer\r\n" LENGTH("2") "\r\nok")
    GET("Keep-Alive header", OK "Keep-Alive: timeout=5, max=1\r\n" LENGTH("2") "\r\nok")
    GET("Keep-Alive that is over", OK "Keep-Alive: timeout=0\r\n" LENGTH("2") "\r\nok")
    GET("Proxy-Connection", OK "Proxy-Connection: close\r\n" LENGTH("2") "\r\nok")
    GET("Upgrade offered", OK "Upgrade: h2c\r\nConnection: upgrade\r\n" LENGTH("2") "\r\nok")
    /* leftovers */
    GET("length too short", OK LENGTH("2") "\r\nhello")
    GET("bytes after length 0", OK LENGTH("0") "\r\nhello")
    GET("a line end too many", OK LENGTH("2") "\r\nok\r\n")
    GET("bytes after the last chunk", OK CHUNKED "\r\n2\r\nhi\r\n0\r\n\r\nmore")
    GET("bytes after a 204", "HTTP/1.1 204 No Content\r\n\r\nmore")
    GET("bytes after a 304", "HTTP/1.1 304 Not Modified\r\n\r\nmore")
    GET("two answers", OK LENGTH("2") "\r\nok" OK LENGTH("2") "\r\nko")
    GET("bytes after an answer that closes",
        OK "Connection: close\r\n" LENGTH("2") "\r\nokay")
    /* compressed bodies */
    GET("gzip", OK CODED("gzip") LENGTH("31") "\r\n" GZIP)
    GET("x-gzip in capitals", OK CODED("X-GZIP") LENGTH("31") "\r\n" GZIP)
    GET("deflate", OK CODED("deflate") LENGTH("19") "\r\n" ZLIB)
    GET("deflate without its header", OK CODED("deflate") LENGTH("13") "\r\n" RAW_DEFLATE)
    GET("brotli", OK CODED("br") LENGTH("25") "\r\n" BROTLI)
    GET("zstd", OK CODED("zstd") LENGTH("24") "\r\n" ZSTD)
    GET("identity", OK CODED("identity") LENGTH("2") "\r\nok")
    GET("no coding", OK "Content-Encoding:\r\n" LENGTH("2") "\r\nok")
    GET("unknown coding", OK CODED("x-own") LENGTH("2") "\r\nok")
    GET("deflate, gzip", OK CODED("deflate, gzip") LENGTH("40") "\r\n" ZLIB_IN_GZIP)
    GET("deflate and gzip in two headers",
        OK CODED("deflate") CODED("gzip") LENGTH("40") "\r\n" ZLIB_IN_GZIP)
    GET("gzip six times", OK CODED("gzip, gzip, gzip, gzip, gzip, gzip") LENGTH("31") "\r\n" GZIP)
    GET("gzip in chunks",
        OK CODED("gzip") CHUNKED "\r\n1f\r\n" GZIP "\r\n0\r\n\r\n")
    GET("gzip until close", OK CODED("gzip") "\r\n" GZIP)
    GET("gzip twice in a row", OK CODED("gzip") LENGTH("62") "\r\n" GZIP GZIP)
    GET("gzip and leftovers", OK CODED("gzip") LENGTH("35") "\r\n" GZIP "more")
    GET("gzip with a wrong sum", OK CODED("gzip") LENGTH("31") "\r\n"
        "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\xcd\xcf\xc9\x2f\xc9\x2f\x53\xc8\x45\xa5"
        "\x15\x01\x4b\xa6\x00\x0d\x18\x00\x00\x00")
    GET("gzip cut short", OK CODED("gzip") LENGTH("20") "\r\n"
        "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\xcd\xcf\xc9\x2f\xc9\x2f\x53\xc8\x45")
    GET("gzip that is none", OK CODED("gzip") LENGTH("5") "\r\nhello")
    GET("deflate that is none", OK CODED("deflate") LENGTH("5") "\r\nhello")
    GET("deflate cut short", OK CODED("deflate") LENGTH("10") "\r\n"
        "\x78\x9c\xcb\xcd\xcf\xc9\x2f\xc9\x2f\x53")
    GET("brotli that is none", OK CODED("br") LENGTH("5") "\r\nhello")
    GET("brotli cut short", OK CODED("br") LENGTH("10") "\r\n"
        "\x1b\x17\x00\xf8\x8d\x94\x6e\xde\xb4\x7e")
    GET("zstd that is none", OK CODED("zstd") LENGTH("5") "\r\nhello")
    GET("zstd cut short", OK CODED("zstd") LENGTH("12") "\r\n"
        "\x28\xb5\x2f\xfd\x20\x18\x7d\x00\x00\x48\x6d\x6f")
    GET("gzip of nothing", OK CODED("gzip") LENGTH("0") "\r\n")
    GET("204 of gzip", "HTTP/1.1 204 No Content\r\n" CODED("gzip") "\r\n")
#undef GET
#undef ANSWER
    /* clang-format on */
};

enum { MADE_MAX = 40 };

struct bases {
    struct base made[MADE_MAX];
    struct buffer bytes[MADE_MAX];
    size_t made_count;
};

/* --- answers that are made ------------------------------------------------------------ */

static struct buffer *new_base(struct bases *bases, const char *name)
{
    struct buffer *const bytes = &bases->bytes[bases->made_count];

    bases->made[bases->made_count++] = (struct base){.name = name, .method = "GET"};
    buffer_add_text(bytes, OK);
    return bytes;
}

static void add_repeated(struct buffer *bytes, char byte, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buffer_add(bytes, &byte, 1);
}

/* A head of so many lines, the length among them. */
static void make_lines(struct bases *bases, const char *name, size_t lines)
{
    struct buffer *const bytes = new_base(bases, name);

    for (size_t i = 1; i < lines; i++)
        buffer_printf(bytes, "X-%zu: %zu\r\n", i, i);
    buffer_add_text(bytes, LENGTH("2") "\r\nok");
}

/* A head with one line whose value is so long. */
static void make_long_line(struct bases *bases, const char *name, size_t length)
{
    struct buffer *const bytes = new_base(bases, name);

    buffer_add_text(bytes, "X-Long: ");
    add_repeated(bytes, 'x', length);
    buffer_add_text(bytes, "\r\n" LENGTH("2") "\r\nok");
}

/* A head of so many bytes, as they are counted: each line with one for its end. */
static void make_large_head(struct bases *bases, const char *name, size_t size)
{
    static const char last[] = LENGTH("2");
    struct buffer *const bytes = new_base(bases, name);
    size_t left = size - (sizeof(last) - 2);

    while (left > 0) {
        const size_t line = left > 2000 ? 1000 : left;

        buffer_add_text(bytes, "A: ");
        add_repeated(bytes, 'x', line - 4);
        buffer_add_text(bytes, "\r\n");
        left -= line;
    }
    buffer_add_text(bytes, last);
    buffer_add_text(bytes, "\r\nok");
}

static void make_long_body(struct bases *bases, const char *name, size_t size)
{
    struct buffer *const bytes = new_base(bases, name);

    buffer_printf(bytes, LENGTH("%zu") "\r\n", size);
    add_repeated(bytes, 'b', size);
}

static void make_chunks(struct bases *bases, const char *name, size_t count,
                        size_t size)
{
    struct buffer *const bytes = new_base(bases, name);

    buffer_add_text(bytes, CHUNKED "\r\n");
    for (size_t i = 0; i < count; i++) {
        buffer_printf(bytes, "%zx\r\n", size);
        add_repeated(bytes, (char)('a' + i % 26), size);
        buffer_add_text(bytes, "\r\n");
    }
    buffer_add_text(bytes, "0\r\n\r\n");
}

static void make_trailers(struct bases *bases, const char *name, size_t lines)
{
    struct buffer *const bytes = new_base(bases, name);

    buffer_add_text(bytes, CHUNKED "\r\n2\r\nok\r\n0\r\n");
    for (size_t i = 0; i < lines; i++)
        buffer_printf(bytes, "T-%zu: %zu\r\n", i, i);
    buffer_add_text(bytes, "\r\n");
}

/* Too many to be sent byte by byte where nobody reads them. */
static void make_leftovers(struct bases *bases, const char *name, size_t size)
{
    struct buffer *const bytes = new_base(bases, name);

    buffer_add_text(bytes, CHUNKED "\r\n2\r\nok\r\n0\r\n\r\n");
    add_repeated(bytes, 'l', size);
}

static void make_long_extension(struct bases *bases, const char *name, size_t size)
{
    struct buffer *const bytes = new_base(bases, name);

    buffer_add_text(bytes, CHUNKED "\r\n2;");
    add_repeated(bytes, 'e', size);
    buffer_add_text(bytes, "\r\nok\r\n0\r\n\r\n");
}

static void make_interim(struct bases *bases, const char *name, size_t count)
{
    struct buffer *const bytes = new_base(bases, name);

    buffer_reset(bytes);
    for (size_t i = 0; i < count; i++)
        buffer_add_text(bytes, "HTTP/1.1 103 Early Hints\r\n\r\n");
    buffer_add_text(bytes, OK LENGTH("2") "\r\nok");
}

struct bases *bases_new(void)
{
    struct bases *const bases = xcalloc(1, sizeof(*bases));

    make_lines(bases, "50 lines", 50);
    make_lines(bases, "100 lines", 100);
    make_lines(bases, "101 lines", 101);
    make_long_line(bases, "line of 8 KiB", 8 << 10);
    make_long_line(bases, "line of 60 KiB", 60 << 10);
    make_long_line(bases, "line of 64 KiB", 64 << 10);
    make_long_line(bases, "line of 128 KiB", 128 << 10);
    make_large_head(bases, "head of 64 KiB", 64 << 10);
    make_large_head(bases, "head of a byte over 64 KiB", (64 << 10) + 1);
    make_long_body(bases, "body of 16 KiB", 16 << 10);
    make_long_body(bases, "body of 300 KiB", 300 << 10);
    make_chunks(bases, "100 chunks of a byte", 100, 1);
    make_chunks(bases, "5 chunks of 20 KiB", 5, 20 << 10);
    make_trailers(bases, "60 trailers", 60);
    make_trailers(bases, "150 trailers", 150);
    make_leftovers(bases, "1 KiB after the last chunk", 1 << 10);
    make_long_extension(bases, "extension of 1 KiB", 1 << 10);
    make_long_extension(bases, "extension of 70 KiB", 70 << 10);
    make_interim(bases, "5 of a 1xx first", 5);
    make_interim(bases, "200 of a 1xx first", 200);
    for (size_t i = 0; i < bases->made_count; i++) {
        bases->made[i].bytes = bases->bytes[i].data;
        bases->made[i].size = bases->bytes[i].size;
    }
    return bases;
}

void bases_destroy(struct bases *bases)
{
    for (size_t i = 0; i < bases->made_count; i++)
        buffer_clear(&bases->bytes[i]);
    free(bases);
}

size_t bases_count(const struct bases *bases)
{
    return ARRAY_SIZE(written) + bases->made_count;
}

struct base bases_get(const struct bases *bases, size_t index)
{
    return index < ARRAY_SIZE(written) ? written[index]
                                       : bases->made[index - ARRAY_SIZE(written)];
}
