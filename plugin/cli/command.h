/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * command: what the sub-commands of vfio-variant share: options, DEVICE arguments, JSON output, exit codes.
 */
#pragma once

#include <libsmartcols.h>

#include "json.h"
#include "context.h"

/** Exit codes, fixed (vfio-variant(1)). */
typedef enum {
  VV_EXIT_DONE = 0,
  VV_EXIT_FAILED = 1,
  VV_EXIT_USAGE = 2,
  VV_EXIT_NO_DEVICE = 3,
  VV_EXIT_REFUSED = 4,
  VV_EXIT_UNPRIVILEGED = 5,
} VvExit;

/**
 * VvTakes: which options of several sub-commands one takes, besides its own and --help
 * @VV_TAKES_TEXT_ONLY: neither --json nor --color, which all others take
 * @VV_TAKES_ELSEWHERE: --sysroot and --kernel
 * @VV_TAKES_MOVE: --jobs and --dry-run
 * @VV_TAKES_TIMEOUT: --timeout-ms, for the tests; one that takes it takes no arguments
 */
typedef enum {
  VV_TAKES_DEFAULT = 0,
  VV_TAKES_TEXT_ONLY = 1 << 0,
  VV_TAKES_ELSEWHERE = 1 << 1,
  VV_TAKES_MOVE = 1 << 2,
  VV_TAKES_TIMEOUT = 1 << 3,
} VvTakes;

/**
 * VvCommon: what was said by such options
 * @colour: whether what is printed has colours: --color, else NO_COLOR (https://no-color.org) and TERM
 * @jobs: how many devices are moved at the same time
 * @timeout_ms: how long the daemon may take to accept, and to send its answer, milliseconds
 */
typedef struct {
  char *sysroot;
  char *release;
  gboolean json;
  gboolean colour;
  gboolean dry_run;
  int jobs;
  int timeout_ms;
} VvCommon;

void vv_common_clear (VvCommon *common);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VvCommon, vv_common_clear)

/** vv_cmd_*: the sub-commands: parse their arguments (argv[0] is their name), act, and return the exit code
 */
int vv_cmd_list (int argc, char **argv);
int vv_cmd_match (int argc, char **argv);
int vv_cmd_probe (int argc, char **argv);
int vv_cmd_check (int argc, char **argv);
int vv_cmd_bind (int argc, char **argv);
int vv_cmd_restore (int argc, char **argv);
int vv_cmd_policy (int argc, char **argv);
int vv_cmd_status (int argc, char **argv);
int vv_cmd_metrics (int argc, char **argv);

/**
 * vv_parse_options:
 * @arguments: what follows the name in the usage line; what a DEVICE is gets explained when it names one
 * @summary: one paragraph
 * @entries: the sub-command's own options, or NULL
 *
 * Returns: -1 to go on with the arguments left in @argv, or the exit code (--help, a usage error)
 */
int vv_parse_options (int *argc, char ***argv, const char *arguments, const char *summary,
                      const GOptionEntry *entries, VvTakes takes, VvCommon *common);

/** ECMA-48, SGR: green, yellow, red */
#define VV_COLOUR_GOOD "\033[32m"
#define VV_COLOUR_FAIR "\033[33m"
#define VV_COLOUR_BAD "\033[31m"

/** vv_colour_is_terminal: Returns: whether standard output is a terminal on which the cursor can be moved */
gboolean vv_colour_is_terminal (void);

/** vv_speak_english: from here on messages are in English: what is for machines, and what the log has, too */
void vv_speak_english (void);

/** vv_usage_error: says what is wrong with the arguments; Returns: VV_EXIT_USAGE */
int vv_usage_error (const char *command, const char *format, ...) G_GNUC_PRINTF (2, 3);

/** vv_warning: "vfio-variant: warning: MESSAGE" on standard error */
void vv_warning (const char *format, ...) G_GNUC_PRINTF (1, 2);

/**
 * vv_exit_merge:
 * @so_far: the exit code of the devices before
 * @error: (nullable): what went wrong with one more
 *
 * Returns: the exit code of all: that of the errors when they are of one kind, else VV_EXIT_FAILED
 */
int vv_exit_merge (int so_far, const GError *error);

/** vv_print_error: "vfio-variant: MESSAGE" on standard error; Returns: the exit code that it means */
int vv_print_error (const GError *error);

/**
 * vv_open_context:
 * @change: as for vv_context_new(); needs root
 *
 * Opens a context, prints the catalog's warning, or the error.
 *
 * Returns: (transfer full): the context, or NULL with @exit_code set
 */
VvContext *vv_open_context (const VvCommon *common, gboolean change, int *exit_code);

/**
 * vv_device_arguments:
 *
 * Returns: (transfer full) (element-type utf8): the addresses that the arguments mean, in order, each once;
 * NULL with
 * @exit_code set and the error printed when one means none
 */
GPtrArray *vv_device_arguments (const VvHost *host, int argc, char **argv, int *exit_code);

/**
 * vv_table_new:
 * @columns: (array zero-terminated=1): their headings
 * @headings: whether these are shown
 *
 * Returns: (transfer full): an empty table, for vv_table_print()
 */
struct libscols_table *vv_table_new (const char *const columns[], gboolean headings);

/** vv_table_add: adds a row; @cells: (array zero-terminated=1): the first of its cells */
void vv_table_add (struct libscols_table *table, const char *const cells[]);

/** vv_table_print: prints the rows, below @title (nullable), and frees @table; without rows it prints nothing
 */
void vv_table_print (struct libscols_table *table, const char *title);

/** vv_json_rule: adds the member "rule": @file: (nullable): where it stands; NULL: null, for no rule decided
 */
void vv_json_rule (JsonBuilder *builder, const char *file, guint line);

/** vv_json_print: prints what was built, on standard output; frees nothing */
void vv_json_print (JsonBuilder *builder);
