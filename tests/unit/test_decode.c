#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "http/decode.h"
#include "unit/random.h"

/* --- encoders ------------------------------------------------------------------------- */

enum { WINDOW = 15, GZIP = 16 };

static void zlib_encode(const struct buffer *plain, struct buffer *packed,
                        int window_bits)
{
    z_stream zlib = {.avail_in = (unsigned)plain->size};

    zlib.next_in = (unsigned char *)plain->data;
    assert_int_equal(deflateInit2(&zlib, 6, Z_DEFLATED, window_bits, 8, 0), Z_OK);
    buffer_reserve(packed, deflateBound(&zlib, plain->size));
    zlib.next_out = (unsigned char *)packed->data + packed->size;
    zlib.avail_out = (unsigned)(packed->capacity - packed->size - 1);
    assert_int_equal(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    packed->size += zlib.total_out;
    deflateEnd(&zlib);
}

static void gzip_encode(const struct buffer *plain, struct buffer *packed)
{
    zlib_encode(plain, packed, WINDOW + GZIP);
}

static void deflate_encode(const struct buffer *plain, struct buffer *packed)
{
    zlib_encode(plain, packed, WINDOW);
}

static void bare_deflate_encode(const struct buffer *plain, struct buffer *packed)
{
    zlib_encode(plain, packed, -WINDOW);
}

static void brotli_encode(const struct buffer *plain, struct buffer *packed)
{
    size_t size = BrotliEncoderMaxCompressedSize(plain->size) + 16;

    buffer_reserve(packed, size);
    assert_true(BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, plain->size,
                                      (const uint8_t *)buffer_text(plain), &size,
                                      (uint8_t *)packed->data + packed->size));
    packed->size += size;
}

static void zstd_encode(const struct buffer *plain, struct buffer *packed)
{
    size_t size = ZSTD_compressBound(plain->size);

    buffer_reserve(packed, size);
    size = ZSTD_compress(packed->data + packed->size, size, buffer_text(plain),
                         plain->size, 3);
    assert_false(ZSTD_isError(size));
    packed->size += size;
}

static const struct encoder {
    const char *coding;
    void (*encode)(const struct buffer *plain, struct buffer *packed);
    bool may_follow; /* the same again, after it */
} encoders[] = {
    {"gzip",    gzip_encode,         true },
    {"x-gzip",  gzip_encode,         true },
    {"deflate", deflate_encode,      false},
    {"deflate", bare_deflate_encode, false},
    {"br",      brotli_encode,       false},
    {"zstd",    zstd_encode,         true },
};

/* --- decoding ------------------------------------------------------------------------- */

static struct decoder *make(const char *coding)
{
    struct decoder *decoder = NULL;

    assert_int_equal(decoder_new(coding, strlen(coding), &decoder), DECODER_MADE);
    assert_non_null(decoder);
    assert_true(decoder_is_at_end(decoder)); /* a body of no bytes is whole */
    return decoder;
}

static int keep(void *user, const char *data, size_t size)
{
    assert_true(size > 0);
    buffer_add(user, data, size);
    return 0;
}

/* In pieces of `step` bytes. */
static int decode(struct decoder *decoder, const char *data, size_t size, size_t step,
                  struct buffer *plain)
{
    int rc = 0;

    for (size_t at = 0; at < size && rc == 0; at += step) {
        const size_t piece = size - at < step ? size - at : step;
        char *const copy = xmalloc(piece); /* so that nothing is read beyond it */

        memcpy(copy, data + at, piece);
        rc = decoder_feed(decoder, copy, piece, keep, plain);
        free(copy);
    }
    return rc;
}

static void expect_plain(const char *coding, const struct buffer *packed, size_t step,
                         const struct buffer *want)
{
    struct decoder *const decoder = make(coding);
    struct buffer plain = BUFFER_INIT;

    assert_int_equal(decode(decoder, packed->data, packed->size, step, &plain), 0);
    assert_true(decoder_is_at_end(decoder));
    assert_int_equal(plain.size, want->size);
    assert_memory_equal(buffer_text(&plain), buffer_text(want), want->size);
    buffer_clear(&plain);
    decoder_destroy(decoder);
}

static void expect_broken(const char *coding, const char *data, size_t size)
{
    struct decoder *const decoder = make(coding);
    struct buffer plain = BUFFER_INIT;

    if (decode(decoder, data, size, size, &plain) != -2)
        fail_msg("%s: %zu bytes are not broken", coding, size);
    buffer_clear(&plain);
    decoder_destroy(decoder);
}

/* Words, numbers and noise: some of it can be packed. */
static void add_plain(struct random *random, struct buffer *plain, size_t size)
{
    while (plain->size < size) {
        if (random_chance(random, 50)) {
            buffer_printf(plain, "{\"id\": %d}", (int)random_below(random, 1000));
        } else {
            const uint64_t noise = random_bits(random);

            buffer_add(plain, &noise, sizeof(noise));
        }
    }
    plain->size = size;
}

/* --- which coding --------------------------------------------------------------------- */

static void test_choice(void **state)
{
    static const struct {
        const char *coding;
        enum decoder_choice want;
    } cases[] = {
        {"",                                  DECODER_NONE   },
        {" ",                                 DECODER_NONE   },
        {"identity",                          DECODER_NONE   },
        {"Identity, identity",                DECODER_NONE   },
        {",,",                                DECODER_NONE   },
        {"gzip",                              DECODER_MADE   },
        {"GZip",                              DECODER_MADE   },
        {" \tgzip\t ",                        DECODER_MADE   },
        {"x-gzip",                            DECODER_MADE   },
        {"deflate",                           DECODER_MADE   },
        {"br",                                DECODER_MADE   },
        {"zstd",                              DECODER_MADE   },
        {"gzip,",                             DECODER_MADE   },
        {", ,gzip",                           DECODER_MADE   },
        {"gzip, identity",                    DECODER_MADE   },
        {"gzip,br,zstd,deflate,gzip",         DECODER_MADE   },
        {"gzip,identity,gzip,gzip,gzip,gzip", DECODER_MADE   },
        {"gzip,gzip,gzip,gzip,gzip,gzip",     DECODER_REFUSED},
        {"br, br, br, br, br, br, compress",  DECODER_REFUSED},
        {"compress",                          DECODER_REFUSED},
        {"gzip, compress",                    DECODER_REFUSED},
        {"compress, gzip",                    DECODER_REFUSED},
        {"gzip gzip",                         DECODER_REFUSED},
        {"gzip;q=1",                          DECODER_REFUSED},
        {"gzi",                               DECODER_REFUSED},
        {"gzipp",                             DECODER_REFUSED},
        {"none",                              DECODER_REFUSED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const size_t length = strlen(cases[i].coding);
        char *const copy = xmalloc(length + 1); /* of no NUL at its end */
        struct decoder *decoder = NULL;

        memcpy(copy, cases[i].coding, length);
        copy[length] = 'x';
        if (decoder_new(copy, length, &decoder) != cases[i].want)
            fail_msg("'%s'", cases[i].coding);
        assert_int_equal(decoder != NULL, cases[i].want == DECODER_MADE);
        decoder_destroy(decoder);
        free(copy);
    }
}

/* A NUL is part of no name. */
static void test_choice_with_nul(void **state)
{
    struct decoder *decoder = NULL;

    (void)state;
    assert_int_equal(decoder_new("gzip\0x", 6, &decoder), DECODER_REFUSED);
    assert_int_equal(decoder_new("\0", 1, &decoder), DECODER_REFUSED);
}

/* --- whole, and in pieces ------------------------------------------------------------- */

static void test_sizes(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 8191, 8192, 8193, 16384, 300000};
    struct random random = random_start("test_sizes");

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(encoders); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
            struct buffer plain = BUFFER_INIT, packed = BUFFER_INIT;

            add_plain(&random, &plain, sizes[j]);
            encoders[i].encode(&plain, &packed);
            expect_plain(encoders[i].coding, &packed, packed.size, &plain);
            expect_plain(encoders[i].coding, &packed, 1, &plain);
            expect_plain(encoders[i].coding, &packed, 1 + random_below(&random, 5000),
                         &plain);
            buffer_clear(&plain);
            buffer_clear(&packed);
        }
    }
}

/* Much of little: what one byte unpacks to comes out at once. */
static void test_zeros(void **state)
{
    struct buffer plain = BUFFER_INIT;

    (void)state;
    buffer_reserve(&plain, 1 << 20);
    memset(plain.data, 0, 1 << 20);
    for (plain.size = (1 << 20) - 2; plain.size <= 1 << 20; plain.size++) {
        for (size_t i = 0; i < ARRAY_SIZE(encoders); i++) {
            struct buffer packed = BUFFER_INIT;

            encoders[i].encode(&plain, &packed);
            expect_plain(encoders[i].coding, &packed, packed.size, &plain);
            expect_plain(encoders[i].coding, &packed, 1, &plain);
            buffer_clear(&packed);
        }
    }
    buffer_clear(&plain);
}

static void test_known_bytes(void **state)
{
    /* "hello\n" as the formats have it, whatever an encoder makes of it. */
    static const char gzip[] =
        "\x1F\x8B\x08\x00\x00\x00\x00\x00\x00\x03\xCB\x48\xCD\xC9\xC9\xE7\x02\x00"
        "\x20\x30\x3A\x36\x06\x00\x00\x00";
    static const char brotli[] = "\x8B\x02\x80hello\n\x03";
    static const char zstd[] = "\x28\xB5\x2F\xFD\x20\x06\x31\x00\x00hello\n";
    const struct buffer want = {.data = (char[]){"hello\n"}, .size = 6};

    (void)state;
    expect_plain("gzip", &(struct buffer){(char *)gzip, sizeof(gzip) - 1, 0}, 1, &want);
    expect_plain("br", &(struct buffer){(char *)brotli, sizeof(brotli) - 1, 0}, 1,
                 &want);
    expect_plain("zstd", &(struct buffer){(char *)zstd, sizeof(zstd) - 1, 0}, 1, &want);
}

/* --- cut, changed, followed by more --------------------------------------------------- */

/* Cut anywhere it is not broken, but not at its end. */
static void test_every_cut(void **state)
{
    struct random random = random_start("test_every_cut");

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(encoders); i++) {
        struct buffer plain = BUFFER_INIT, packed = BUFFER_INIT, some = BUFFER_INIT;

        add_plain(&random, &plain, 500);
        encoders[i].encode(&plain, &packed);
        for (size_t size = 1; size < packed.size; size++) {
            struct decoder *const decoder = make(encoders[i].coding);

            buffer_reset(&some);
            assert_int_equal(decode(decoder, packed.data, size, size, &some), 0);
            if (decoder_is_at_end(decoder))
                fail_msg("%s is at its end after %zu of %zu bytes", encoders[i].coding,
                         size, packed.size);
            assert_true(some.size <= plain.size);
            assert_memory_equal(buffer_text(&some), plain.data, some.size);
            decoder_destroy(decoder);
        }
        buffer_clear(&plain);
        buffer_clear(&packed);
        buffer_clear(&some);
    }
}

static void test_followed_by_the_same(void **state)
{
    struct random random = random_start("test_followed_by_the_same");

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(encoders); i++) {
        struct buffer plain = BUFFER_INIT, packed = BUFFER_INIT;

        add_plain(&random, &plain, 9000);
        encoders[i].encode(&plain, &packed);
        encoders[i].encode(&plain, &packed);
        if (encoders[i].may_follow) {
            struct buffer twice = BUFFER_INIT;

            buffer_add(&twice, plain.data, plain.size);
            buffer_add(&twice, plain.data, plain.size);
            expect_plain(encoders[i].coding, &packed, packed.size, &twice);
            expect_plain(encoders[i].coding, &packed, 1, &twice);
            buffer_clear(&twice);
        } else {
            expect_broken(encoders[i].coding, packed.data, packed.size);
        }
        buffer_clear(&plain);
        buffer_clear(&packed);
    }
}

static void test_followed_by_junk(void **state)
{
    static const char *const junk[] = {"junkjunkjunk", "\n\n\n\n", "<html>"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(encoders); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(junk); j++) {
            struct buffer plain = BUFFER_INIT, packed = BUFFER_INIT;

            buffer_add_text(&plain, "text");
            encoders[i].encode(&plain, &packed);
            buffer_add_text(&packed, junk[j]);
            expect_broken(encoders[i].coding, packed.data, packed.size);
            buffer_clear(&plain);
            buffer_clear(&packed);
        }
    }
}

/* A body that is not packed at all. */
static void test_not_packed(void **state)
{
    static const char html[] = "<!DOCTYPE html><html><body>It works!</body></html>";

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(encoders); i++)
        expect_broken(encoders[i].coding, html, sizeof(html) - 1);
}

/* It may be noticed or not, but does no harm; and what is fed in pieces comes out the
 * same. */
static void test_changed_bytes(void **state)
{
    struct random random = random_start("test_changed_bytes");

    (void)state;
    for (int round = 0; round < 3000; round++) {
        const struct encoder *const encoder =
            &encoders[random_below(&random, ARRAY_SIZE(encoders))];
        struct buffer plain = BUFFER_INIT, packed = BUFFER_INIT;
        struct buffer whole = BUFFER_INIT, pieces = BUFFER_INIT;
        struct decoder *const left = make(encoder->coding);
        struct decoder *const right = make(encoder->coding);
        int left_rc, right_rc;

        add_plain(&random, &plain, random_below(&random, 2000));
        encoder->encode(&plain, &packed);
        do
            packed.data[random_below(&random, packed.size)] ^=
                (char)(1 << random_below(&random, 8));
        while (random_chance(&random, 60));
        left_rc = decode(left, packed.data, packed.size, packed.size, &whole);
        right_rc = decode(right, packed.data, packed.size, 7, &pieces);
        assert_int_equal(left_rc, right_rc);
        if (left_rc == 0) {
            assert_int_equal(decoder_is_at_end(left), decoder_is_at_end(right));
            assert_int_equal(whole.size, pieces.size);
            assert_memory_equal(buffer_text(&whole), buffer_text(&pieces), whole.size);
        }
        decoder_destroy(left);
        decoder_destroy(right);
        buffer_clear(&plain);
        buffer_clear(&packed);
        buffer_clear(&whole);
        buffer_clear(&pieces);
    }
}

/* --- several -------------------------------------------------------------------------- */

static void test_chains(void **state)
{
    struct random random = random_start("test_chains");

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct buffer plain = BUFFER_INIT, packed = BUFFER_INIT, coding = BUFFER_INIT;

        add_plain(&random, &plain, random_below(&random, 20000));
        buffer_add(&packed, plain.data, plain.size);
        for (uint64_t left = 1 + random_below(&random, DECODERS_MAX); left > 0;
             left--) {
            const struct encoder *const encoder =
                &encoders[random_below(&random, ARRAY_SIZE(encoders))];
            struct buffer more = BUFFER_INIT;

            encoder->encode(&packed, &more);
            buffer_clear(&packed);
            packed = more;
            buffer_printf(&coding, "%s%s", coding.size > 0 ? ", " : "",
                          encoder->coding);
        }
        expect_plain(coding.data, &packed, packed.size, &plain);
        expect_plain(coding.data, &packed, 1 + random_below(&random, 100), &plain);
        buffer_clear(&plain);
        buffer_clear(&packed);
        buffer_clear(&coding);
    }
}

/* The outer one is whole, the inner one is cut. */
static void test_cut_inside(void **state)
{
    struct buffer plain = BUFFER_INIT, inner = BUFFER_INIT, outer = BUFFER_INIT;
    struct decoder *const decoder = make("gzip, br");
    struct buffer some = BUFFER_INIT;

    (void)state;
    buffer_add_text(&plain, "some text");
    gzip_encode(&plain, &inner);
    inner.size -= 3;
    brotli_encode(&inner, &outer);
    assert_int_equal(decode(decoder, outer.data, outer.size, 1, &some), 0);
    assert_false(decoder_is_at_end(decoder));
    decoder_destroy(decoder);
    buffer_clear(&plain);
    buffer_clear(&inner);
    buffer_clear(&outer);
    buffer_clear(&some);
}

/* --- bombs ---------------------------------------------------------------------------- */

struct cup {
    size_t size, most;
};

static int fill_cup(void *user, const char *data, size_t size)
{
    struct cup *const cup = user;

    (void)data;
    cup->size += size;
    return cup->size <= cup->most ? 0 : -1;
}

/* Many megabytes in a few bytes stop when whoever takes them says so. */
static void test_bombs(void **state)
{
    struct buffer plain = BUFFER_INIT;

    (void)state;
    buffer_reserve(&plain, 16 << 20);
    memset(plain.data, 0, 16 << 20);
    plain.size = 16 << 20;
    for (size_t i = 0; i < ARRAY_SIZE(encoders); i++) {
        struct decoder *const decoder = make(encoders[i].coding);
        struct buffer packed = BUFFER_INIT;
        struct cup cup = {.most = 100000};

        encoders[i].encode(&plain, &packed);
        assert_true(packed.size < 20000);
        assert_int_equal(
            decoder_feed(decoder, packed.data, packed.size, fill_cup, &cup), -1);
        assert_true(cup.size <= cup.most + (64 << 10));
        decoder_destroy(decoder);
        buffer_clear(&packed);
    }
    buffer_clear(&plain);
}

/* Unpacks to 128 MiB of empty members, of which nothing comes out. */
static void test_bomb_of_nothing(void **state)
{
    struct buffer nothing = BUFFER_INIT, member = BUFFER_INIT, members = BUFFER_INIT;
    struct buffer packed = BUFFER_INIT;
    struct decoder *const decoder = make("gzip, zstd");
    struct cup cup = {.most = 0};

    (void)state;
    gzip_encode(&nothing, &member);
    while (members.size < 128u << 20)
        buffer_add(&members, member.data, member.size);
    zstd_encode(&members, &packed);
    assert_int_equal(decoder_feed(decoder, packed.data, packed.size, fill_cup, &cup),
                     -2);
    assert_int_equal(cup.size, 0);
    decoder_destroy(decoder);
    buffer_clear(&member);
    buffer_clear(&members);
    buffer_clear(&packed);
}

/* A frame that asks for a window of more memory than it may. */
static void test_large_window(void **state)
{
    for (int log = 23; log <= 25; log++) {
        struct buffer packed = BUFFER_INIT, plain = BUFFER_INIT;
        ZSTD_CCtx *const encoder = ZSTD_createCCtx();
        struct decoder *const decoder = make("zstd");
        ZSTD_inBuffer in = {.size = 1 << 20};
        ZSTD_outBuffer out;

        (void)state;
        buffer_reserve(&plain, in.size);
        memset(plain.data, 'x', in.size);
        in.src = plain.data;
        buffer_reserve(&packed, ZSTD_compressBound(in.size));
        out = (ZSTD_outBuffer){packed.data, packed.capacity, 0};
        ZSTD_CCtx_setParameter(encoder, ZSTD_c_windowLog, log);
        ZSTD_compressStream2(encoder, &out, &in, ZSTD_e_continue); /* size unknown */
        assert_int_equal(ZSTD_compressStream2(encoder, &out, &in, ZSTD_e_end), 0);
        assert_int_equal(decode(decoder, packed.data, out.pos, out.pos, &plain),
                         log > 23 ? -2 : 0);
        ZSTD_freeCCtx(encoder);
        decoder_destroy(decoder);
        buffer_clear(&packed);
        buffer_clear(&plain);
    }
}

static void test_preset_dictionary(void **state)
{
    (void)state;
    expect_broken("deflate", "\x78\xBB\x00\x00\x00\x01xxxx", 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_choice_with_nul),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_known_bytes),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_followed_by_the_same),
        cmocka_unit_test(test_followed_by_junk),
        cmocka_unit_test(test_not_packed),
        cmocka_unit_test(test_changed_bytes),
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_cut_inside),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_bomb_of_nothing),
        cmocka_unit_test(test_large_window),
        cmocka_unit_test(test_preset_dictionary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
