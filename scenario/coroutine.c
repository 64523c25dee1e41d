#include "scenario/coroutine.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/memory.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#define USE_UCONTEXT
#endif

/* Several pages of any architecture, so that a large frame does not reach beyond. */
#define GUARD_SIZE ((size_t)64 << 10)
#define MAPPING_SIZE (GUARD_SIZE + COROUTINE_STACK_SIZE)

struct coroutine {
    void (*main)(void *data);
    void *data;
    bool done;
    char *mapping; /* the guard, then the stack */
#if defined(USE_UCONTEXT)
    ucontext_t own, caller;
#else
    void *own_stack, *caller_stack; /* stack pointers while suspended */
#endif
#if defined(__SANITIZE_ADDRESS__)
    void *own_fake_stack, *caller_fake_stack;
    const void *caller_bottom;
    size_t caller_size;
#endif
};

/* --- telling the address sanitizer which stack is in use ------------------------------ */

#if defined(__SANITIZE_ADDRESS__)
static void before_resume(struct coroutine *coroutine)
{
    __sanitizer_start_switch_fiber(&coroutine->caller_fake_stack,
                                   coroutine->mapping + GUARD_SIZE,
                                   COROUTINE_STACK_SIZE);
}

static void after_resume(struct coroutine *coroutine)
{
    __sanitizer_finish_switch_fiber(coroutine->caller_fake_stack, NULL, NULL);
}

static void before_yield(struct coroutine *coroutine)
{
    __sanitizer_start_switch_fiber(coroutine->done ? NULL : &coroutine->own_fake_stack,
                                   coroutine->caller_bottom, coroutine->caller_size);
}

static void after_yield(struct coroutine *coroutine)
{
    __sanitizer_finish_switch_fiber(coroutine->own_fake_stack,
                                    &coroutine->caller_bottom, &coroutine->caller_size);
}
#else
static void before_resume(struct coroutine *coroutine)
{
    (void)coroutine;
}

static void after_resume(struct coroutine *coroutine)
{
    (void)coroutine;
}

static void before_yield(struct coroutine *coroutine)
{
    (void)coroutine;
}

static void after_yield(struct coroutine *coroutine)
{
    (void)coroutine;
}
#endif

/* --- the switch ----------------------------------------------------------------------- */

static _Noreturn void run_main(struct coroutine *coroutine);

#if defined(USE_UCONTEXT)

static void switch_to_coroutine(struct coroutine *coroutine)
{
    swapcontext(&coroutine->caller, &coroutine->own);
}

static void switch_to_caller(struct coroutine *coroutine)
{
    swapcontext(&coroutine->own, &coroutine->caller);
}

static void enter_main(unsigned high, unsigned low)
{
    run_main((struct coroutine *)(((uintptr_t)high << 32) | (uintptr_t)low));
}

static void prepare_stack(struct coroutine *coroutine)
{
    getcontext(&coroutine->own);
    coroutine->own.uc_stack.ss_sp = coroutine->mapping + GUARD_SIZE;
    coroutine->own.uc_stack.ss_size = COROUTINE_STACK_SIZE;
    coroutine->own.uc_link = NULL;
    makecontext(&coroutine->own, (void (*)(void))enter_main, 2,
                (unsigned)((uint64_t)(uintptr_t)coroutine >> 32),
                (unsigned)(uintptr_t)coroutine);
}

#else

/* Saves what a called function must keep, stores the stack pointer at *save, takes
 * `load` as the new one, and returns there. */
void coroutine_switch_(void **save, void *load);
void coroutine_enter_(void);
_Noreturn void coroutine_run_main_(struct coroutine *coroutine);

#if defined(__x86_64__)
enum { SAVED_WORDS = 8, ENTRY_WORD = 7, ARGUMENT_WORD = 5 /* rbx */ };
__asm__(".text\n"
        ".globl coroutine_switch_\n"
        ".hidden coroutine_switch_\n"
        ".type coroutine_switch_,@function\n"
        "coroutine_switch_:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    subq $8, %rsp\n"
        "    stmxcsr (%rsp)\n"
        "    fnstcw 4(%rsp)\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    ldmxcsr (%rsp)\n"
        "    fldcw 4(%rsp)\n"
        "    addq $8, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size coroutine_switch_,.-coroutine_switch_\n"
        ".globl coroutine_enter_\n"
        ".hidden coroutine_enter_\n"
        ".type coroutine_enter_,@function\n"
        "coroutine_enter_:\n"
        "    movq %rbx, %rdi\n"
        "    xorl %ebp, %ebp\n" /* where a debugger's back trace ends */
        "    call coroutine_run_main_\n"
        ".size coroutine_enter_,.-coroutine_enter_\n");

/* The frame that coroutine_switch_() finds when it first switches there. */
static void prepare_stack(struct coroutine *coroutine)
{
    uint64_t *frame;

    frame = (uint64_t *)(void *)(coroutine->mapping + MAPPING_SIZE) -
            (SAVED_WORDS + 2); /* + 2: aligned as at a function's entry */
    __asm__("stmxcsr %0\n\tfnstcw %1"
            : "=m"(((uint32_t *)frame)[0]), "=m"(((uint32_t *)frame)[1]));
    frame[ARGUMENT_WORD] = (uint64_t)(uintptr_t)coroutine;
    frame[ENTRY_WORD] = (uint64_t)(uintptr_t)coroutine_enter_;
    coroutine->own_stack = frame;
}
#else /* aarch64 */
enum { SAVED_WORDS = 20, ENTRY_WORD = 11 /* x30 */, ARGUMENT_WORD = 0 /* x19 */ };
__asm__(".text\n"
        ".globl coroutine_switch_\n"
        ".hidden coroutine_switch_\n"
        ".type coroutine_switch_,%function\n"
        "coroutine_switch_:\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n"
        ".size coroutine_switch_,.-coroutine_switch_\n"
        ".globl coroutine_enter_\n"
        ".hidden coroutine_enter_\n"
        ".type coroutine_enter_,%function\n"
        "coroutine_enter_:\n"
        "    mov x0, x19\n"
        "    mov x29, xzr\n"
        "    bl coroutine_run_main_\n"
        ".size coroutine_enter_,.-coroutine_enter_\n");

static void prepare_stack(struct coroutine *coroutine)
{
    uint64_t *frame;

    frame = (uint64_t *)(void *)(coroutine->mapping + MAPPING_SIZE) - SAVED_WORDS;
    frame[ARGUMENT_WORD] = (uint64_t)(uintptr_t)coroutine;
    frame[ENTRY_WORD] = (uint64_t)(uintptr_t)coroutine_enter_;
    coroutine->own_stack = frame;
}
#endif

void coroutine_run_main_(struct coroutine *coroutine)
{
    run_main(coroutine);
}

static void switch_to_coroutine(struct coroutine *coroutine)
{
    coroutine_switch_(&coroutine->caller_stack, coroutine->own_stack);
}

static void switch_to_caller(struct coroutine *coroutine)
{
    coroutine_switch_(&coroutine->own_stack, coroutine->caller_stack);
}

#endif

/* --- the coroutine -------------------------------------------------------------------- */

static _Noreturn void run_main(struct coroutine *coroutine)
{
    after_yield(coroutine);
    coroutine->main(coroutine->data);
    coroutine->done = true;
    coroutine_yield(coroutine);
    abort(); /* resumed after its end */
}

int coroutine_new(void (*main)(void *data), void *data,
                  struct coroutine **ret_coroutine, struct error *err)
{
    char *const mapping =
        mmap(NULL, MAPPING_SIZE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    struct coroutine *coroutine;

    if (mapping == MAP_FAILED)
        return error_errno(err, "cannot map the stack of a worker");
    if (mprotect(mapping, GUARD_SIZE, PROT_NONE) == -1) {
        error_errno(err, "cannot guard the stack of a worker");
        munmap(mapping, MAPPING_SIZE);
        return -1;
    }
    coroutine = xcalloc(1, sizeof(*coroutine));
    coroutine->main = main;
    coroutine->data = data;
    coroutine->mapping = mapping;
    prepare_stack(coroutine);
    *ret_coroutine = coroutine;
    return 0;
}

void coroutine_destroy(struct coroutine *coroutine)
{
    if (coroutine == NULL)
        return;
#if defined(__SANITIZE_ADDRESS__)
    /* The frames of one that never went on: their addresses will be mapped again. */
    __asan_unpoison_memory_region(coroutine->mapping, MAPPING_SIZE);
#endif
    munmap(coroutine->mapping, MAPPING_SIZE);
    free(coroutine);
}

void coroutine_resume(struct coroutine *coroutine)
{
    before_resume(coroutine);
    switch_to_coroutine(coroutine);
    after_resume(coroutine);
}

void coroutine_yield(struct coroutine *coroutine)
{
    before_yield(coroutine);
    switch_to_caller(coroutine);
    after_yield(coroutine);
}

bool coroutine_is_done(const struct coroutine *coroutine)
{
    return coroutine->done;
}
