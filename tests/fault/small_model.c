#include "small_model.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { path_bytes = 4096 };

static const char *const networks[] = {"text_encoder", "transformer", "vae", "scheduler"};
static const char *const files[] = {"tokenizer/vocab.json", "tokenizer/merges.txt",
                                    "tokenizer/added_tokens.json", "json/tokenizer.json"};
static const char *const folders[] = {"tokenizer", "json"};
static const char *const added[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

/* As in the files of Qwen2.5. */
static const char pre_tokenizer[] =
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": "
    "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| "
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|"
    "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}, \"behavior\": \"Isolated\", \"invert\": false}, "
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}]}";

enum { first_added_id = 300, n_added = sizeof added / sizeof *added };

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The character that stands for a byte in the vocabularies of GPT-2 and its descendants. */
static unsigned character_of(unsigned byte) {
    unsigned moved = 0;
    for (unsigned b = 0; b < 256; b++) {
        const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174);
        if (b == byte) return printable ? b : 256 + moved;
        moved += !printable;
    }
    return 0;
}

static void write_vocabulary(FILE *file) {
    for (unsigned byte = 0; byte < 256; byte++)
        fprintf(file, "\"\\u%04x\": %u, ", character_of(byte), byte);
    fprintf(file, "\"ca\": 256, \"cat\": 257");
}

static void write_file(FILE *file, size_t which) {
    switch (which) {
    case 0:
        fputc('{', file);
        write_vocabulary(file);
        fputs("}\n", file);
        break;
    case 1:
        fputs("#version: 0.2\nc a\nca t\n", file);
        break;
    case 2:
        for (int i = 0; i < n_added; i++) {
            fprintf(file, "%s\"%s\": %d", i ? ", " : "{", added[i], first_added_id + i);
        }
        fputs("}\n", file);
        break;
    default:
        fputs("{\"added_tokens\": [", file);
        for (int i = 0; i < n_added; i++) {
            fprintf(file,
                    "%s{\"id\": %d, \"content\": \"%s\", \"single_word\": false, \"lstrip\": false, "
                    "\"rstrip\": false, \"normalized\": false, \"special\": true}",
                    i ? ", " : "", first_added_id + i, added[i]);
        }
        fputs("], \"normalizer\": {\"type\": \"NFC\"}, \"pre_tokenizer\": ", file);
        fputs(pre_tokenizer, file);
        fputs(", \"model\": {\"type\": \"BPE\", \"vocab\": {", file);
        write_vocabulary(file);
        fputs("}, \"merges\": [\"c a\", [\"ca\", \"t\"]]}}\n", file);
    }
}

bool small_model_create(char *folder) {
    char path[path_bytes], target[path_bytes];
    if (!mkdtemp(folder)) return false;
    for (size_t i = 0; i < COUNT(networks); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, networks[i]);
        snprintf(target, sizeof target, "%s/tests/golden/tiny-random/%s", INK_SOURCE_DIR, networks[i]);
        if (symlink(target, path) != 0) return false;
    }
    for (size_t i = 0; i < COUNT(folders); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, folders[i]);
        if (mkdir(path, 0700) != 0) return false;
    }
    for (size_t i = 0; i < COUNT(files); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        FILE *file = fopen(path, "w");
        if (!file) return false;
        write_file(file, i);
        if (fclose(file) != 0) return false;
    }
    return true;
}

void small_model_remove(const char *folder) {
    char path[path_bytes];
    for (size_t i = 0; i < COUNT(networks); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, networks[i]);
        unlink(path);
    }
    for (size_t i = 0; i < COUNT(files); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    for (size_t i = 0; i < COUNT(folders); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, folders[i]);
        rmdir(path);
    }
    rmdir(folder);
}
