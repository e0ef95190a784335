/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The uses of devices in other hook scripts of libvirt.
 *
 * Owns: which files below libvirt's hooks directory are read, and a parser of shell scripts. The parser
 * knows words, quotes, comments and command positions, but not their meaning. Runs nothing, and skips
 * commands that it does not recognize.
 */
#include <glib/gi18n-lib.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#define SCRIPT_LIMIT (256 * 1024)
#define FILES_LIMIT 500
#define EXPRESSION_LIMIT 200 /* each bracket rereads at most this much */
#define DEPTH_LIMIT                                                                                          \
  6 /* hooks/qemu.d/DOMAIN/OPERATION/SUB-OPERATION/SCRIPT, a usual layout of scripts that run others */

/* --- a parser of shell scripts --- */

/* @at, @line: the current position. @words, @targets: the words of the current command, and the files that it
 * writes to. @first: the line where the command begins. @prefixed: the command has a prefix such as sudo, but
 * no name yet. @after_assignment: the end of the last word if that is "NAME=". @ends: the end marks of the
 * here-documents that begin on the next line. */
typedef struct {
  const char *at;
  guint line;
  GPtrArray *words;
  GPtrArray *targets;
  guint first;
  gboolean prefixed;
  const char *after_assignment;
  GPtrArray *ends;
  VvHookUseFunc func;
  gpointer data;
} Reader;

static void
reader_clear (Reader *r)
{
  g_ptr_array_unref (r->words);
  g_ptr_array_unref (r->targets);
  g_ptr_array_unref (r->ends);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Reader, reader_clear)

/* Returns: (transfer full): the word at the current position; "" if there is none. Between quotes, only the
 * closing quote has a meaning. */
static char *
read_word (Reader *r)
{
  GString *word = g_string_new (NULL);
  char quote = '\0';

  while (*r->at &&
         (quote || (!strchr (" \t\r\n;&|()<>`", *r->at) && !(r->at[0] == '$' && r->at[1] == '(')))) {
    gboolean escaped = r->at[0] == '\\' && quote != '\'' && r->at[1];
    if (!escaped && (quote ? *r->at == quote : *r->at == '\'' || *r->at == '"')) {
      if (quote)
        quote = '\0';
      else
        quote = *r->at;
      r->at++;
      continue;
    }
    r->at += escaped;
    r->line += *r->at == '\n';
    if (!escaped || quote || *r->at != '\n')
      g_string_append_c (word, *r->at);
    r->at++;
  }
  return g_string_free (word, FALSE);
}

static void
skip_blanks (Reader *r)
{
  while (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || (r->at[0] == '\\' && r->at[1] == '\n')) {
    r->line += r->at[0] == '\\';
    r->at += r->at[0] == '\\' ? 2 : 1;
  }
}

/* Skips the bodies of here-documents, which begin on the next line and contain no commands. */
static void
skip_here_documents (Reader *r)
{
  for (guint i = 0; i < r->ends->len && *r->at;) {
    const char *begin = r->at + strspn (r->at, "\t");
    r->at += strcspn (r->at, "\n");
    g_autofree char *text = g_strndup (begin, (gsize)(MAX (r->at, begin) - begin));
    i += strcmp (text, r->ends->pdata[i]) == 0;
    r->line += *r->at == '\n';
    r->at += *r->at == '\n';
  }
  g_ptr_array_set_size (r->ends, 0);
}

/* --- uses in a command --- */

/* Returns: whether a write to @path moves a PCI device; files of other buses do not count */
static gboolean
moves_devices (const char *path)
{
  static const char *const of_driver[] = {"bind", "unbind", "new_id", "remove_id", NULL};
  const char *name = strrchr (path, '/');

  return g_str_has_suffix (path, "/driver_override") || g_str_has_suffix (path, "pci/drivers_probe") ||
         g_str_has_suffix (path, "/driver/unbind") ||
         (strstr (path, "pci/drivers/") && g_strv_contains (of_driver, name + 1));
}

static void
report (const Reader *r, VvHookUse use, const char *what)
{
  r->func (use, r->first, what, r->data);
}

/* @words: the words of the command, from its name on */
static void
judge_words (const Reader *r, const GPtrArray *words)
{
  g_autofree char *name = g_path_get_basename (words->pdata[0]);
  gboolean unloads = strcmp (name, "rmmod") == 0;

  if (strcmp (name, "virsh") == 0)
    report (r, VV_HOOK_CALLS_LIBVIRT, "virsh");
  for (guint i = 1; i < words->len; i++) {
    const char *word = words->pdata[i];
    if (strcmp (name, "modprobe") == 0 && (strcmp (word, "-r") == 0 || strcmp (word, "--remove") == 0))
      unloads = TRUE;
    if (strcmp (name, "tee") == 0 && moves_devices (word))
      report (r, VV_HOOK_MOVES_DEVICES, word);
  }
  for (guint i = 1; unloads && i < words->len; i++)
    if (strstr (words->pdata[i], "vfio")) {
      g_autofree char *what = g_strdup_printf ("%s %s", strcmp (name, "rmmod") == 0 ? name : "modprobe -r",
                                               (char *)words->pdata[i]);
      report (r, VV_HOOK_MOVES_DEVICES, what);
    }
}

/* Records the line of the command's first word or redirection. */
static void
begin_command (Reader *r)
{
  if (r->words->len == 0 && r->targets->len == 0)
    r->first = r->line;
}

static void
end_command (Reader *r)
{
  if (r->words->len)
    judge_words (r, r->words);
  for (guint i = 0; i < r->targets->len; i++)
    if (moves_devices (r->targets->pdata[i]))
      report (r, VV_HOOK_MOVES_DEVICES, r->targets->pdata[i]);
  g_ptr_array_set_size (r->words, 0);
  g_ptr_array_set_size (r->targets, 0);
  r->prefixed = FALSE;
}

/* Returns: whether @word precedes the name of a command: a reserved word, an assignment, or a program that
 * runs another program, with its options */
static gboolean
goes_before (Reader *r, const char *word)
{
  static const char *const reserved[] = {"if", "then", "elif", "else", "while", "until",
                                         "do", "{",    "}",    "!",    NULL};
  static const char *const programs[] = {"sudo", "exec",   "env",  "nohup",   "setsid",
                                         "nice", "ionice", "time", "timeout", NULL};

  gsize name = strspn (word, G_CSET_a_2_z G_CSET_A_2_Z "_" G_CSET_DIGITS);

  if (g_strv_contains (reserved, word) || (name && word[name] == '='))
    return TRUE;
  if (g_strv_contains (programs, word)) {
    r->prefixed = TRUE;
    return TRUE;
  }
  return r->prefixed && (*word == '-' || g_ascii_isdigit (*word));
}

/* ">FILE", ">>FILE", ">|FILE", "<FILE", "<<END" */
static void
read_redirection (Reader *r)
{
  char direction = *r->at;
  gboolean is_here = g_str_has_prefix (r->at, "<<") && !g_str_has_prefix (r->at, "<<<");

  r->at += strspn (r->at, "<>|&-");
  skip_blanks (r);
  begin_command (r);
  g_autofree char *word = read_word (r);
  if (*word && (is_here || direction == '>'))
    g_ptr_array_add (is_here ? r->ends : r->targets, g_steal_pointer (&word));
}

/* Skips "((EXPRESSION))" on one line. It contains no commands, and "<<" begins no here-document. Returns:
 * whether there was one */
static gboolean
skip_arithmetic (Reader *r)
{
  if (!g_str_has_prefix (r->at, "(("))
    return FALSE;
  const char *end = g_strstr_len (r->at, (gssize)strnlen (r->at, EXPRESSION_LIMIT), "))");
  if (!end || memchr (r->at, '\n', (gsize)(end - r->at)))
    return FALSE;
  r->at = end + strlen ("))");
  return TRUE;
}

/* Handles "(". "NAME ()" defines a function. "NAME=(WORD...)" contains no commands, up to its closing
 * bracket. Otherwise a command begins. */
static void
open_bracket (Reader *r)
{
  if (skip_arithmetic (r))
    return;
  r->at++;
  if (r->words->len == 0 && r->after_assignment == r->at - 1) {
    while (*r->at && *r->at != ')') {
      const char *before = r->at;
      g_free (read_word (r));
      if (r->at == before)
        r->line += *r->at++ == '\n';
    }
    return;
  }
  skip_blanks (r);
  if (r->words->len == 1 && *r->at == ')')
    g_ptr_array_set_size (r->words, 0);
  end_command (r);
}

static void
step (Reader *r)
{
  if (*r->at == '#') {
    r->at += strcspn (r->at, "\n");
  } else if (*r->at == '<' || *r->at == '>') {
    read_redirection (r);
  } else if (*r->at == '\n') {
    end_command (r);
    r->at++, r->line++;
    skip_here_documents (r);
  } else if (*r->at == '(') {
    open_bracket (r);
  } else if (strchr (";|)`", *r->at) || (r->at[0] == '&' && r->at[1] != '>')) {
    end_command (r);
    r->at++;
  } else if (*r->at == '&') {
    r->at++;
  } else if (r->at[0] == '$' && r->at[1] == '(') {
    r->at++;
    if (!skip_arithmetic (r)) {
      end_command (r);
      r->at++;
    }
  } else {
    begin_command (r);
    g_autofree char *word = read_word (r);
    r->after_assignment = g_str_has_suffix (word, "=") ? r->at : NULL;
    if (*word && (r->words->len || !goes_before (r, word)))
      g_ptr_array_add (r->words, g_steal_pointer (&word));
  }
}

void
vv_hook_script_read (const char *text, VvHookUseFunc func, gpointer data)
{
  g_auto (Reader) r = {.at = text,
                       .line = 1,
                       .words = g_ptr_array_new_with_free_func (g_free),
                       .targets = g_ptr_array_new_with_free_func (g_free),
                       .ends = g_ptr_array_new_with_free_func (g_free),
                       .func = func,
                       .data = data};
  g_autofree char *first = g_strndup (text, strcspn (text, "\n"));

  if (g_str_has_prefix (first, "#!") && !strstr (first, "sh")) /* not a shell script */
    return;
  for (skip_blanks (&r); *r.at; skip_blanks (&r))
    step (&r);
  end_command (&r);
}

/* --- files --- */

typedef struct {
  const VvSubject *about;
  const char *path;
  gboolean told[VV_HOOK_MOVES_DEVICES + 1];
  GHashTable *seen; /* "DEVICE:INODE" of each file and directory, because several links can lead to one */
} Search;

static void
tell_use (VvHookUse use, guint line, const char *what, gpointer data)
{
  Search *search = data;

  if (search->told[use])
    return;
  search->told[use] = TRUE;
  g_autofree char *quoted = g_shell_quote (search->path);
  vv_find (search->about, use == VV_HOOK_CALLS_LIBVIRT ? "hook-virsh" : "hook-moves", VV_WARNING,
           use == VV_HOOK_CALLS_LIBVIRT
               ? g_strdup_printf (_ ("%s:%u: this hook script calls %s"), search->path, line, what)
               : g_strdup_printf (_ ("%s:%u: this hook script moves devices: %s"), search->path, line, what),
           use == VV_HOOK_CALLS_LIBVIRT
               ? _ ("libvirt waits for its hooks and virsh waits for libvirt: both can hang")
               : _ ("it conflicts with libvirt and vfio-variant, which move devices with managed='yes' "
                    "themselves"),
           g_strdup_printf ("${EDITOR:-vi} +%u %s", line, quoted));
}

/* @depth: 0 for libvirt's hooks directory itself */
static void
look_below (Search *search, const VvDir *dir, guint depth)
{
  g_autoptr (GPtrArray) names = vv_io_list (dir, ".");
  uid_t owner = search->about->s->context->host->sysroot ? geteuid () : 0;

  for (guint i = 0; i < names->len && g_hash_table_size (search->seen) < FILES_LIMIT; i++) {
    const char *name = names->pdata[i];
    struct stat st;
    gboolean run_by_libvirt = depth <= 1;
    if (fstatat (dir->fd, name, &st, 0) < 0 || (st.st_uid != 0 && st.st_uid != owner) ||
        !g_hash_table_add (search->seen,
                           g_strdup_printf ("%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino)))
      continue;
    g_autoptr (VvDir) below =
        S_ISDIR (st.st_mode) && depth < DEPTH_LIMIT ? vv_dir_open (dir, name, NULL) : NULL;
    g_autofree char *text = S_ISREG (st.st_mode) && ((st.st_mode & 0111) || !run_by_libvirt)
                                ? vv_io_read (dir, name, SCRIPT_LIMIT, NULL)
                                : NULL;
    g_autofree char *path = vv_io_name (dir, name);
    if (below)
      look_below (search, below, depth + 1);
    if (!text)
      continue;
    search->path = path;
    memset (search->told, 0, sizeof search->told);
    vv_hook_script_read (text, tell_use, search);
  }
}

void
vv_find_hook_scripts (const VvSubject *about)
{
  g_autofree char *path = vv_host_path (about->s->context->host, VV_LIBVIRT_HOOKS_DIR);
  g_autoptr (VvDir) dir = vv_dir_open (NULL, path, NULL);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  Search search = {.about = about, .seen = seen};

  if (dir)
    look_below (&search, dir, 0);
}
