#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fenv.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "scenario/coroutine.h"
#include "unit/random.h"

/* One that counts, and what the test tells it. */
struct counter {
    struct coroutine *self;
    size_t count, until;
    size_t depth;
    bool intact;
};

static void start(struct counter *counter, void (*main)(void *data))
{
    struct error err;

    if (coroutine_new(main, counter, &counter->self, &err) == -1)
        fail_msg("%s", err.message);
}

static void count_up(void *data)
{
    struct counter *const counter = data;

    while (counter->count < counter->until) {
        counter->count++;
        coroutine_yield(counter->self);
    }
}

static void test_yield_and_resume(void **state)
{
    struct counter counter = {.until = 3};

    (void)state;
    start(&counter, count_up);
    assert_int_equal(counter.count, 0); /* not before it is resumed */
    for (size_t i = 1; i <= 3; i++) {
        coroutine_resume(counter.self);
        assert_int_equal(counter.count, i);
        assert_false(coroutine_is_done(counter.self));
    }
    coroutine_resume(counter.self);
    assert_int_equal(counter.count, 3);
    assert_true(coroutine_is_done(counter.self));
    coroutine_destroy(counter.self);
}

static void test_ends_without_a_yield(void **state)
{
    struct counter counter = {.until = 0};

    (void)state;
    start(&counter, count_up);
    coroutine_resume(counter.self);
    assert_true(coroutine_is_done(counter.self));
    coroutine_destroy(counter.self);
}

static void test_destroy_at_any_time(void **state)
{
    (void)state;
    coroutine_destroy(NULL);
    for (size_t resumes = 0; resumes <= 4; resumes++) {
        struct counter counter = {.until = 3};

        start(&counter, count_up);
        for (size_t i = 0; i < resumes; i++)
            coroutine_resume(counter.self);
        coroutine_destroy(counter.self);
    }
}

/* --- many ------------------------------------------------------------------------------- */

static bool holds(const unsigned char *bytes, size_t size, unsigned char with)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != with)
            return false;
    }
    return true;
}

/* Fills each frame of a recursion, and finds it so after all the others ran. */
static void recurse(struct counter *counter, size_t depth)
{
    volatile unsigned char frame[700];

    memset((void *)(uintptr_t)frame, (int)(counter->until + depth), sizeof(frame));
    counter->count++;
    coroutine_yield(counter->self);
    if (depth > 0)
        recurse(counter, depth - 1);
    coroutine_yield(counter->self);
    counter->intact =
        counter->intact && holds((const unsigned char *)(uintptr_t)frame, sizeof(frame),
                                 (unsigned char)(counter->until + depth));
}

static void recurse_from_the_top(void *data)
{
    struct counter *const counter = data;

    recurse(counter, counter->depth);
}

static void test_many_in_any_order(void **state)
{
    enum { MANY = 500 };
    struct random random = random_start("test_many_in_any_order");
    struct counter *const counters = xcalloc(MANY, sizeof(*counters));
    size_t left = MANY;

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        counters[i] = (struct counter){
            .until = i, .depth = random_below(&random, 20), .intact = true};
        start(&counters[i], recurse_from_the_top);
    }
    while (left > 0) {
        struct counter *const counter = &counters[random_below(&random, MANY)];

        if (counter->self == NULL)
            continue;
        coroutine_resume(counter->self);
        if (!coroutine_is_done(counter->self))
            continue;
        assert_true(counter->intact);
        assert_int_equal(counter->count, counter->depth + 1);
        coroutine_destroy(counter->self);
        counter->self = NULL;
        left--;
    }
    free(counters);
}

/* Stacks of those that never went on are used again, with nothing left on them. */
static void test_abandoned_ones_leave_nothing(void **state)
{
    (void)state;
    for (size_t round = 0; round < 300; round++) {
        struct counter counter = {
            .until = round, .depth = 10 + round % 30, .intact = true};

        start(&counter, recurse_from_the_top);
        for (size_t i = 0; i <= round % 17; i++)
            coroutine_resume(counter.self);
        coroutine_destroy(counter.self);
    }
}

/* --- what a call must keep ---------------------------------------------------------------- */

/* More live values than there are registers, whole numbers and others. */
static uint64_t compute(struct counter *counter, uint64_t seed)
{
    struct random random = random_from(seed);
    uint64_t a = random_bits(&random), b = random_bits(&random),
             c = random_bits(&random), d = random_bits(&random),
             e = random_bits(&random), f = random_bits(&random),
             g = random_bits(&random), h = random_bits(&random);
    double p = (double)(a % 1000), q = (double)(b % 1000), r = (double)(c % 1000),
           s = (double)(d % 1000), t = (double)(e % 1000), u = (double)(f % 1000);

    for (int i = 0; i < 50; i++) {
        if (counter != NULL)
            coroutine_yield(counter->self);
        a += b ^ h;
        b += c << 1;
        c ^= d + a;
        d += e >> 3;
        e ^= f;
        f += g * 3;
        g ^= h + f;
        h += a;
        p = p * 0.5 + q;
        q = q * 0.25 + r;
        r = r * 0.125 + s;
        s = s * 0.5 + t;
        t = t * 0.25 + u;
        u = u * 0.5 + (double)(h % 100);
    }
    return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^
           (uint64_t)(p * 1e6 + q * 1e5 + r * 1e4 + s * 1e3 + t * 1e2 + u);
}

static void compute_inside(void *data)
{
    struct counter *const counter = data;

    counter->intact = compute(counter, counter->until) == compute(NULL, counter->until);
}

static void test_values_survive(void **state)
{
    enum { MANY = 20 };
    struct counter counters[MANY];

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        counters[i] = (struct counter){.until = i};
        start(&counters[i], compute_inside);
    }
    for (int round = 0; round < 51; round++) {
        for (size_t i = 0; i < MANY; i++)
            coroutine_resume(counters[i].self);
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_true(coroutine_is_done(counters[i].self));
        assert_true(counters[i].intact);
        coroutine_destroy(counters[i].self);
    }
}

#if defined(__x86_64__)
/* Resumes it with a value in each register that a called function must keep: 0 when all
 * of them are still there afterwards. */
uint64_t resume_and_compare_registers(struct coroutine *coroutine);

__asm__(".text\n"
        ".globl resume_and_compare_registers\n"
        ".type resume_and_compare_registers,@function\n"
        "resume_and_compare_registers:\n"
        "    pushq %rbx\n"
        "    pushq %rbp\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    subq $8, %rsp\n"
        "    movq $0x01, %rbx\n"
        "    movq $0x02, %rbp\n"
        "    movq $0x04, %r12\n"
        "    movq $0x08, %r13\n"
        "    movq $0x10, %r14\n"
        "    movq $0x20, %r15\n"
        "    call coroutine_resume\n"
        "    xorq $0x01, %rbx\n"
        "    xorq $0x02, %rbp\n"
        "    xorq $0x04, %r12\n"
        "    xorq $0x08, %r13\n"
        "    xorq $0x10, %r14\n"
        "    xorq $0x20, %r15\n"
        "    movq %rbx, %rax\n"
        "    orq %rbp, %rax\n"
        "    orq %r12, %rax\n"
        "    orq %r13, %rax\n"
        "    orq %r14, %rax\n"
        "    orq %r15, %rax\n"
        "    addq $8, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbp\n"
        "    popq %rbx\n"
        "    ret\n"
        ".size resume_and_compare_registers,.-resume_and_compare_registers\n");

static void spoil_registers(void *data)
{
    struct counter *const counter = data;

    while (counter->count < 5) {
        counter->count++;
        __asm__ volatile("movq $-1, %%rbx\n\tmovq $-1, %%r12\n\tmovq $-1, %%r13\n\t"
                         "movq $-1, %%r14\n\tmovq $-1, %%r15"
                         :
                         :
                         : "rbx", "r12", "r13", "r14", "r15");
        coroutine_yield(counter->self);
    }
}

static void test_registers_survive(void **state)
{
    struct counter counter = {.count = 0};

    (void)state;
    start(&counter, spoil_registers);
    for (int i = 0; i < 6; i++)
        assert_int_equal(resume_and_compare_registers(counter.self), 0);
    assert_true(coroutine_is_done(counter.self));
    coroutine_destroy(counter.self);
}
#endif

/* Whether numbers are rounded so: fegetround() asks only one of the units. */
static bool rounds(int mode)
{
    volatile double one = 1, three = 3, ten = 10;
    const bool upward = one / three == 0x1.5555555555556p-2;
    const bool downward = one / ten == 0x1.9999999999999p-4;

    return fegetround() == mode && upward == (mode == FE_UPWARD) &&
           downward == (mode == FE_DOWNWARD);
}

static void round_upward(void *data)
{
    struct counter *const counter = data;

    counter->intact = rounds(FE_TONEAREST); /* as where it was made */
    fesetround(FE_UPWARD);
    coroutine_yield(counter->self);
    counter->intact = counter->intact && rounds(FE_UPWARD);
}

/* How one rounds is nobody else's business. */
static void test_rounding_is_its_own(void **state)
{
    struct counter counter = {.count = 0};

    (void)state;
    start(&counter, round_upward);
    fesetround(FE_DOWNWARD);
    coroutine_resume(counter.self);
    assert_true(rounds(FE_DOWNWARD));
    coroutine_resume(counter.self);
    assert_true(rounds(FE_DOWNWARD));
    fesetround(FE_TONEAREST);
    assert_true(coroutine_is_done(counter.self));
    assert_true(counter.intact);
    coroutine_destroy(counter.self);
}

static void print_numbers(void *data)
{
    struct counter *const counter = data;
    char text[64];

    /* Needs a stack that is aligned as the ABI says. */
    snprintf(text, sizeof(text), "%.3f %Lg", 1.5, (long double)2.25L);
    counter->intact = strcmp(text, "1.500 2.25") == 0;
}

static void test_stack_is_aligned(void **state)
{
    struct counter counter = {.count = 0};

    (void)state;
    start(&counter, print_numbers);
    coroutine_resume(counter.self);
    assert_true(counter.intact);
    coroutine_destroy(counter.self);
}

static void jump_out(void *data)
{
    struct counter *const counter = data;
    jmp_buf escape;

    if (setjmp(escape) == 0) {
        coroutine_yield(counter->self);
        longjmp(escape, 1); /* as a failed check does */
    }
    counter->count++;
    coroutine_yield(counter->self);
    counter->count++;
}

static void test_jumps_within(void **state)
{
    struct counter counters[2] = {{.count = 0}, {.count = 0}};

    (void)state;
    for (size_t i = 0; i < 2; i++)
        start(&counters[i], jump_out);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 2; i++)
            coroutine_resume(counters[i].self);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_true(coroutine_is_done(counters[i].self));
        assert_int_equal(counters[i].count, 2);
        coroutine_destroy(counters[i].self);
    }
}

/* --- the stack's end --------------------------------------------------------------------- */

enum { STEP_SIZE = 1000 };

/* Goes down by at least `left` bytes of stack, writing all of them. */
static size_t go_down(size_t left)
{
    volatile char frame[STEP_SIZE];

    for (size_t i = 0; i < sizeof(frame); i++)
        frame[i] = (char)left;
    if (left > sizeof(frame) + STEP_SIZE / 4)
        return go_down(left - sizeof(frame) - STEP_SIZE / 4) + (size_t)frame[0];
    return (size_t)frame[0];
}

static void use_stack(void *data)
{
    struct counter *const counter = data;

    counter->count = go_down(counter->until);
    counter->intact = true;
}

static void test_deep_use(void **state)
{
    struct counter counter = {.until = COROUTINE_STACK_SIZE / 4 * 3};

    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    counter.until /= 4; /* its frames are larger than they say */
#endif
    start(&counter, use_stack);
    coroutine_resume(counter.self);
    assert_true(counter.intact);
    coroutine_destroy(counter.self);
}

/* How a child ends that does so much on a coroutine's stack. */
static int status_of_child(size_t bytes)
{
    const pid_t pid = fork();
    int status = 0;

    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        /* Two more, so that what is below the one in the middle is another's stack. */
        struct counter counters[3];
        const struct rlimit no_core = {.rlim_cur = 0};

        signal(SIGSEGV, SIG_DFL); /* a sanitizer would handle it */
        signal(SIGBUS, SIG_DFL);
        setrlimit(RLIMIT_CORE, &no_core);
        for (size_t i = 0; i < 3; i++) {
            counters[i] = (struct counter){.until = bytes};
            start(&counters[i], use_stack);
        }
        coroutine_resume(counters[1].self);
        _exit(42);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_overflow_is_a_segfault(void **state)
{
    static const size_t sizes[] = {COROUTINE_STACK_SIZE * 2, COROUTINE_STACK_SIZE * 3,
                                   COROUTINE_STACK_SIZE * 20};
    int status = status_of_child(1000);

    (void)state;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        status = status_of_child(sizes[i]);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSEGV);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yield_and_resume),
        cmocka_unit_test(test_ends_without_a_yield),
        cmocka_unit_test(test_destroy_at_any_time),
        cmocka_unit_test(test_many_in_any_order),
        cmocka_unit_test(test_abandoned_ones_leave_nothing),
        cmocka_unit_test(test_values_survive),
#if defined(__x86_64__)
        cmocka_unit_test(test_registers_survive),
#endif
        cmocka_unit_test(test_rounding_is_its_own),
        cmocka_unit_test(test_stack_is_aligned),
        cmocka_unit_test(test_jumps_within),
        cmocka_unit_test(test_deep_use),
        cmocka_unit_test(test_overflow_is_a_segfault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
