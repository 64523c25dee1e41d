/* http/unix_queue.h - the patience with a unix socket whose queue is full.
 *
 * One of tcp lets a client wait; this one refuses it at once, with EAGAIN. So whoever
 * connects asks again after a pause, for as long as a connection may take, and then has
 * failed as one that tcp let wait: failure_no_connection. */
#ifndef HTTP_UNIX_QUEUE_H
#define HTTP_UNIX_QUEUE_H

#define UNIX_QUEUE_PAUSE_S 0.005
#define UNIX_QUEUE_PAUSE_MAX_S 0.2

/* The next pause: twice the last one; 0: there was none. */
static inline double unix_queue_pause_s(double last_s)
{
    if (last_s <= 0)
        return UNIX_QUEUE_PAUSE_S;
    return 2 * last_s < UNIX_QUEUE_PAUSE_MAX_S ? 2 * last_s : UNIX_QUEUE_PAUSE_MAX_S;
}

#endif
