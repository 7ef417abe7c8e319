/* Threads: a mutex and a parallel loop.  pthreads or Windows threads; GSZ_NO_THREADS removes both. */
#ifndef GSZ_THREAD_H
#define GSZ_THREAD_H

#include "common.h"

#if defined(GSZ_NO_THREADS)
typedef int gsz_mutex;
#define GSZ_MUTEX_INIT(m) (*(m) = 0)
#define GSZ_MUTEX_LOCK(m) ((void)(m))
#define GSZ_MUTEX_UNLOCK(m) ((void)(m))
#define GSZ_MUTEX_DESTROY(m) ((void)(m))
#elif defined(_WIN32)
#include <windows.h>
typedef CRITICAL_SECTION gsz_mutex;
#define GSZ_MUTEX_INIT(m) InitializeCriticalSection(m)
#define GSZ_MUTEX_LOCK(m) EnterCriticalSection(m)
#define GSZ_MUTEX_UNLOCK(m) LeaveCriticalSection(m)
#define GSZ_MUTEX_DESTROY(m) DeleteCriticalSection(m)
#else
#include <pthread.h>
typedef pthread_mutex_t gsz_mutex;
#define GSZ_MUTEX_INIT(m) pthread_mutex_init(m, NULL)
#define GSZ_MUTEX_LOCK(m) pthread_mutex_lock(m)
#define GSZ_MUTEX_UNLOCK(m) pthread_mutex_unlock(m)
#define GSZ_MUTEX_DESTROY(m) pthread_mutex_destroy(m)
#endif

#define GSZ_MAX_THREADS 64u

/* Calls body(arg, worker, i) for every i in [0, count), from up to nthreads threads (fewer where the system
 * refuses one); worker < nthreads tells them apart.  Returns the status of the lowest i that failed, so that errors do not depend on timing;
 * after a failure the bodies not yet begun are skipped. */
int gsz_parallel_for(size_t count, unsigned nthreads, int (*body)(void *arg, unsigned worker, size_t i), void *arg);

#endif
