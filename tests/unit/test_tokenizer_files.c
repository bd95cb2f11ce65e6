/*
 * Reading tokenizers: what the files may say, what is refused, and in which words.
 */
#include "text/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { path_bytes = 256, text_bytes = 1 << 16 };

static const char *const all_names[] = {"tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json",
                                        "tokenizer_config.json"};

static int make_folder(void **state) {
    char *folder = strdup("/tmp/inkstone-test-XXXXXX");
    *state = folder;
    return !folder || !mkdtemp(folder);
}

static int remove_folder(void **state) {
    char *folder = *state;
    for (size_t i = 0; i < sizeof all_names / sizeof *all_names; i++) {
        char path[path_bytes];
        snprintf(path, sizeof path, "%s/%s", folder, all_names[i]);
        (void)remove(path);
    }
    const int result = rmdir(folder);
    free(folder);
    return result;
}

/* Writes a file, or removes it if `text` is NULL. */
static void put(const char *folder, const char *name, const char *text) {
    char path[path_bytes];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)remove(path);
    if (!text) return;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

/* The 256 bytes with the ids 0 to 255, then `more` (which begins with a comma if it is not empty). */
static void write_vocabulary(char *out, const char *more) {
    size_t n = (size_t)sprintf(out, "{");
    unsigned next = 0x100;
    for (unsigned byte = 0; byte < 256; byte++) {
        const bool itself = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        n += (size_t)sprintf(out + n, "%s\"\\u%04x\":%u", byte ? "," : "", itself ? byte : next++, byte);
    }
    sprintf(out + n, "%s}", more);
}

/* What a tokenizer.json is made of; a NULL takes the usual part. */
typedef struct parts {
    const char *vocabulary; /* the end of it: see write_vocabulary */
    const char *merges;
    const char *added;
    const char *normalizer;
    const char *pre_tokenizer;
    const char *post_processor;
    const char *model; /* further keys, each with a comma before it */
} parts;

#define SPLIT(pattern)                                                                                       \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" pattern "\"},\"behavior\":\"Isolated\",\"invert\":"      \
    "false}"
#define BYTES(prefix, regex)                                                                                 \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":" prefix ",\"trim_offsets\":true,\"use_regex\":" regex "}"
#define SEQUENCE(parts)  "{\"type\":\"Sequence\",\"pretokenizers\":[" parts "]}"
#define TEMPLATE(single) "{\"type\":\"TemplateProcessing\",\"single\":[" single "]}"
#define USUAL_SPLIT      SEQUENCE(SPLIT("\\\\p{L}+|[^\\\\p{L}]") "," BYTES("false", "false"))
#define USUAL_TOKENS     ",\"ab\":256,\"abc\":257,\"bc\":258"

static const char *or_usual(const char *part, const char *usual) {
    return part ? part : usual;
}

static ink_status open_json(const char *folder, const parts *p, ink_tokenizer **tokenizer, ink_error *error) {
    static char vocabulary[text_bytes], text[2 * text_bytes];
    write_vocabulary(vocabulary, or_usual(p->vocabulary, USUAL_TOKENS));
    snprintf(text, sizeof text,
             "{\"version\":\"1.0\",\"added_tokens\":%s,\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_"
             "processor\":%s,"
             "\"model\":{\"type\":\"BPE\",\"vocab\":%s,\"merges\":%s%s}}",
             or_usual(p->added, "[]"), or_usual(p->normalizer, "{\"type\":\"NFC\"}"),
             or_usual(p->pre_tokenizer, USUAL_SPLIT), or_usual(p->post_processor, "null"), vocabulary,
             or_usual(p->merges, "[\"a b\",\"ab c\"]"), or_usual(p->model, ""));
    put(folder, "tokenizer.json", text);
    return ink_tokenizer_open(folder, tokenizer, error);
}

static void check_ids_of(const ink_tokenizer *tokenizer, const char *text, const char *expected) {
    int32_t *ids = NULL;
    size_t count;
    assert_int_equal(ink_tokenizer_encode(tokenizer, text, strlen(text), false, &ids, &count, NULL), INK_OK);
    char got[512] = "";
    for (size_t i = 0; i < count; i++) {
        const size_t n = strlen(got);
        snprintf(got + n, sizeof got - n, "%s%d", i ? " " : "", (int)ids[i]);
    }
    free(ids);
    assert_string_equal(got, expected);
}

static void check_ids(const char *folder, const parts *p, const char *text, const char *expected) {
    ink_tokenizer *tokenizer = NULL;
    ink_error error = {0};
    if (open_json(folder, p, &tokenizer, &error) != INK_OK) fail_msg("%s", error.message);
    check_ids_of(tokenizer, text, expected);
    ink_tokenizer_close(tokenizer);
}

static void check_refused(const char *folder, const parts *p, ink_status expected, const char *word) {
    ink_tokenizer *tokenizer = NULL;
    ink_error error = {0};
    const ink_status status = open_json(folder, p, &tokenizer, &error);
    if (status != expected) fail_msg("status %d, not %d; looking for %s", (int)status, (int)expected, word);
    assert_null(tokenizer);
    assert_int_equal(error.status, expected);
    if (!strstr(error.message, word)) fail_msg("no \"%s\" in: %s", word, error.message);
}

static void test_merges(void **state) {
    const char *folder = *state;
    check_ids(folder, &(parts){0}, "abc", "257");
    check_ids(folder, &(parts){.merges = "[[\"a\",\"b\"],[\"ab\",\"c\"]]"}, "abc xab", "257 32 120 256");
    check_ids(folder, &(parts){.merges = "[\"b c\",\"a b\",\"ab c\"]"}, "abc", "97 258");
    check_ids(folder, &(parts){.merges = "[\"a b\",\"b c\",\"a b\",\"ab c\"]"}, "abc",
              "97 258"); /* the last rank counts */
    check_ids(folder, &(parts){.merges = "[\"#version: 0.2\",\"a b\"]"}, "ab", "256");
    check_ids(
        folder,
        &(parts){.merges = "[[\"#version\",\"s\"]]", .vocabulary = ",\"#version\":256,\"#versions\":257"},
        "a", "97");
    check_ids(folder, &(parts){.merges = "[]"}, "abc", "97 98 99");
    check_ids(folder, &(parts){.vocabulary = ",\"aa\":256,\"aaa\":257", .merges = "[\"a a\",\"aa a\"]"},
              "aaaaa", "256 257");
}

static void test_vocab_size(void **state) {
    ink_tokenizer *tokenizer = NULL;
    const parts p = {.vocabulary = USUAL_TOKENS ",\"unreachable\":9999",
                     .added = "[{\"id\":2147483647,\"content\":\"<x>\"}]"};
    assert_int_equal(open_json(*state, &(parts){.vocabulary = p.vocabulary}, &tokenizer, NULL), INK_OK);
    assert_int_equal(ink_tokenizer_vocab_size(tokenizer), 258);
    ink_tokenizer_close(tokenizer);
    assert_int_equal(open_json(*state, &p, &tokenizer, NULL), INK_OK);
    assert_int_equal(ink_tokenizer_vocab_size(tokenizer), 2147483648);
    check_ids_of(tokenizer, "a<x>", "97 2147483647");
    ink_tokenizer_close(tokenizer);
}

#define TOKEN(content, flags)                                                                                \
    "[{\"id\":300,\"content\":\"" content "\"" flags "},{\"id\":301,\"content\":\"<xy>\"}]"

static void test_added(void **state) {
    const char *folder = *state;
    check_ids(folder, &(parts){.added = TOKEN("<x", "")}, "a<xb<xy>", "97 300 98 301"); /* the longest */
    check_ids(folder, &(parts){.added = TOKEN("<x", ",\"lstrip\":true")}, "a \t <x b", "97 300 32 98");
    check_ids(folder, &(parts){.added = TOKEN("<x", ",\"rstrip\":true")}, "a <x \n b", "97 32 300 98");
    check_ids(folder, &(parts){.added = TOKEN("xx", ",\"single_word\":true")}, "axx xx xx_ xx",
              "97 120 120 32 300 32 120 120 95 32 300");
    check_ids(folder, &(parts){.added = TOKEN("", "")}, "a<xy>", "97 301"); /* empty ones are ignored */
    /* The solidus joins the sign before it, unless the token was found first. */
    check_ids(folder, &(parts){.added = TOKEN("<x>", "")}, "<x>\xCC\xB8", "300 204 184");
    check_ids(folder, &(parts){.added = TOKEN("<x>", ",\"normalized\":true")}, "<x>\xCC\xB8",
              "60 120 226 137 175");
    /* A token that is normalized is found in its normal form. */
    check_ids(folder, &(parts){.added = TOKEN("e\\u0301", ",\"normalized\":true")},
              "\xC3\xA9"
              "e\xCC\x81",
              "300 300");
    check_ids(folder, &(parts){.added = TOKEN("e\\u0301", "")},
              "\xC3\xA9"
              "e\xCC\x81",
              "195 169 300");
    check_ids(folder, &(parts){.added = TOKEN("e\\u0301", ",\"normalized\":true"), .normalizer = "null"},
              "\xC3\xA9"
              "e\xCC\x81",
              "195 169 300");
    check_ids(folder, &(parts){.added = "[{\"id\":256,\"content\":\"ab\"}]"}, "xabc",
              "120 256 99"); /* also in the vocabulary */
}

static void test_features(void **state) {
    const char *folder = *state;
    check_ids(folder, &(parts){.normalizer = "null"}, "e\xCC\x81", "101 204 129");
    check_ids(folder, &(parts){0}, "e\xCC\x81", "195 169");
    check_ids(folder, &(parts){.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}]}"},
              "e\xCC\x81", "195 169");
    check_ids(folder, &(parts){.post_processor = "{\"type\":\"ByteLevel\"}"}, "a", "97");
    check_ids(folder, &(parts){.model = ",\"unk_token\":\"<unk>\",\"dropout\":null"}, "a",
              "97"); /* no byte is unknown */
    const parts refused[] = {
        {.model = ",\"byte_fallback\":true"},
        {.model = ",\"ignore_merges\":true"},
        {.model = ",\"dropout\":0.1"},
        {.model = ",\"end_of_word_suffix\":\"</w>\""},
        {.normalizer = "{\"type\":\"NFKC\"}"},
        {.normalizer =
             "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Lowercase\"}]}"},
        {.pre_tokenizer = "null"},
        {.pre_tokenizer = "{\"type\":\"Whitespace\"}"},
        {.pre_tokenizer = SEQUENCE(BYTES("false", "true"))},
        {.pre_tokenizer = SEQUENCE(SPLIT("a") "," BYTES("true", "false"))},
        {.pre_tokenizer = SEQUENCE(SPLIT("a") "," BYTES("false", "true"))},
        {.pre_tokenizer = SEQUENCE(SPLIT("\\\\w") "," BYTES("false", "false"))},
        {.pre_tokenizer = SEQUENCE(SPLIT("a") "," SPLIT("b"))},
        {.pre_tokenizer =
             SEQUENCE("{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"Isolated\"}," BYTES(
                 "false", "false"))},
        {.pre_tokenizer =
             SEQUENCE("{\"type\":\"Split\",\"pattern\":{\"Regex\":\" \"},\"behavior\":\"Removed\"}," BYTES(
                 "false", "false"))},
        {.post_processor = "{\"type\":\"RobertaProcessing\"}"},
        {.post_processor = TEMPLATE("{\"SpecialToken\":{}},{\"Sequence\":{}}")},
        {.post_processor = TEMPLATE("{\"Sequence\":{}},{\"SpecialToken\":{}}")},
    };
    static const char *const words[] = {"byte_fallback",
                                        "ignore_merges",
                                        "dropout",
                                        "end_of_word_suffix",
                                        "NFKC",
                                        "Lowercase",
                                        "pre-tokenizer",
                                        "Whitespace",
                                        "Sequence",
                                        "add_prefix_space",
                                        "use_regex",
                                        "escape",
                                        "Split",
                                        "regular expression",
                                        "Removed",
                                        "RobertaProcessing",
                                        "TemplateProcessing",
                                        "TemplateProcessing"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        check_refused(folder, &refused[i], INK_ERROR_UNSUPPORTED, words[i]);
    }
}

static void test_broken_json(void **state) {
    const char *folder = *state;
    const parts broken[] = {
        {.vocabulary = ",\"x1\":255"},
        {.vocabulary = ",\"x1\":-1"},
        {.vocabulary = ",\"x1\":2147483648"},
        {.vocabulary = ",\"x1\":1.5"},
        {.vocabulary = ",\"x1\":\"1\""},
        {.vocabulary = ",\"a\":300"},
        {.merges = "[\"a q9\"]"},
        {.merges = "[\"b a\"]"},
        {.merges = "[\"ab\"]"},
        {.merges = "[\"a b c\"]"},
        {.merges = "[[\"a\"]]"},
        {.merges = "[[\"a\",1]]"},
        {.merges = "[7]"},
        {.merges = "null"},
        {.added = "{}"},
        {.added = "[{\"id\":1}]"},
        {.added = "[{\"id\":-1,\"content\":\"<x>\"}]"},
        {.added = "[{\"id\":2147483648,\"content\":\"<x>\"}]"},
        {.added = "[{\"id\":97,\"content\":\"<x>\"}]"},
        {.added = "[{\"id\":300,\"content\":\"ab\"}]"},
        {.added = "[{\"id\":300,\"content\":\"<x>\"},{\"id\":300,\"content\":\"<y>\"}]"},
        {.added = "[{\"id\":300,\"content\":\"<x>\"},{\"id\":301,\"content\":\"<x>\"}]"},
        {.added = "[{\"id\":300,\"content\":\"\xFF\"}]"},
        {.pre_tokenizer = SEQUENCE(SPLIT("(a") "," BYTES("false", "false"))},
    };
    static const char *const words[] = {
        "255",     "x1",      "x1",      "x1",      "x1",      "duplicate", "q9",           "\"ba\"",
        "\"ab\"",  "a b c",   "merge 1", "merge 1", "merge 1", "merges",    "added_tokens", "token 1",
        "token 1", "token 1", "97",      "256",     "300",     "<x>",       "JSON",         "(a"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        check_refused(folder, &broken[i], INK_ERROR_FORMAT, words[i]);
    }
    static const char *const texts[] = {
        "", "{", "[]", "{}", "{\"model\":3}", "{\"model\":{\"type\":\"BPE\"}}", "\xFF"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ink_tokenizer *tokenizer = NULL;
        put(folder, "tokenizer.json", texts[i]);
        assert_int_not_equal(ink_tokenizer_open(folder, &tokenizer, NULL), INK_OK);
        assert_null(tokenizer);
    }
    check_refused(folder, &(parts){.model = ",\"type\":\"Unigram\""}, INK_ERROR_FORMAT, "duplicate");
    put(folder, "tokenizer.json", "{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}");
    ink_tokenizer *tokenizer = NULL;
    assert_int_equal(ink_tokenizer_open(folder, &tokenizer, NULL), INK_ERROR_UNSUPPORTED);
}

/* Bytes that the vocabulary lacks are left out, and what stands around them becomes neighbours. */
static void test_missing_bytes(void **state) {
    const char *folder = *state;
    static const char format[] = "{\"pre_tokenizer\":" USUAL_SPLIT
                                 ",\"model\":{\"vocab\":{\"a\":5,\"b\":6,\"ab\":7},\"merges\":[\"a b\"]%s}}";
    char text[1024];
    ink_tokenizer *tokenizer = NULL;
    snprintf(text, sizeof text, format, "");
    put(folder, "tokenizer.json", text);
    assert_int_equal(ink_tokenizer_open(folder, &tokenizer, NULL), INK_OK);
    check_ids_of(tokenizer, "axb ba", "7 6 5");
    check_ids_of(tokenizer, "xyz", "");
    int32_t *ids = NULL;
    size_t count;
    assert_int_equal(ink_tokenizer_encode(tokenizer, "xyz", 3, false, &ids, &count, NULL), INK_OK);
    assert_non_null(ids);
    free(ids);
    ink_tokenizer_close(tokenizer);
    snprintf(text, sizeof text, format, ",\"unk_token\":\"a\"");
    put(folder, "tokenizer.json", text);
    assert_int_equal(ink_tokenizer_open(folder, &tokenizer, NULL), INK_ERROR_UNSUPPORTED);
}

/* The four files of the other notation; NULL: missing. */
static ink_status open_files(const char *folder, const char *merges, const char *config, const char *added,
                             ink_tokenizer **tokenizer, ink_error *error) {
    static char vocabulary[text_bytes];
    write_vocabulary(vocabulary, USUAL_TOKENS);
    put(folder, "tokenizer.json", NULL);
    put(folder, "vocab.json", vocabulary);
    put(folder, "merges.txt", merges);
    put(folder, "tokenizer_config.json", config);
    put(folder, "added_tokens.json", added);
    return ink_tokenizer_open(folder, tokenizer, error);
}

static void test_files(void **state) {
    const char *folder = *state;
    static const struct {
        const char *merges, *config, *added, *text, *ids;
    } cases[] = {
        {"#version: 0.2\na b\nab c\n", NULL, NULL, "abc e\xCC\x81", "257 32 195 169"},
        {"a b\r\nab c", NULL, NULL, "abc", "257"},
        {"", NULL, "{\"<x>\":300}", "a<x>", "97 300"},
        {"", "{\"added_tokens_decoder\":{\"300\":{\"content\":\"<x>\",\"lstrip\":true}}}",
         "{\"<x>\":300,\"<y>\":301}", "a <x><y>", "97 300 301"},
        {"", "{\"tokenizer_class\":\"Qwen2TokenizerFast\"}", "{}", "a", "97"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ink_tokenizer *tokenizer = NULL;
        ink_error error = {0};
        if (open_files(folder, cases[i].merges, cases[i].config, cases[i].added, &tokenizer, &error) !=
            INK_OK) {
            fail_msg("%s", error.message);
        }
        check_ids_of(tokenizer, cases[i].text, cases[i].ids);
        ink_tokenizer_close(tokenizer);
    }
}

static void test_broken_files(void **state) {
    const char *folder = *state;
    static const struct {
        const char *merges, *config, *added, *word;
        ink_status status;
    } cases[] = {
        {NULL, NULL, NULL, "merges.txt", INK_ERROR_IO},
        {"a b\nab  c\n", NULL, NULL, "merge 2", INK_ERROR_FORMAT},
        {"a b\nq9 c\n", NULL, NULL, "q9", INK_ERROR_FORMAT},
        {"", "[]", NULL, "tokenizer_config.json", INK_ERROR_FORMAT},
        {"", "{\"add_prefix_space\":true}", NULL, "add_prefix_space", INK_ERROR_UNSUPPORTED},
        {"", "{\"tokenizer_class\":\"T5Tokenizer\"}", NULL, "T5Tokenizer", INK_ERROR_UNSUPPORTED},
        {"", "{\"added_tokens_decoder\":{\"x\":{\"content\":\"<x>\"}}}", NULL, "\"x\"", INK_ERROR_FORMAT},
        {"", "{\"added_tokens_decoder\":{\"2147483648\":{\"content\":\"<x>\"}}}", NULL, "2147483648",
         INK_ERROR_FORMAT},
        {"", "{\"added_tokens_decoder\":{\"300\":{}}}", NULL, "300", INK_ERROR_FORMAT},
        {"", "{\"added_tokens_decoder\":{\"300\":{\"content\":\"<x>\"}}}", "{\"<x>\":301}", "301",
         INK_ERROR_FORMAT},
        {"", NULL, "{\"<x>\":\"300\"}", "<x>", INK_ERROR_FORMAT},
        {"", NULL, "{\"<x>\":97}", "97", INK_ERROR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ink_tokenizer *tokenizer = NULL;
        ink_error error = {0};
        assert_int_equal(
            open_files(folder, cases[i].merges, cases[i].config, cases[i].added, &tokenizer, &error),
            cases[i].status);
        assert_null(tokenizer);
        if (!strstr(error.message, cases[i].word)) fail_msg("no \"%s\" in: %s", cases[i].word, error.message);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_merges),      TEST(test_vocab_size),    TEST(test_added), TEST(test_features),
        TEST(test_broken_json), TEST(test_missing_bytes), TEST(test_files), TEST(test_broken_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
