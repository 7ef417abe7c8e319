#include "thread.h"

#include "fpenv.h"

typedef struct {
    size_t count, next;
    size_t failed;      /* lowest index that failed, count while none has */
    int status;
    int (*body)(void *, unsigned, size_t);
    void *arg;
    gsz_mutex lock;
} work_queue;

static void drain(work_queue *q, unsigned worker) {
    gsz_fpenv saved = gsz_fp_enter();
    for (;;) {
        GSZ_MUTEX_LOCK(&q->lock);
        size_t i = q->status == GSZ_OK ? q->next++ : q->count;
        GSZ_MUTEX_UNLOCK(&q->lock);
        if (i >= q->count) break;
        int status = q->body(q->arg, worker, i);
        if (status == GSZ_OK) continue;
        GSZ_MUTEX_LOCK(&q->lock);
        if (i < q->failed) q->failed = i, q->status = status;
        GSZ_MUTEX_UNLOCK(&q->lock);
    }
    gsz_fp_leave(saved);
}

typedef struct { work_queue *queue; unsigned worker; } thread_arg;

#if defined(_WIN32)
typedef HANDLE thread_id;
static DWORD WINAPI thread_main(LPVOID p) { drain(((thread_arg *)p)->queue, ((thread_arg *)p)->worker); return 0; }
static int thread_start(thread_id *t, thread_arg *a) { return (*t = CreateThread(NULL, 0, thread_main, a, 0, NULL)) != NULL; }
static void thread_join(thread_id t) { WaitForSingleObject(t, INFINITE); CloseHandle(t); }
#elif !defined(GSZ_NO_THREADS)
typedef pthread_t thread_id;
static void *thread_main(void *p) { drain(((thread_arg *)p)->queue, ((thread_arg *)p)->worker); return NULL; }
static int thread_start(thread_id *t, thread_arg *a) { return pthread_create(t, NULL, thread_main, a) == 0; }
static void thread_join(thread_id t) { (void)pthread_join(t, NULL); }
#endif

static void run_threads(work_queue *q, unsigned n) {
#if defined(GSZ_NO_THREADS)
    (void)n;
    drain(q, 0);
#else
    thread_id id[GSZ_MAX_THREADS];
    thread_arg arg[GSZ_MAX_THREADS];
    unsigned started = 1;               /* the caller's thread is worker 0 */
    for (; started < n; started++) {
        arg[started].queue = q;
        arg[started].worker = started;
        if (!thread_start(&id[started], &arg[started])) break;
    }
    drain(q, 0);
    for (unsigned i = 1; i < started; i++) thread_join(id[i]);
#endif
}

int gsz_parallel_for(size_t count, unsigned nthreads, int (*body)(void *arg, unsigned worker, size_t i), void *arg) {
    if (nthreads <= 1 || count <= 1) {
        for (size_t i = 0; i < count; i++) GSZ_TRY(body(arg, 0, i));
        return GSZ_OK;
    }
    work_queue q = {0};
    q.count = q.failed = count;
    q.body = body;
    q.arg = arg;
    GSZ_MUTEX_INIT(&q.lock);
    run_threads(&q, (unsigned)GSZ_MIN(GSZ_MIN((size_t)nthreads, count), (size_t)GSZ_MAX_THREADS));
    GSZ_MUTEX_DESTROY(&q.lock);
    return q.status;
}
