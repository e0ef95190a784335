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
 * VvTakes: the shared options that a sub-command takes, besides its own and --help
 * @VV_TAKES_TEXT_ONLY: neither --json nor --color, which all other sub-commands take
 * @VV_TAKES_ELSEWHERE: --sysroot and --kernel
 * @VV_TAKES_MOVE: --jobs and --dry-run
 * @VV_TAKES_TIMEOUT: --timeout-ms, for the tests; such a sub-command takes no arguments
 */
typedef enum {
  VV_TAKES_DEFAULT = 0,
  VV_TAKES_TEXT_ONLY = 1 << 0,
  VV_TAKES_ELSEWHERE = 1 << 1,
  VV_TAKES_MOVE = 1 << 2,
  VV_TAKES_TIMEOUT = 1 << 3,
} VvTakes;

/**
 * VvCommon: the values of the shared options
 * @colour: print colours: --color, else NO_COLOR (https://no-color.org) and TERM
 * @jobs: how many devices are moved in parallel
 * @timeout_ms: how long the daemon may take to accept the connection, and to send its answer, in milliseconds
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

/** The sub-commands. Each parses its arguments (argv[0] is its name), runs, and returns the exit code. */
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
 * @arguments: the usage line after the name of the sub-command; if it contains DEVICE, --help explains that
 * argument
 * @summary: one paragraph
 * @entries: (nullable): the sub-command's own options
 *
 * Returns: -1 to continue with the arguments left in @argv, or the exit code (--help, a usage error)
 */
int vv_parse_options (int *argc, char ***argv, const char *arguments, const char *summary,
                      const GOptionEntry *entries, VvTakes takes, VvCommon *common);

/** Control sequences (ECMA-48, SGR): green, yellow, red */
#define VV_COLOUR_GOOD "\033[32m"
#define VV_COLOUR_FAIR "\033[33m"
#define VV_COLOUR_BAD "\033[31m"

/** vv_colour_is_terminal: Returns: whether standard output is a terminal that can move the cursor */
gboolean vv_colour_is_terminal (void);

/** vv_speak_english: Switches messages to English, for machine-readable output and for the log */
void vv_speak_english (void);

/** vv_usage_error: Prints a usage error. Returns: VV_EXIT_USAGE */
int vv_usage_error (const char *command, const char *format, ...) G_GNUC_PRINTF (2, 3);

/** vv_warning: Prints "vfio-variant: warning: MESSAGE" on standard error */
void vv_warning (const char *format, ...) G_GNUC_PRINTF (1, 2);

/**
 * vv_exit_merge:
 * @so_far: the exit code for the previous devices
 * @error: (nullable): the error for the next device
 *
 * Returns: the exit code for all devices: that of the errors if they have the same exit code, else
 * VV_EXIT_FAILED
 */
int vv_exit_merge (int so_far, const GError *error);

/** vv_print_error: Prints "vfio-variant: MESSAGE" on standard error. Returns: the exit code for @error */
int vv_print_error (const GError *error);

/**
 * vv_open_context:
 * @change: as for vv_context_new(); TRUE requires root
 *
 * Opens a context and reads the policy. With @change, recovers interrupted rebinds (vv_recover()). Prints the
 * warnings of the policy and of the catalog, or the error.
 *
 * Returns: (transfer full): the context, or NULL with @exit_code set
 */
VvContext *vv_open_context (const VvCommon *common, gboolean change, int *exit_code);

/**
 * vv_device_arguments:
 *
 * Returns: (transfer full) (element-type utf8): the addresses that the arguments select, in order, without
 * duplicates; NULL with @exit_code set and the error printed if an argument selects no device
 */
GPtrArray *vv_device_arguments (const VvHost *host, int argc, char **argv, int *exit_code);

/**
 * vv_table_new:
 * @columns: (array zero-terminated=1): their headings
 * @headings: print the headings
 *
 * Returns: (transfer full): an empty table, which vv_table_print() frees
 */
struct libscols_table *vv_table_new (const char *const columns[], gboolean headings);

/** vv_table_add: Adds a row. @cells: (array zero-terminated=1): its cells, from the first column on */
void vv_table_add (struct libscols_table *table, const char *const cells[]);

/** vv_table_print: Prints the rows below @title (nullable) and frees @table. Prints nothing if there are no
 * rows */
void vv_table_print (struct libscols_table *table, const char *title);

/** vv_json_rule: Adds the member "rule". @file: (nullable): the policy file of the rule; NULL: no rule
 * applies, and the member is null */
void vv_json_rule (JsonBuilder *builder, const char *file, guint line);

/** vv_json_print: Prints the JSON of @builder on standard output. Does not free @builder */
void vv_json_print (JsonBuilder *builder);
