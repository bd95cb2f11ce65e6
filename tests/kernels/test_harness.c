/*
 * Can the harness fail? Reference kernels with a planted fault must be found wrong, for every operation where
 * the fault is possible, and every operation must have a case.
 */
#include "harness.h"

#include "backend/reference/reference.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { most_threads = n_pools - 1 };

static ink_kernel_table reference;

/* What a kernel writes: its output, or the slot of a store operation. */
static const ink_tensor *written(const ink_kernel_args *args) {
    return args->node->n_outputs ? &args->out[0] : &args->in[0];
}

static size_t bytes_of(const ink_tensor *x) {
    return (size_t)ink_shape_count(&x->shape) * ink_dtype_bytes(x->dtype);
}

static void run_reference(const ink_kernel_args *args) {
    reference.kernel[args->node->op].run(args);
}

/* ---- the faults ---- */

/* One element is off: by the largest one, so that no tolerance can allow it. */
static void wrong_element(const ink_kernel_args *args) {
    run_reference(args);
    const ink_tensor *out = written(args);
    const int64_t count = ink_shape_count(&out->shape), victim = count / 2;
    if (out->dtype != INK_F32) {
        ((char *)out->data)[(size_t)victim * ink_dtype_bytes(out->dtype)] ^= 1;
        return;
    }
    float *x = out->data, most = 1;
    for (int64_t i = 0; i < count; i++) {
        if (isfinite(x[i]) && fabsf(x[i]) > most) most = fabsf(x[i]);
    }
    x[victim] = isfinite(x[victim]) ? x[victim] + most : 0;
}

static void nan_element(const ink_kernel_args *args) {
    run_reference(args);
    const ink_tensor *out = written(args);
    memset((char *)out->data + bytes_of(out) - ink_dtype_bytes(out->dtype), 0xFF,
           ink_dtype_bytes(out->dtype));
}

static void missing_element(const ink_kernel_args *args) {
    const ink_tensor *out = written(args);
    const size_t size = ink_dtype_bytes(out->dtype);
    char kept[8];
    memcpy(kept, (char *)out->data + bytes_of(out) - size, size);
    run_reference(args);
    memcpy((char *)out->data + bytes_of(out) - size, kept, size);
}

static void past_the_end(const ink_kernel_args *args) {
    run_reference(args);
    const ink_tensor *out = written(args);
    memset((char *)out->data + bytes_of(out), 0, ink_dtype_bytes(out->dtype));
}

static void before_the_begin(const ink_kernel_args *args) {
    run_reference(args);
    ((char *)written(args)->data)[-1] = 0;
}

static void past_the_scratch(const ink_kernel_args *args) {
    run_reference(args);
    const ink_kernel *kernel = &reference.kernel[args->node->op];
    ((char *)args->scratch)[kernel->scratch_bytes(args->node, args->in, args->out, 1)] = 0;
}

/* Clears the output before it has read the input: right unless they are the same memory. */
static void not_in_place(const ink_kernel_args *args) {
    memset(args->out[0].data, 0, bytes_of(&args->out[0]));
    run_reference(args);
}

static void changed_input(const ink_kernel_args *args) {
    run_reference(args);
    const ink_tensor *x = &args->in[args->node->n_outputs ? 0 : 1];
    if (args->node->n_outputs && x->data == args->out[0].data) return;
    ((char *)x->data)[0] ^= 1;
}

/* The last bit depends on the number of threads. */
static void thread_dependent(const ink_kernel_args *args) {
    run_reference(args);
    if (ink_pool_threads(args->pool) == most_threads) {
        const ink_tensor *out = written(args);
        ((char *)out->data)[bytes_of(out) - ink_dtype_bytes(out->dtype)] ^= 1;
    }
}

/* A NaN or an infinity is lost. */
static void swallowed_nan(const ink_kernel_args *args) {
    run_reference(args);
    const ink_tensor *out = written(args);
    for (int64_t i = 0; i < ink_shape_count(&out->shape); i++) {
        float *x = (float *)out->data + i;
        if (!isfinite(*x)) *x = 0;
    }
}

/* ---- where each is possible ---- */

static bool always(ink_op op) {
    return op != INK_OP_COUNT;
}
static bool has_float_output(ink_op op) {
    return op != INK_OP_STORE && op != INK_OP_STORE_STEP && op != INK_OP_TO_U8;
}
static bool has_scratch(ink_op op) {
    return reference.kernel[op].scratch_bytes != NULL;
}
static bool has_inplace(ink_op op) {
    return ink_op_inplace(op) >= 0;
}
/* Operations that can be handed a NaN or make an infinity of one, and pass it on. */
static bool passes_nan(ink_op op) {
    return has_float_output(op) && op != INK_OP_EMBED_ROWS && op != INK_OP_ROTARY_TABLE &&
           op != INK_OP_TIMESTEP_EMBEDDING && op != INK_OP_STATS;
}

typedef struct fault {
    const char *name;
    void (*run)(const ink_kernel_args *args);
    bool (*possible)(ink_op op);
    const char *message; /* what the harness must say */
} fault;

static const fault faults[] = {
    {"wrong element", wrong_element, always, "needed"},
    {"NaN element", nan_element, has_float_output, "needed"},
    {"missing element", missing_element, always, "element"},
    {"write past the end", past_the_end, always, "outside of result"},
    {"write before the begin", before_the_begin, always, "outside of result"},
    {"write past the scratch", past_the_scratch, has_scratch, "scratch"},
    {"not in place", not_in_place, has_inplace, "in place"},
    {"changed input", changed_input, always, "changed input"},
    {"thread-dependent", thread_dependent, always, "element|other bits"},
    {"swallowed NaN", swallowed_nan, passes_nan, "needed|not finite"},
};

/* True if the message holds one of the words that are separated by bars. */
static bool says(const char *message, const char *words) {
    char copy[64];
    strncpy(copy, words, sizeof copy - 1);
    copy[sizeof copy - 1] = '\0';
    char *bar = strchr(copy, '|');
    if (bar) *bar = '\0';
    return strstr(message, copy) || (bar && strstr(message, bar + 1));
}

/* Some trial of the case must find the fault, and nothing else may be found. */
static void check_fault(const fault *f, const kernel_case *which, kernel_subject *s) {
    s->table.kernel[which->op].run = f->run;
    trial t;
    bool found = false;
    for (int i = 0; i < which->trials && !found; i++) {
        found = !trial_run(&t, which, s, trial_seed(which, i));
    }
    s->table.kernel[which->op].run = reference.kernel[which->op].run;
    if (!found) fail_msg("the fault '%s' in %s was not found", f->name, ink_op_name(which->op));
    if (!says(t.message, f->message)) fail_msg("the fault '%s' was found as: %s", f->name, t.message);
}

static void test_faults(void **state) {
    (void)state;
    kernel_subject s;
    assert_true(subject_open(&s, "a faulty copy"));
    s.table = reference;
    const kernel_case *which;
    for (size_t c = 0; (which = kernel_case_at(c)); c++) {
        for (size_t f = 0; f < sizeof faults / sizeof faults[0]; f++) {
            if (faults[f].possible(which->op)) check_fault(&faults[f], which, &s);
        }
    }
    subject_close(&s);
}

static void test_every_operation_has_a_case(void **state) {
    (void)state;
    int cases[INK_OP_COUNT] = {0};
    const kernel_case *which;
    for (size_t c = 0; (which = kernel_case_at(c)); c++) {
        assert_true(which->trials >= 40);
        cases[which->op]++;
    }
    for (int op = 0; op < INK_OP_COUNT; op++) {
        if (cases[op] != 1) fail_msg("%s has %d cases", ink_op_name((ink_op)op), cases[op]);
    }
}

/* prepare() that fails, and a table with a hole, are failures too. */
static ink_status failing_prepare(const ink_node *node, const ink_tensor *in, void **prepared, size_t *bytes,
                                  ink_error *error) {
    (void)node, (void)in, (void)prepared, (void)bytes;
    return ink_fail_memory(error, "a packed weight", 1);
}

static void test_incomplete_tables(void **state) {
    (void)state;
    kernel_subject s;
    assert_true(subject_open(&s, "an incomplete table"));
    const kernel_case *which = kernel_case_at(0);
    trial t;
    assert_false(trial_run(&t, which, &s, 1));
    assert_non_null(strstr(t.message, "no such kernel"));
    s.table = reference;
    s.table.kernel[which->op].prepare = failing_prepare;
    assert_false(trial_run(&t, which, &s, 1));
    assert_non_null(strstr(t.message, "out of memory for a packed weight"));
    subject_close(&s);
}

int main(void) {
    ink_reference_kernels(&reference);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operation_has_a_case),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_incomplete_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
