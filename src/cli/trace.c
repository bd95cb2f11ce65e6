#include "cli/trace.h"

#include "base/quote.h"
#include "cli/interrupt.h"
#include "cli/model.h"
#include "cli/output.h"
#include "image/save.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Rows of the timeline. */
enum { stages_row = 1, first_operations_row = 2 };

int cli_trace_init(cli_console *console, const cli_arguments *a, cli_trace *trace) {
    *trace = (cli_trace){.path = a->text[CLI_OPTION_TRACE]};
    if (!trace->path) return CLI_OK;
    if (!trace->path[0] || strcmp(trace->path, "-") == 0)
        return cli_usage_error(console, a->command, "--trace needs the name of a file");
    return cli_output_check(console, trace->path) ? CLI_OK : CLI_FAILED;
}

/* ---- text ---- */

static void append_bytes(cli_trace *t, const char *bytes, size_t n) {
    if (t->out_of_memory) return;
    if (n > t->capacity - t->bytes) {
        size_t capacity = t->capacity ? t->capacity : 65536;
        while (capacity - t->bytes < n && capacity < SIZE_MAX / 2) {
            capacity *= 2;
        }
        char *grown = capacity - t->bytes < n ? NULL : realloc(t->text, capacity);
        if (!grown) {
            t->out_of_memory = true;
            return;
        }
        t->text = grown;
        t->capacity = capacity;
    }
    memcpy(t->text + t->bytes, bytes, n);
    t->bytes += n;
}

/* For short texts that hold nothing from outside. */
static void append(cli_trace *t, const char *format, ...) INK_PRINTF(2, 3);

static void append(cli_trace *t, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n > 0) append_bytes(t, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* A JSON string: names of weights come from files. */
static void append_string(cli_trace *t, const char *text) {
    append(t, "\"");
    const size_t bytes = strlen(text);
    for (size_t i = 0; i < bytes;) {
        const size_t length = ink_utf8_length(text + i, bytes - i);
        if (length == 0)
            append(t, "\\ufffd");
        else if (length == 1 && ((unsigned char)text[i] < 0x20 || text[i] == '"' || text[i] == '\\'))
            append(t, "\\u%04x", (unsigned)(unsigned char)text[i]);
        else
            append_bytes(t, text + i, length);
        i += length ? length : 1;
    }
    append(t, "\"");
}

/* ---- events ---- */

static const char *stage_name(ink_stage stage) {
    switch (stage) {
    case INK_STAGE_TEXT:
        return "text";
    case INK_STAGE_PREPARE:
        return "prepare";
    case INK_STAGE_DENOISE:
        return "denoise";
    case INK_STAGE_DECODE:
        return "decode";
    }
    return "other";
}

static void append_times(cli_trace *t, int row, double begin, double seconds) {
    append(t, ",\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f", row, 1e6 * begin, 1e6 * seconds);
}

/* A piece of a stage lies between two reports about it. */
void cli_trace_progress(cli_trace *t, const ink_progress *s) {
    const bool piece = t->path && s->done > t->begin.done && s->stage == t->begin.stage;
    if (piece) {
        append(t, "{\"name\":\"%s", stage_name(s->stage));
        if (s->total > 1) append(t, " %d", t->begin.done + 1);
        if (s->done > t->begin.done + 1) append(t, " to %d", s->done);
        append(t, "\",\"cat\":\"stage\"");
        append_times(t, stages_row, t->begin.seconds, s->seconds - t->begin.seconds);
        append(t, "},\n");
    }
    t->begin = *s;
}

void cli_trace_operation(cli_trace *t, const ink_operation *o) {
    if (!t->path) return;
    t->operations++;
    if (o->track >= t->tracks) t->tracks = o->track + 1;
    append(t, "{\"name\":");
    append_string(t, o->kind);
    append(t, ",\"cat\":\"%s\"", stage_name(o->stage));
    append_times(t, first_operations_row + o->track, o->begin, o->seconds);
    append(t, ",\"args\":{\"label\":");
    append_string(t, o->label);
    append(t, ",\"run\":%d,\"flops\":%.0f,\"bytes\":%.0f}},\n", o->index, o->flops, o->bytes);
}

static void append_row_name(cli_trace *t, int row, const char *name, int number) {
    append(t, "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"args\":{\"name\":\"%s", row,
           name);
    if (number > 0) append(t, " %d", number);
    append(t, "\"}},\n");
}

/* ---- the file ---- */

static ink_status save(cli_trace *t, const ink_model *model, ink_error *error) {
    static const char begin[] = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
    cli_trace whole = {0};
    append(&whole, "%s", begin);
    append_row_name(&whole, stages_row, "stages", 0);
    for (int i = 0; i < t->tracks; i++) {
        append_row_name(&whole, first_operations_row + i, "operations", t->tracks > 1 ? i + 1 : 0);
    }
    append_bytes(&whole, t->text, t->bytes);
    append(&whole,
           "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"args\":{\"name\":\"inkstone\"}}\n],\n");
    append(&whole, "\"otherData\":{\"version\":\"%s\",\"backend\":", ink_version());
    append_string(&whole, ink_model_backend(model));
    append(&whole, "}}\n");
    ink_status status = INK_ERROR_MEMORY;
    if (!t->out_of_memory && !whole.out_of_memory)
        status = ink_save_file(t->path, whole.text, whole.bytes, error);
    cli_trace_free(&whole);
    return status;
}

int cli_trace_write(cli_console *console, cli_trace *t, const ink_model *model) {
    if (!t->path) return CLI_OK;
    ink_error error = {0};
    cli_hold_signals(true);
    const ink_status status = save(t, model, &error);
    cli_hold_signals(false);
    if (status != INK_OK) return cli_failure(console, status, &error);
    cli_say(console, "wrote %s (%lld operations)", t->path, (long long)t->operations);
    if (t->operations == 0)
        cli_warn(console, "this backend cannot time single operations: the trace has stages alone");
    return CLI_OK;
}

void cli_trace_free(cli_trace *trace) {
    free(trace->text);
    *trace = (cli_trace){0};
}
