#include "cli/progress.h"

#include "base/clock.h"

#include <string.h>

enum { line_bytes = 256, max_bar = 30, min_columns = 40 };

static const double redraw_seconds = 0.2; /* of a bar */
static const double line_seconds = 1;     /* between plain lines */

static const char *stage_name(ink_stage stage) {
    switch (stage) {
    case INK_STAGE_TEXT:
        return "reading the prompt";
    case INK_STAGE_PREPARE:
        return "preparing";
    case INK_STAGE_DENOISE:
        return "drawing";
    case INK_STAGE_DECODE:
        return "decoding";
    }
    return "working";
}

/* "47 s", "3:05", "1:02:03" */
static const char *duration(double seconds, char text[32]) {
    const long long s = seconds > 0 && seconds < 1e12 ? (long long)(seconds + 0.5) : 0;
    if (s < 60)
        snprintf(text, 32, "%lld s", s);
    else if (s < 3600)
        snprintf(text, 32, "%lld:%02lld", s / 60, s % 60);
    else
        snprintf(text, 32, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    return text;
}

/* What stands after the bar: seconds per step and the time left, or the time that has passed before the first
 * step shows how long one takes. */
static void describe(const cli_progress *p, double now, char text[line_bytes]) {
    const ink_progress *s = &p->last;
    char time[32];
    if (s->done == 0) {
        snprintf(text, line_bytes, "%s", duration(now - p->stage_begin, time));
        return;
    }
    const double per_step = s->stage_seconds / s->done;
    double left = per_step * (s->total - s->done) - (now - p->reported);
    if (left < 0) left = 0;
    snprintf(text, line_bytes, "%.*f s/step  ETA %s", per_step < 0.1 ? 4 : 2, per_step, duration(left, time));
}

static void draw_bar(cli_progress *p, double now) {
    const ink_progress *s = &p->last;
    char line[2 * line_bytes], head[64], tail[line_bytes] = "", bar[max_bar + 1];
    size_t filled = 0, columns = cli_columns();
    if (columns >= line_bytes) columns = line_bytes - 1;
    if (s->total > 1)
        snprintf(head, sizeof head, "%s %d/%d ", stage_name(s->stage), s->done, s->total);
    else
        snprintf(head, sizeof head, "%s ... ", stage_name(s->stage));
    if (s->stage == INK_STAGE_DENOISE) {
        describe(p, now, tail);
        size_t room =
            columns > strlen(head) + strlen(tail) + 5 ? columns - strlen(head) - strlen(tail) - 5 : 0;
        if (room > max_bar) room = max_bar;
        filled = s->total > 0 ? room * (size_t)s->done / (size_t)s->total : 0;
        memset(bar, ' ', room);
        memset(bar, '=', filled);
        bar[room] = '\0';
        snprintf(line, sizeof line, "%s[%s]  %s", head, bar, tail);
    } else {
        snprintf(line, sizeof line, "%s", head);
    }
    /* A line that wraps cannot be rewritten. */
    if (columns > 1) line[columns - 1] = '\0'; /* columns < sizeof line */
    const bool whole = strlen(head) + 1 + filled < strlen(line);
    cli_live(p->console, line, strlen(head) + 1, whole ? filled : 0);
    p->drawn = now;
}

static void print_plain(cli_progress *p, double now) {
    const ink_progress *s = &p->last;
    const bool ends = s->done >= s->total;
    if (s->stage != INK_STAGE_DENOISE) {
        if (s->done == 0) cli_say(p->console, "%s", stage_name(s->stage));
        return;
    }
    if (s->done == 0 || (!ends && p->drawn > 0 && now - p->drawn < line_seconds)) return;
    char tail[line_bytes];
    describe(p, now, tail);
    cli_say(p->console, "step %d/%d  %s", s->done, s->total, tail);
    p->drawn = now;
}

void cli_progress_init(cli_progress *progress, cli_console *console) {
    *progress = (cli_progress){.console = console};
}

void cli_progress_report(cli_progress *p, const ink_progress *state) {
    const double now = ink_clock_seconds();
    if (p->console->quiet) return;
    if (!p->started || state->done == 0) p->stage_begin = now;
    p->started = true;
    p->last = *state;
    p->reported = now;
    if (!p->console->live)
        print_plain(p, now);
    else
        draw_bar(p, now);
}

void cli_progress_tick(cli_progress *p) {
    if (!p->started || !p->console->live || p->console->quiet) return;
    const double now = ink_clock_seconds();
    if (now - p->drawn >= redraw_seconds) draw_bar(p, now);
}

void cli_progress_end(cli_progress *p) {
    p->started = false;
    cli_live(p->console, "", 0, 0);
}
