#include "cli/options.h"

enum {
    generate = 1 << CLI_GENERATE,
    inspect = 1 << CLI_INSPECT,
    study = 1 << CLI_STUDY,
    verify = 1 << CLI_VERIFY,
    tokenize = 1 << CLI_TOKENIZE,
    bench = 1 << CLI_BENCH,
    drawing = generate | inspect | study, /* those with the settings of a picture */
    running = drawing | verify | bench,   /* those that run a model */
    every = running | tokenize
};

const cli_command_info cli_commands[cli_n_commands] = {
    [CLI_GENERATE] =
        {.name = "generate",
         .synopsis = "-p TEXT [-o FILE] [options]",
         .summary = "draw pictures from a prompt",
         .details =
             "Without -o the picture is output.png, or output-2.png, ... if that exists: nothing is "
             "overwritten.\n"
             "A file given with -o is replaced. In a batch %d in its name (or %03d: with zeros) is the "
             "number\n"
             "of the picture from 1; without it -1, -2, ... go before the ending. %% is a percent sign.\n"
             "\n"
             "The model is that of -m, else of the environment variable INKSTONE_MODEL, else the small one\n"
             "that comes with inkstone. It is a folder in the Hugging Face layout, or org/name in the cache\n"
             "of Hugging Face (HF_HUB_CACHE, HF_HOME). Its folder may carry defaults (inkstone.json).\n"},
    [CLI_INSPECT] =
        {.name = "inspect",
         .synopsis = "[MODEL] [-p TEXT] [options]",
         .summary = "show what a model consists of, and the range of its values",
         .operand = "MODEL",
         .details =
             "With -p a few steps are run, and the range of values after each part of the transformer\n"
             "is printed beside what the full 60-block model shows there. The exit status is 1 if a\n"
             "value is not finite.\n"},
    [CLI_STUDY] =
        {.name = "study",
         .synopsis = "--prompts FILE [-o FILE] [--steps LIST] [options]",
         .summary = "compare step counts: a table and a sheet of the pictures",
         .details =
             "Draws every prompt with every number of steps and the same seed. The table on standard output\n"
             "says for each number how long a picture takes, and how much the pictures are like those with\n"
             "the most steps: PSNR in dB and SSIM, the mean and the worst. The sheet, one PNG, has a row "
             "for\n"
             "each prompt and a column for each number of steps.\n"
             "\n"
             "With a single number the sheet shows the prompts side by side, each below its picture. A "
             "prompt\n"
             "that is not ASCII stands in sheets as #3, its place in the list, and beside that in the "
             "table.\n"
             "\n"
             "  inkstone study --prompts prompts.txt --steps 8 -o sheet.png\n"},
    [CLI_VERIFY] =
        {.name = "verify",
         .synopsis = "--golden FILE [-m MODEL] [options]",
         .summary = "compare what a model computes with golden tensors",
         .details =
             "Runs every stage whose tensors are in FILE. Latents and images of whole runs, where errors\n"
             "accumulate, get ten times the tolerance; token ids, noise and a schedule of one step must\n"
             "be equal. The exit status is 0 only if something was compared and nothing differs.\n"},
    [CLI_TOKENIZE] =
        {.name = "tokenize",
         .synopsis = "[--tokenizer DIR] [--no-template]",
         .summary = "print the token ids of each line of standard input",
         .details = "Each line gives one JSON array. Only a newline ends a line; a carriage return or a NUL\n"
                    "byte belongs to the text.\n"},
    [CLI_BENCH] =
        {.name = "bench",
         .synopsis = "[-m MODEL] [--synthetic] [--size WxH] [options]",
         .summary = "time each stage and each kind of operation",
         .details =
             "Measures first what the backend does at most, with a large matrix product and a large copy "
             "(the\n"
             "roof), then each stage of drawing with made-up prompts: medians of some runs after one that "
             "warms\n"
             "up. Where the backend can time single operations, each kind has a line: how often it is "
             "launched,\n"
             "how long it takes, how fast it computes and moves, and what part of the roof that is.\n"
             "\n"
             "  inkstone bench -m Qwen/Qwen-Image --size 1024x1024\n"
             "  inkstone bench -m models/qwen-image --synthetic --size 256x256 --layers 2 --parts "
             "roof,step\n"},
};

#define SIDE_HELP "in pixels, a multiple of 16 (default: the model's)"

const cli_option cli_options[cli_n_options] = {
    [CLI_OPTION_PROMPT] = {"prompt", 'p', CLI_TEXT, generate, "TEXT",
                           .help = "what to draw; - reads it from standard input"},
    [CLI_OPTION_PROBE_PROMPT] = {"prompt", 'p', CLI_TEXT, inspect, "TEXT",
                                 .help = "run a few steps with this prompt and print the range of values"},
    [CLI_OPTION_PROMPTS] = {"prompts", 0, CLI_FILE, study, "FILE",
                            .help = "a prompt on each line; - reads them from standard input"},
    [CLI_OPTION_NEGATIVE_PROMPT] = {"negative-prompt", 'n', CLI_TEXT, drawing, "TEXT",
                                    .help = "what to stay away from (default: the model's)"},
    [CLI_OPTION_WIDTH] = {"width", 'W', CLI_INTEGER, drawing | bench, "N", .min = 1, .max = 8192,
                          .help = "width " SIDE_HELP},
    [CLI_OPTION_HEIGHT] = {"height", 'H', CLI_INTEGER, drawing | bench, "N", .min = 1, .max = 8192,
                           .help = "height " SIDE_HELP},
    [CLI_OPTION_SIZE] = {"size", 0, CLI_SIZE, drawing | bench, "WxH", .min = 1, .max = 8192,
                         .help = "width and height in one, such as 512x768"},
    [CLI_OPTION_STEPS] = {"steps", 0, CLI_INTEGER, generate, "N", .min = 1, .max = 1000,
                          .help = "denoising steps, 1 to 1000; goes before --preset (default: the model's)"},
    [CLI_OPTION_PROBE_STEPS] = {"steps", 0, CLI_INTEGER, inspect, "N", .min = 1, .max = 1000,
                                .help = "denoising steps to run with -p (default 3)"},
    [CLI_OPTION_STEP_LIST] = {"steps", 0, CLI_TEXT, study, "LIST",
                              .help = "numbers of steps (default 50,20,10,8,6,4,2,1)"},
    [CLI_OPTION_RUNS] = {"steps", 0, CLI_INTEGER, bench, "N", .min = 1, .max = 1000,
                         .help = "steps of the schedule, and timed runs of each stage (default 5)"},
    [CLI_OPTION_PRESET] = {"preset", 0, CLI_CHOICE, generate, "NAME",
                           .choices = "quality balanced fast preview",
                           .help = "steps by name: quality 20, balanced 10, fast 8, preview 6"},
    [CLI_OPTION_GUIDANCE] = {"guidance", 'g', CLI_NUMBER, drawing | bench, "X",
                             .aliases = {"cfg-scale", "true-cfg-scale"}, .min = 0, .max = 100,
                             .help = "how strongly to follow the prompt; above 1 each step costs twice\n"
                                     "(default: the model's, usually 4)"},
    [CLI_OPTION_SEED] = {"seed", 0, CLI_INTEGER, drawing, "N", .min = INT64_MIN, .max = INT64_MAX,
                         .help = "seed of the noise; a negative one, or none, is drawn by lot"},
    [CLI_OPTION_NOISE] = {"noise", 0, CLI_CHOICE, drawing, "TYPE", .choices = "f32 bf16",
                          .help = "which torch.randn the noise equals: of float32 (default) or bfloat16"},
    [CLI_OPTION_BATCH] = {"batch", 'b', CLI_INTEGER, generate, "N", .aliases = {"batch-count"}, .min = 1,
                          .max = 64, .help = "pictures to draw, with seed, seed + 1, ... (1 to 64)"},
    [CLI_OPTION_OUTPUT] = {"output", 'o', CLI_FILE, generate, "FILE",
                           .help = "PNG file to write; - writes it to standard output"},
    [CLI_OPTION_SHEET] = {"output", 'o', CLI_FILE, study, "FILE",
                          .help = "PNG file for the sheet (default output.png or the next free name)"},
    [CLI_OPTION_COLUMNS] = {"columns", 0, CLI_INTEGER, study, "N", .min = 1, .max = 1000,
                            .help = "with a single number of steps: pictures side by side"},
    [CLI_OPTION_SHRINK] = {"shrink", 0, CLI_INTEGER, study, "N", .min = 1, .max = 16,
                           .help = "show the pictures at 1/N of their sides in the sheet (default 1)"},
    [CLI_OPTION_NO_METADATA] = {"no-metadata", 0, CLI_SWITCH, generate,
                                .help = "leave prompt and settings out of the PNG"},
    [CLI_OPTION_LAYERS] = {"layers", 0, CLI_INTEGER, bench, "N", .min = 1, .max = 1000,
                           .help = "only the first N blocks of the transformer (default: all)"},
    [CLI_OPTION_TOKENS] = {"tokens", 0, CLI_INTEGER, bench, "N", .min = 1, .max = 512,
                           .help = "tokens of the prompt, and of the negative prompt (default 64)"},
    [CLI_OPTION_PARTS] = {"parts", 0, CLI_TEXT, bench, "LIST",
                          .help = "what to measure (default roof,text,prepare,step,decode)"},
    [CLI_OPTION_PICTURES] = {"pictures", 0, CLI_INTEGER, bench, "N", .min = 1, .max = 1000,
                             .help = "time N whole pictures after a first one, from prompt to PNG; nothing\n"
                                     "else unless --parts is given"},
    [CLI_OPTION_TRACE] = {"trace", 0, CLI_FILE, generate | bench, "FILE",
                          .help = "write a timeline of all operations, which ui.perfetto.dev shows"},
    [CLI_OPTION_BLOCKS] = {"blocks", 0, CLI_TEXT, inspect, "LIST",
                           .help = "blocks to show, such as 0,10-12,59; all (default) or none"},
    [CLI_OPTION_JSON] = {"json", 0, CLI_SWITCH, inspect | study | bench,
                         .help = "print JSON instead of tables"},
    [CLI_OPTION_GOLDEN] = {"golden", 0, CLI_FILE, verify, "FILE",
                           .help = "safetensors file with the golden tensors"},
    [CLI_OPTION_TOLERANCE] = {"tolerance", 0, CLI_NUMBER, verify, "X", .min = 0, .max = 1000,
                              .help = "largest relative L2 error that passes (default 1e-5)"},
    [CLI_OPTION_TOKENIZER] = {"tokenizer", 0, CLI_FOLDER, tokenize, "DIR",
                              .help = "folder of the tokenizer, or of a model (default: the model's)"},
    [CLI_OPTION_NO_TEMPLATE] = {"no-template", 0, CLI_SWITCH, tokenize,
                                .help = "the line alone, not inside the prompt template"},
    [CLI_OPTION_MODEL] = {"model", 'm', CLI_FOLDER, running, "MODEL",
                          .help = "model folder, or org/name in the Hugging Face cache"},
    [CLI_OPTION_SYNTHETIC] = {"synthetic", 0, CLI_SWITCH, drawing | bench,
                              .help = "made-up weights: needs only the model's configuration (to measure)"},
    [CLI_OPTION_BACKEND] = {"backend", 0, CLI_TEXT, running, "NAME",
                            .help = "what computes; the names are in 'inkstone version'"},
    [CLI_OPTION_CPU_LEVEL] = {"cpu-level", 0, CLI_CHOICE, running, "NAME", .choices = "scalar avx2 avx512",
                              .help = "highest instruction set to use (default: the best there is)"},
    [CLI_OPTION_THREADS] = {"threads", 't', CLI_INTEGER, running, "N", .min = 0, .max = 1024,
                            .help = "threads of the CPU (default 0: one per processor)"},
    [CLI_OPTION_PRECISION] = {"precision", 0, CLI_CHOICE, running, "TYPE", .choices = "f32 bf16 fp8",
                              .help =
                                  "of what is computed; fp8 with cuda alone, cpu and reference f32 alone\n"
                                  "(default: bf16 with cuda and with mlx on Metal, else f32)"},
    [CLI_OPTION_FUSED_MODULATE] = {"fused-modulate", 0, CLI_CHOICE, running, "WHEN", .choices = "auto on off",
                                   .help = "mlx on Metal: norm, scale and shift as one kernel of our own\n"
                                           "(default auto, which is off until it was measured)"},
    [CLI_OPTION_MAX_RAM] = {"max-ram", 0, CLI_BYTES, running, "SIZE", .min = INT64_C(1) << 20,
                            .max = INT64_C(1) << 50,
                            .help = "mlx: stay below this with memory, cache and wired memory, such as 8G\n"
                                    "or 512M (default: MLX's own limits)"},
    [CLI_OPTION_MAX_VRAM] = {"max-vram", 0, CLI_BYTES, running, "SIZE", .min = INT64_C(1) << 20,
                             .max = INT64_C(1) << 50,
                             .help =
                                 "cuda: stay below this with the device's memory, such as 12G; weights that\n"
                                 "do not fit come from the host's memory (default: no limit)"},
    [CLI_OPTION_PROGRESS_EVERY] = {"progress-every", 0, CLI_INTEGER, generate | study, "N", .min = 1,
                                   .max = 1000,
                                   .help = "mlx: start, report and be stoppable every N steps (default 5)"},
    [CLI_OPTION_QUIET] = {"quiet", 'q', CLI_SWITCH, running, .help = "print nothing but errors and results"},
    [CLI_OPTION_VERBOSE] = {"verbose", 'v', CLI_SWITCH, running, .help = "print more about what is done"},
    [CLI_OPTION_HELP] = {"help", 'h', CLI_SWITCH, every, .help = "print this and do nothing"},
};
