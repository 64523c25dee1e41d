/* bench/curl_loop.c - the bare peer: what HTTP costs with libcurl and libev alone.
 *
 * One multi on one libev loop, N users that each repeat one GET as fast as answers
 * come. It shares and sets what http/curl.c does (a share and a cookie jar for
 * each user, stored answers, time-outs, decoding, a hit counted as it is written) and
 * nothing above that: no scenarios, no coroutines, no labels, no second process. So
 * what molotov-runner spends beyond it is the price of Molotov, not of libcurl.
 *
 *     curl_loop URL [-w USERS] [-d SECONDS] [-r REQUESTS] [-k]
 *
 * -r ends each user after so many requests; it then keeps its connection and rests,
 * which is how bench/run measures the memory of an idle user.
 *
 * How it is quick, and our transport may be too:
 * - an easy handle is set up once, and only removed and added again;
 * - a socket's watcher outlives the request (libcurl forgets and re-adds its sockets
 *   for each request), and libev drops a stop and a start within one turn, so a warm
 *   request costs no epoll_ctl;
 * - answers are collected while libev calls back, and all who got one are sent on
 *   together before the loop waits, so "call me at once" needs no timer. */
#include <curl/curl.h>
#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Latencies in µs: exact below 64, then 32 buckets for each power of two (3 %). */
enum { SUB_BITS = 5, SUB_COUNT = 1 << SUB_BITS, BUCKET_COUNT = SUB_COUNT * 60 };

struct bytes {
    char *data;
    size_t length, capacity;
};

struct user {
    struct bench *bench;
    CURL *easy;
    CURLSH *share;
    struct bytes head, body;
    uint64_t started_ns;
    uint64_t sent;
    struct user *next_finished;
    char error[CURL_ERROR_SIZE];
};

struct bench {
    const char *url;
    size_t user_count;
    double duration_s;
    uint64_t requests_each; /* 0: until the end */
    bool insecure;

    struct ev_loop *loop;
    CURLM *multi;
    ev_timer curl_timer, end_timer;
    ev_prepare before_wait;
    bool curl_is_due; /* libcurl asked to be called at once */
    ev_io **sockets;  /* by descriptor; kept until the process ends */
    size_t socket_count;
    struct user *users;
    struct user *finished; /* got an answer, wait to be sent on */

    uint64_t hits, requests, errors;
    uint64_t buckets[BUCKET_COUNT];
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "curl_loop: %s: %s\n", what, why);
    exit(1);
}

static void *check_memory(void *memory)
{
    if (memory == NULL)
        die("memory", "none left");
    return memory;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t bucket_of(uint64_t us)
{
    unsigned shift;

    if (us < 2 * (uint64_t)SUB_COUNT)
        return (size_t)us;
    shift = 63u - (unsigned)__builtin_clzll(us) - SUB_BITS;
    return (size_t)shift * SUB_COUNT + (size_t)(us >> shift);
}

/* The largest latency that falls into the bucket. */
static uint64_t bucket_top(size_t bucket)
{
    size_t shift;

    if (bucket < 2 * (size_t)SUB_COUNT)
        return bucket;
    shift = bucket / SUB_COUNT - 1;
    return (((uint64_t)(bucket - shift * SUB_COUNT) + 1) << shift) - 1;
}

static uint64_t percentile_us(const struct bench *bench, double share)
{
    const double wanted = share * (double)bench->requests;
    uint64_t seen = 0;

    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        seen += bench->buckets[i];
        if (seen > 0 && (double)seen >= wanted)
            return bucket_top(i);
    }
    return 0;
}

static size_t bytes_append(struct bytes *bytes, const char *data, size_t length)
{
    if (length > bytes->capacity - bytes->length) {
        bytes->capacity = 2 * (bytes->length + length);
        bytes->data = check_memory(realloc(bytes->data, bytes->capacity));
    }
    memcpy(bytes->data + bytes->length, data, length);
    bytes->length += length;
    return length;
}

static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    return bytes_append(&((struct user *)user)->head, data, size * count);
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    return bytes_append(&((struct user *)user)->body, data, size * count);
}

static int on_request_ready(void *user, char *peer_ip, char *local_ip, int peer_port,
                            int local_port)
{
    (void)peer_ip;
    (void)local_ip;
    (void)peer_port;
    (void)local_port;
    ((struct user *)user)->bench->hits++;
    return CURL_PREREQFUNC_OK;
}

static void start_request(struct user *user)
{
    user->head.length = 0;
    user->body.length = 0;
    user->sent++;
    user->started_ns = now_ns();
    curl_multi_add_handle(user->bench->multi, user->easy);
}

static void record_answer(struct user *user, CURLcode result)
{
    struct bench *bench = user->bench;
    const uint64_t elapsed_us = (now_ns() - user->started_ns) / 1000;
    long status = 0;

    curl_easy_getinfo(user->easy, CURLINFO_RESPONSE_CODE, &status);
    bench->requests++;
    if (result != CURLE_OK || status >= 400) {
        if (bench->errors++ == 0)
            fprintf(stderr, "curl_loop: first error: %s, status %ld\n",
                    user->error[0] ? user->error : curl_easy_strerror(result), status);
    }
    bench->buckets[bucket_of(elapsed_us)]++;
}

static void collect_answers(struct bench *bench)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(bench->multi, &left)) != NULL) {
        struct user *user = NULL;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &user);
        record_answer(user, message->data.result);
        user->next_finished = bench->finished;
        bench->finished = user;
    }
}

static void drive(struct bench *bench, curl_socket_t socket, int ready)
{
    int running;

    curl_multi_socket_action(bench->multi, socket, ready, &running);
    collect_answers(bench);
}

static void send_finished_on(struct bench *bench)
{
    struct user *user = bench->finished;

    bench->finished = NULL;
    while (user != NULL) {
        struct user *next = user->next_finished;

        curl_multi_remove_handle(bench->multi, user->easy);
        if (bench->requests_each == 0 || user->sent < bench->requests_each)
            start_request(user);
        user = next;
    }
}

/* All that became ready in this turn of the loop has been read: send on who finished,
 * and let libcurl write what is due, before the loop waits. */
static void on_before_wait(struct ev_loop *loop, ev_prepare *watcher, int revents)
{
    struct bench *bench = watcher->data;

    (void)loop;
    (void)revents;
    while (bench->finished != NULL || bench->curl_is_due) {
        send_finished_on(bench);
        if (bench->curl_is_due) {
            bench->curl_is_due = false;
            drive(bench, CURL_SOCKET_TIMEOUT, 0);
        }
    }
}

static void on_socket_ready(struct ev_loop *loop, ev_io *watcher, int revents)
{
    (void)loop;
    drive(watcher->data, watcher->fd,
          (revents & EV_READ ? CURL_CSELECT_IN : 0) |
              (revents & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_curl_timer(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    (void)revents;
    ev_timer_stop(loop, watcher);
    drive(watcher->data, CURL_SOCKET_TIMEOUT, 0);
}

static void on_end(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    (void)watcher;
    (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

static ev_io *watcher_of(struct bench *bench, curl_socket_t socket)
{
    const size_t index = (size_t)socket;

    if (index >= bench->socket_count) {
        const size_t count = 2 * (index + 1);

        bench->sockets = check_memory(realloc(bench->sockets, count * sizeof(ev_io *)));
        memset(bench->sockets + bench->socket_count, 0,
               (count - bench->socket_count) * sizeof(ev_io *));
        bench->socket_count = count;
    }
    if (bench->sockets[index] == NULL) {
        bench->sockets[index] = check_memory(malloc(sizeof(ev_io)));
        ev_io_init(bench->sockets[index], on_socket_ready, socket, 0);
        bench->sockets[index]->data = bench;
    }
    return bench->sockets[index];
}

static int on_socket_change(CURL *easy, curl_socket_t socket, int what, void *data,
                            void *unused)
{
    struct bench *bench = data;
    ev_io *watcher = watcher_of(bench, socket);
    const int wanted =
        (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);

    (void)easy;
    (void)unused;
    ev_io_stop(bench->loop, watcher);
    if (what == CURL_POLL_REMOVE)
        return 0;
    /* ev_io_set() marks the descriptor as new to the kernel, which costs epoll_ctl. */
    if ((watcher->events & (EV_READ | EV_WRITE)) != wanted)
        ev_io_set(watcher, socket, wanted);
    ev_io_start(bench->loop, watcher);
    return 0;
}

/* The next socket of this number is another one: epoll must hear of it. */
static int on_socket_close(void *data, curl_socket_t socket)
{
    struct bench *bench = data;
    ev_io *watcher = watcher_of(bench, socket);

    ev_io_stop(bench->loop, watcher);
    ev_io_set(watcher, socket, 0);
    return close(socket);
}

static int on_timer_change(CURLM *multi, long timeout_ms, void *data)
{
    struct bench *bench = data;

    (void)multi;
    bench->curl_is_due = timeout_ms == 0;
    ev_timer_stop(bench->loop, &bench->curl_timer);
    if (timeout_ms > 0) {
        ev_timer_set(&bench->curl_timer, (double)timeout_ms / 1000., 0.);
        ev_timer_start(bench->loop, &bench->curl_timer);
    }
    return 0;
}

static void user_open(struct user *user, struct bench *bench)
{
    CURL *easy = check_memory(curl_easy_init());

    user->bench = bench;
    user->easy = easy;
    user->share = check_memory(curl_share_init());
    curl_share_setopt(user->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT);
    curl_share_setopt(user->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_COOKIE);
    curl_easy_setopt(easy, CURLOPT_SHARE, user->share);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, user);
    curl_easy_setopt(easy, CURLOPT_URL, bench->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, -1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 16384L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_COOKIEFILE, "");
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, bench->insecure ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, bench->insecure ? 0L : 2L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 30000L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 300000L);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, user);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, user);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request_ready);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, user);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, user->error);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_socket_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, bench);
}

/* The share goes last: the connection it holds is closed through on_socket_close(). */
static void user_close(struct user *user)
{
    curl_multi_remove_handle(user->bench->multi, user->easy);
    curl_easy_cleanup(user->easy);
    curl_share_cleanup(user->share);
    free(user->head.data);
    free(user->body.data);
}

static void bench_open(struct bench *bench)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        die("libcurl", "cannot be initialised");
    bench->loop = check_memory(ev_loop_new(EVFLAG_AUTO));
    bench->multi = check_memory(curl_multi_init());
    curl_multi_setopt(bench->multi, CURLMOPT_SOCKETFUNCTION, on_socket_change);
    curl_multi_setopt(bench->multi, CURLMOPT_SOCKETDATA, bench);
    curl_multi_setopt(bench->multi, CURLMOPT_TIMERFUNCTION, on_timer_change);
    curl_multi_setopt(bench->multi, CURLMOPT_TIMERDATA, bench);
    curl_multi_setopt(bench->multi, CURLMOPT_MAXCONNECTS, (long)bench->user_count + 1);
    ev_init(&bench->curl_timer, on_curl_timer);
    bench->curl_timer.data = bench;
    ev_prepare_init(&bench->before_wait, on_before_wait);
    bench->before_wait.data = bench;
    ev_prepare_start(bench->loop, &bench->before_wait);
    bench->users = check_memory(calloc(bench->user_count, sizeof(bench->users[0])));
    for (size_t i = 0; i < bench->user_count; i++)
        user_open(&bench->users[i], bench);
}

static void bench_close(struct bench *bench)
{
    for (size_t i = 0; i < bench->user_count; i++)
        user_close(&bench->users[i]);
    free(bench->users);
    curl_multi_cleanup(bench->multi);
    ev_prepare_stop(bench->loop, &bench->before_wait);
    ev_timer_stop(bench->loop, &bench->curl_timer);
    ev_loop_destroy(bench->loop);
    for (size_t i = 0; i < bench->socket_count; i++)
        free(bench->sockets[i]);
    free(bench->sockets);
    curl_global_cleanup();
}

/* The seconds from the first request to the end of the loop. */
static double bench_run(struct bench *bench)
{
    const uint64_t started_ns = now_ns();

    ev_now_update(bench->loop); /* opening the users took time */
    ev_timer_init(&bench->end_timer, on_end, bench->duration_s, 0.);
    ev_timer_start(bench->loop, &bench->end_timer);
    for (size_t i = 0; i < bench->user_count; i++)
        start_request(&bench->users[i]);
    ev_run(bench->loop, 0);
    return (double)(now_ns() - started_ns) / 1e9;
}

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static long resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long pages = 0;

    if (file == NULL)
        return 0;
    if (fscanf(file, "%*s %ld", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void print_result(const struct bench *bench, double seconds)
{
    const double cpu_s = cpu_seconds();
    const double requests = bench->requests > 0 ? (double)bench->requests : 1.;

    printf("{\"requests\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"hits\": %" PRIu64
           ", \"seconds\": %.3f, \"rate\": %.1f, \"cpu_s\": %.3f"
           ", \"cpu_us_per_request\": %.3f, \"rss_kib\": %ld"
           ", \"p50_us\": %" PRIu64 ", \"p99_us\": %" PRIu64 "}\n",
           bench->requests, bench->errors, bench->hits, seconds,
           (double)bench->requests / seconds, cpu_s, cpu_s * 1e6 / requests,
           resident_kib(), percentile_us(bench, .5), percentile_us(bench, .99));
}

static double read_number(const char *option, const char *text, double least,
                          double most)
{
    char *end;
    double number;

    errno = 0;
    number = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' ||
        !(number >= least && number <= most))
        die(option, "not a number in range");
    return number;
}

static void read_options(struct bench *bench, int argc, char **argv)
{
    static const char usage[] = "URL [-w USERS] [-d SECONDS] [-r REQUESTS] [-k]";
    int option;

    while ((option = getopt(argc, argv, "w:d:r:k")) != -1) {
        switch (option) {
        case 'w':
            bench->user_count = (size_t)read_number("-w", optarg, 1, 1e6);
            break;
        case 'd':
            bench->duration_s = read_number("-d", optarg, .001, 1e6);
            break;
        case 'r':
            bench->requests_each = (uint64_t)read_number("-r", optarg, 1, 1e15);
            break;
        case 'k':
            bench->insecure = true;
            break;
        default:
            die("usage", usage);
        }
    }
    if (optind != argc - 1)
        die("usage", usage);
    bench->url = argv[optind];
}

int main(int argc, char **argv)
{
    struct bench *bench = check_memory(calloc(1, sizeof(*bench)));
    double seconds;

    bench->user_count = 50;
    bench->duration_s = 3;
    read_options(bench, argc, argv);
    bench_open(bench);
    seconds = bench_run(bench);
    print_result(bench, seconds);
    bench_close(bench);
    free(bench);
    return 0;
}
