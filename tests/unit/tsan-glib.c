/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tsan-glib: preloaded into what runs under ThreadSanitizer. GLib is not built with it, and its locks are
 * futexes of its own, so what a thread hands to another through GLib's queues and pools looks unordered. This
 * tells the order that these promise, and nothing else: all other accesses are judged as they are.
 *
 * Owns: that promise, function by function. Each must be one that our programs or tests call.
 */
#include <dlfcn.h>
#include <glib.h>

/* Of the sanitizer's runtime: not there in a program that was built without, as an interpreter */
extern void __tsan_acquire (void *address) __attribute__ ((weak));
extern void __tsan_release (void *address) __attribute__ ((weak));

/* All before this, in this thread, ... */
static void
is_handed_over (void *what)
{
  if (__tsan_release && what)
    __tsan_release (what);
}

/* ... comes before all after this, in that one. */
static void
is_taken_over (void *what)
{
  if (__tsan_acquire && what)
    __tsan_acquire (what);
}

/* The function of this name that would be called without us */
static gpointer
next (const char *name)
{
  gpointer found = dlsym (RTLD_NEXT, name);

  g_assert (found);
  return found;
}

/* --- GAsyncQueue --- */

void
g_async_queue_push (GAsyncQueue *queue, gpointer data)
{
  void (*push) (GAsyncQueue *, gpointer) = next ("g_async_queue_push");

  is_handed_over (data);
  push (queue, data);
}

gpointer
g_async_queue_pop (GAsyncQueue *queue)
{
  gpointer (*pop) (GAsyncQueue *) = next ("g_async_queue_pop");
  gpointer data = pop (queue);

  is_taken_over (data);
  return data;
}

/* --- GThreadPool --- */

typedef struct {
  GFunc func;
  gpointer data;
} Work;

static void
work (gpointer data, gpointer user_data)
{
  Work *w = user_data;

  is_taken_over (data);
  w->func (data, w->data);
  is_handed_over (w);
}

GThreadPool *
g_thread_pool_new (GFunc func, gpointer user_data, gint max_threads, gboolean exclusive, GError **error)
{
  GThreadPool *(*new_pool) (GFunc, gpointer, gint, gboolean, GError **) = next ("g_thread_pool_new");
  Work *w = g_new (Work, 1);

  *w = (Work){func, user_data};
  return new_pool (work, w, max_threads, exclusive, error);
}

gboolean
g_thread_pool_push (GThreadPool *pool, gpointer data, GError **error)
{
  gboolean (*push) (GThreadPool *, gpointer, GError **) = next ("g_thread_pool_push");

  is_handed_over (data);
  return push (pool, data, error);
}

/* Only where it waits is there an order: and only then are the workers done with what they were given. */
void
g_thread_pool_free (GThreadPool *pool, gboolean immediate, gboolean wait)
{
  void (*free_pool) (GThreadPool *, gboolean, gboolean) = next ("g_thread_pool_free");
  Work *w = pool->user_data;

  free_pool (pool, immediate, wait);
  if (!wait)
    return;
  is_taken_over (w);
  g_free (w);
}
