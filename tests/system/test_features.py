"""What scenarios can do, and what the options of a run do."""

import collections
import os
import pty
import re
import signal
import subprocess
import unittest

from harness import (
    PREAMBLE_LINES,
    ROOT,
    RUNNER,
    SANITIZED,
    NginxTest,
    SystemTest,
    marked_processes,
    preloaded,
    wait_until,
)

PLAIN = 'SCENARIO(s) { mlt_check(mlt_get(session, "/")->status == 200); }\n'


class FeatureTest(NginxTest):
    def load(self, scenario, *args, **options):
        run = self.run_molotov("--server-url", self.nginx.url, *args, scenario=scenario, **options)
        self.assert_sums(run)
        return run

    def all_fine(self, scenario, *args, **options):
        run = self.load(scenario, *args, **options)
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 0, run)
        self.assertGreater(run.totals["ok"], 0, run)
        return run


class Picking(FeatureTest):
    def test_weights(self):
        """One in ten of 4,000 picks: 400, give or take seven times the deviation of 19."""
        run = self.all_fine(
            "SCENARIO(rare, .weight = 1) {}\nSCENARIO(often, .weight = 9) {}\n"
            "SCENARIO(never, .weight = 0) {}\n",
            "-w", 10, "-p", 2, "-r", 200,
        )  # fmt: skip
        self.assertEqual(run.totals["ok"], 4000, run)
        self.assertAlmostEqual(run.scenario("rare")["ok"], 400, delta=133)
        self.assertNotIn("never", [row["name"] for row in run.document["scenarios"]])

    def test_workers_pick_differently(self):
        """Not every worker, in every process, walks the same random path."""
        run = self.all_fine(
            "SCENARIO(a) {}\nSCENARIO(b) {}\n", "-w", 50, "-p", 2, "-r", 1,
        )  # fmt: skip
        self.assertAlmostEqual(run.scenario("a")["ok"], 50, delta=40)

    def test_picker(self):
        run = self.all_fine(
            "SCENARIO(a, .weight = 1000) {}\nSCENARIO(b) {}\nSCENARIO(c) {}\n"
            "SCENARIO_PICKER() { return step_id % 2 ? \"b\" : worker_id == 0 ? \"c\" : \"b\"; }\n",
            "-w", 2, "-r", 4,
        )  # fmt: skip
        self.assertEqual(run.scenario("b")["ok"], 6, run)
        self.assertEqual(run.scenario("c")["ok"], 2, run)

    def test_single_mode(self):
        run = self.all_fine("SCENARIO(a) {}\nSCENARIO(b) {}\n", "-s", "b", "-r", 20)
        self.assertEqual(run.scenario("b")["ok"], 20, run)

    def test_single_mode_by_the_shown_name(self):
        run = self.all_fine('SCENARIO(a, .name = "by name") {}\n', "-s", "by name", "-r", 2)
        self.assertEqual(run.scenario("by name")["ok"], 2, run)

    def test_single_run(self):
        run = self.all_fine(
            "SCENARIO(b) {}\nSCENARIO(a) {}\nSCENARIO(c, .weight = 100) {}\n",
            "--single-run", "-w", 3, "-p", 2,
        )  # fmt: skip
        for name in "abc":
            self.assertEqual(run.scenario(name)["ok"], 6, run)

    def test_names_beyond_ascii(self):
        run = self.all_fine(
            'SCENARIO(a, .name = "größe \\"x\\" <&> 💥") { mlt_get(session, "/", .name = "ü/\\\\"); }',
            "-r", 2,
        )  # fmt: skip
        self.assertEqual(run.scenario('größe "x" <&> 💥')["ok"], 2, run)
        self.assertEqual(run.document["requests"][0]["name"], "ü/\\", run)


class Pace(FeatureTest):
    """Lower bounds only: how much faster it is than that is no test."""

    def test_delay(self):
        run = self.all_fine(PLAIN, "-r", 3, "--delay", 0.3)
        self.assertGreaterEqual(run.document["duration_s"], 0.6, run)

    def test_delay_of_a_scenario(self):
        run = self.all_fine("SCENARIO(s, .delay = 0.3) {}", "-r", 3)
        self.assertGreaterEqual(run.document["duration_s"], 0.6, run)

    def test_sleep_lets_others_go_on(self):
        run = self.all_fine(
            "SCENARIO(sleeps) { mlt_sleep(session, 0.3); }\n", "-w", 200, "-r", 1
        )
        self.assertGreaterEqual(run.document["duration_s"], 0.3, run)
        self.assertLess(run.document["duration_s"], 200 * 0.3, run)

    def test_duration_in_fractions(self):
        run = self.all_fine(PLAIN, "-d", 0.7)
        self.assertGreaterEqual(run.document["duration_s"], 0.7, run)

    def test_ramp_up(self):
        """Worker i begins i fourths of a second after the first; no earlier."""
        run = self.all_fine(
            """
            #include <time.h>
            static double now(void)
            {
                struct timespec t;
                clock_gettime(CLOCK_MONOTONIC, &t);
                return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
            }
            static double first;
            SETUP()
            {
                if (worker_id == 0)
                    first = now();
                mlt_check(now() - first >= worker_id * 0.25 - 0.1);
            }
            SCENARIO(s) {}
            """,
            "-w", 4, "--ramp-up", 1, "-r", 1,
        )  # fmt: skip
        self.assertEqual(run.document["workers_max"] <= 4, True, run)
        self.assertEqual(run.totals["ok"], 4, run)

    def test_waits_end_with_the_run(self):
        """A delay, a ramp-up or a sleep of an hour does not hold up the end."""
        for args, scenario in [
            (("--delay", 3600), PLAIN),
            (("--ramp-up", 3600), PLAIN),
            ((), "SCENARIO(s, .delay = 3600) { mlt_get(session, \"/\"); }"),
        ]:
            with self.subTest(args):
                self.nginx.forget()
                running = self.start(
                    "-w", 2, "-p", 2, "--server-url", self.nginx.url, *args, scenario=scenario
                )
                wait_until(lambda: self.nginx.lines() >= 2, "the first runs")
                running.signal(signal.SIGINT)
                run = self.finish(running)
                self.assert_status(run, 0)
                self.assertEqual(run.totals["cancelled"], 0, run)
                self.assert_exact(run)

    def test_sleep_is_cut_by_a_forced_end(self):
        run = self.load(
            "SCENARIO(s) { mlt_sleep(session, 3600); }", "-w", 3, "-d", 0.3, "--stop-timeout", 0.2
        )
        self.assert_status(run, 0)
        self.assertEqual(run.totals["cancelled"], 3, run)


class Session(FeatureTest):
    def test_keep_alive(self):
        run = self.all_fine(PLAIN, "-w", 20, "-p", 2, "-r", 20)
        connections = collections.Counter(line.connection for line in self.assert_exact(run))
        self.assertEqual(len(connections), 40)
        self.assertEqual(set(connections.values()), {20})
        self.assertEqual(run.document["connections"], 40, run)

    def test_cookies_stay_with_their_worker(self):
        """The cookie is the number of the worker's connection."""
        self.all_fine(
            """
            SETUP_SESSION() { mlt_get(session, "/cookie"); }
            SCENARIO(s)
            {
                mlt_response *page = mlt_get(session, "/see");
                mlt_check_str(mlt_json_str(page, "cookie"), mlt_json_str(page, "connection"));
            }
            """,
            "-w", 10, "-p", 2, "-r", 5,
        )  # fmt: skip

    def test_no_cookies_of_other_workers(self):
        self.all_fine(
            """
            SCENARIO(s)
            {
                if (mlt_worker_id(session) % 2 == 0)
                    mlt_get(session, "/cookie");
                else
                    mlt_check_str(mlt_json_str(mlt_get(session, "/see"), "cookie"), "");
            }
            """,
            "-w", 10, "-r", 5,
        )  # fmt: skip

    def test_methods_and_bodies(self):
        self.all_fine(
            """
            SCENARIO(s)
            {
                mlt_response *page = mlt_post(session, "/see", .json = "{\\"a\\": 1}");
                mlt_check_str(mlt_json_str(page, "method"), "POST");
                mlt_check_str(mlt_json_str(page, "type"), "application/json");
                mlt_check_str(mlt_json_str(page, "length"), "8");
                page = mlt_put(session, "/see", .body = "a\\0b", .body_length = 3,
                               .headers = MLT_HEADERS("Content-Type: x/y"));
                mlt_check_str(mlt_json_str(page, "method"), "PUT");
                mlt_check_str(mlt_json_str(page, "type"), "x/y");
                mlt_check_str(mlt_json_str(page, "length"), "3");
                mlt_check_str(mlt_json_str(mlt_patch(session, "/see", .body = ""), "method"),
                              "PATCH");
                mlt_check_str(mlt_json_str(mlt_delete(session, "/see"), "method"), "DELETE");
                mlt_check_str(mlt_json_str(mlt_options(session, "/see"), "method"), "OPTIONS");
                page = mlt_head(session, "/see");
                mlt_check_int(page->status, 200);
                mlt_check_int(page->body_length, 0);
                page = mlt_request(session, .method = "PURGE", .url = "/see?a=1#part");
                mlt_check_str(mlt_json_str(page, "method"), "PURGE");
                mlt_check_str(mlt_json_str(page, "query"), "a=1");
            }
            """,
            "-r", 2,
        )  # fmt: skip

    def test_a_body_that_is_discarded(self):
        """Nothing is asked of it, whatever the request before asked."""
        self.all_fine(
            """
            #define ACCEPTED(...) mlt_header(mlt_get(session, "/see", __VA_ARGS__), "X-Accepted")
            SCENARIO(s)
            {
                const char *const own[] = {"Accept: a/b", "Accept-Encoding: br", NULL};
                for (int i = 0; i < 2; i++) {
                    mlt_check_str(ACCEPTED(.name = NULL), "*/* gzip, deflate, br, zstd");
                    mlt_check_str(ACCEPTED(.discard_body = true), "");
                    mlt_check_str(ACCEPTED(.discard_body = true, .headers = own), "a/b br");
                    mlt_check_str(ACCEPTED(.headers = own), "a/b br");
                    mlt_check_str(mlt_header(mlt_post(session, "/see", .body = "a"),
                                             "X-Accepted"), "*/* gzip, deflate, br, zstd");
                    mlt_check_str(mlt_header(mlt_post(session, "/see", .body = "a",
                                                      .discard_body = true),
                                             "X-Accepted"), "");
                }
            }
            """,
            "-r", 2,
        )  # fmt: skip

    def test_no_body(self):
        """POST, PUT and PATCH say that they have none, the others say nothing: whatever
        the connection carried before."""
        self.all_fine(
            """
            #define LENGTH(page) mlt_json_str(page, "length")
            SCENARIO(s)
            {
                for (int i = 0; i < 2; i++) {
                    mlt_check_str(LENGTH(mlt_post(session, "/see")), "0");
                    mlt_check_str(LENGTH(mlt_get(session, "/see")), "");
                    mlt_check_str(LENGTH(mlt_put(session, "/see")), "0");
                    mlt_check_str(LENGTH(mlt_delete(session, "/see")), "");
                    mlt_check_str(LENGTH(mlt_patch(session, "/see")), "0");
                    mlt_check_str(LENGTH(mlt_options(session, "/see")), "");
                    mlt_check_str(LENGTH(mlt_post(session, "/see", .body = "")), "0");
                    mlt_check_str(LENGTH(mlt_post(session, "/see",
                                                  .headers = MLT_HEADERS("A: b"))), "0");
                    mlt_check_str(LENGTH(mlt_get(session, "/see",
                                                 .headers = MLT_HEADERS("A: b"))), "");
                    mlt_check_str(LENGTH(mlt_post(session, "/see", .body = "four")), "4");
                    mlt_check_str(LENGTH(mlt_post(session, "/see")), "0");
                    mlt_check_str(LENGTH(mlt_delete(session, "/see")), "");
                }
            }
            """,
            "-w", 2, "-r", 2,
        )  # fmt: skip

    def test_large_bodies(self):
        run = self.all_fine(
            """
            SCENARIO(s)
            {
                static char body[900000];
                memset(body, 'x', sizeof body);
                mlt_response *page = mlt_post(session, "/see", .body = body,
                                              .body_length = sizeof body);
                mlt_check_str(mlt_json_str(page, "length"), "900000");
                page = mlt_get(session, "/large");
                mlt_check_int(strlen(mlt_json_str(page, "fill")), 64000);
                page = mlt_get(session, "/large", .discard_body = true);
                mlt_check_int(page->body_length, 0);
                mlt_check_int(page->status, 200);
            }
            """,
            "-w", 3, "-r", 3,
        )  # fmt: skip
        self.assert_exact_bytes(run, self.assert_exact(run))

    def test_answer(self):
        self.all_fine(
            """
            SCENARIO(s)
            {
                mlt_response *page = mlt_get(session, "/redirect");
                mlt_check_int(page->status, 200);
                mlt_check_str(page->reason, "OK");
                mlt_check_int(page->redirects, 1);
                mlt_check(page->elapsed > 0 && page->elapsed < 60);
                mlt_check_str(strrchr(page->url, '/'), "/");
                mlt_check_str(page->body, "{\\"result\\": \\"OK\\"}");
                mlt_check_int(page->body_length, 16);
                mlt_check_str(mlt_header(page, "content-TYPE"), "application/json");
                mlt_check(mlt_header(page, "X-None") == NULL);
                mlt_check(mlt_json_has(page, "result") && !mlt_json_has(page, "nothing"));
                mlt_response *other = mlt_get(session, "/missing");
                mlt_check_str(page->body, "{\\"result\\": \\"OK\\"}");
                mlt_check_str(mlt_json_str(other, "result"), "missing");
            }
            """,
            "-w", 3, "-r", 3,
        )  # fmt: skip

    def test_compressed_answers(self):
        run = self.all_fine(
            """
            SCENARIO(s)
            {
                mlt_response *page = mlt_get(session, "/gzip");
                mlt_check_str(mlt_json_str(page, "result"), "OK");
                mlt_check_int(strlen(mlt_json_str(page, "fill")), 64000);
                mlt_check_str(mlt_header(page, "Content-Encoding"), "gzip");
            }
            """,
            "-w", 3, "-r", 3,
        )  # fmt: skip
        log = self.assert_exact(run)
        self.assertLess(run.totals["bytes_in"], 9 * 10000, "counted as it travelled")
        frames = sum(line.bytes_out for line in log) - run.totals["bytes_in"]
        self.assertTrue(0 <= frames <= 9 * 50, f"the frames of the chunks: {frames}\n{run}")

    def test_json_that_is_not_there(self):
        run = self.load(
            """
            SCENARIO(a) { mlt_json_str(mlt_get(session, "/"), "nothing.here[3]"); }
            SCENARIO(b) { mlt_json_int(mlt_get(session, "/"), "result"); }
            SCENARIO(c) { mlt_json_str(mlt_get(session, "/nginx-status"), "result"); }
            """,
            "--single-run",
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 3, run)
        said = " ".join(f"{e['message']} {e['sample']}" for e in run.document["errors"])
        self.assertIn("nothing.here[3]", said, run)
        self.assertRegex(said, "(?i)json", run)
        self.assertIn("loadtest.c:", said, run)

    def test_labels(self):
        run = self.all_fine(
            """
            SCENARIO(s)
            {
                mlt_get(session, "/see?one=1");
                mlt_get(session, "/see?two=2");
                mlt_get(session, "/see/../", .name = "named");
            }
            """,
            "-r", 2,
        )  # fmt: skip
        names = {row["name"]: row["hits"] for row in run.document["requests"]}
        self.assertEqual(sorted(names.values()), [2, 4], run)
        self.assertEqual(names["named"], 2, run)
        self.assertNotIn("?", "".join(names))


class Checks(FeatureTest):
    def test_a_failure_names_file_line_expression_and_values(self):
        run = self.load(
            'SCENARIO(a)\n{\n    mlt_response *page = mlt_get(session, "/missing");\n'
            "    mlt_check_int(page->status, 200);\n}\n"
            'SCENARIO(b)\n{\n    mlt_check_str(mlt_json_str(mlt_get(session, "/"), "result"),'
            ' "KO");\n}\n'
            "SCENARIO(c)\n{\n    mlt_check(1 + 1 == 3);\n}\n",
            "--single-run", "-w", 3,
        )  # fmt: skip
        self.assertEqual(run.totals["failed"], 9, run)
        said = [f"{e['message']} {e['sample']}" for e in run.document["errors"]]
        self.assertEqual(len(said), 3, run)
        self.assertEqual([e["count"] for e in run.document["errors"]], [3, 3, 3], run)
        for words in (
            [f"loadtest.c:{PREAMBLE_LINES + 4}", "page->status", "404", "200"],
            [f"loadtest.c:{PREAMBLE_LINES + 8}", '"OK"', '"KO"'],
            [f"loadtest.c:{PREAMBLE_LINES + 12}", "1 + 1 == 3"],
        ):
            self.assertTrue(
                any(all(word in text for word in words) for text in said), f"{words}\n{run}"
            )
        self.assertIn("1 + 1 == 3", run.stdout)

    def test_failures_in_own_words_are_grouped(self):
        run = self.load(
            'SCENARIO(a) { mlt_fail("order %ld is lost", mlt_step(session)); }', "-r", 20
        )
        self.assertEqual(len(run.document["errors"]), 1, run)
        self.assertEqual(run.document["errors"][0]["count"], 20, run)
        self.assertIn("order 1 is lost", run.document["errors"][0]["sample"], run)

    def test_what_follows_a_failed_check_is_not_run(self):
        run = self.load(
            'SCENARIO(a) { mlt_check(0 == 1); mlt_count("after", 1); mlt_get(session, "/"); }',
            "-r", 3,
        )  # fmt: skip
        self.assertEqual(run.document["counters"], {}, run)
        self.assertEqual(run.totals["hits"], 0, run)

    def test_memory_of_a_failed_run_is_freed(self):
        """4 GB in all, in a process that may have 500 MiB."""
        run = self.load(
            """
            SCENARIO(a)
            {
                memset(mlt_alloc(session, 1 << 20), 1, 1 << 20);
                mlt_check_int(strlen(mlt_format(session, "%100000d", 1)), 100000);
                mlt_fail("on purpose");
            }
            """,
            "-r", 1000, "-w", 4, *(() if SANITIZED else ("--memory-limit", 500)),
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(list(run.messages().values()), [4000], run)
        self.assertIn("on purpose", run.stdout, run)

    def test_counters(self):
        run = self.all_fine(
            'SCENARIO(a) { mlt_count("sold", 3); mlt_count("left", -1); }',
            "-w", 4, "-p", 2, "-r", 5,
        )  # fmt: skip
        self.assertEqual(run.document["counters"], {"sold": 120, "left": -40}, run)

    def test_print(self):
        run = self.all_fine(
            'SCENARIO(a) { mlt_print("hello from %d", mlt_worker_id(session)); }',
            "-w", 2, "-r", 1, "-v",
        )  # fmt: skip
        self.assertIn("hello from 0", run.stdout, run)
        self.assertIn("hello from 1", run.stdout, run)

    def test_a_flood_of_lines_is_cut_and_counted(self):
        run = self.all_fine(
            'SCENARIO(a) { for (int i = 0; i < 1000; i++) mlt_print("line %d", i); }',
            "-w", 5, "-r", 20,
        )  # fmt: skip
        self.assertGreater(run.document["lines_dropped"], 0, run)

    def test_a_listener_cannot_wait(self):
        """What is not allowed is said, and does not crash or hang."""
        for call in ('mlt_get(event->session, "/")', "mlt_sleep(event->session, 1)"):
            with self.subTest(call):
                run = self.load(
                    "EVENTS(ear) { if (event->kind == MLT_SENDING_REQUEST) " + call + "; }\n"
                    + PLAIN,
                    "-r", 2,
                )  # fmt: skip
                self.assert_status(run, 0)
                self.assertEqual(run.document["processes_lost"], [], run)
                self.assertRegex(run.stdout + run.stderr, "(?i)listener|event", run)


class Programs(FeatureTest):
    def test_what_a_scenario_starts_inherits_nothing_of_ours(self):
        """Neither the channel to the runner (or to the slave), nor the shared memory, nor
        what the loop watches with. Only libcurl's own pair of sockets, which libcurl 7.88
        leaves open: it leads nowhere else, and is known by its maker."""
        for processes in (1, 2):
            with self.subTest(processes=processes):
                listing = self.path(f"descriptors-{processes}")
                run = self.all_fine(
                    """
                    #include <stdio.h>
                    #include <sys/socket.h>
                    #include <unistd.h>

                    struct maker { int pid; unsigned uid, gid; };

                    SCENARIO(s)
                    {
                        if (mlt_process_index(session) != 0)
                            return;
                        FILE *list = fopen(getenv("LIST"), "we");
                        mlt_check(list != NULL);
                        for (int fd = 3; fd < 100; fd++) {
                            struct maker maker;
                            socklen_t size = sizeof maker;
                            char target[200] = "", *link =
                                mlt_format(session, "/proc/self/fd/%d", fd);
                            if (readlink(link, target, sizeof target - 1) > 0
                                && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &maker, &size) == 0
                                && maker.pid != getpid())
                                fprintf(list, "channel %s\\n", target);
                        }
                        fclose(list);
                        mlt_check(system("ls -l /proc/self/fd >>$LIST") == 0);
                    }
                    """,
                    "-r", 1, "-p", processes, env={"LIST": listing},
                )  # fmt: skip
                with open(listing, encoding="utf-8") as file:
                    text = file.read()
                channels = re.findall(r"^channel (.*)", text, re.MULTILINE)
                self.assertTrue(channels, f"no channel was found\n{text}")
                found = dict(re.findall(r" (\d+) -> (.*)", text))
                self.assertEqual(found.pop("1"), listing, text)
                self.assertTrue({"0", "2"} <= found.keys(), text)
                others = [
                    target
                    for number, target in found.items()
                    if number not in "02" and not re.fullmatch(r"/proc/\d+/fd", target)
                ]
                for target in others:
                    self.assertRegex(target, "^socket:", text)
                    self.assertNotIn(target, channels, text)
                self.assertLessEqual(len(others), 2, text)


@unittest.skipIf(SANITIZED, "a sanitizer has to be the first of the preloaded objects")
class SlowLookup(FeatureTest):
    SCENARIO = """
        #include <unistd.h>
        static bool gave_up;
        EVENTS(ear)
        {
            if (event->kind == MLT_SCENARIO_FAILURE && !strcmp(event->scenario, "slow"))
                gave_up = true;
        }
        SCENARIO_PICKER() { return worker_id < 3 ? "slow" : "fast"; }
        SCENARIO(slow) { mlt_get(session, "http://slow.invalid/", .timeout = 0.5); }
        SCENARIO(fast)
        {
            mlt_check(mlt_get(session, "/")->status == 200);
            if (gave_up && access(getenv("SLOW_LOOKUP_OVER"), F_OK))
                mlt_count("meanwhile", 1);
        }
    """

    def setUp(self):
        super().setUp()
        self.preload = preloaded(self.directory, "slow_lookup")

    def test_others_go_on(self):
        """A look-up that hangs holds up who asked for it, no longer than its time-out."""
        begun, until, over = (self.path(name) for name in ("begun", "until", "over"))
        run = self.load(
            self.SCENARIO, "-w", 6, "-d", 1.5,
            env={
                "LD_PRELOAD": self.preload,
                "SLOW_LOOKUP_BEGUN": begun,
                "SLOW_LOOKUP_UNTIL": until,
                "SLOW_LOOKUP_OVER": over,
            },
        )  # fmt: skip
        self.assertTrue(os.path.exists(begun), f"nothing was looked up\n{run}")
        self.assertFalse(os.path.exists(over), f"the run waited for the look-up\n{run}")
        self.assert_status(run, 0)
        self.assertEqual(run.document["state"], "finished", run)
        self.assertGreaterEqual(run.scenario("slow")["failed"], 3, run)
        self.assertEqual(run.scenario("fast")["failed"], 0, run)
        said = " ".join(run.messages())
        self.assertIn("no connection within the time-out", said, run)
        self.assertGreater(run.totals["hits"], 50, run)
        self.assertGreater(run.document["counters"].get("meanwhile", 0), 50, run)
        self.assert_exact(run)


class Outputs(FeatureTest):
    def test_report(self):
        run = self.all_fine(
            'SCENARIO(a) { mlt_get(session, "/redirect"); }\n'
            'SCENARIO(b) { mlt_get(session, "/orders"); mlt_count("sold", 2); }\n',
            "-w", 2, "--single-run",
        )  # fmt: skip
        self.assertIn("SUCCESSES: 4 | FAILURES: 0", run.stdout, run)
        for word in ("GET", "/redirect", "/orders", "302", "200", "201", "p50", "p99", "sold"):
            self.assertIn(word, run.stdout, run)
        self.assertNotIn("\x1b", run.stdout)
        self.assertEqual(run.stderr, "", run)

    def test_document(self):
        run = self.all_fine(PLAIN, "-w", 2, "-p", 2, "-r", 50)
        document = run.document
        self.assertTrue(document["run_id"])
        self.assertEqual(document["lines_dropped"], 0, run)
        self.assertEqual(document["setup_failed"], 0, run)
        self.assertEqual(document["agents_lost"], [], run)
        self.assertEqual(document["errors"], [], run)
        (row,) = document["requests"]
        self.assertEqual(row["method"], "GET")
        self.assertEqual(row["status"], {"200": 200})
        for latency in (row["latency_us"], document["scenarios"][0]["latency_us"]):
            ascending = [latency[k] for k in ("min", "p50", "p90", "p95", "p99", "p999", "max")]
            self.assertEqual(ascending, sorted(ascending), run)
            self.assertTrue(latency["min"] <= latency["mean"] <= latency["max"], run)
            self.assertGreater(latency["min"], 0)

    def test_run_ids_differ(self):
        ids = {self.all_fine(PLAIN, "-r", 1).document["run_id"] for _ in range(3)}
        self.assertEqual(len(ids), 3)

    def test_json_on_standard_output(self):
        """Without a file name, the document is all that stdout gets."""
        run = self.run_molotov(
            "-r", 2, "--output", "json", "--server-url", self.nginx.url, scenario=PLAIN
        )
        self.assert_status(run, 0)
        run.json_text = run.stdout
        self.assertEqual(run.totals["ok"], 2, run)

    def test_null(self):
        run = self.run_molotov(
            "-r", 2, "--output", "null", "--server-url", self.nginx.url, scenario=PLAIN
        )
        self.assert_status(run, 0)
        self.assertEqual(run.stdout, "")
        self.assertEqual(self.nginx.count(), 2)

    def test_quiet(self):
        run = self.load(PLAIN, "-q", "-r", 2)
        self.assert_status(run, 0)
        self.assertEqual((run.stdout, run.stderr), ("", ""))

    def test_very_verbose(self):
        """-vv shows requests and answers."""
        run = self.all_fine(
            'SCENARIO(s) { mlt_post(session, "/orders", .json = "{\\"item\\": 1}"); }',
            "-vv", "-r", 1,
        )  # fmt: skip
        shown = run.stdout + run.stderr
        for words in ("POST", "/orders", '{"item": 1}', "201", '{"order": 1}'):
            self.assertIn(words, shown, run)

    def test_closed_standard_output(self):
        """A reader that goes away ends no run: the document is still whole."""
        read_end, write_end = os.pipe()
        os.close(read_end)
        path = self.path("result.json")
        process = subprocess.run(
            [RUNNER, self.nginx.url + "/", "-r", "20", "-w", "2", "--output", "stdout"]
            + ["--output", "json", "--output-json-filename", path],
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=subprocess.PIPE,
            env=self.environment(),
            timeout=60,
            check=False,
        )
        os.close(write_end)
        self.assertGreaterEqual(process.returncode, 0, process)
        self.assertEqual(marked_processes(self.mark), {})
        self.assertEqual(self.nginx.count(), 40, process)

    def test_terminal(self):
        """On a terminal there is a live line, drawn anew; the report comes after it."""
        main, terminal = pty.openpty()
        self.addCleanup(os.close, main)
        process = subprocess.Popen(
            [RUNNER, self.nginx.url + "/", "-d", "1.5", "-w", "2"],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=self.environment({"TERM": "xterm"}),
            start_new_session=True,
        )
        self.addCleanup(process.kill)
        os.close(terminal)
        shown = b""
        while True:
            try:
                piece = os.read(main, 65536)
            except OSError:  # the last writer is gone
                break
            if not piece:
                break
            shown += piece
        self.assertEqual(process.wait(), 0, shown)
        text = shown.decode()
        self.assertRegex(text, r"\r.*%", "a live line with its progress")
        self.assertRegex(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text), r"SUCCESSES: \d+ \| FAILURES: 0")


class Compiling(FeatureTest):
    def setUp(self):
        super().setUp()
        self.log = self.path("compiled")
        wrapper = self.write("cc", f'#!/bin/sh\necho "$@" >> {self.log}\nexec gcc "$@"\n')
        os.chmod(wrapper, 0o755)
        self.cc = {"CC": wrapper}

    def compiled(self):
        try:
            with open(self.log, encoding="utf-8") as file:
                return sum(" -shared " in line for line in file)
        except FileNotFoundError:
            return 0

    def test_cache(self):
        """The same content is compiled once; it is only read again for changes."""

        def compiled(text):
            before = self.compiled()
            path = self.write("own/loadtest.c", "#include <molotov.h>\n" + text)
            self.assert_status(self.load(None, path, "-r", 1, env=self.cc), 0)
            return self.compiled() - before

        self.assertEqual(compiled(PLAIN), 1)
        self.assertEqual(compiled(PLAIN), 0)
        self.assertEqual(compiled(PLAIN + "SCENARIO(other) {}\n"), 1)
        self.assertEqual(compiled(PLAIN), 0)

    def test_cache_sees_local_includes(self):
        def load(number):
            self.write("own/mine.h", f"#define NUMBER {number}\n")
            path = self.write(
                "own/loadtest.c",
                '#include <molotov.h>\n#include "mine.h"\n'
                'SCENARIO(s) { mlt_count("number", NUMBER); }\n',
            )
            run = self.load(None, path, "-r", 1, env=self.cc)
            self.assert_status(run, 0)
            return run.document["counters"]["number"]

        self.assertEqual([load(1), load(2), load(1)], [1, 2, 1])

    def test_two_runs_at_once(self):
        """Both may compile; neither sees half an object."""
        started = [self.start("-r", 1, scenario="SCENARIO(s) {}\n") for _ in range(4)]
        for running in started:
            run = running.wait()
            self.assert_status(run, 0)
            self.assertEqual(run.totals["ok"], 1, run)

    def test_cache_that_cannot_be_written(self):
        blocked = self.write("blocked", "a file, no directory")
        run = self.run_molotov("-r", 1, scenario=PLAIN, env={"XDG_CACHE_HOME": blocked})
        self.assert_status(run, 1)
        self.assertIn(blocked, run.stderr, run)

    def test_broken_object_in_the_cache(self):
        self.all_fine(PLAIN, "-r", 1)
        for folder, _, names in os.walk(self.path("cache")):
            for name in names:
                if name.endswith(".h"):
                    continue
                with open(os.path.join(folder, name), "r+b") as file:
                    file.truncate(100)
        run = self.load(PLAIN, "-r", 1)
        self.assert_status(run, 0)
        self.assertEqual(run.totals["ok"], 1, run)

    def test_flags_of_the_file(self):
        self.all_fine(
            "// molotov: -lm -DANSWER=42\n#include <math.h>\n"
            "static volatile double two = 2;\n"
            "SCENARIO(s) { mlt_check(pow(two, 3) > 7.9); mlt_check_int(ANSWER, 42); }\n",
            "-r", 1,
        )  # fmt: skip

    def test_warnings_are_shown_and_do_not_stop(self):
        run = self.load('SCENARIO(s) { int x = "text"; (void)x; }', "-r", 1)
        self.assert_status(run, 0)
        self.assertIn("warning", run.stderr, run)

    def test_path_with_blanks_and_quotes(self):
        path = self.write("it's a; \"place\"/load test.c", "#include <molotov.h>\n" + PLAIN)
        run = self.load(None, path, "-r", 1)
        self.assert_status(run, 0)
        self.assertEqual(run.totals["ok"], 1, run)

    def compile_object(self, *flags):
        source = self.write("object.c", "#include <molotov.h>\n" + PLAIN)
        path = self.path("object.so")
        sanitize = [f"-fsanitize={SANITIZED_WITH}"] if SANITIZED else []
        subprocess.run(
            ["gcc", "-shared", "-fPIC", *sanitize, *flags]
            + ["-I", os.path.join(ROOT, "include"), "-o", path, source],
            check=True,
        )
        return path

    def test_object(self):
        run = self.load(None, self.compile_object(), "-r", 3)
        self.assert_status(run, 0)
        self.assertEqual(run.totals["ok"], 3, run)

    def test_object_of_another_abi(self):
        """It is not loaded, and the reason is said."""
        with open(os.path.join(ROOT, "include/molotov.h"), encoding="utf-8") as file:
            header = file.read()
        define = "#define MLT_API_VERSION "
        self.assertIn(define, header)
        self.write("other/molotov.h", header.replace(define, define + "999"))
        for flags in (["-DMLT_NO_STAMP"], ["-I", self.path("other")]):
            with self.subTest(flags):
                run = self.run_molotov(self.compile_object(*flags), "-r", 1)
                self.assert_status(run, 1)
                self.assertTrue(run.stderr)
                self.assertIsNone(run.json_text)


SANITIZED_WITH = os.environ.get("MOLOTOV_SANITIZED", "")


class UrlAsTheTest(FeatureTest):
    def url(self, path, *args, status=0):
        run = self.run_molotov(self.nginx.url + path, "-r", 3, "-w", 2, *args)
        self.assert_status(run, status)
        self.assert_exact(run)
        return run

    def test_get(self):
        run = self.url("/", "-p", 2)
        self.assertEqual(run.totals["ok"], 12, run)
        self.assertEqual(len({line.connection for line in self.nginx.log()}), 4)

    def test_success_is_a_status_below_400(self):
        self.assertEqual(self.url("/missing").totals["failed"], 6)
        self.nginx.forget()
        self.assertEqual(self.url("/broken").totals["failed"], 6)
        self.nginx.forget()
        run = self.url("/redirect/2")
        self.assertEqual((run.totals["ok"], run.totals["hits"]), (6, 18), run)

    def test_method_headers_and_data(self):
        run = self.url("/see", "-X", "PUT", "-H", "X-Test: one", "-H", "A: b", "--data", "hello")
        log = self.nginx.log()
        self.assertEqual({(line.method, line.test) for line in log}, {("PUT", "one")}, run)

    def test_header_with_a_tab(self):
        run = self.url("/see", "-H", "X-Test: one\ttwo")
        self.assertEqual(run.totals["ok"], 6, run)
        self.assertEqual({line.test for line in self.nginx.log()}, {r"one\x09two"}, run)

    def test_user_agent_is_left_out(self):
        """Asked with no value; as long as the line was, the request is now shorter."""
        lengths = []
        for args in [], ["-H", "User-Agent: tester"], ["-H", "user-agent: "]:
            self.url("/see", *args)
            lengths.append({line.bytes_in for line in self.nginx.log()})
            self.nginx.forget()
        (default,), (own,), (none,) = lengths
        self.assertEqual(own - none, len("User-Agent: tester\r\n"))
        self.assertGreater(default - none, len("User-Agent: molotov/\r\n"))

    def test_longest_method(self):
        run = self.url("/see", "-X", "M" * 31)
        self.assertEqual(run.totals["ok"], 6, run)
        self.assertEqual({line.method for line in self.nginx.log()}, {"M" * 31}, run)

    def test_data_of_a_post(self):
        run = self.url("/orders", "-X", "POST", "--data", "a=1")
        self.assertEqual({line.method for line in self.nginx.log()}, {"POST"}, run)

    def test_head(self):
        run = self.url("/", "-X", "HEAD")
        self.assertEqual(run.totals["ok"], 6, run)

    def test_many_workers_for_a_while(self):
        run = self.run_molotov(self.nginx.url + "/", "-w", 100, "-p", 2, "-d", 1)
        self.assert_status(run, 0)
        log = self.assert_exact(run)
        self.assert_exact_bytes(run, log)
        self.assertEqual(len({line.connection for line in log}), 200)

    def test_signal_in_the_middle(self):
        running = self.start(self.nginx.url + "/", "-w", 50, "-p", 2)
        wait_until(lambda: self.nginx.lines() > 500, "requests")
        running.signal(signal.SIGINT)
        run = self.finish(running)
        self.assert_status(run, 0)
        self.assert_exact(run)
        self.assertEqual(run.document["interrupted_by"], "SIGINT", run)


class Example(FeatureTest):
    def test_example(self):
        run = self.run_molotov(
            os.path.join(ROOT, "examples/loadtest.c"), "-w", 5, "-p", 2, "-r", 5,
            "--server-url", self.nginx.url,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 0, run)
        self.assert_exact(run)


class ManyWorkers(SystemTest):
    @unittest.skipIf(SANITIZED, "ten thousand stacks of a sanitizer are another matter")
    def test_ten_thousand_workers_start(self):
        """Each waits for the last one."""
        run = self.run_molotov(
            "-w", 10000, "-r", 1,
            scenario="""
            static int started;
            SCENARIO(s)
            {
                for (started++; started < 10000;)
                    mlt_sleep(session, 0.05);
            }
            """,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["ok"], 10000, run)
        self.assertEqual(run.document["workers_max"], 10000, run)


if __name__ == "__main__":
    unittest.main()
