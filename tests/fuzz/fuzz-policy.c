/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target of policy-xml: any input is accepted, or refused with a line number. The schema accepts all
 * input that the parser accepts.
 */
#include <libxml/parser.h>
#include <string.h>

#include "fuzz.h"
#include "policy-xml.h"
#include "schema.h"

static void
assert_rules (const GPtrArray *rules)
{
  for (guint i = 0; i < rules->len; i++) {
    const VvRule *rule = rules->pdata[i];
    g_assert_cmpuint (rule->line, >, 0);
    if (rule->address) {
      g_autofree char *normal = vv_policy_address_glob (rule->address);
      g_assert_cmpstr (normal, ==, rule->address);
    }
  }
}

static void
read_xml (const char *data, gsize size)
{
  g_autoptr (VvPolicy) policy = vv_policy_new ();
  g_autoptr (GError) error = NULL;
  gboolean good = vv_policy_add_text (policy, "p.xml", data, size, &error);

  g_assert_true (good == (error == NULL));
  if (!good) {
    g_assert_true (g_error_matches (error, VV_ERROR, VV_ERROR_INVALID));
    g_assert_true (g_str_has_prefix (error->message, "p.xml:"));
    g_assert_null (strchr (error->message, '\n'));
    g_assert_cmpuint (policy->rules->len + policy->defaults->len, ==, 0);
    return;
  }
  assert_rules (policy->rules);
  assert_rules (policy->defaults);
  if (memmem (data, size, "metrics", strlen ("metrics"))) /* skipped, and not in the schema any more */
    return;
  xmlDocPtr doc = xmlReadMemory (data, (int)size, "p.xml", "UTF-8", XML_PARSE_NONET);
  g_assert_true (schema_takes ("vfio-variant.rng", xmlDocGetRootElement (doc)));
  xmlFreeDoc (doc);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  read_xml ((const char *)data, size);
  return 0;
}
