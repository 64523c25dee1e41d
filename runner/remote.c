/* runner/remote.c - the life of a run on a cluster, as its runner sees it.
 *
 * ASKING    RUN is repeated until the broker has it (LACKS: files are sent first)
 *   -> FOLLOWING  on ACCEPTED
 *   -> over       on REFUSED, or when no answer comes
 * FOLLOWING what the broker tells is shown (follow.h)
 *   -> over       on END_OF_RUN; when the person detaches or leaves
 *
 * STOP has a conversation of its own, repeated until the broker has it, so it may be asked
 * for at any time. Where nobody hears it, one more signal leaves the run. */
#include "runner/remote.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "base/memory.h"
#include "runner/client.h"
#include "runner/cluster.h"
#include "runner/follow.h"
#include "runner/question.h"
#include "runner/show.h"

#define SLOWEST_BYTES_PER_S (64 << 10) /* files may take so long to arrive */
#define FILES_MOST_S 60.0              /* but not longer */

enum {
    SILENCES_MAX = 5, /* of CLIENT_TRIES each: then the broker does not take the run */
    STOP_SILENCES_MAX = 2, /* nor does it hear that it is not to */
    FILES_SENT = 1 << 20,  /* bytes, besides one file; then the broker is heard again */
};

struct remote {
    const struct remote_plan *plan;
    struct show show;
    void *context;
    struct client starter, stopper;
    struct follow follow;
    struct question question;
    bool accepted;     /* the run is at the broker */
    unsigned stops;    /* 1: told to stop; 2: by force */
    unsigned silences; /* of the broker that is to take the run, or to stop it */
    bool may_leave;    /* told to stop, and nobody hears it: one more signal leaves */
    char *trouble;     /* what the broker told of last; NULL: it has none */
    char *failure;     /* why there is nothing to report */
    enum remote_outcome outcome;
};

static void end(struct remote *remote, enum remote_outcome outcome)
{
    question_withdraw(&remote->question);
    remote->outcome = outcome;
    show_end(&remote->show);
}

static void fail(struct remote *remote, const char *why)
{
    if (remote->failure == NULL)
        remote->failure = xstrdup(why);
    end(remote, REMOTE_OVER);
}

/* --- what the broker tells ---------------------------------------------------------- */

static void show_trouble(struct remote *remote, const char *trouble)
{
    char *note;

    if (trouble == NULL && remote->trouble == NULL)
        return;
    if (trouble != NULL && remote->trouble != NULL &&
        strcmp(trouble, remote->trouble) == 0)
        return;
    note = trouble != NULL
               ? xasprintf("the broker is in trouble, and the agents keep what they "
                           "measure: %s",
                           trouble)
               : xasprintf("the broker's trouble is over (%s)", remote->trouble);
    show_note(&remote->show, note);
    free(note);
    free(remote->trouble);
    remote->trouble = trouble != NULL ? xstrdup(trouble) : NULL;
}

static void take_facts(struct remote *remote, const struct message_update *update)
{
    if (!update->has_facts)
        return;
    report_set_facts(remote->show.report, &update->facts, update->elapsed_us);
    if (update->facts.started_wall_s > 0)
        show_begin(&remote->show);
    else
        show_refresh(&remote->show); /* "Preparing on 5 agents" */
}

/* --detach: it has started, and not failed since. */
static bool is_to_be_left(const struct remote *remote)
{
    return remote->plan->detach && remote->show.begun &&
           remote->show.report->facts.state != RUN_FAILED;
}

static void on_news(struct follow *follow, const struct message_update *update,
                    bool replaces)
{
    struct remote *const remote = follow->owner;

    take_facts(remote, update);
    show_trouble(remote, update->trouble);
    if (replaces)
        report_replace(remote->show.report, &update->delta, NULL);
    else
        show_push(&remote->show, &update->delta);
    if (is_to_be_left(remote))
        end(remote, REMOTE_DETACHED);
}

static void on_end(struct follow *follow, const struct message_update *update)
{
    struct remote *const remote = follow->owner;

    take_facts(remote, update);
    report_replace(remote->show.report, &update->delta, &update->series);
    end(remote, is_to_be_left(remote) ? REMOTE_DETACHED : REMOTE_OVER);
}

static void on_refused(struct follow *follow, const char *why)
{
    fail(follow->owner, why);
}

/* Once for each time that the broker is away. */
static void offer_to_leave(struct remote *remote)
{
    if (remote->may_leave || remote->stops == 0)
        return;
    remote->may_leave = true;
    show_note(&remote->show, "the broker does not answer; one more signal leaves (the "
                             "run goes on, and nobody tells it to stop any more)");
}

/* The broker of this machine has died: nobody else would start it again. */
static void revive_broker(struct remote *remote)
{
    const struct remote_plan *const plan = remote->plan;
    struct error err;
    const int rc = cluster_revive(plan->frontend, plan->cluster_leave_after, &err);

    if (rc == 1)
        show_note(&remote->show,
                  "the broker of this machine was gone, and is started again");
    else if (rc == -1)
        show_note(&remote->show, err.message);
}

static void take_silence(struct remote *remote)
{
    char *const note =
        xasprintf("the broker at %s does not answer: waiting for it, the agents go on",
                  remote->follow.endpoint);

    show_note(&remote->show, note);
    free(note);
    if (remote->follow.is_temporary && !remote->plan->frontend->is_given)
        revive_broker(remote);
    offer_to_leave(remote);
}

static void on_contact(struct follow *follow, bool there)
{
    struct remote *const remote = follow->owner;
    char *note;

    if (!there) {
        take_silence(remote);
        return;
    }
    remote->may_leave = false;
    note = xasprintf("the broker at %s answers again", follow->endpoint);
    show_note(&remote->show, note);
    free(note);
}

/* --- starting it -------------------------------------------------------------------- */

static void ask_to_run(struct remote *remote, double again_s)
{
    const struct remote_plan *const plan = remote->plan;
    struct buffer request = BUFFER_INIT;

    message_pack_run(&request, &(struct message_run){.agents = plan->agents,
                                                     .keep_cluster = plan->keep_cluster,
                                                     .job = *plan->job,
                                                     .bundle = plan->package->bundle});
    client_ask(&remote->starter, &request, again_s);
    buffer_clear(&request);
}

static void send_file(struct remote *remote, const char *digest,
                      const struct buffer *content)
{
    struct message_file file = {.content = content->data, .size = content->size};
    struct buffer message = BUFFER_INIT;

    memcpy(file.digest, digest, DIGEST_SIZE);
    message_pack_file(&message, &file);
    client_tell(&remote->starter, &message);
    buffer_clear(&message);
}

/* Sends some of what the broker lacks, and asks again: it then names the rest. So what is
 * under way stays bounded, and a slow line has the time it needs. */
static void send_files(struct remote *remote, const struct message_lacks *lacks)
{
    size_t sent = 0;
    double again_s;

    for (size_t i = 0; i < lacks->count && sent < FILES_SENT; i++) {
        const struct buffer *const content =
            package_find(remote->plan->package, lacks->digests[i]);

        if (content == NULL) {
            fail(remote, "the broker asks for a file that the test has not got");
            return;
        }
        send_file(remote, lacks->digests[i], content);
        sent += content->size;
    }
    again_s = CLIENT_AGAIN_S + (double)sent / SLOWEST_BYTES_PER_S;
    ask_to_run(remote, again_s < FILES_MOST_S ? again_s : FILES_MOST_S);
}

static void follow_run(struct remote *remote)
{
    struct error err;

    if (follow_start(&remote->follow, &err) == -1)
        fail(remote, err.message);
}

static void take_lacks(struct remote *remote, const msgpack_object *map)
{
    struct message_lacks lacks;
    struct error err;

    if (message_unpack_lacks(map, &lacks, &err) == -1) {
        fail(remote, err.message);
        return;
    }
    send_files(remote, &lacks);
    message_lacks_clear(&lacks);
}

static void take_acceptance(struct remote *remote)
{
    if (remote->accepted)
        return;
    remote->accepted = true;
    client_close(&remote->starter);
    pidlock_release(remote->plan->lock);
    follow_run(remote);
}

static void take_refusal(struct remote *remote, const msgpack_object *map)
{
    char *why = NULL;

    if (message_unpack_why(map, &why, NULL) == -1)
        why = xstrdup("the broker refuses the run, and does not say why");
    fail(remote, why);
    free(why);
}

static void on_start_answer(struct client *client, enum proto_message message,
                            const msgpack_object *map)
{
    struct remote *const remote = client->owner;

    remote->silences = 0;
    if (message == MESSAGE_LACKS)
        take_lacks(remote, map);
    else if (message == MESSAGE_ACCEPTED)
        take_acceptance(remote);
    else if (message == MESSAGE_REFUSED)
        take_refusal(remote, map);
    else
        ask_to_run(remote, CLIENT_AGAIN_S);
}

static void on_start_silence(struct client *client)
{
    struct remote *const remote = client->owner;
    char *why;

    if (++remote->silences < SILENCES_MAX)
        return;
    why = xasprintf("the broker at %s does not answer; should it have taken the run, "
                    "--attach=%s finds it",
                    client->endpoint, remote->plan->job->run_id);
    client_close(client);
    fail(remote, why);
    free(why);
}

/* --- ending it ---------------------------------------------------------------------- */

/* REFUSED: there is no such run; what was followed is told so, too. */
static void on_stop_answer(struct client *client, enum proto_message message,
                           const msgpack_object *map)
{
    struct remote *const remote = client->owner;

    (void)map;
    remote->may_leave = false;
    if (message == MESSAGE_ACCEPTED)
        take_acceptance(remote);
    else if (!remote->accepted)
        fail(remote, "stopped before the broker had the run");
}

static void on_stop_silence(struct client *client)
{
    struct remote *const remote = client->owner;
    char *why;

    if (remote->accepted) {
        offer_to_leave(remote);
        return;
    }
    if (++remote->silences < STOP_SILENCES_MAX)
        return;
    why =
        xasprintf("told to stop, and the broker at %s does not answer; should it have "
                  "taken the run, molotov-runner --stop %s ends it",
                  client->endpoint, remote->plan->job->run_id);
    client_close(client);
    fail(remote, why);
    free(why);
}

static void stop(struct remote *remote, const char *why, bool force)
{
    struct message_stop request = {.force = force, .why = (char *)why};
    struct buffer buffer = BUFFER_INIT;

    if (!remote->accepted)
        client_close(&remote->starter); /* else the run might come after the STOP */
    remote->silences = 0;
    snprintf(request.run, sizeof(request.run), "%s", remote->plan->job->run_id);
    message_pack_run_stop(&buffer, &request);
    client_ask(&remote->stopper, &buffer, CLIENT_AGAIN_S);
    buffer_clear(&buffer);
    facts_set_interrupted_by(&remote->show.report->facts, why);
}

/* Once: what runs may finish. Twice: it is cut. Three times, or where nobody hears it: the
 * person leaves. */
static void stop_harder(struct remote *remote, const char *why)
{
    question_withdraw(&remote->question);
    show_hold(&remote->show, false);
    remote->stops++;
    if (remote->stops > 2 || remote->may_leave) {
        end(remote, REMOTE_LEFT);
        return;
    }
    stop(remote, why, remote->stops == 2);
    if (remote->follow.lost)
        offer_to_leave(remote);
}

static void on_person_answer(struct question *question, bool detach)
{
    struct remote *const remote = question->owner;

    if (detach)
        end(remote, REMOTE_DETACHED);
    else
        stop_harder(remote, signal_name(SIGINT));
}

static bool is_to_be_asked(const struct remote *remote, int number)
{
    return number == SIGINT && remote->accepted && remote->stops == 0 &&
           !remote->question.is_asked && question_can_be_asked();
}

static void on_signal(struct show *show, int number)
{
    struct remote *const remote = show->owner;

    if (number == SIGHUP && remote->accepted) {
        end(remote, REMOTE_DETACHED);
    } else if (is_to_be_asked(remote, number)) {
        show_hold(show, true);
        question_ask(&remote->question);
    } else {
        stop_harder(remote, signal_name(number));
    }
}

/* --- the whole ---------------------------------------------------------------------- */

static int open_clients(struct remote *remote, struct error *err)
{
    if (client_open(&remote->stopper, err) == -1)
        return -1;
    if (remote->plan->package == NULL)
        return follow_start(&remote->follow, err);
    return client_open(&remote->starter, err);
}

static void begin(struct remote *remote)
{
    if (remote->plan->package != NULL)
        ask_to_run(remote, CLIENT_AGAIN_S);
    else
        remote->accepted = true;
}

/* A run that never began is no run to report of, for who wanted it to begin. */
static int conclude(const struct remote *remote, struct error *err)
{
    const struct report *const report = remote->show.report;

    if (remote->failure != NULL)
        return error_set(err, "%s", remote->failure);
    if (remote->plan->package != NULL && !remote->show.begun &&
        report->facts.failure != NULL)
        return error_set(err, "%s", report->facts.failure);
    return 0;
}

static void init_remote(struct remote *remote)
{
    const struct client client = {
        .loop = remote->show.loop,
        .context = remote->context,
        .endpoint = remote->plan->frontend->endpoint,
        .owner = remote,
    };

    remote->starter = remote->stopper = client;
    remote->starter.on_answer = on_start_answer;
    remote->starter.on_silence = on_start_silence;
    remote->stopper.on_answer = on_stop_answer;
    remote->stopper.on_silence = on_stop_silence;
    remote->follow = (struct follow){
        .loop = remote->show.loop,
        .context = remote->context,
        .endpoint = remote->plan->frontend->endpoint,
        .run = remote->plan->job->run_id,
        .quiet_s = FOLLOW_QUIET_S,
        .on_news = on_news,
        .on_end = on_end,
        .on_refused = on_refused,
        .on_contact = on_contact,
        .owner = remote,
    };
    remote->question = (struct question){
        .loop = remote->show.loop,
        .on_answer = on_person_answer,
        .owner = remote,
    };
}

static void close_clients(struct remote *remote)
{
    client_close(&remote->starter);
    client_close(&remote->stopper);
    follow_stop(&remote->follow);
    zcontext_destroy(remote->context);
}

int remote_run(const struct remote_plan *plan, struct display *display,
               struct report *report, enum remote_outcome *ret_outcome,
               struct error *err)
{
    struct remote remote = {
        .plan = plan,
        .show = {.job = plan->job,
                 .display = display,
                 .report = report,
                 .on_signal = on_signal,
                 .owner = &remote},
    };
    int rc = -1;

    if (show_open(&remote.show, err) == -1)
        return -1;
    remote.context = zcontext_new();
    init_remote(&remote);
    if (open_clients(&remote, err) == -1)
        goto out;
    begin(&remote);
    show_run(&remote.show);
    rc = conclude(&remote, err);
    *ret_outcome = remote.outcome;
out:
    close_clients(&remote);
    show_close(&remote.show);
    free(remote.trouble);
    free(remote.failure);
    return rc;
}
