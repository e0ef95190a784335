/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tsan-glib: preloaded into programs that run under ThreadSanitizer. GLib is not built with it and locks with
 * its own futexes, so data that threads exchange through GLib's queues and pools appears unordered. This
 * library declares the order that queues and pools guarantee. All other accesses are checked as usual.
 *
 * Owns: those guarantees, function by function: the functions that our programs or tests call.
 */
#include <dlfcn.h>
#include <glib.h>

/* From the sanitizer's runtime; NULL in programs that are built without it, such as interpreters */
extern void __tsan_acquire (void *address) __attribute__ ((weak));
extern void __tsan_release (void *address) __attribute__ ((weak));

/* Everything before this call in this thread happens before ... */
static void
is_handed_over (void *what)
{
  if (__tsan_release && what)
    __tsan_release (what);
}

/* ... everything after this call in the other thread. */
static void
is_taken_over (void *what)
{
  if (__tsan_acquire && what)
    __tsan_acquire (what);
}

/* Returns: the real function of this name */
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

/* Orders accesses only if it waits: only then have the workers finished their tasks. */
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
