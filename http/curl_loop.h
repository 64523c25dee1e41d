/* http/curl_loop.h - a multi of libcurl on the loop of the process.
 *
 * libcurl says which sockets it watches and how long it can wait; both become watchers. It
 * is driven when one of them fires, and before the loop sleeps when it has asked for that:
 * never from within one of its own callbacks. */
#ifndef HTTP_CURL_LOOP_H
#define HTTP_CURL_LOOP_H

#include <stdbool.h>
#include <stddef.h>

#include <curl/curl.h>
#include <ev.h>

/* Part of whatever has it. */
struct curl_loop {
    CURLM *multi;
    struct ev_loop *loop;
    void (*on_driven)(struct curl_loop *curl_loop); /* libcurl has run, and returned */
    void *data;

    /* What follows is curl_loop.c's. */
    ev_timer timer;
    ev_prepare prepare;
    bool due;                      /* libcurl asked to be driven at once */
    struct socket_watch **sockets; /* at the index of their descriptors */
    size_t socket_count;
};

void curl_loop_open(struct curl_loop *curl_loop, struct ev_loop *loop,
                    void (*on_driven)(struct curl_loop *curl_loop), void *data);
void curl_loop_close(struct curl_loop *curl_loop); /* no handle left */

/* on_driven() follows before the loop sleeps. */
void curl_loop_drive_soon(struct curl_loop *curl_loop);

/* To be called before a socket of libcurl's is closed: its number may come back as another
 * one, which epoll does not know. */
void curl_loop_forget_socket(struct curl_loop *curl_loop, int fd);

#endif
