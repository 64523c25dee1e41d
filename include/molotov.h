/* molotov.h - all that a scenario in C includes.
 *
 *     #include <molotov.h>
 *
 *     SCENARIO(browse, .weight = 40)
 *     {
 *         mlt_response *page = mlt_get(session, "http://localhost:8080/");
 *         mlt_check(page->status == 200);
 *         mlt_check_str(mlt_json_str(page, "result"), "OK");
 *     }
 *
 * Run it with `molotov-runner loadtest.c`: the runner compiles the file itself. A
 * comment `// molotov: -lm` in the file adds flags for the compiler.
 *
 * Each worker is one virtual user: it sets up a session, then picks and runs scenarios
 * in a loop. Workers of a process take turns on one thread: a worker waits only inside
 * the functions below (a request, mlt_sleep), never inside a blocking call of the C
 * library, which would hold up all workers of its process.
 *
 * A failed check, a request without a complete answer and a wrong use end the run of the
 * scenario there and then, by a jump, and count one failure. So a scenario holds nothing
 * on its own stack that must be freed: memory comes from mlt_alloc() and mlt_format(),
 * which live until the run ends. */
#ifndef MOLOTOV_H
#define MOLOTOV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Grows with every change of what a compiled test sees, additions included: an object is
 * loaded only by a program of the same version, and compiled again for others. */
#define MLT_API_VERSION 2

/* --- what a scenario is given ------------------------------------------------------ */

typedef struct mlt_session mlt_session; /* a worker's connections, cookies, headers */

/* The answer to a request. It lives until the run of the scenario ends. */
typedef struct mlt_response {
    int status;         /* of the last hop, as in 200 */
    const char *reason; /* "OK"; "" where the protocol has none */
    const char *url;    /* of the last hop */
    const char *body;   /* decoded; NUL-terminated; "" where there is none */
    size_t body_length; /* bytes */
    double elapsed;     /* seconds from asking to the last byte, all hops */
    int redirects;      /* hops before the last */
} mlt_response;

/* What the test was started with. */
typedef struct mlt_args {
    const char *test;       /* as on the command line */
    const char *server_url; /* --server-url, NULL when not given */
    long workers;           /* in each process */
    long processes;
    double duration; /* seconds */
    double delay;    /* seconds */
    long max_runs;   /* of each worker; 0: no limit */
    long verbose;
    long process; /* which one this is, from 0; -1 in the global fixtures */
    long agent;   /* which agent of the run this is, from 0 */
    long agents;  /* how many the run has; 0: it runs on this machine alone */
} mlt_args;

/* What a worker's session begins with: SETUP() may change it. */
typedef struct mlt_session_options {
    double timeout; /* of a request, seconds (default 300) */
    bool insecure;  /* do not verify certificates (default --insecure) */
    struct mlt_session_texts *texts_; /* see the two functions below */
} mlt_session_options;

/* In SETUP(): what relative URLs are relative to (--server-url wins over it), and a header
 * that is sent with each request, as in mlt_add_header(options, "X-User: %d", id); one of
 * "User-Agent:" alone is not sent, nor is the default. */
void mlt_set_base_url(mlt_session_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void mlt_add_header(mlt_session_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* --- scenarios and fixtures -------------------------------------------------------- */

/* SCENARIO(name, .weight = 40, .delay = 0.5, .name = "shown name") { ... }
 * The body has `mlt_session *session`. A weight of 0 leaves the scenario out. */
typedef struct mlt_scenario_options {
    const char *name; /* default: the function's */
    double weight;    /* how often it is picked, relative to the others (default 1) */
    double delay;     /* seconds to wait after a run that succeeded (default 0) */
} mlt_scenario_options;

#define SCENARIO(function, ...) \
    static void function(mlt_session *session); \
    MLT_REGISTER_(function) \
    { \
        MLT_QUIET_ \
        mlt_register_scenario( \
            function, \
            (mlt_scenario_options){.name = #function, .weight = 1, __VA_ARGS__}); \
        MLT_LOUD_ \
    } \
    static void function(mlt_session *session __attribute__((unused)))

/* Once for the test, before any process or worker exists: `args`, and a `session` for
 * requests that are not measured. A failure ends the test with exit status 1. */
#define GLOBAL_SETUP() \
    MLT_FIXTURE_(global_setup, void, \
                 (const mlt_args *args MLT_UNUSED_, mlt_session *session MLT_UNUSED_))

/* Once for each worker, before its session: `worker_id`, `args`, `options` to change.
 * Requests are not possible yet. A failure stops the test. */
#define SETUP() \
    MLT_FIXTURE_(setup, void, \
                 (int worker_id MLT_UNUSED_, const mlt_args *args MLT_UNUSED_, \
                  mlt_session_options *options MLT_UNUSED_))

/* Once for each worker, before its first run: `worker_id`, `session`. Its requests are
 * measured. A failure stops the test. */
#define SETUP_SESSION() \
    MLT_FIXTURE_(setup_session, void, \
                 (int worker_id MLT_UNUSED_, mlt_session *session MLT_UNUSED_))

/* Once for each session, when its worker ends: `worker_id`, `session`. */
#define TEARDOWN_SESSION() \
    MLT_FIXTURE_(teardown_session, void, \
                 (int worker_id MLT_UNUSED_, mlt_session *session MLT_UNUSED_))

/* Once for each worker, when it ends, whatever the reason: `worker_id`. */
#define TEARDOWN() MLT_FIXTURE_(teardown, void, (int worker_id MLT_UNUSED_))

/* Once for the test, after all processes ended: `session`, as in GLOBAL_SETUP(). */
#define GLOBAL_TEARDOWN() \
    MLT_FIXTURE_(global_teardown, void, (mlt_session * session MLT_UNUSED_))

/* Returns the name of the scenario to run next; weights are then ignored: `worker_id`,
 * and `step_id`, the number of the worker's run, from 1. */
#define SCENARIO_PICKER() \
    MLT_FIXTURE_(scenario_picker, const char *, \
                 (int worker_id MLT_UNUSED_, long step_id MLT_UNUSED_))

/* Is told what happens: `event`. Any number of them; each is called in the path of what
 * it is told about, in the order of the file, and cannot make requests itself. */
#define EVENTS(function) \
    static void function(const mlt_event *event); \
    MLT_REGISTER_(function) \
    { \
        mlt_register_listener(function); \
    } \
    static void function(const mlt_event *event MLT_UNUSED_)

typedef enum mlt_event_kind {
    MLT_CURRENT_WORKERS,   /* once a second, where the workers run: `workers` */
    MLT_SCENARIO_START,    /* `worker_id`, `scenario` */
    MLT_SCENARIO_SUCCESS,  /* `worker_id`, `scenario` */
    MLT_SCENARIO_FAILURE,  /* `worker_id`, `scenario`, `error` */
    MLT_SENDING_REQUEST,   /* each hop: `worker_id`, `session`, `method`, `url` */
    MLT_RESPONSE_RECEIVED, /* the last hop's: the same, and `response` */
} mlt_event_kind;

typedef struct mlt_event {
    mlt_event_kind kind;
    int worker_id;
    long workers;
    const char *scenario; /* NULL outside of one */
    const char *error;
    mlt_session *session;
    const char *method;
    const char *url;
    const mlt_response *response; /* its body can be read here, too */
} mlt_event;

/* --- requests ----------------------------------------------------------------------- */

/* mlt_get(session, url, .name = "/items", .timeout = 2.0)
 *
 * Waits for the complete answer, whatever its status: only a request without one (a
 * refused connection, a time-out, an answer that is no HTTP) fails the scenario. */
#define mlt_get(session, ...) MLT_CALL_(session, "GET", __VA_ARGS__)
#define mlt_post(session, ...) MLT_CALL_(session, "POST", __VA_ARGS__)
#define mlt_put(session, ...) MLT_CALL_(session, "PUT", __VA_ARGS__)
#define mlt_patch(session, ...) MLT_CALL_(session, "PATCH", __VA_ARGS__)
#define mlt_delete(session, ...) MLT_CALL_(session, "DELETE", __VA_ARGS__)
#define mlt_head(session, ...) MLT_CALL_(session, "HEAD", __VA_ARGS__)
#define mlt_options(session, ...) MLT_CALL_(session, "OPTIONS", __VA_ARGS__)

/* mlt_request(session, .method = "PURGE", .url = "/cache") */
#define mlt_request(session, ...) \
    mlt_call(session, &(const mlt_request_options){__VA_ARGS__}, __FILE__, __LINE__)

typedef struct mlt_request_options {
    const char *method;
    /* Absolute, or relative to the session's base URL. That of a unix socket has its path,
     * percent-encoded, for a host: http+unix://%2Frun%2Fapp.sock/path */
    const char *url;
    const char *name; /* its label in the report (default: the URL, no query) */
    const char *const
        *headers; /* MLT_HEADERS("Name: value", ...): added to, and stronger
                                   than, the session's */
    const char *body;
    size_t body_length; /* 0 with a body: strlen(body) */
    const char *json;   /* a body with Content-Type: application/json */
    double timeout;     /* seconds, all hops together; 0: the session's */
    bool no_redirects;  /* 3xx is the answer (default: up to 10 hops followed) */
    bool discard_body;  /* count it, do not keep it, nor say what it may be (Accept) */
} mlt_request_options;

#define MLT_HEADERS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The value of an answer's header, NULL where there is none; names in any case. Of
 * several with one name, the first. */
const char *mlt_header(const mlt_response *response, const char *name);

/* Values of an answer that is JSON, at a path like "items[0].id"; "" is all of it. The
 * scenario fails where the body is no JSON, or has no such value of that type. */
#define mlt_json_str(response, path) mlt_json_str_at(response, path, __FILE__, __LINE__)
#define mlt_json_int(response, path) mlt_json_int_at(response, path, __FILE__, __LINE__)
#define mlt_json_double(response, path) \
    mlt_json_double_at(response, path, __FILE__, __LINE__) /* also of an integer */
#define mlt_json_bool(response, path) \
    mlt_json_bool_at(response, path, __FILE__, __LINE__)
#define mlt_json_length(response, path) \
    mlt_json_length_at(response, path, __FILE__, __LINE__) /* of an array or object */

/* Whether there is a value (null included) at that path; false for a body that is no
 * JSON. */
bool mlt_json_has(const mlt_response *response, const char *path);

/* --- checks ------------------------------------------------------------------------- */

/* The scenario fails here unless it holds: the report names file, line, expression and
 * values, and how many runs failed so. mlt_check_int() takes integers: a double would be
 * cut to one. */
#define mlt_check(condition) \
    ((condition) ? (void)0 : mlt_check_failed(#condition, __FILE__, __LINE__))
#define mlt_check_int(actual, expected) \
    mlt_check_int_at(actual, expected, #actual, #expected, __FILE__, __LINE__)
#define mlt_check_str(actual, expected) \
    mlt_check_str_at(actual, expected, #actual, #expected, __FILE__, __LINE__)

/* Fails the scenario in your words. Failures are grouped by the format, and its first
 * filled-in text is kept as the sample. */
#define mlt_fail(...) mlt_fail_at(__FILE__, __LINE__, __VA_ARGS__)

/* --- helpers ------------------------------------------------------------------------ */

/* A line for the person who watches. */
void mlt_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Lets the other workers go on for so long. Cut short when the test is forced to end. */
void mlt_sleep(mlt_session *session, double seconds);

/* Adds to a counter of the report. */
void mlt_count(const char *name, int64_t by);

/* Memory that lives until the run of the scenario (or the fixture) ends, zeroed; and a
 * formatted text in it. Never NULL. */
void *mlt_alloc(mlt_session *session, size_t size);
char *mlt_format(mlt_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Which worker of its process this is, from 0; the number of its run, from 1; which
 * process of its agent, from 0; which agent of the run, from 0 (0 where there is none).
 * The three indices together name one worker of a run on many machines. In a global
 * fixture the worker's id and the process are -1. */
int mlt_worker_id(const mlt_session *session);
long mlt_step(const mlt_session *session);
long mlt_process_index(const mlt_session *session);
long mlt_agent_index(const mlt_session *session);

/* Something of yours that belongs to the session, under a name; NULL until it is set.
 * It stays yours: free it in TEARDOWN_SESSION(). */
void mlt_attach(mlt_session *session, const char *name, void *object);
void *mlt_attached(const mlt_session *session, const char *name);

/* The same for all workers of a process. What GLOBAL_SETUP() sets is copied to every
 * process (by fork); what is set later is seen only in its own process. */
void mlt_set_var(const char *name, void *value);
void *mlt_get_var(const char *name);

/* --- what the macros above stand on -------------------------------------------------- */

#define MLT_UNUSED_ __attribute__((unused))
#define MLT_PRAGMA_(words) _Pragma(#words)
#define MLT_QUIET_ \
    MLT_PRAGMA_(GCC diagnostic push) \
    MLT_PRAGMA_(GCC diagnostic ignored "-Woverride-init")
#define MLT_LOUD_ MLT_PRAGMA_(GCC diagnostic pop)

#define MLT_REGISTER_(function) \
    __attribute__((constructor)) static void mlt_register_##function##_(void)

#define MLT_FIXTURE_(fixture, type, parameters) \
    static type mlt_fixture_##fixture parameters; \
    MLT_REGISTER_(fixture_##fixture) \
    { \
        mlt_register_##fixture(mlt_fixture_##fixture, __FILE__, __LINE__); \
    } \
    static type mlt_fixture_##fixture parameters

#define MLT_CALL_(session, verb, ...) \
    mlt_call(session, \
             &(const mlt_request_options){.method = verb, .url = __VA_ARGS__}, \
             __FILE__, __LINE__)

void mlt_register_scenario(void (*function)(mlt_session *),
                           mlt_scenario_options options);
void mlt_register_global_setup(void (*function)(const mlt_args *, mlt_session *),
                               const char *file, int line);
void mlt_register_setup(void (*function)(int, const mlt_args *, mlt_session_options *),
                        const char *file, int line);
void mlt_register_setup_session(void (*function)(int, mlt_session *), const char *file,
                                int line);
void mlt_register_teardown_session(void (*function)(int, mlt_session *),
                                   const char *file, int line);
void mlt_register_teardown(void (*function)(int), const char *file, int line);
void mlt_register_global_teardown(void (*function)(mlt_session *), const char *file,
                                  int line);
void mlt_register_scenario_picker(const char *(*function)(int, long), const char *file,
                                  int line);
void mlt_register_listener(void (*function)(const mlt_event *));

mlt_response *mlt_call(mlt_session *session, const mlt_request_options *options,
                       const char *file, int line);
const char *mlt_json_str_at(const mlt_response *response, const char *path,
                            const char *file, int line);
int64_t mlt_json_int_at(const mlt_response *response, const char *path,
                        const char *file, int line);
double mlt_json_double_at(const mlt_response *response, const char *path,
                          const char *file, int line);
bool mlt_json_bool_at(const mlt_response *response, const char *path, const char *file,
                      int line);
size_t mlt_json_length_at(const mlt_response *response, const char *path,
                          const char *file, int line);
_Noreturn void mlt_check_failed(const char *expression, const char *file, int line);
void mlt_check_int_at(int64_t actual, int64_t expected, const char *actual_text,
                      const char *expected_text, const char *file, int line);
void mlt_check_str_at(const char *actual, const char *expected, const char *actual_text,
                      const char *expected_text, const char *file, int line);
_Noreturn void mlt_fail_at(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The ABI stamp, which a host compares before it loads the compiled object: API version,
 * machine, libc, sanitizer. */
#define MLT_TEXT_(token) #token
#define MLT_STRING_(token) MLT_TEXT_(token)
#if defined(__x86_64__)
#define MLT_MACHINE_ "x86_64"
#elif defined(__aarch64__)
#define MLT_MACHINE_ "aarch64"
#else
#define MLT_MACHINE_ "other"
#endif
#if defined(__GLIBC__)
#define MLT_LIBC_ "glibc-" MLT_STRING_(__GLIBC__) "." MLT_STRING_(__GLIBC_MINOR__)
#else
#define MLT_LIBC_ "libc"
#endif
#if defined(__SANITIZE_ADDRESS__)
#define MLT_SANITIZER_ "address"
#elif defined(__SANITIZE_THREAD__)
#define MLT_SANITIZER_ "thread"
#else
#define MLT_SANITIZER_ "none"
#endif
#define MLT_ABI \
    "molotov-abi api=" MLT_STRING_(MLT_API_VERSION) " machine=" MLT_MACHINE_ \
                                                    " libc=" MLT_LIBC_ \
                                                    " sanitizer=" MLT_SANITIZER_
#if !defined(MLT_NO_STAMP)
__attribute__((used, section("molotov_abi"))) static const char mlt_abi_stamp[] =
    MLT_ABI;
#endif

#endif
