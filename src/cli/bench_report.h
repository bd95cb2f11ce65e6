/*
 * What a benchmark found, as tables or as JSON.
 */
#ifndef INK_CLI_BENCH_REPORT_H
#define INK_CLI_BENCH_REPORT_H

#include "cli/console.h"

typedef struct cli_bench_report {
    const char *model, *backend;
    bool synthetic;
    const ink_bench_result *result;
} cli_bench_report;

/* "denoising step". Static storage. */
const char *cli_bench_stage_title(ink_stage stage);

/* Print to standard output. The JSON one is false, after a sentence, if memory runs out. */
void cli_bench_print_tables(const cli_bench_report *report);
bool cli_bench_print_json(cli_console *console, const cli_bench_report *report);

#endif
