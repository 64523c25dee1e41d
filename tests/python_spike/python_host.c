/* tests/python_spike/python_host.c - the half of the Python host that is in C.
 *
 * asyncio waits in turn(), which runs the process's libev loop once: an answer, the end
 * of a sleep or a descriptor of the script's sets a future in a libev callback, and after
 * the turn asyncio runs the tasks that waited for it. So no Python code of the user's
 * ever runs inside ev_run(). */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "tests/python_spike/python_host.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/text.h"

/* The interpreter is one for each process, and so is what it shares with libev. */
static struct {
    PyObject *module; /* molotov.py */
    PyObject *loop;   /* asyncio's; NULL: it does not run */
    PyObject *over;   /* a future: all workers have ended */
    PyObject *ready;  /* in a turn: [(descriptor, events)] */
    struct crew *crew;
    ev_idle busy;            /* active: asyncio has something to run */
    PyThreadState *released; /* while libev waits */
} python;

/* What Python knows as a worker: worker->host_data. */
struct py_worker {
    PyObject head;
    struct worker *worker; /* NULL: it is gone, and only the script still knows it */
    PyObject *task;
    PyObject *sleeping; /* future of STEP_SLEEP, or NULL */
    PyObject *answer;   /* future of the request under way, or NULL */
    PyObject *url;      /* which `request` borrows */
    struct request request;
    bool begun; /* its task has run: one that is cancelled before never would */
};

/* --- futures ---------------------------------------------------------------------------- */

static PyObject *new_future(void)
{
    return PyObject_CallMethod(python.loop, "create_future", NULL);
}

static bool is_done(PyObject *future)
{
    PyObject *const done = PyObject_CallMethod(future, "done", NULL);

    Py_XDECREF(done);
    return done == Py_True;
}

/* libev calls some callbacks before it waits (what was fed to it, and those of prepare
 * watchers, where a quick answer may come): it must not wait then. */
static void keep_busy(void)
{
    ev_idle_start(python.crew->loop, &python.busy);
}

/* Calls future.METHOD(value), or without a value when that is NULL, unless whoever waited
 * has given up. Takes both references. */
static void settle(PyObject *future, const char *method, PyObject *value)
{
    PyObject *const name = PyUnicode_FromString(method);

    keep_busy();
    if (!is_done(future))
        Py_XDECREF(PyObject_CallMethodObjArgs(future, name, value, NULL));
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(future);
    Py_XDECREF(name);
    Py_XDECREF(value);
    Py_DECREF(future);
}

/* --- the session ------------------------------------------------------------------------ */

static PyObject *make_text(const char *text, size_t size)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)size, "replace");
}

static void on_response(struct session *session, struct response *response, void *data)
{
    struct py_worker *const self = data;
    PyObject *const future = self->answer;

    (void)session;
    self->answer = NULL;
    if (response->cancelled)
        settle(future, "cancel", NULL);
    else if (response->failure != NULL)
        settle(future, "set_exception",
               PyObject_CallMethod(
                   python.module, "RequestError", "N",
                   make_text(response->failure, strlen(response->failure))));
    else
        settle(future, "set_result",
               PyObject_CallMethod(python.module, "Response", "iN", response->status,
                                   make_text(response->body, response->body_size)));
}

/* get(url): a future of the response. */
static PyObject *py_get(PyObject *object, PyObject *url)
{
    struct py_worker *const self = (struct py_worker *)object;
    struct worker *const worker = self->worker;
    const char *const text = PyUnicode_AsUTF8(url);
    struct error err;

    if (text == NULL)
        return NULL;
    if (worker == NULL || worker->session == NULL)
        return PyErr_Format(PyExc_RuntimeError, "the session is closed");
    if (self->answer != NULL && !is_done(self->answer))
        return PyErr_Format(PyExc_RuntimeError,
                            "a session sends one request at a time");
    session_cancel(worker->session); /* what the script has given up (wait_for) */
    self->answer = new_future();
    if (self->answer == NULL)
        return NULL;
    Py_XSETREF(self->url, Py_NewRef(url));
    self->request = (struct request){
        .method = "GET", .url = text, .follow = true, .keep_body = true};
    if (session_send(worker->session, &self->request, on_response, self, &err) == -1) {
        Py_CLEAR(self->answer);
        return PyErr_Format(PyExc_ValueError, "%s", err.message);
    }
    worker->waits++;
    return Py_NewRef(self->answer);
}

/* --- the steps -------------------------------------------------------------------------- */

static void python_cancel(struct worker *worker)
{
    const struct py_worker *const self = worker->host_data;

    keep_busy();
    if (self->begun)
        Py_XDECREF(PyObject_CallMethod(self->task, "cancel", NULL));
}

/* next(): (step, function of a scenario or seconds of a sleep or None). */
static PyObject *py_next(PyObject *object, PyObject *unused)
{
    struct py_worker *const self = (struct py_worker *)object;
    const struct step step = worker_next(self->worker);

    (void)unused;
    self->begun = true;
    if (self->worker->cancelled) /* before its first step */
        python_cancel(self->worker);
    if (step.kind == STEP_SCENARIO)
        return Py_BuildValue("(iO)", STEP_SCENARIO, (PyObject *)step.scenario->code);
    if (step.kind == STEP_SLEEP)
        return Py_BuildValue("(id)", STEP_SLEEP, step.sleep_s);
    return Py_BuildValue("(iO)", (int)step.kind, Py_None);
}

/* done(): it went well; done(message, sample): it did not. */
static PyObject *py_done(PyObject *object, PyObject *args)
{
    struct py_worker *const self = (struct py_worker *)object;
    struct outcome outcome = {.kind = OUTCOME_OK};
    PyObject *message = NULL, *sample = NULL;

    if (!PyArg_ParseTuple(args, "|SS:done", &message, &sample))
        return NULL;
    if (self->worker->cancelled)
        outcome.kind = OUTCOME_CANCELLED;
    else if (message != NULL && sample != NULL)
        outcome = (struct outcome){OUTCOME_FAILED, PyBytes_AS_STRING(message),
                                   PyBytes_AS_STRING(sample)};
    worker_done(self->worker, &outcome);
    Py_RETURN_NONE;
}

/* sleep(seconds): a future. */
static PyObject *py_sleep(PyObject *object, PyObject *seconds)
{
    struct py_worker *const self = (struct py_worker *)object;

    self->sleeping = new_future();
    if (self->sleeping == NULL)
        return NULL;
    worker_sleep(self->worker, PyFloat_AsDouble(seconds));
    return Py_NewRef(self->sleeping);
}

static void python_resume(struct worker *worker)
{
    struct py_worker *const self = worker->host_data;
    PyObject *const future = self->sleeping;

    self->sleeping = NULL;
    settle(future, "set_result", Py_NewRef(Py_None));
}

/* enter() and leave(): around all that runs of the user's code, for the black box. */

static PyObject *py_enter(PyObject *object, PyObject *unused)
{
    (void)unused;
    worker_enter(((struct py_worker *)object)->worker, -1);
    Py_RETURN_NONE;
}

static PyObject *py_leave(PyObject *object, PyObject *unused)
{
    (void)unused;
    worker_leave(((struct py_worker *)object)->worker,
                 (struct blackbox_slot){.scenario = 0});
    Py_RETURN_NONE;
}

/* --- the worker ------------------------------------------------------------------------- */

static void free_worker(PyObject *object)
{
    struct py_worker *const self = (struct py_worker *)object;

    Py_XDECREF(self->task);
    Py_XDECREF(self->sleeping);
    Py_XDECREF(self->answer);
    Py_XDECREF(self->url);
    PyObject_Free(self);
}

static PyMethodDef worker_methods[] = {
    {"next",  py_next,  METH_NOARGS,  NULL},
    {"done",  py_done,  METH_VARARGS, NULL},
    {"sleep", py_sleep, METH_O,       NULL},
    {"enter", py_enter, METH_NOARGS,  NULL},
    {"leave", py_leave, METH_NOARGS,  NULL},
    {"get",   py_get,   METH_O,       NULL},
    {NULL,    NULL,     0,            NULL},
};

static PyTypeObject worker_type = {
    .ob_base = {.ob_base = {.ob_refcnt = 1}},
    .tp_name = "_molotov.Worker",
    .tp_basicsize = sizeof(struct py_worker),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = free_worker,
    .tp_alloc = PyType_GenericAlloc,
    .tp_methods = worker_methods,
};

/* Takes the exception that was raised: -1, and its words in `err`. */
static int take_exception(struct error *err)
{
    PyObject *type, *value, *traceback, *text;
    const char *words;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    text = PyObject_Str(value);
    words = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    error_set(err, "%s: %s", ((PyTypeObject *)type)->tp_name,
              words != NULL ? words : "(no text)");
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(traceback);
    Py_DECREF(value);
    Py_DECREF(type);
    return -1;
}

static void python_destroy(struct worker *worker)
{
    struct py_worker *const self = worker->host_data;

    if (self == NULL)
        return;
    if (worker->session != NULL)
        session_cancel(worker->session); /* calls on_response(), so not later */
    self->worker = NULL;
    Py_CLEAR(self->task); /* which knows the worker, too */
    Py_DECREF(self);
    worker->host_data = NULL;
}

static int python_start(struct worker *worker, struct error *err)
{
    struct py_worker *self;

    if (python.loop == NULL)
        return error_set(err, "asyncio's loop does not run");
    self = (struct py_worker *)worker_type.tp_alloc(&worker_type, 0);
    if (self == NULL)
        return take_exception(err);
    self->worker = worker;
    worker->host_data = self;
    self->task = PyObject_CallMethod(
        python.loop, "create_task", "N",
        PyObject_CallMethod(python.module, "live", "Ol", self, worker->id));
    keep_busy();
    if (self->task != NULL)
        return 0;
    python_destroy(worker);
    return take_exception(err);
}

/* --- asyncio on libev ------------------------------------------------------------------- */

static void on_descriptor_ready(struct ev_loop *loop, ev_io *io, int revents)
{
    PyObject *const pair =
        Py_BuildValue("(ii)", io->fd, revents & (EV_READ | EV_WRITE));

    (void)loop;
    if (pair == NULL || PyList_Append(python.ready, pair) == -1)
        PyErr_WriteUnraisable(python.ready);
    Py_XDECREF(pair);
}

static void free_watch(PyObject *watch)
{
    ev_io *const io = PyCapsule_GetPointer(watch, NULL);

    ev_io_stop(io->data, io);
    free(io);
}

/* watch(descriptor, events): for as long as the result lives. The events of Python's
 * selectors are libev's. */
static PyObject *py_watch(PyObject *module, PyObject *args)
{
    int descriptor, events;
    ev_io *io;

    (void)module;
    if (!PyArg_ParseTuple(args, "ii:watch", &descriptor, &events))
        return NULL;
    io = xcalloc(1, sizeof(*io));
    ev_io_init(io, on_descriptor_ready, descriptor, events);
    io->data = python.crew->loop;
    ev_io_start(python.crew->loop, io);
    return PyCapsule_New(io, NULL, free_watch);
}

static void on_idle(struct ev_loop *loop, ev_idle *idle, int revents)
{
    (void)loop;
    (void)idle;
    (void)revents;
}

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)timer;
    (void)revents;
}

static void run_once(struct ev_loop *loop, bool may_wait, double timeout_s)
{
    ev_timer timer;

    ev_init(&timer, on_timeout);
    if (may_wait && timeout_s > 0)
        loop_timer_start(loop, &timer, timeout_s);
    ev_run(loop, may_wait ? EVRUN_ONCE : EVRUN_NOWAIT);
    ev_timer_stop(loop, &timer);
    ev_idle_stop(loop, &python.busy);
}

/* turn(timeout): runs the loop once, and waits for at most so many seconds (None: for as
 * long as nothing happens): the descriptors that are ready. */
static PyObject *py_turn(PyObject *module, PyObject *timeout)
{
    const double timeout_s = timeout != Py_None ? PyFloat_AsDouble(timeout) : 0;
    bool may_wait = timeout == Py_None || timeout_s > 0;
    PyObject *const ready = PyList_New(0);

    (void)module;
    if (ready == NULL || PyErr_Occurred()) {
        Py_XDECREF(ready);
        return NULL;
    }
    if (crew_is_done(python.crew) && !is_done(python.over)) {
        settle(Py_NewRef(python.over), "set_result", Py_NewRef(Py_None));
        may_wait = false;
    }
    python.ready = ready;
    run_once(python.crew->loop, may_wait, timeout_s);
    python.ready = NULL;
    return ready;
}

/* attach(loop): from now on workers run on it. A future: the last of them has ended. */
static PyObject *py_attach(PyObject *module, PyObject *loop)
{
    (void)module;
    python.loop = Py_NewRef(loop);
    python.over = new_future();
    return Py_XNewRef(python.over);
}

/* While libev waits, other threads of the script run. */

static void release_interpreter(struct ev_loop *loop) EV_NOEXCEPT
{
    (void)loop;
    python.released = PyEval_SaveThread();
}

static void take_interpreter(struct ev_loop *loop) EV_NOEXCEPT
{
    (void)loop;
    PyEval_RestoreThread(python.released);
}

static void python_run(struct crew *crew)
{
    PyObject *result;

    python.crew = crew;
    ev_idle_init(&python.busy, on_idle);
    ev_set_loop_release_cb(crew->loop, release_interpreter, take_interpreter);
    result = PyObject_CallMethod(python.module, "run", NULL);
    if (result == NULL)
        PyErr_WriteUnraisable(python.module);
    Py_XDECREF(result);
    ev_set_loop_release_cb(crew->loop, NULL, NULL);
    Py_CLEAR(python.over);
    Py_CLEAR(python.loop);
    if (crew_running(crew) > 0) {
        log_error("asyncio's loop has ended before its workers");
        abort();
    }
}

/* --- loading ---------------------------------------------------------------------------- */

static PyObject *make_module(void)
{
    static PyMethodDef methods[] = {
        {"watch",  py_watch,  METH_VARARGS, NULL},
        {"turn",   py_turn,   METH_O,       NULL},
        {"attach", py_attach, METH_O,       NULL},
        {NULL,     NULL,      0,            NULL},
    };
    static struct PyModuleDef definition = {
        PyModuleDef_HEAD_INIT,
        .m_name = "_molotov",
        .m_size = -1,
        .m_methods = methods,
    };
    PyObject *const module = PyModule_Create(&definition);

    if (module == NULL || PyType_Ready(&worker_type) == -1 ||
        PyModule_AddIntMacro(module, STEP_SETUP) == -1 ||
        PyModule_AddIntMacro(module, STEP_SCENARIO) == -1 ||
        PyModule_AddIntMacro(module, STEP_SLEEP) == -1 ||
        PyModule_AddIntMacro(module, STEP_TEARDOWN) == -1 ||
        PyModule_AddIntMacro(module, STEP_END) == -1)
        return NULL;
    return module;
}

/* The one of SPIKE_PYTHON, whatever is on the PATH or in the environment. */
static int start_interpreter(struct error *err)
{
    PyPreConfig before;
    PyConfig config;
    PyStatus status;

    PyImport_AppendInittab("_molotov", make_module);
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status))
        return error_set(err, "Python cannot start: %s", status.err_msg);
    PyConfig_InitIsolatedConfig(&config);
    config.write_bytecode = 0;
    status = PyConfig_SetBytesString(&config, &config.program_name, SPIKE_PYTHON);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        return error_set(err, "Python cannot start: %s", status.err_msg);
    return 0;
}

static int import_host(struct error *err)
{
    PyObject *const folder = PyUnicode_DecodeFSDefault(SPIKE_FOLDER);

    if (folder != NULL && PyList_Insert(PySys_GetObject("path"), 0, folder) == 0)
        python.module = PyImport_ImportModule("molotov");
    Py_XDECREF(folder);
    return python.module != NULL ? 0 : take_exception(err);
}

static int add_scenarios(struct test *test, PyObject *list, struct error *err)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        const char *name;
        double weight, delay_s;
        PyObject *code;

        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "sddO", &name, &weight,
                              &delay_s, &code))
            return take_exception(err);
        if (test_add_scenario(test, name, weight, delay_s, code, err) == -1)
            return -1;
    }
    return 0;
}

static int load_script(const char *path, struct test *test, struct error *err)
{
    PyObject *const loaded = PyObject_CallMethod(python.module, "load", "N",
                                                 PyUnicode_DecodeFSDefault(path));
    PyObject *list;
    int has_setup, has_teardown, rc;

    if (loaded == NULL ||
        !PyArg_ParseTuple(loaded, "Opp", &list, &has_setup, &has_teardown)) {
        Py_XDECREF(loaded);
        return take_exception(err);
    }
    test->has[FIXTURE_SETUP] = has_setup;
    test->has[FIXTURE_TEARDOWN] = has_teardown;
    rc = add_scenarios(test, list, err); /* molotov.py keeps the functions */
    Py_DECREF(loaded);
    return rc;
}

static bool python_takes(const char *test)
{
    return text_ends_with(test, ".py");
}

static void python_unload(struct test *test)
{
    (void)test;
    Py_CLEAR(python.module);
    Py_FinalizeEx();
}

static int python_load(const struct job *job, struct test *test, struct error *err)
{
    if (start_interpreter(err) == -1)
        return -1;
    if (import_host(err) == 0 && load_script(job->test, test, err) == 0)
        return 0;
    python_unload(test);
    return -1;
}

const struct host_type host_python = {
    .name = "python",
    .help = "a Python file (FILE.py)",
    .takes = python_takes,
    .load = python_load,
    .unload = python_unload,
    .run = python_run,
    .start = python_start,
    .resume = python_resume,
    .cancel = python_cancel,
    .destroy = python_destroy,
};
