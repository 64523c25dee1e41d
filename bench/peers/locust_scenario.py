"""bench/scenario.c for Locust: one request, its status and a value of its JSON checked."""

import gevent.ssl
from locust import task
from locust.contrib.fasthttp import FastHttpUser


def trusting_context():
    """The certificate is made anew for each call of bench/run. One context for all users:
    by itself Locust loads the system's certificates for each, 40 ms every time."""
    context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = gevent.ssl.CERT_NONE
    return context


CONTEXT = trusting_context()


class Checker(FastHttpUser):
    ssl_context_factory = staticmethod(lambda: CONTEXT)

    @task
    def get(self):
        with self.client.get("/", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
            elif answer.json()["result"] != "OK":
                answer.failure("another result")
