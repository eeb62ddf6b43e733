/* SPDX-License-Identifier: MIT */
/* What may stand in names, prefixes, labels and metadata. */
#include "text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "sealbuf-protocol.h"

struct sample {
    const char *text;
    size_t length;
};
#define SAMPLE(text)                                                                                                   \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }
#define COUNT(samples) (int)(sizeof(samples) / sizeof((samples)[0]))

/* Where a sample of exactly this length ends, the memory ends: a sanitizer, or valgrind, sees every byte too far. */
static char *exact_copy(const char *text, size_t length)
{
    char *copy = malloc(length ? length : 1);

    ck_assert_ptr_nonnull(copy);
    if (length)
        memcpy(copy, text, length);
    return copy;
}

typedef bool judge(const char *text, size_t length);

static bool judged(judge *valid, const char *text, size_t length)
{
    char *copy = exact_copy(text, length);
    bool result = valid(copy, length);

    free(copy);
    return result;
}

static bool judged_sample(judge *valid, const struct sample *sample)
{
    return judged(valid, sample->text, sample->length);
}

static bool judged_repeated(judge *valid, char c, size_t length)
{
    char *copy = malloc(length);

    ck_assert_ptr_nonnull(copy);
    memset(copy, c, length);
    bool result = valid(copy, length);
    free(copy);
    return result;
}

static const struct sample good_names[] = {
    SAMPLE("a"),
    SAMPLE("frames/left"),
    SAMPLE("a/b/c/d/e/f/g"),
    SAMPLE("..."),
    SAMPLE(".hidden"),
    SAMPLE("a./b../..c"),
    SAMPLE("with blank"),
    SAMPLE(" "),
    SAMPLE("-"),
    SAMPLE("\\"),
    SAMPLE("~"),
    SAMPLE("\xc2\xa0"),         /* U+00A0, the first behind the controls */
    SAMPLE("\xc3\xa9"),         /* U+00E9 */
    SAMPLE("\xdf\xbf"),         /* U+07FF */
    SAMPLE("\xe0\xa0\x80"),     /* U+0800 */
    SAMPLE("\xed\x9f\xbf"),     /* U+D7FF */
    SAMPLE("\xee\x80\x80"),     /* U+E000 */
    SAMPLE("\xef\xbf\xbf"),     /* U+FFFF */
    SAMPLE("\xf0\x90\x80\x80"), /* U+10000 */
    SAMPLE("\xf4\x8f\xbf\xbf"), /* U+10FFFF */
};

START_TEST(takes_name)
{
    ck_assert(judged_sample(name_valid, &good_names[_i]));
    ck_assert(judged_sample(prefix_valid, &good_names[_i]));
    ck_assert(judged_sample(label_valid, &good_names[_i]));
}
END_TEST

static const struct sample bad_paths[] = {
    SAMPLE(""),     SAMPLE("/"),    SAMPLE("/a"),     SAMPLE("a/"),  SAMPLE("a//b"),
    SAMPLE("."),    SAMPLE(".."),   SAMPLE("./a"),    SAMPLE("a/."), SAMPLE("a/./b"),
    SAMPLE("../a"), SAMPLE("a/.."), SAMPLE("a/../b"), SAMPLE("//"),  SAMPLE("../../etc/passwd"),
};

START_TEST(refuses_path)
{
    ck_assert(!judged_sample(name_valid, &bad_paths[_i]));
    ck_assert(judged_sample(label_valid, &bad_paths[_i])); /* a label is no path */
}
END_TEST

static const struct sample bad_characters[] = {
    SAMPLE("a\0b"),
    SAMPLE("\0"),
    SAMPLE("a\n"),
    SAMPLE("\t"),
    SAMPLE("\x1b[31m"),
    SAMPLE("\x7f"),
    SAMPLE("\xc2\x80"),             /* U+0080, a C1 control */
    SAMPLE("\xc2\x9f"),             /* U+009F, the last of them */
    SAMPLE("\x80"),                 /* a continuation without a start */
    SAMPLE("\xbf"),                 /**/
    SAMPLE("\xc0\x80"),             /* overlong U+0000 */
    SAMPLE("\xc0\xaf"),             /* overlong '/' */
    SAMPLE("\xc1\xbf"),             /* overlong U+007F */
    SAMPLE("\xe0\x9f\xbf"),         /* overlong U+07FF */
    SAMPLE("\xe0\x80\xaf"),         /* overlong '/' */
    SAMPLE("\xf0\x8f\xbf\xbf"),     /* overlong U+FFFF */
    SAMPLE("\xf0\x80\x80\xaf"),     /* overlong '/' */
    SAMPLE("\xed\xa0\x80"),         /* U+D800, a surrogate */
    SAMPLE("\xed\xbf\xbf"),         /* U+DFFF */
    SAMPLE("\xf4\x90\x80\x80"),     /* U+110000 */
    SAMPLE("\xf5\x80\x80\x80"),     /* beyond */
    SAMPLE("\xf8\x88\x80\x80\x80"), /* five bytes */
    SAMPLE("\xfe"),
    SAMPLE("\xff"),
    SAMPLE("\xc3"), /* cut */
    SAMPLE("a\xe2\x82"),
    SAMPLE("\xf0\x9f\x98"),
    SAMPLE("\xc3("), /* a start without a continuation */
    SAMPLE("\xe2\x28\xa1"),
    SAMPLE("\xe2\x82\x28"),
    SAMPLE("\xf0\x28\x8c\xbc"),
};

START_TEST(refuses_characters)
{
    ck_assert(!judged_sample(name_valid, &bad_characters[_i]));
    ck_assert(!judged_sample(label_valid, &bad_characters[_i]));
}
END_TEST

START_TEST(knows_lengths)
{
    ck_assert(judged_repeated(name_valid, 'n', SEALBUF_MAX_NAME));
    ck_assert(!judged_repeated(name_valid, 'n', SEALBUF_MAX_NAME + 1));
    ck_assert(judged_repeated(prefix_valid, 'n', SEALBUF_MAX_NAME));
    ck_assert(!judged_repeated(prefix_valid, 'n', SEALBUF_MAX_NAME + 1));
    ck_assert(judged_repeated(label_valid, 'l', SEALBUF_MAX_LABEL));
    ck_assert(!judged_repeated(label_valid, 'l', SEALBUF_MAX_LABEL + 1));
    ck_assert(judged(label_valid, "", 0));
    ck_assert(judged(prefix_valid, "", 0));
    ck_assert(!judged(name_valid, "", 0));
    ck_assert(judged(metadata_valid, "", 0));
}
END_TEST

static const struct sample good_prefixes[] = {
    SAMPLE("/"), SAMPLE("a/"), SAMPLE("."), SAMPLE(".."), SAMPLE("a//"), SAMPLE("\xe2\x82"), SAMPLE("\xc3"),
};
static const struct sample bad_prefixes[] = {
    SAMPLE("\0"), SAMPLE("a\0"), SAMPLE("a\nb"), SAMPLE("\x1b"), SAMPLE("\x7f"), SAMPLE("\x1f"),
};

START_TEST(takes_prefix)
{
    ck_assert(judged_sample(prefix_valid, &good_prefixes[_i]));
}
END_TEST

START_TEST(refuses_prefix)
{
    ck_assert(!judged_sample(prefix_valid, &bad_prefixes[_i]));
}
END_TEST

static const struct sample good_metadata[] = {
    SAMPLE("k=v\0"),       SAMPLE("k=\0"),       SAMPLE("k==\0"),
    SAMPLE("k=a=b\0"),     SAMPLE("k=v\0k=w\0"), SAMPLE("k=\x01\n\xff\xfe\0"), /* a value is any bytes */
    SAMPLE("\xc3\xa9=\0"), SAMPLE("a b=c d\0"),
};
static const struct sample bad_metadata[] = {
    SAMPLE("\0"),          SAMPLE("k\0"),       SAMPLE("=v\0"),     SAMPLE("k=v"),      SAMPLE("k"),
    SAMPLE("k=v\0\0"),     SAMPLE("k=v\0x"),    SAMPLE("k=v\0x=y"), SAMPLE("k\n=v\0"),  SAMPLE("\xff=v\0"),
    SAMPLE("\xc2\x85=\0"), SAMPLE("k=v\0=w\0"), SAMPLE("\x7f=\0"),  SAMPLE("k=v\0j\0"),
};

START_TEST(takes_metadata)
{
    ck_assert(judged_sample(metadata_valid, &good_metadata[_i]));
}
END_TEST

START_TEST(refuses_metadata)
{
    ck_assert(!judged_sample(metadata_valid, &bad_metadata[_i]));
}
END_TEST

START_TEST(metadata_lengths)
{
    char *text = malloc(SEALBUF_MAX_METADATA + 1);

    ck_assert_ptr_nonnull(text);
    memset(text, 'x', SEALBUF_MAX_METADATA + 1);
    text[1] = '=';
    text[SEALBUF_MAX_METADATA - 1] = '\0';
    ck_assert(judged(metadata_valid, text, SEALBUF_MAX_METADATA));
    text[SEALBUF_MAX_METADATA - 1] = 'x';
    text[SEALBUF_MAX_METADATA] = '\0';
    ck_assert(!judged(metadata_valid, text, SEALBUF_MAX_METADATA + 1));
    free(text);
}
END_TEST

/* An independent judge of UTF-8: decode, encode again, compare. */
static size_t encode(uint32_t code, unsigned char out[4])
{
    if (code < 0x80) {
        out[0] = (unsigned char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; code >>= 6)
        out[i] = (unsigned char)(0x80 | (code & 0x3f));
    out[0] = (unsigned char)((0xf00 >> length & 0xff) | code);
    return length;
}

/* Every code point there is, and what would come behind. */
START_TEST(takes_every_character_but_controls)
{
    unsigned char text[4];

    for (uint32_t code = 0; code < 0x120000; code++) {
        size_t length = encode(code, text);
        bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
        bool surrogate = code >= 0xd800 && code < 0xe000;
        bool expected = !control && !surrogate && code < 0x110000;
        if (label_valid((const char *)text, length) != expected)
            ck_abort_msg("U+%04X is judged wrongly", code);
    }
}
END_TEST

/* Of all strings of 3 bytes exactly those are good that are made of good characters. */
START_TEST(agrees_with_an_encoder)
{
    static bool good[256 * 256 * 256];
    unsigned char text[4];
    uint32_t one[0x900], ones = 0, twos = 0;

    memset(good, 0, sizeof(good));
    for (uint32_t code = 0xa0; code < 0x10000; code++) {
        size_t length = encode(code, text);
        if (length == 3 && (code < 0xd800 || code >= 0xe000))
            good[text[0] << 16 | text[1] << 8 | text[2]] = true;
        else if (length == 2)
            one[0x100 + twos++] = (uint32_t)(text[0] << 8 | text[1]);
    }
    for (uint32_t c = 0x20; c < 0x7f; c++)
        one[ones++] = c;
    for (uint32_t a = 0; a < ones; a++) {
        for (uint32_t b = 0; b < ones; b++)
            for (uint32_t c = 0; c < ones; c++)
                good[one[a] << 16 | one[b] << 8 | one[c]] = true;
        for (uint32_t b = 0; b < twos; b++) {
            good[one[a] << 16 | one[0x100 + b]] = true;
            good[one[0x100 + b] << 8 | one[a]] = true;
        }
    }
    for (uint32_t i = 0; i < sizeof(good); i++) {
        char bytes[3] = {(char)(i >> 16), (char)(i >> 8), (char)i};
        if (label_valid(bytes, 3) != good[i])
            ck_abort_msg("%02x %02x %02x is judged wrongly", i >> 16, i >> 8 & 0xff, i & 0xff);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *names = harness_tcase(suite, "names"), *prefixes = harness_tcase(suite, "prefixes"),
          *metadata = harness_tcase(suite, "metadata"), *utf8 = harness_tcase(suite, "utf-8");

    tcase_add_loop_test(names, takes_name, 0, COUNT(good_names));
    tcase_add_loop_test(names, refuses_path, 0, COUNT(bad_paths));
    tcase_add_loop_test(names, refuses_characters, 0, COUNT(bad_characters));
    tcase_add_test(names, knows_lengths);
    tcase_add_loop_test(prefixes, takes_prefix, 0, COUNT(good_prefixes));
    tcase_add_loop_test(prefixes, refuses_prefix, 0, COUNT(bad_prefixes));
    tcase_add_loop_test(metadata, takes_metadata, 0, COUNT(good_metadata));
    tcase_add_loop_test(metadata, refuses_metadata, 0, COUNT(bad_metadata));
    tcase_add_test(metadata, metadata_lengths);
    tcase_add_test(utf8, takes_every_character_but_controls);
    tcase_add_test(utf8, agrees_with_an_encoder);
    return harness_run(suite);
}
