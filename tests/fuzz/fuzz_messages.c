/* tests/fuzz/fuzz_messages.c - a message from a stranger, for libFuzzer (tests/fuzz/run).
 *
 * Whatever the bytes are, a message is refused, or it is one like any other: what its
 * reader took of it packs into bytes that are taken again and give the same. What does
 * not hold aborts.
 *
 * Parts: proto/bundle proto/cluster proto/facts proto/fields proto/messages job stats
 * Parts: base/buffer base/digest base/error base/log base/memory base/text base/wire
 * Libraries: msgpack libcrypto
 *
 * `fuzz_messages --write-corpus DIR` writes one of each message and ends. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/corpus.h"
#include "tests/unit/samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static void must(bool holds, const struct sample *sample, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_messages: %s %s: does not hold: %s\n",
            proto_message_names[sample->message], sample->form, what);
    abort();
}

/* Reads `packed`, which was written by us: it must be taken, and give the same bytes. */
static void repack(const struct sample *sample, const struct buffer *packed)
{
    struct buffer again = BUFFER_INIT;
    struct error err = {.message = ""};
    enum proto_message message;
    struct wire_message decoded;

    if (wire_decode(packed->data, packed->size, &decoded, &err) == -1 ||
        message_identify(&decoded.root, &message, &err) == -1 ||
        sample->repack(&decoded.root, &again, &err) == -1)
        must(false, sample, err.message);
    must(message == sample->message, sample, "it stays the message that it was");
    must(again.size == packed->size &&
             memcmp(again.data, packed->data, again.size) == 0,
         sample, "what is packed and read packs the same");
    wire_clear(&decoded);
    buffer_clear(&again);
}

static void take_as(const struct sample *sample, const msgpack_object *map)
{
    struct buffer packed = BUFFER_INIT;
    struct error err = {.message = ""};

    if (sample->repack(map, &packed, &err) == 0)
        repack(sample, &packed);
    else
        must(err.message[0] != '\0', sample, "a refusal has words");
    buffer_clear(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_message decoded;
    enum proto_message message;

    if (wire_decode(data, size, &decoded, NULL) == -1)
        return 0;
    if (message_identify(&decoded.root, &message, NULL) == 0)
        for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
            if (samples[i].message == message)
                take_as(&samples[i], &decoded.root);
    wire_clear(&decoded);
    return 0;
}

/* --- the corpus ------------------------------------------------------------------- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct buffer packed = BUFFER_INIT;
    int rc = 0;

    if (*argc != 3 || strcmp((*argv)[1], "--write-corpus") != 0)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(samples) && rc == 0; i++) {
        samples[i].pack(&packed);
        rc = corpus_write((*argv)[2], "message", i, &packed);
    }
    buffer_clear(&packed);
    exit(rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}
